/*
 * sched_machine.c - machines as the scheduler sees them, and what is promised on them.
 *
 * Invariants: a machine's used_cpu, used_memory and used counts are the sums over its grants; its
 * slot in fit shows what is left of what it has. A machine stays once it was spoken of: its slot
 * does not move.
 */
#include "sched/sched_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct machine *machine_find(const struct sched *s, const char *id)
{
    struct machine *m;

    HASH_FIND_STR(s->machines, id, m);
    return m;
}

static int make_room(struct sched *s)
{
    size_t cap = fit_cap_next(&s->fit);
    struct machine **v;

    if (cap == s->slots_cap)
        return 0;
    if (choices_grow(s, cap) < 0 || needs_grow(s, cap) < 0 ||
        !(v = realloc(s->slots, cap * sizeof *v)))
        return -ENOMEM;
    s->slots = v;
    if (!(v = realloc(s->dirty, cap * sizeof *v)))
        return -ENOMEM;
    s->dirty = v;
    if (!(v = realloc(s->hot, cap * sizeof *v)))
        return -ENOMEM;
    s->hot = v;
    s->slots_cap = cap;
    return 0;
}

struct machine *machine_get(struct sched *s, const char *id)
{
    struct machine *m = machine_find(s, id);
    int slot;

    if (m || strlen(id) >= sizeof m->id)
        return m;
    if (!(m = calloc(1, sizeof *m)) || !(m->labels = json_object()) || make_room(s) < 0)
        goto fail;
    strcpy(m->id, id);
    HASH_ADD_STR(s->machines, id, m);
    if (!m->hh.tbl)
        goto fail;
    if ((slot = fit_add(&s->fit)) < 0) {
        HASH_DEL(s->machines, m);
        goto fail;
    }
    m->slot = (unsigned)slot;
    s->slots[slot] = m;
    s->unranked = true;
    needs_forget(s, m->slot, NULL);
    choices_machine(s, m, true);
    return m;
fail:
    if (m)
        json_decref(m->labels);
    free(m);
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(struct machine *const *)a)->id, (*(struct machine *const *)b)->id);
}

void machine_rank(struct sched *s)
{
    struct machine **v;

    if (!s->unranked || !(v = malloc((s->fit.n + 1) * sizeof *v)))
        return;
    if (s->fit.n)
        memcpy(v, s->slots, s->fit.n * sizeof *v);
    qsort(v, s->fit.n, sizeof *v, by_id);
    for (size_t i = 0; i < s->fit.n; i++)
        s->fit.rank[v[i]->slot] = (uint32_t)i;
    fit_ranked(&s->fit);
    free(v);
    s->unranked = false;
}

const char *machine_closed(const struct machine *m)
{
    static const char *const health[] = {
        [SCHED_SUSPECT] = "is silent", [SCHED_DEAD] = "is dead", [SCHED_LEFT] = "has left"
    };

    if (!m->known)
        return "is no member";
    if (m->health != SCHED_ALIVE)
        return health[m->health];
    if (m->fenced)
        return "was given up, and has not begun anew yet";
    if (m->draining)
        return "is draining";
    if (!m->session)
        return "does not run jobs yet";
    if (m->poor_ms)
        return "lacked what a job needs to begin, some seconds ago";
    return NULL;
}

void machine_dirty(struct sched *s, struct machine *m)
{
    s->got_room = true;
    if (m->dirty)
        return;
    m->dirty = true;
    s->dirty[s->n_dirty++] = m;
}

void machine_refit(struct sched *s, struct machine *m)
{
    bool open = !machine_closed(m), was = bit_get(s->fit.open, m->slot);
    int64_t cpu, memory, busy;

    ahead_promise(s, m);
    cpu = m->cpu - m->used_cpu;
    memory = m->memory - m->used_memory;
    busy = (int64_t)m->load - (int64_t)m->load % 1000; /* less than a core may be anything */
    busy = m->used_cpu > busy ? m->used_cpu : busy;

    if (open && (!was || cpu > s->fit.cpu[m->slot] || memory > s->fit.memory[m->slot]))
        machine_dirty(s, m);
    if (open != was)
        s->facts_changed = true;
    bit_put(s->fit.open, m->slot, open);
    fit_set(&s->fit, m->slot, cpu, memory, (uint32_t)busy);
}

/* Without this a machine whose disk is full, which is always idle, would draw all jobs. */
void machine_poor(struct sched *s, struct machine *m)
{
    m->poor_ms = s->now_ms + POOR_MS;
    s->poor_ms = m->poor_ms < s->poor_ms ? m->poor_ms : s->poor_ms;
    machine_refit(s, m);
}

void machines_look(struct sched *s)
{
    if (s->now_ms < s->poor_ms)
        return;
    s->poor_ms = UINT64_MAX;
    for (struct machine *m = s->machines; m; m = m->hh.next) {
        if (m->poor_ms && m->poor_ms <= s->now_ms) {
            m->poor_ms = 0;
            machine_refit(s, m);
        }
        if (m->poor_ms && m->poor_ms < s->poor_ms)
            s->poor_ms = m->poor_ms;
    }
}

/* ---- counted labels */

static const char *label_of(const struct machine *m, const char *key)
{
    return json_string_value(json_object_get(m->labels, key));
}

static uint64_t used_count(const struct machine *m, const char *key)
{
    for (size_t i = 0; i < m->n_used; i++)
        if (strcmp(m->used[i].key, key) == 0)
            return m->used[i].n;
    return 0;
}

/* The label's value; UINT64_MAX: it is no whole number but a property, which selectors judge. */
static uint64_t count_of(const struct machine *m, const char *key)
{
    const char *has = label_of(m, key);
    char *end = NULL;
    uint64_t n = has ? strtoull(has, &end, 10) : 0;

    return has && (end == has || *end) ? UINT64_MAX : n;
}

uint64_t machine_count_left(const struct machine *m, const char *key)
{
    uint64_t has = count_of(m, key), used = used_count(m, key);

    return has == UINT64_MAX ? INT64_MAX : has > used ? has - used : 0;
}

bool machine_has_counts(const struct machine *m, const struct count *c, size_t n,
                        const char **lacks)
{
    for (size_t i = 0; i < n; i++)
        if (machine_count_left(m, c[i].key) < c[i].n) {
            if (lacks)
                *lacks = c[i].key;
            return false;
        }
    return true;
}

static int use_count(struct machine *m, const struct count *c, bool give_back)
{
    struct count *v;

    for (size_t i = 0; i < m->n_used; i++)
        if (strcmp(m->used[i].key, c->key) == 0) {
            m->used[i].n += give_back ? -c->n : c->n;
            return 0;
        }
    if (!(v = realloc(m->used, (m->n_used + 1) * sizeof *v)))
        return -ENOMEM;
    m->used = v;
    m->used[m->n_used++] = *c;
    return 0;
}

int machine_use_counts(struct machine *m, const struct count *c, size_t n, bool give_back)
{
    for (size_t i = 0; i < n; i++)
        if (use_count(m, &c[i], give_back) < 0) {
            machine_use_counts(m, c, i, true);
            return -ENOMEM;
        }
    return 0;
}

/* ---- grants */

static void soonest(struct sched *s, struct machine *m)
{
    uint64_t at = FIT_NEVER;

    for (struct grant *g = m->grants; g; g = g->after)
        at = g->ends_us < at ? g->ends_us : at;
    s->fit.soonest_us[m->slot] = at;
}

static void take_counts(struct grant *g, const struct lane *l)
{
    struct part part;

    if (!l)
        return;
    part_of(NULL, l, g->first, g->first + g->n, &part);
    if (part.n_counts == 0 || !(g->counts = malloc(part.n_counts * sizeof *g->counts)))
        return;
    if (machine_use_counts(g->machine, part.counts, part.n_counts, false) < 0)
        return;
    memcpy(g->counts, part.counts, part.n_counts * sizeof *g->counts);
    g->n_counts = part.n_counts;
}

/* What the job has there already: it is promised a machine's cores and memory once. */
static const struct grant *grant_on(const struct job_node *j, const struct machine *m)
{
    const struct grant *g = j->grants;

    while (g && g->machine != m)
        g = g->next;
    return g;
}

/* n 0: of groups that only carry a file. Nothing is promised for them, but the job is there: it is
 * lost with that machine, too. */
struct grant *grant_make(struct sched *s, struct job_node *j, struct machine *m, size_t first,
                         size_t n)
{
    struct grant *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    g->job = j;
    g->machine = m;
    g->first = first;
    g->n = n;
    g->cpu = n && j->lane && !grant_on(j, m) ? j->lane->cpu : 0;
    g->memory = n && j->lane && !grant_on(j, m) ? j->lane->memory : 0;
    g->endless = j->endless;
    g->ends_us = n && j->timeout_us ? s->wall_us + j->timeout_us : FIT_NEVER;
    take_counts(g, j->lane);
    g->after = m->grants;
    if (g->after)
        g->after->before = g;
    m->grants = g;
    m->n_grants++;
    ahead_add(s, g);
    if (g->ends_us < s->fit.soonest_us[m->slot])
        s->fit.soonest_us[m->slot] = g->ends_us;
    LL_APPEND(j->grants, g);
    if (machine_closed(m))
        s->fences_ms = 0;
    machine_refit(s, m);
    return g;
}

void grant_drop(struct sched *s, struct grant *g)
{
    struct machine *m = g->machine;
    struct grant **p = &g->job->grants;

    while (*p != g)
        p = &(*p)->next;
    *p = g->next;
    if (g->before)
        g->before->after = g->after;
    else
        m->grants = g->after;
    if (g->after)
        g->after->before = g->before;
    m->n_grants--;
    ahead_remove(s, g);
    machine_use_counts(m, g->counts, g->n_counts, true);
    if (g->ends_us == s->fit.soonest_us[m->slot])
        soonest(s, m);
    if (!machine_closed(m))
        machine_dirty(s, m);
    machine_refit(s, m);
    free(g->counts);
    free(g);
}

/* ---- events */

static json_t *labels_of(const struct sched_machine *f)
{
    static const struct {
        const char *info, *label;
    } facts[] = { { "cores", "cores" },
                  { "memory_bytes", "memory" },
                  { "arch", "arch" },
                  { "os", "os" },
                  { "hostname", "hostname" } };
    json_t *o = json_object();
    const char *key;
    json_t *value;
    char text[32];

    json_object_foreach ((json_t *)f->labels, key, value) {
        if (json_is_string(value))
            json_object_set(o, key, value);
    }
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        value = json_object_get(f->info, facts[i].info);
        if (json_is_string(value)) {
            json_object_set(o, facts[i].label, value);
        } else if (json_is_integer(value)) {
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
            json_object_set_new(o, facts[i].label, json_string(text));
        }
    }
    return o;
}

static void relabel(struct sched *s, struct machine *m, json_t *labels)
{
    const char *cores, *memory;

    if (json_equal(labels, m->labels)) {
        json_decref(labels);
        return;
    }
    json_decref(m->labels);
    m->labels = labels;
    cores = label_of(m, "cores");
    memory = label_of(m, "memory");
    m->cpu = cores ? strtoll(cores, NULL, 10) * 1000 : 0;
    m->memory = memory ? strtoll(memory, NULL, 10) : 0;
    choices_machine(s, m, false);
    s->facts_changed = true;
    machine_dirty(s, m);
}

int sched_machine(struct sched *s, const struct sched_machine *f)
{
    struct machine *m = machine_get(s, f->id);
    json_t *labels = m ? labels_of(f) : NULL;

    if (!labels)
        return -ENOMEM;
    if (f->incarnation != m->incarnation && m->known)
        needs_forget(s, m->slot, NULL);
    if (!m->known || f->health != m->health) {
        m->down_ms = s->now_ms;
        s->fences_ms = 0;
    }
    m->known = true;
    m->health = f->health;
    m->draining = f->draining;
    m->incarnation = f->incarnation;
    relabel(s, m, labels);
    machine_refit(s, m);
    return 0;
}

void sched_machine_gone(struct sched *s, const char *id)
{
    struct machine *m = machine_find(s, id);

    if (!m || !m->known)
        return;
    m->known = false;
    m->down_ms = s->now_ms;
    s->fences_ms = 0;
    machine_refit(s, m);
}

void sched_load(struct sched *s, const char *id, unsigned cpu_milli)
{
    struct machine *m = machine_find(s, id);

    if (!m || m->load == cpu_milli)
        return;
    m->load = cpu_milli;
    machine_refit(s, m);
}

int sched_runner(struct sched *s, const char *id, uint64_t session, bool fenced)
{
    struct machine *m = machine_get(s, id);

    if (!m)
        return -ENOMEM;
    m->told = true;
    if (m->session == session && m->fenced == fenced)
        return 0;
    if (fenced)
        m->fenced_ms = s->now_ms;
    m->session = session;
    m->fenced = fenced;
    m->asked_ms = 0;
    s->fences_ms = 0;
    machine_refit(s, m);
    return 0;
}

void sched_allocated(const struct sched *s, const char *machine, struct sched_allocation *out)
{
    const struct machine *m = machine_find(s, machine);

    *out = (struct sched_allocation){ 0 };
    if (!m)
        return;
    out->cpu_milli = (unsigned)m->used_cpu;
    out->memory = (uint64_t)m->used_memory;
    out->groups = m->n_grants;
    out->ahead = (unsigned)m->n_ahead;
}

void machines_free(struct sched *s)
{
    struct machine *m, *next;

    HASH_ITER (hh, s->machines, m, next) {
        HASH_DEL(s->machines, m);
        json_decref(m->labels);
        free(m->used);
        free(m);
    }
    free(s->slots);
    free(s->dirty);
    free(s->hot);
    fit_free(&s->fit);
}

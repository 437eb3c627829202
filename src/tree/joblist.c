/*
 * joblist.c - the jobs of the registry in short, by name, the newest of each user, and what those
 * that run were promised on each machine.
 *
 * Invariants: there is a brief for each record that can be read, and none else. An owner is there
 * while it has jobs; its newest is NULL when that one is gone and nobody has asked since. What a
 * host was promised is the sum over the briefs; one that was promised nothing may stay.
 */
#include "tree/joblist.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct job_owner {
    size_t jobs;
    struct job_brief *newest; /* NULL: to be looked for */
    UT_hash_handle hh;
    char name[];
};

/* A machine that jobs ran on. */
struct host {
    struct promised sum;
    UT_hash_handle hh;
    char id[ID_MAX];
};

struct promise {
    struct promised each; /* machine */
    size_t n;
    struct host *on[]; /* of each group */
};

struct joblist {
    struct registry *registry;
    struct job_brief *jobs;
    struct job_owner *owners;
    struct host *hosts;
    joblist_changed *changed;
    void *arg;
    bool bad; /* memory ran out: all is to be read anew */
};

/* ---- owners */

static struct job_owner *owner_of(struct joblist *l, const char *user)
{
    struct job_owner *o;

    HASH_FIND_STR(l->owners, user, o);
    if (o || !(o = calloc(1, sizeof *o + strlen(user) + 1)))
        return o;
    strcpy(o->name, user);
    HASH_ADD_STR(l->owners, name, o);
    return o;
}

static void owner_loses(struct joblist *l, struct job_brief *b)
{
    struct job_owner *o = b->owner;

    if (o->newest == b)
        o->newest = NULL;
    if (--o->jobs > 0)
        return;
    HASH_DEL(l->owners, o);
    free(o);
}

static void look_for_newest(struct joblist *l, struct job_owner *o)
{
    for (struct job_brief *b = l->jobs; b; b = b->hh.next)
        if (b->owner == o && (!o->newest || b->uid > o->newest->uid))
            o->newest = b;
}

/* ---- promises */

static struct host *host_of(struct joblist *l, const char *id)
{
    struct host *h;

    HASH_FIND_STR(l->hosts, id, h);
    if (h || !(h = calloc(1, sizeof *h)))
        return h;
    snprintf(h->id, sizeof h->id, "%s", id);
    HASH_ADD_STR(l->hosts, id, h);
    return h;
}

/* On one machine, as the spec has it. */
static struct promised wanted(const json_t *spec)
{
    const json_t *cpus = json_object_get(spec, "cpus");
    const char *memory = json_string_value(json_object_get(spec, "memory"));
    struct promised p = { .cpu_milli = 1000, .groups = 1 };

    if (json_is_number(cpus))
        p.cpu_milli = (unsigned)(json_number_value(cpus) * 1000 + 0.5);
    if (memory)
        units_size(memory, &p.memory, NULL);
    return p;
}

static bool was_before(const struct promise *p, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (p->on[k] == p->on[i])
            return true;
    return false;
}

static void add_up(struct promise *p, int by)
{
    for (size_t i = 0; i < p->n; i++) {
        p->on[i]->sum.groups += (unsigned)by;
        if (was_before(p, i))
            continue;
        p->on[i]->sum.cpu_milli += (unsigned)by * p->each.cpu_milli;
        p->on[i]->sum.memory += (uint64_t)by * p->each.memory;
    }
}

static void take_back(struct job_brief *b)
{
    if (b->promise)
        add_up(b->promise, -1);
    free(take_ptr(b->promise));
}

/* A group of neighbours begins where the machine is another than that of the stage before. */
static void promise(struct joblist *l, struct job_brief *b, const struct job *j)
{
    struct promise *p;

    take_back(b);
    if (j->state != JOB_RUNNING || !(p = calloc(1, sizeof *p + j->n_on * sizeof p->on[0])))
        return;
    p->each = wanted(j->spec);
    for (size_t i = 0; i < j->n_on; i++)
        if ((i == 0 || strcmp(j->on[i], j->on[i - 1]) != 0) &&
            (p->on[p->n] = host_of(l, j->on[i])) != NULL)
            p->n++;
    add_up(p, 1);
    b->promise = p;
}

void joblist_promised(const struct joblist *l, const char *machine, struct promised *out)
{
    struct host *h = NULL;

    if (l)
        HASH_FIND_STR(l->hosts, machine, h);
    *out = h ? h->sum : (struct promised){ 0 };
}

/* ---- changes */

static void tell(struct joblist *l, const struct job_brief *b, bool gone)
{
    if (l->changed)
        l->changed(l->arg, b, gone);
}

static void drop(struct joblist *l, struct job_brief *b)
{
    HASH_DEL(l->jobs, b);
    tell(l, b, true);
    take_back(b);
    owner_loses(l, b);
    free(b);
}

static struct job_brief *add(struct joblist *l, const struct job *j)
{
    struct job_owner *o = owner_of(l, j->user);
    struct job_brief *b = o ? calloc(1, sizeof *b + strlen(j->name) + 1) : NULL;

    if (!b) {
        if (o && o->jobs == 0) {
            HASH_DEL(l->owners, o);
            free(o);
        }
        return NULL;
    }
    strcpy(b->name, j->name);
    b->uid = j->uid;
    b->owner = o;
    if (o->jobs++ == 0 || (o->newest && b->uid > o->newest->uid))
        o->newest = b;
    HASH_ADD_STR(l->jobs, name, b);
    return b;
}

uint64_t job_changed_us(const struct job *j)
{
    const uint64_t times[] = { j->queued_us, j->started_us, j->ended_us };
    uint64_t last = j->made_us;

    for (size_t i = 0; i < ARRAY_SIZE(times); i++)
        last = times[i] > last ? times[i] : last;
    return last;
}

static struct job_brief *find(struct joblist *l, const char *name)
{
    struct job_brief *b;

    HASH_FIND_STR(l->jobs, name, b);
    return b;
}

/* A record as it is now. */
static void take(struct joblist *l, const char *name, const json_t *value)
{
    struct job_brief *b = find(l, name);
    struct job j = { 0 };
    bool told = true;

    if (job_decode(name, value, &j) < 0) {
        job_clear(&j);
        return;
    }
    if (b && b->uid != j.uid) { /* another of the same name */
        drop(l, b);
        b = NULL;
    }
    if (!b)
        b = add(l, &j);
    else
        told = b->state != j.state;
    if (b) {
        b->state = j.state;
        b->changed_us = job_changed_us(&j);
        promise(l, b, &j);
        if (told)
            tell(l, b, false);
    } else {
        l->bad = true;
    }
    job_clear(&j);
}

static void drop_all(struct joblist *l)
{
    struct job_brief *b, *next;

    HASH_ITER (hh, l->jobs, b, next)
        drop(l, b);
}

/* Nobody is told: what changed on the way to a restored state is not known. */
static void read_all(struct joblist *l)
{
    joblist_changed *changed = take_ptr(l->changed);
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v = NULL;
    json_t *value;

    drop_all(l);
    l->bad = registry_read(l->registry, &v) < 0;
    while (v && view_next(v, JOB_KEY, key, key, &value) == 0) {
        take(l, key + strlen(JOB_KEY), value);
        json_decref(value);
    }
    if (v)
        registry_view_end(v);
    l->changed = changed;
}

static void on_change(void *arg, const char *key, const json_t *value)
{
    struct joblist *l = arg;
    struct job_brief *b;

    if (!key)
        read_all(l);
    else if (value)
        take(l, key + strlen(JOB_KEY), value);
    else if ((b = find(l, key + strlen(JOB_KEY))) != NULL)
        drop(l, b);
}

/* ---- life, and asking */

int joblist_create(struct joblist **out, struct registry *r)
{
    struct joblist *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return -ENOMEM;
    l->registry = r;
    read_all(l);
    rc = registry_watch(r, JOB_KEY, on_change, l);
    if (rc < 0)
        joblist_destroy(l);
    else
        *out = l;
    return rc;
}

void joblist_destroy(struct joblist *l)
{
    struct host *h, *next;

    if (!l)
        return;
    registry_unwatch(l->registry, on_change, l);
    l->changed = NULL;
    drop_all(l);
    HASH_ITER (hh, l->hosts, h, next) {
        HASH_DEL(l->hosts, h);
        free(h);
    }
    free(l);
}

void joblist_on_change(struct joblist *l, joblist_changed *fn, void *arg)
{
    l->changed = fn;
    l->arg = arg;
}

const struct job_brief *joblist_find(struct joblist *l, const char *name)
{
    if (!l)
        return NULL;
    if (l->bad)
        read_all(l);
    return find(l, name);
}

const struct job_brief *joblist_newest(struct joblist *l, const char *user)
{
    struct job_owner *o;

    if (!l)
        return NULL;
    if (l->bad)
        read_all(l);
    HASH_FIND_STR(l->owners, user, o);
    if (o && !o->newest)
        look_for_newest(l, o);
    return o ? o->newest : NULL;
}

const struct job_brief *joblist_next(const struct joblist *l, const struct job_brief *after)
{
    return after ? after->hh.next : l ? l->jobs : NULL;
}

const char *job_brief_user(const struct job_brief *b)
{
    return b->owner->name;
}

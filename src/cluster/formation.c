/*
 * formation.c - begins a registry, waits to be added to one, ends ours in favour of another.
 *
 * In: facts with their time. Out: one step, and words for people. A machine is fresh (its standing
 * names no registry), or has one. What a leader does about roles is in roles.c.
 *
 * Invariants: nothing is wiped but what ended by a word that its own registry committed (our own
 * replica's, or that of a machine which carried it out). A fresh machine does not begin a registry
 * while a living one is heard of, or while it waits for the one that took over its own. Only who
 * leads proposes the end of a registry, and never of one with data.
 */
#include "cluster/formation_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int formation_create(struct formation **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void formation_destroy(struct formation *f)
{
    if (!f)
        return;
    free(f->seats);
    free(f->of);
    free(f);
}

uint64_t formation_next(const struct formation *f)
{
    return f->next;
}

const char *formation_refuses(const struct formation *f)
{
    return f->refuses;
}

enum form_state formation_state(const struct formation *f, char words[256])
{
    memcpy(words, f->words, sizeof f->words);
    return f->state;
}

/* ---- shared with roles.c */

bool form_due(struct formation *f, uint64_t at_ms)
{
    if (f->now >= at_ms)
        return true;
    if (at_ms < f->next)
        f->next = at_ms;
    return false;
}

bool form_say(struct form_step *out, enum form_do what, const char *fmt, ...)
{
    va_list ap;

    out->what = what;
    va_start(ap, fmt);
    vsnprintf(out->why, sizeof out->why, fmt, ap);
    va_end(ap);
    return true;
}

static int by_id(const void *id, const void *m)
{
    return strcmp(id, ((const struct form_machine *)m)->id);
}

const struct form_machine *form_machine_find(const struct form_facts *k, const char *id)
{
    return k->n > 0 ? bsearch(id, k->machines, k->n, sizeof *k->machines, by_id) : NULL;
}

const struct form_machine *form_self(const struct form_facts *k)
{
    return form_machine_find(k, k->self);
}

static void __attribute__((format(printf, 3, 4)))
state(struct formation *f, enum form_state to, const char *fmt, ...)
{
    va_list ap;

    f->state = to;
    va_start(ap, fmt);
    vsnprintf(f->words, sizeof f->words, fmt, ap);
    va_end(ap);
}

/* ---- the registries that are heard of */

/* One registry, by what its living machines say; the leader with the highest term knows best, else
 * who applied most. */
struct sight {
    const struct form_machine *teller;
    bool data, leader; /* any has data; a leader is heard */
};

enum { SIGHTS = 8 }; /* more at once are looked at when some of these have gone */

struct sights {
    size_t n;
    struct sight v[SIGHTS];
};

static bool tells_better(const struct standing *a, const struct standing *b)
{
    if (a->leader != b->leader)
        return a->leader;
    if (a->leader && a->term != b->term)
        return a->term > b->term;
    return a->index > b->index;
}

static struct sight *sight_of(struct sights *s, const char *registry)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].teller->is.registry, registry) == 0)
            return &s->v[i];
    return NULL;
}

static void see(struct sights *s, const struct form_facts *k)
{
    s->n = 0;
    for (size_t i = 0; i < k->n; i++) {
        const struct form_machine *m = &k->machines[i];
        struct sight *t;

        if (!m->alive || !m->known || !m->is.registry[0])
            continue;
        t = sight_of(s, m->is.registry);
        if (!t && s->n == SIGHTS)
            continue;
        if (!t) {
            t = &s->v[s->n++];
            *t = (struct sight){ .teller = m };
        } else if (tells_better(&m->is, &t->teller->is)) {
            t->teller = m;
        }
        t->data |= m->is.data;
        t->leader |= strcmp(m->id, k->self) == 0 ? k->is_leader : m->is.leader;
    }
}

/* Both sides come to the same: who has data stays; then who has more machines; then the lower id.
 */
static bool beats(const struct sight *a, const struct sight *b)
{
    const struct standing *x = &a->teller->is, *y = &b->teller->is;

    if (a->data != b->data)
        return a->data;
    if (x->machines != y->machines)
        return x->machines > y->machines;
    return strcmp(x->registry, y->registry) < 0;
}

/* The best one that has a leader; NULL. */
static const struct sight *best_sight(const struct sights *s)
{
    const struct sight *best = NULL;

    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].leader && (!best || beats(&s->v[i], best)))
            best = &s->v[i];
    return best;
}

/* ---- registries that ended */

/* Follows the word of living machines: which one took over `registry`? NULL: none did. */
static const char *taken_over(const struct form_facts *k, const char *registry)
{
    for (size_t i = 0; i < k->n; i++) {
        const struct form_machine *m = &k->machines[i];

        if (m->alive && m->known && m->is.into[0] && standing_was_in(&m->is, registry) &&
            strcmp(m->is.into, registry) != 0)
            return m->is.into;
    }
    return NULL;
}

/* The registry that a dissolved machine waits for at last; NULL: none is left, since those that it
 * leads to ended in one another. */
static const char *awaited(const struct form_facts *k, const struct standing *s)
{
    const char *into = s->into[0] ? s->into : NULL, *next;

    for (int i = 0; into && i < SIGHTS; i++) {
        if (standing_was_in(s, into))
            return NULL;
        if (!(next = taken_over(k, into)))
            return into;
        into = next;
    }
    return NULL;
}

/* ---- a fresh machine */

/* A registry whose last machine died or left lately: its name, and until when it is waited for. */
static const struct form_machine *gone_lately(struct formation *f, const struct form_facts *k)
{
    for (size_t i = 0; i < k->n; i++) {
        const struct form_machine *m = &k->machines[i];

        if (!m->alive && m->known && (m->is.registry[0] || m->is.begun) &&
            !form_due(f, m->since_ms + FORM_GONE_MS))
            return m;
    }
    return NULL;
}

/* Somebody who must be heard, or must act, before we may begin one; says so. */
static bool waits_for_others(struct formation *f, const struct form_facts *k)
{
    const struct form_machine *m;

    for (size_t i = 0; i < k->n; i++) {
        m = &k->machines[i];
        if (!m->alive || strcmp(m->id, k->self) == 0)
            continue;
        if (!m->known && !form_due(f, m->since_ms + FORM_SILENT_MS)) {
            state(f, FORM_WAITING, "waits to hear from %s whether it has a registry", m->id);
            return true;
        }
        if (m->known && strcmp(m->id, k->self) < 0 && !m->is.leaving && !awaited(k, &m->is)) {
            state(f, FORM_WAITING, "waits for %s, which has a lower id, to begin a registry",
                  m->id);
            return true;
        }
    }
    if ((m = gone_lately(f, k))) {
        state(f, FORM_WAITING,
              "waits for the registry of %s, which is not alive: start it; without it this machine "
              "begins anew after %d s",
              m->id, FORM_GONE_MS / 1000);
        return true;
    }
    return false;
}

/* Whether a leader refuses us. */
static bool is_refused(struct formation *f, const struct form_facts *k)
{
    for (size_t i = 0; i < k->n; i++) {
        const struct form_machine *m = &k->machines[i];

        if (m->alive && m->known && m->is.leader && strcmp(m->is.refuses, k->self) == 0) {
            f->refused = true;
            f->refused_ms = f->now;
        }
    }
    if (f->refused && form_due(f, f->refused_ms + FORM_REFUSED_MS))
        f->refused = false;
    return f->refused;
}

static void join(struct formation *f, const struct form_facts *k, const struct sights *s)
{
    const struct sight *best = best_sight(s);

    if (is_refused(f, k))
        state(f, FORM_REFUSED,
              "the registry knows %s with another disk: if its disk was replaced, write \"forget "
              "%s\" to /oneos/ctl on another machine; if not, restore its state folder",
              k->self, k->self);
    else if (best)
        state(f, FORM_JOINING, "waits to be added to the registry that %s leads", best->teller->id);
    else
        state(f, FORM_JOINING,
              "waits for the registry of %s, which has no leader: start more of its machines",
              s->v[0].teller->id);
}

static void fresh_step(struct formation *f, const struct form_facts *k, const struct sights *s,
                       struct form_step *out)
{
    const struct form_machine *me = form_self(k);
    const char *into = awaited(k, &me->is);
    bool noise = s->n > 0;

    for (size_t i = 0; i < k->n; i++)
        noise |= k->machines[i].alive && k->machines[i].known && k->machines[i].is.begun;
    if (noise || !f->stepped)
        f->noise_ms = f->now;
    if (k->n_servers > 0 || me->is.begun)
        state(f, FORM_JOINING, "takes over the registry's state");
    else if (s->n > 0)
        join(f, k, s);
    else if (noise)
        state(f, FORM_WAITING, "waits for a registry that another machine begins");
    else if (into)
        state(f, FORM_WAITING,
              "waits for registry %.8s, which took over the one that was here: start one of its "
              "machines; if they are gone for good, stop this daemon and remove the folder "
              "\"registry\" in its state folder",
              into);
    else if (!waits_for_others(f, k)) {
        state(f, FORM_WAITING, "listens whether there is a registry");
        if (form_due(f, f->noise_ms + FORM_QUIET_MS) && form_due(f, k->started_ms + FORM_QUIET_MS))
            form_say(out, FORM_BOOTSTRAP, "no registry was heard of: this machine begins one");
    }
}

/* ---- a machine with a registry */

/* Ours has ended: wipe. The leader waits until the others know, since they learn it from it. */
static bool over_step(struct formation *f, const struct form_facts *k, struct form_step *out)
{
    const char *ours = form_self(k)->is.registry, *said = taken_over(k, ours);
    bool others = false;
    char into[REGISTRY_ID] = "";

    if (!k->ended(k->arg, ours, into)) {
        if (!said || k->is_leader)
            return false;
        strcpy(into, said);
    }
    if (!f->over) {
        f->over = true;
        f->over_ms = f->now;
    }
    for (size_t i = 0; i < k->n; i++)
        others |= k->machines[i].alive && k->machines[i].known &&
                  strcmp(k->machines[i].id, k->self) != 0 &&
                  strcmp(k->machines[i].is.registry, ours) == 0;
    state(f, FORM_JOINING, "its registry was dissolved: goes over to registry %.8s", into);
    if (k->is_leader && others && !form_due(f, f->over_ms + FORM_LAST_MS))
        return true;
    strcpy(out->registry, into);
    return form_say(out, FORM_WIPE, "registry %.8s was dissolved into %.8s", ours, into);
}

/* Whether another machine leads our registry by a later term: then what we think is old. */
static bool deposed(const struct form_facts *k)
{
    const struct standing *me = &form_self(k)->is;

    for (size_t i = 0; i < k->n; i++) {
        const struct form_machine *m = &k->machines[i];

        if (m->alive && m->known && m->is.leader && m->is.term > me->term &&
            strcmp(m->is.registry, me->registry) == 0)
            return true;
    }
    return false;
}

/* The leader's verdict when registries meet; true: we give way. */
static bool meet_step(struct formation *f, const struct form_facts *k, const struct sights *s,
                      struct form_step *out)
{
    const struct standing *me = &form_self(k)->is;
    struct sight ours = { .teller = form_self(k), .data = me->data, .leader = true };
    const struct sight *best = NULL;

    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].teller->is.registry, me->registry) != 0 && s->v[i].leader &&
            beats(&s->v[i], &ours) && (!best || beats(&s->v[i], best)))
            best = &s->v[i];
    if (!best || me->data) {
        f->giving[0] = '\0';
        return false;
    }
    if (strcmp(f->giving, best->teller->is.registry) != 0) {
        strcpy(f->giving, best->teller->is.registry);
        f->giving_ms = f->now;
    }
    if (!form_due(f, f->giving_ms + FORM_MEET_MS))
        return true;
    strcpy(out->registry, f->giving);
    return form_say(out, FORM_DISSOLVE, "this registry gives way to %.8s, which %s leads: %s",
                    f->giving, best->teller->id,
                    best->data ? "that one has data"
                               : "neither has data, and that one is larger or has the lower id");
}

/* The words about other registries, on every machine. */
static void member_state(struct formation *f, const struct form_facts *k, const struct sights *s)
{
    const struct sight *ours = NULL, *other = NULL;

    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].teller->is.registry, form_self(k)->is.registry) == 0)
            ours = &s->v[i];
    for (size_t i = 0; i < s->n; i++)
        if (&s->v[i] != ours && (!other || s->v[i].data > other->data))
            other = &s->v[i];
    if (ours && other && ours->data && other->data)
        state(f, FORM_SPLIT,
              "split: %s is in another registry, and both hold data, so nothing is merged: choose "
              "one; on each machine of the other, stop the daemon, save what you need, and remove "
              "the folder \"registry\" in its state folder",
              other->teller->id);
    else if (other && !other->leader)
        state(f, FORM_MEMBER,
              "%s is in another registry, which has no leader: start more of its "
              "machines, then the two become one",
              other->teller->id);
    else if (other)
        state(f, FORM_MEMBER, "%s is in another registry: the two are about to become one",
              other->teller->id);
    else if (f->refuses[0])
        state(f, FORM_MEMBER,
              "%s is not added: it has another disk than the registry knows; if the disk was "
              "replaced, write \"forget %s\" to /oneos/ctl",
              f->refuses, f->refuses);
    else
        state(f, FORM_MEMBER, "%s", "");
}

static void member_step(struct formation *f, const struct form_facts *k, const struct sights *s,
                        struct form_step *out)
{
    const struct sight *best = best_sight(s);

    f->refuses[0] = '\0';
    if (over_step(f, k, out))
        return;
    f->over = false;
    if (!k->is_leader || deposed(k))
        f->giving[0] = '\0';
    else if (!meet_step(f, k, s, out))
        roles_step(f, k, best && strcmp(best->teller->is.registry, form_self(k)->is.registry) == 0,
                   out);
    member_state(f, k, s);
}

/* ---- */

/* The same thing is not asked for again at once: it is under way, or it just failed. */
static void hold_back(struct formation *f, struct form_step *out)
{
    if (out->what == FORM_NOTHING)
        return;
    if (out->what == f->last.what && out->node == f->last.node && out->role == f->last.role &&
        strcmp(out->registry, f->last.registry) == 0 && !form_due(f, f->last_ms + RETRY_MS)) {
        *out = (struct form_step){ .what = FORM_NOTHING };
        return;
    }
    f->last = *out;
    f->last_ms = f->now;
    form_due(f, f->now + RETRY_MS);
}

void formation_step(struct formation *f, const struct form_facts *facts, struct form_step *out)
{
    const struct form_machine *me = form_self(facts);
    struct sights s;

    *out = (struct form_step){ .what = FORM_NOTHING };
    f->now = facts->now_ms;
    f->next = UINT64_MAX;
    if (!me || roles_look(f, facts) < 0) {
        form_due(f, f->now + RETRY_MS);
        return;
    }
    see(&s, facts);
    if (me->is.registry[0])
        member_step(f, facts, &s, out);
    else
        fresh_step(f, facts, &s, out);
    hold_back(f, out);
    f->stepped = true;
}

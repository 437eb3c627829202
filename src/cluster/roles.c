/*
 * roles.c - who learns and who votes: the leader's next change of the configuration.
 *
 * In: seats (the configuration, and since when each server is here or not). Out: one step. The
 * rules are a table, first things first; the first that has something to say ends the round, also
 * when its step was asked for already.
 *
 * Invariants: no change (but of who leads) is asked for while another is under way; none of them
 * leaves the voters that are here without a quorum; nobody is promoted and demoted again by turns:
 * what promotes counts those who are here (want(voters + ready ones)), what demotes counts all
 * (want(servers)), and the first is never more than the second.
 */
#include "cluster/formation_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Voters wanted for so many machines; from the end of the table on, as many as its last says. */
static size_t want(size_t machines)
{
    static const uint8_t table[] = { 0, 1, 1, 3, 3, 5 };

    return table[machines < sizeof table ? machines : sizeof table - 1];
}

static size_t quorum(size_t voters)
{
    return voters / 2 + 1;
}

/* ---- seats */

static const struct seat *seat_was(const struct formation *f, size_t hint, uint64_t node)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct seat *s = &f->seats[(hint + i) % f->n];

        if (s->node == node)
            return s;
    }
    return NULL;
}

static void seat_look(struct formation *f, const struct form_facts *k, struct seat *s,
                      const struct seat *was)
{
    const struct form_machine *m = form_machine_find(k, s->server->id);
    const char *ours = form_self(k)->is.registry;

    s->node = s->server->node;
    s->machine = m;
    s->role = s->server->role;
    s->here = m && m->alive && m->known && m->is.node == s->node &&
              (!m->is.registry[0] || strcmp(m->is.registry, ours) == 0);
    s->was_member = k->is_member(k->arg, s->server->id) || (was && was->was_member);
    s->unknown_ms = was && !s->was_member ? was->unknown_ms : f->now;
    s->since_ms = m && m->alive == s->here && m->since_ms < f->now ? m->since_ms : f->now;
    if (was && was->here == s->here)
        s->since_ms = was->since_ms;
}

int roles_look(struct formation *f, const struct form_facts *k)
{
    cleanup_free struct seat *seats = calloc(k->n_servers + 1, sizeof *seats);
    cleanup_free struct seat **of = calloc(k->n + 1, sizeof(struct seat *));

    if (!seats || !of)
        return -ENOMEM;
    for (size_t i = 0; i < k->n_servers; i++) {
        seats[i].server = &k->servers[i];
        seat_look(f, k, &seats[i], seat_was(f, i, k->servers[i].node));
        if (seats[i].machine)
            of[seats[i].machine - k->machines] = &seats[i];
    }
    free(f->seats);
    free(f->of);
    f->seats = take_ptr(seats);
    f->of = take_ptr(of);
    f->n = k->n_servers;
    return 0;
}

/* ---- what the rules look at */

struct round {
    struct formation *f;
    const struct form_facts *k;
    struct form_step *out;
    bool takes;
    size_t voters, here;
};

static bool leaving(const struct seat *s)
{
    return s->here && s->machine->is.leaving;
}

static bool is_self(const struct round *r, const struct seat *s)
{
    return strcmp(s->server->id, r->k->self) == 0;
}

/* Do those who are here keep a quorum when so many more (or fewer) vote, of them so many here? */
static bool keeps(const struct round *r, int more, int more_here)
{
    return (long)r->here + more_here >= (long)quorum((size_t)((long)r->voters + more));
}

/* Could it vote? It learned all, and is not about to leave. */
static bool ready(const struct round *r, const struct seat *s, uint64_t stable_ms)
{
    if (s->role != ROLE_LEARNER || !s->here || leaving(s) ||
        !form_due(r->f, s->since_ms + stable_ms))
        return false;
    return r->k->caught_up(r->k->arg, s->node) || (form_due(r->f, r->f->now + LOOK_MS), false);
}

/* The longest here of those who are ready, and how many they are. */
static const struct seat *best_ready(const struct round *r, uint64_t stable_ms, size_t *count)
{
    const struct seat *best = NULL;

    *count = 0;
    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        if (!ready(r, s, stable_ms))
            continue;
        ++*count;
        if (!best || s->since_ms < best->since_ms ||
            (s->since_ms == best->since_ms && strcmp(s->server->id, best->server->id) < 0))
            best = s;
    }
    return best;
}

static bool said_farewell(const struct seat *s)
{
    return s->machine && s->machine->left;
}

/* The voter that is away, those who left politely first, then the longest. */
static const struct seat *away_voter(const struct round *r)
{
    const struct seat *best = NULL;

    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        if (s->role != ROLE_VOTER || s->here)
            continue;
        if (!best || said_farewell(s) > said_farewell(best) ||
            (said_farewell(s) == said_farewell(best) && s->since_ms < best->since_ms))
            best = s;
    }
    return best;
}

/* Its machine is back, and just has not said yet whether it is still that node. */
static bool returns(const struct round *r, const struct seat *s)
{
    return s->machine && s->machine->alive && !s->machine->known &&
           !form_due(r->f, s->machine->since_ms + FORM_SILENT_MS);
}

/* ---- steps */

static bool set(const struct round *r, enum form_do what, const struct seat *s)
{
    r->out->what = what;
    r->out->node = s->node;
    strcpy(r->out->id, s->server->id);
    return true;
}

static bool assign(const struct round *r, const struct seat *s, enum consensus_role role)
{
    r->out->role = role;
    return set(r, FORM_ASSIGN, s);
}

static bool unwell(const struct seat *s)
{
    return s->here && s->machine->is.unwell;
}

/* Leadership away from us; to the voter that is the longest here, if possible of those that are
 * well. */
static bool transfer(const struct round *r, const char *why, bool only_well)
{
    const struct seat *best = NULL;

    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++)
        if (s->role == ROLE_VOTER && s->here && !is_self(r, s) && !leaving(s) &&
            (!best || unwell(s) < unwell(best) ||
             (unwell(s) == unwell(best) && s->since_ms < best->since_ms)))
            best = s;
    if (!best || (only_well && unwell(best)))
        return false;
    form_say(r->out, FORM_TRANSFER, "%s leads from now on: this machine %s", best->server->id, why);
    return set(r, FORM_TRANSFER, best);
}

/* ---- rules: true when there is something to do, or to wait for */

/* What we lead we could not carry out ourselves: our answers would be late, our view of what is
 * placed where old. A change of the configuration that hangs is no reason to wait. */
static bool rule_unwell(const struct round *r)
{
    return form_self(r->k)->is.unwell && transfer(r, "cannot write its registry", true);
}

static bool rule_forgotten(const struct round *r)
{
    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        bool votes = s->role == ROLE_VOTER;

        if (r->k->is_member(r->k->arg, s->server->id) ||
            (!s->was_member && !form_due(r->f, s->unknown_ms + ROLE_UNKNOWN_MS)))
            continue;
        if (is_self(r, s)) {
            if (transfer(r, "was forgotten", false))
                return true;
            continue;
        }
        if (votes && !keeps(r, -1, s->here ? -1 : 0))
            continue;
        form_say(r->out, FORM_REMOVE, "%s was forgotten: it is taken out of the registry",
                 s->server->id);
        return set(r, FORM_REMOVE, s);
    }
    return false;
}

/* A voter wants to leave. If it leads, another leads first. Where those who stay would have no
 * quorum, voters that are away lose their seat, then the leaver; the only voter first makes
 * another.
 */
static bool rule_leaving(const struct round *r)
{
    const struct seat *leaver = NULL, *away = away_voter(r), *next = NULL;
    size_t stay = 0, count;

    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        if (s->role != ROLE_VOTER || !s->here)
            continue;
        if (!leaving(s))
            stay++;
        else if (!leaver || is_self(r, leaver))
            leaver = s;
    }
    if (!leaver)
        return false;
    if (stay >= quorum(r->voters))
        return form_self(r->k)->is.leaving && transfer(r, "is about to leave", false);
    if (stay == 0) {
        if (!(next = best_ready(r, 0, &count)) || !keeps(r, 1, 1))
            return false;
        form_say(r->out, FORM_ASSIGN, "%s votes: the last voter, %s, is about to leave",
                 next->server->id, leaver->server->id);
        return assign(r, next, ROLE_VOTER);
    }
    if (!away && is_self(r, leaver))
        return transfer(r, "is about to leave", false);
    if (away ? returns(r, away) || !keeps(r, -1, 0) : !keeps(r, -1, -1))
        return false;
    form_say(r->out, FORM_ASSIGN,
             "%s no longer votes: %s is about to leave, and those who stay need a quorum",
             (away ? away : leaver)->server->id, leaver->server->id);
    return assign(r, away ? away : leaver, ROLE_LEARNER);
}

static bool rule_excess(const struct round *r)
{
    const struct seat *worst = NULL;

    if (r->voters <= want(r->f->n))
        return false;
    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        if (s->role != ROLE_VOTER || is_self(r, s) || !keeps(r, -1, s->here ? -1 : 0))
            continue;
        if (!worst || s->here < worst->here ||
            (s->here == worst->here &&
             (leaving(s) > leaving(worst) ||
              (leaving(s) == leaving(worst) && s->since_ms >= worst->since_ms))))
            worst = s;
    }
    if (!worst)
        return false;
    form_say(r->out, FORM_ASSIGN, "%s no longer votes: %zu of %zu machines need to",
             worst->server->id, want(r->f->n), r->f->n);
    return assign(r, worst, ROLE_LEARNER);
}

/* A dead voter's seat is given away when somebody who has been here as long can take it; of an
 * even number it is given up in any case, since fewer must then agree. */
static bool rule_replace(const struct round *r)
{
    const struct seat *away = away_voter(r), *next;
    size_t count;

    if (!away || !form_due(r->f, away->since_ms + ROLE_DEAD_MS) || returns(r, away) ||
        !keeps(r, -1, 0))
        return false;
    next = best_ready(r, ROLE_DEAD_MS, &count);
    if (r->voters % 2 != 0 && (!next || r->voters - 1 >= want(r->voters - 1 + count)))
        return false;
    form_say(r->out, FORM_ASSIGN, "%s no longer votes: it %s%s%s", away->server->id,
             said_farewell(away) ? "has left" : "is dead", next ? "; its seat is for " : "",
             next ? next->server->id : "");
    return assign(r, away, ROLE_LEARNER);
}

/* From an odd number to an even one, when one more must agree, only while all voters are here: with
 * one away, the newcomer's death could stop the others. */
static bool rule_promote(const struct round *r)
{
    const struct seat *best;
    size_t count;

    if ((r->here < r->voters && r->voters % 2 != 0) || r->voters >= want(r->f->n))
        return false;
    best = best_ready(r, ROLE_STABLE_MS, &count);
    if (!best || r->voters >= want(r->voters + count) || !keeps(r, 1, 1))
        return false;
    form_say(r->out, FORM_ASSIGN, "%s votes: %zu of %zu voters are there", best->server->id,
             r->voters, want(r->voters + count));
    return assign(r, best, ROLE_VOTER);
}

static bool rule_learn(const struct round *r)
{
    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        if (s->role != ROLE_SPARE || !s->here)
            continue;
        form_say(r->out, FORM_ASSIGN, "%s learns the registry", s->server->id);
        return assign(r, s, ROLE_LEARNER);
    }
    return false;
}

/* Who only learned, and went to another registry since, has no seat here any more. */
static bool rule_elsewhere(const struct round *r)
{
    for (const struct seat *s = r->f->seats; s < r->f->seats + r->f->n; s++) {
        const struct form_machine *m = s->machine;

        if (s->role == ROLE_VOTER || !m || !m->alive || !m->known || !m->is.registry[0] ||
            strcmp(m->is.registry, form_self(r->k)->is.registry) == 0)
            continue;
        form_say(r->out, FORM_REMOVE, "%s is in another registry: it is taken out of this one",
                 m->id);
        return set(r, FORM_REMOVE, s);
    }
    return false;
}

/* A machine that lives, but not in our configuration. */
enum kind {
    KIND_NONE, /* a server, or not for us */
    KIND_NEW,
    KIND_AGAIN,  /* its id has a seat by another node, of a life before it was dissolved into us */
    KIND_REFUSED /* its id has a seat by another node */
};

static enum kind kind_of(const struct round *r, const struct form_machine *m,
                         const struct seat **old)
{
    const char *ours = form_self(r->k)->is.registry;

    *old = r->f->of[m - r->k->machines];
    if (!m->alive || !m->known || m->is.leaving || m->is.node == 0 || m->is.begun ||
        (m->is.registry[0] && strcmp(m->is.registry, ours) != 0) ||
        (*old && (*old)->node == m->is.node))
        return KIND_NONE;
    if (!*old)
        return KIND_NEW;
    return m->is.from[0] && (*old)->role != ROLE_VOTER ? KIND_AGAIN : KIND_REFUSED;
}

static bool rule_add(const struct round *r)
{
    const struct seat *old;

    for (size_t i = 0; r->takes && i < r->k->n; i++) {
        const struct form_machine *m = &r->k->machines[i];
        enum kind kind = kind_of(r, m, &old);

        if (kind == KIND_AGAIN) {
            form_say(r->out, FORM_REMOVE, "%s was in another registry since: it joins anew", m->id);
            return set(r, FORM_REMOVE, old);
        }
        if (kind != KIND_NEW)
            continue;
        r->out->node = m->is.node;
        strcpy(r->out->id, m->id);
        return form_say(r->out, FORM_ADD, "%s joins the registry", m->id);
    }
    return false;
}

/* Several that are refused take turns in being named. */
static void note_refused(const struct round *r)
{
    const struct seat *old;
    size_t count = 0, pick;

    for (size_t i = 0; i < r->k->n; i++)
        count += kind_of(r, &r->k->machines[i], &old) == KIND_REFUSED;
    r->f->refuses[0] = '\0';
    if (count == 0)
        return;
    pick = (size_t)(r->f->now / 1000 % count);
    for (size_t i = 0; i < r->k->n; i++)
        if (kind_of(r, &r->k->machines[i], &old) == KIND_REFUSED && pick-- == 0)
            strcpy(r->f->refuses, r->k->machines[i].id);
    if (count > 1)
        form_due(r->f, r->f->now + 1000);
}

void roles_step(struct formation *f, const struct form_facts *k, bool takes, struct form_step *out)
{
    static bool (*const rules[])(const struct round *) = {
        rule_forgotten, rule_leaving, rule_excess,    rule_promote,
        rule_replace,   rule_learn,   rule_elsewhere, rule_add,
    };
    struct round r = { .f = f, .k = k, .out = out, .takes = takes };

    for (size_t i = 0; i < f->n; i++) {
        r.voters += f->seats[i].role == ROLE_VOTER;
        r.here += f->seats[i].role == ROLE_VOTER && f->seats[i].here;
    }
    note_refused(&r);
    if (rule_unwell(&r) || k->changing)
        return;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i](&r))
            return;
}

int roles_leaving(const struct consensus_server *servers, size_t n, const char *leaver,
                  bool (*alive)(void *arg, const char *id), void *arg)
{
    size_t voters = 0, stay = 0, others = 0;
    bool votes = false;

    for (size_t i = 0; i < n; i++) {
        bool self = strcmp(servers[i].id, leaver) == 0;
        bool there = !self && alive(arg, servers[i].id);

        others += servers[i].role == ROLE_LEARNER && there;
        if (servers[i].role != ROLE_VOTER)
            continue;
        voters++;
        stay += there;
        votes |= self;
    }
    return votes && stay < quorum(voters) && stay + others > 0;
}

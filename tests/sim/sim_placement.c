/*
 * sim_placement.c - placement of services while machines come, go, drain, get full disks, fail at
 * single services, and are asked for.
 *
 *   sim_placement           some thousand seeds
 *   sim_placement SEED      that seed again, with its trace on stderr
 *   ONEOS_SIM_SEEDS=N       so many seeds
 *
 * Several machines ask place_services() by what each knows (late, and not the same), as leaders who
 * come and go do, and write what it answers into one register that refuses an old epoch.
 * Invariants:
 *  - epochs only grow, and each has had one holder;
 *  - who holds a service by the register alone acts for it: two never act in one epoch;
 *  - a service whose machine died is placed at the next step that knows it, and nowhere dead;
 *  - no needless moves: a second step on the same facts has none; one is made only when nothing
 *    ran, its machine is dead, drains or cannot do it, or somebody asked; what can go on somewhere
 *    at all goes only where it is better off, and not before it has been there for a while;
 *  - nothing stays for longer where it does not work while there is a better place;
 *  - before the time at which it wants to be asked again, placement has nothing new to say;
 *  - spread: no machine gets a service while another, as willing, has fewer.
 */
#include "cluster/placement.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 12, SERVICES = 4, SCHEDULER = 1, STEPS = 400, STEP_MS = 500, EPOCHS = 4096 };

struct world {
    struct sim *s; /* time and chance */
    uint64_t seed;
    unsigned n;
    struct place_machine now[MACHINES]; /* how they are, by their own word */
    bool full[MACHINES];                /* their disks */
    struct place_judge well[MACHINES];
    struct place_machine known[MACHINES][MACHINES]; /* how each believes that they are */
    struct place_service service[SERVICES];         /* the register */
    char holder[SERVICES][EPOCHS][ID_MAX];
    uint64_t moves, rescues, refused;
};

static uint64_t total_moves, total_rescues, total_refused;

static void fail(const struct world *w, const char *what, const char *which)
{
    fprintf(stderr, "%s", sim_trace_text(w->s));
    fprintf(stderr, "seed %" PRIu64 ", %u machines: %s: %s\n", w->seed, w->n, what, which);
    fprintf(stderr, "again: tests/sim/sim_placement %" PRIu64 "\n", w->seed);
    exit(1);
}

static unsigned index_of(const char *id)
{
    return (unsigned)strtoul(id + 1, NULL, 10);
}

static unsigned services_at(const struct place_service *s, const char *id)
{
    unsigned n = 0;

    for (unsigned k = 0; k < SERVICES; k++)
        n += strcmp(s[k].machine, id) == 0;
    return n;
}

/* The register, as registry.service.assign: an old epoch is refused. */
static bool write_move(struct world *w, const struct place_move *v)
{
    for (unsigned k = 0; k < SERVICES; k++) {
        struct place_service *s = &w->service[k];

        if (strcmp(s->name, v->name) != 0)
            continue;
        if (s->epoch != v->epoch)
            return false;
        s->epoch++;
        s->since_ms = sim_now(w->s);
        if (s->epoch == EPOCHS || w->holder[k][s->epoch][0])
            fail(w, "an epoch has two holders", s->name);
        strcpy(w->holder[k][s->epoch], v->to);
        strcpy(s->machine, v->to);
        sim_trace(w->s, "%s -> %s, epoch %" PRIu64 ": %s", v->name, v->to, s->epoch, v->why);
        return true;
    }
    fail(w, "moves a service that is none", v->name);
    return false;
}

static bool works(const struct place_machine *m, unsigned k)
{
    return !m->unwell && !m->unfit[k];
}

/* What cannot be helped by its wish. */
static unsigned plight(const struct place_machine *m, unsigned k)
{
    return m->draining + 2 * !works(m, k);
}

static bool rests(const struct world *w, const struct place_service *s)
{
    return s->since_ms && sim_now(w->s) < s->since_ms + PLACE_STAY_MS;
}

/* As willing and able to take k as any; the smaller the more. */
static unsigned rank(const struct place_machine *m, unsigned k)
{
    static const unsigned by_wish[] = { [SERVE_RATHER] = 0, [SERVE_MAY] = 1, [SERVE_NOT] = 2 };

    return by_wish[m->wish[k]] + 3 * plight(m, k);
}

/* One move, on these facts, with the register as it was after the moves before. */
static void check_move(const struct world *w, const struct place_machine *m,
                       const struct place_service *s, const struct place_move *v)
{
    unsigned to = index_of(v->to), k = 0;
    const struct place_machine *from;

    while (k < SERVICES && strcmp(s[k].name, v->name) != 0)
        k++;
    if (k == SERVICES || strcmp(s[k].machine, v->to) == 0)
        fail(w, "moves nothing", v->name);
    if (!m[to].alive)
        fail(w, "places on a dead machine", v->name);
    if (strcmp(s[k].wanted, v->to) == 0 && !m[to].draining)
        return;
    from = s[k].machine[0] ? &m[index_of(s[k].machine)] : NULL;
    if (from && from->alive && !from->draining && works(from, k))
        fail(w, "a needless move", v->name);
    if (from && from->alive && !from->draining && rests(w, &s[k]))
        fail(w, "moved before it was there for a while", v->name);
    if (from && from->alive && plight(&m[to], k) >= plight(from, k))
        fail(w, "is not better off there", v->name);
    if (s[k].wanted[0] && m[index_of(s[k].wanted)].alive && !m[index_of(s[k].wanted)].draining)
        fail(w, "does not go where it was asked to", v->name);
    for (unsigned i = 0; i < w->n; i++) {
        if (!m[i].alive)
            continue;
        if (rank(&m[i], k) < rank(&m[to], k))
            fail(w, "another is more willing", v->name);
        if (rank(&m[i], k) != rank(&m[to], k))
            continue;
        if (k == SCHEDULER && m[i].leads && i != to)
            fail(w, "does not go to the leader", v->name);
        if (services_at(s, m[i].id) < services_at(s, v->to) && !(k == SCHEDULER && m[to].leads))
            fail(w, "another has fewer services", v->name);
    }
}

static void check_done(const struct world *w, const struct place_machine *m,
                       const struct place_service *s)
{
    bool any = false;
    const struct place_machine *at;

    for (unsigned i = 0; i < w->n; i++)
        any |= m[i].alive;
    for (unsigned k = 0; k < SERVICES && any; k++)
        if (!s[k].machine[0] || !m[index_of(s[k].machine)].alive)
            fail(w, "is not placed although somebody lives", s[k].name);
    for (unsigned k = 0; k < SERVICES && any; k++) {
        at = &m[index_of(s[k].machine)];
        if (works(at, k) || rests(w, &s[k]) || strcmp(s[k].wanted, at->id) == 0)
            continue;
        for (unsigned i = 0; i < w->n; i++)
            if (m[i].alive && plight(&m[i], k) < plight(at, k))
                fail(w, "stays where it does not work", s[k].name);
    }
}

/* Machine `by` leads: it decides on its facts and its reading of the register, and writes. */
static void lead(struct world *w, unsigned by, struct place_service *read, bool late)
{
    struct place_move moves[SERVICES];
    struct place_machine *m = w->known[by];
    uint64_t now = sim_now(w->s), again;
    size_t n;

    for (unsigned i = 0; i < w->n; i++)
        m[i].leads = i == by;
    n = place_services(m, w->n, read, SERVICES, now, moves, &again);
    for (size_t i = 0; i < n; i++) {
        bool taken;

        check_move(w, m, read, &moves[i]);
        for (unsigned k = 0; k < SERVICES; k++)
            if (strcmp(read[k].name, moves[i].name) == 0) {
                strcpy(read[k].machine, moves[i].to);
                read[k].epoch++;
                read[k].since_ms = now;
            }
        taken = write_move(w, &moves[i]);
        w->moves += taken;
        w->rescues += taken && strstr(moves[i].why, "cannot write");
        w->refused += !taken;
        if (!taken && !late)
            fail(w, "the newest epoch is refused", moves[i].name);
    }
    check_done(w, m, read);
    if (place_services(m, w->n, read, SERVICES, now, moves, &again) != 0)
        fail(w, "moves again on the same facts", moves[0].name);
    if (again <= now)
        fail(w, "wants to be asked again at once", "");
    if (place_services(m, w->n, read, SERVICES, again - 1, moves, &again) != 0)
        fail(w, "moves before the time that it named", moves[0].name);
}

static void change(struct world *w)
{
    unsigned i = sim_below(w->s, w->n), k = sim_below(w->s, SERVICES);
    struct place_machine *m = &w->now[i];

    switch (sim_below(w->s, 9)) {
    case 0:
    case 1:
        m->alive = !m->alive;
        m->since_ms = sim_now(w->s);
        sim_trace(w->s, "%s %s", m->id, m->alive ? "starts" : "dies");
        break;
    case 2:
        m->draining = !m->draining;
        sim_trace(w->s, "%s %s", m->id, m->draining ? "drains" : "resumes");
        break;
    case 3:
        m->wish[k] = sim_below(w->s, 3);
        break;
    case 4:
        strcpy(w->service[k].wanted, m->id);
        sim_trace(w->s, "move %s %s", w->service[k].name, m->id);
        break;
    case 5:
        w->service[k].wanted[0] = '\0';
        break;
    case 6:
    case 7:
        w->full[i] = !w->full[i];
        sim_trace(w->s, "%s: disk %s", m->id, w->full[i] ? "full" : "has room");
        break;
    case 8:
        m->unfit[k] = !m->unfit[k];
        sim_trace(w->s, "%s %s %s", m->id, m->unfit[k] ? "fails at" : "is fit for",
                  w->service[k].name);
        break;
    }
    for (i = 0; i < w->n; i++)
        w->now[i].unwell =
            place_judge(&w->well[i], sim_now(w->s), w->full[i], PLACE_UNWELL_MS, PLACE_WELL_MS);
}

static void run(uint64_t seed, bool traced)
{
    static const struct sim_ops none = { NULL, NULL, NULL };
    struct world *w = calloc(1, sizeof *w);
    struct place_service past[SERVICES], read[SERVICES];

    if (!w)
        abort();
    w->seed = seed;
    w->n = 1 + (unsigned)(seed % MACHINES);
    w->s = sim_new(w->n, seed, &none, w);
    if (traced)
        sim_trace_on(w->s);
    for (unsigned i = 0; i < w->n; i++)
        snprintf(w->now[i].id, ID_MAX, "m%02u", i);
    for (unsigned k = 0; k < SERVICES; k++)
        strcpy(w->service[k].name, service_names[k]);
    for (unsigned i = 0; i < w->n; i++)
        memcpy(w->known[i], w->now, sizeof w->now);
    memcpy(past, w->service, sizeof past);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned by = sim_below(w->s, w->n);
        bool late = sim_below(w->s, 5) == 0;

        sim_run(w->s, (step + 1) * STEP_MS);
        change(w);
        if (sim_below(w->s, 3))
            memcpy(w->known[by], w->now, sizeof w->now);
        memcpy(read, late ? past : w->service, sizeof read);
        for (unsigned k = 0; k < SERVICES; k++)
            if (sim_below(w->s, 8) == 0) /* placed before it led */
                read[k].since_ms = 0;
        lead(w, by, read, late);
        if (sim_below(w->s, 4) == 0)
            memcpy(past, w->service, sizeof past);
    }
    total_moves += w->moves;
    total_rescues += w->rescues;
    total_refused += w->refused;
    if (traced)
        fprintf(stderr, "%s", sim_trace_text(w->s));
    sim_free(w->s);
    free(w);
}

int main(int argc, char **argv)
{
    const char *more = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 3000;

    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10), true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++)
        run(seed, false);
    printf("%" PRIu64 " seeds: %" PRIu64 " moves, of them %" PRIu64 " from full disks, %" PRIu64
           " refused by their epoch\n",
           seeds, total_moves, total_rescues, total_refused);
    return 0;
}

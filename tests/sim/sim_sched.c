/*
 * sim_sched.c - the scheduler over hours of jobs, with machines that die, drain and come back.
 *
 *   sim_sched           some hundred seeds
 *   sim_sched SEED      that seed again, with what it did on stderr
 *   ONEOS_SIM_SEEDS=N   so many seeds
 *
 * What it asks for is carried out some milliseconds later, as a registry does; half of the jobs are
 * placed with their making, where that can be; schedulers are replaced in the middle. A machine
 * that is away runs what it has for as long as its lease goes. Invariants, besides those of
 * sched_world.h:
 *  - no job runs while an earlier attempt of it may still run anywhere;
 *  - what it thinks is promised is what the records say, whenever nothing is under way;
 *  - every job ends; what nobody can run waits, and why says so; nothing waits without a why;
 *  - one that wants a whole machine begins though small ones come all the time;
 *  - the same seed gives the same decisions.
 */
#include "sched/heap.h"
#include "tests/lib/sched_world.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 10000, USERS = 6, LONGEST_MS = 600000 };
enum kind { SMALL, BIG, IMPOSSIBLE };

struct place {
    struct world_machine *m;
    bool away, rebooted;
    uint64_t since_ms, back_ms;
};

struct run {
    struct sim *sim;
    struct world w;
    uint64_t seed, hash;
    struct place *at;
    unsigned n, max_cores;
    struct heap ends; /* of running jobs, by time */
    uint64_t arrive_ms, chaos_ms, commit_ms, stop_ms;
    unsigned made, jobs, looks;
    bool quiet, loud;
};

static unsigned long total_jobs, total_losses, total_placements;

static void fail(struct run *r, const char *what, const char *name)
{
    struct obuf why = { 0 };

    if (name && sched_why(r->w.s, name, &why) == 0)
        fprintf(stderr, "%s", why.p);
    fprintf(stderr, "seed %" PRIu64 ", %u machines, at %" PRIu64 " ms: %s%s%s\n", r->seed, r->n,
            r->w.now_ms, what, name ? ": job " : "", name ? name : "");
    fprintf(stderr, "again: tests/sim/sim_sched %" PRIu64 "\n", r->seed);
    exit(1);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static unsigned below(struct run *r, unsigned n)
{
    return sim_below(r->sim, n);
}

static bool ends_before(const void *a, const void *b)
{
    const struct world_job *x = a, *y = b;

    return x->ends_ms != y->ends_ms ? x->ends_ms < y->ends_ms : x->r.uid < y->r.uid;
}

static struct place *place_of(struct run *r, const char *id)
{
    return &r->at[strtoul(id + 1, NULL, 10)];
}

/* ---- what happens to attempts */

static void mix(struct run *r, const char *text)
{
    for (; *text; text++)
        r->hash = (r->hash ^ (unsigned char)*text) * 1099511628211ull;
}

static void placed(void *arg, struct world_job *j)
{
    struct run *r = arg;

    if (r->w.now_ms < j->until_ms)
        fail(r, "it runs twice at a time", j->r.name);
    mix(r, j->r.name);
    for (size_t i = 0; i < j->r.n_on; i++)
        mix(r, j->r.on[i]);
    j->ends_ms = r->w.now_ms + j->runs_ms;
    heap_add(&r->ends, j);
}

static void leave_ends(struct run *r, struct world_job *j)
{
    if (r->ends.n > j->place && r->ends.v[j->place] == j)
        heap_remove(&r->ends, j);
}

/* The registry says that it is lost there: it may still run until the lease is over. */
static void gone(void *arg, struct world_job *j, const char *machine)
{
    struct run *r = arg;
    const struct place *p = place_of(r, machine);
    uint64_t until = least(p->since_ms + LEASE_MS, j->ends_ms);

    leave_ends(r, j);
    if (p->away && !p->rebooted && until > j->until_ms)
        j->until_ms = until;
}

static bool is_away(struct run *r, const struct world_job *j)
{
    for (size_t i = 0; i < j->r.n_on; i++)
        if (place_of(r, j->r.on[i])->away)
            return true;
    return false;
}

static void end_due(struct run *r)
{
    for (struct world_job *j; (j = heap_top(&r->ends)) && j->ends_ms <= r->w.now_ms;) {
        if (is_away(r, j)) { /* nobody hears of it yet */
            j->ends_ms = r->w.now_ms + 500;
            heap_moved(&r->ends, j);
            continue;
        }
        heap_remove(&r->ends, j);
        world_end_job(&r->w, j, JOB_EXITED, below(r, 10) == 0);
    }
}

/* ---- machines come and go */

static void go_away(struct run *r, struct place *p)
{
    p->away = true;
    p->since_ms = r->w.now_ms;
    p->rebooted = below(r, 3) == 0;
    p->back_ms = r->w.now_ms + 1000 + below(r, 40000);
    world_health(&r->w, p->m->id, SCHED_DEAD);
}

/* What ran there is reported lost by itself: all of it when its lease has run out; else what the
 * record says has lost another part. */
static void report_lost(struct run *r, const struct place *p, bool all)
{
    struct world_job *j, *next;

    HASH_ITER (hh, r->w.jobs, j, next) {
        bool there = false, broken = all;

        for (size_t i = 0; i < j->r.n_groups; i++) {
            bool ended = j->r.groups[i].end.cause != JOB_NOT_ENDED;

            there = there || (strcmp(j->r.groups[i].machine, p->m->id) == 0 && !ended);
            broken = broken || ended;
        }
        if (j->r.state == JOB_RUNNING && there && broken)
            world_lose(&r->w, j, p->m->id);
    }
}

static void come_back(struct run *r, struct place *p)
{
    bool late = r->w.now_ms - p->since_ms >= LEASE_MS;

    p->away = false;
    if (p->rebooted || p->m->fenced)
        world_claim(&r->w, p->m->id);
    else
        report_lost(r, p, late);
    world_health(&r->w, p->m->id, SCHED_ALIVE);
}

static void chaos(struct run *r)
{
    struct place *p = &r->at[below(r, r->n)];
    struct world_job *j, *next;
    unsigned what = below(r, 10), skip;

    r->chaos_ms = r->w.now_ms + 1000 + below(r, 20000);
    if (what < 4 && !p->away) {
        go_away(r, p);
    } else if (what == 4) {
        world_drain(&r->w, p->m->id, !p->m->draining);
    } else if (what == 5) {
        r->commit_ms = UINT64_MAX;
        world_restart(&r->w);
    } else if (what == 6 && r->made) {
        skip = below(r, r->made);
        HASH_ITER (hh, r->w.jobs, j, next)
            if (skip-- == 0 && j->r.state == JOB_PENDING && !j->making)
                world_cancel(&r->w, j->r.name);
    }
}

static void back_due(struct run *r)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->at[i].away && r->at[i].back_ms <= r->w.now_ms)
            come_back(r, &r->at[i]);
}

static void heal(struct run *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (r->at[i].away)
            come_back(r, &r->at[i]);
        if (r->at[i].m->draining)
            world_drain(&r->w, r->at[i].m->id, false);
    }
    r->quiet = true;
}

/* ---- jobs arrive */

static const char *const lines[] = { "true",
                                     "cat | sort",
                                     "@gpus>=1 train",
                                     "cat | @gpus>=1 sort | wc",
                                     "@zone=a true",
                                     "@zone=b sort < /tmp/in > /tmp/out",
                                     "@zone=a cat | @zone=b sort",
                                     "@cores>=2 true" };

static json_t *spec_of(struct run *r, enum kind kind, unsigned *line)
{
    const struct world_job *first;
    json_t *spec;

    *line = kind == BIG ? 0 : below(r, sizeof lines / sizeof *lines);
    spec = json_pack("{s:i, s:s}", "schema", 1, "run",
                     kind == IMPOSSIBLE ? "@zone=nowhere true" : lines[*line]);
    if (kind == BIG)
        json_object_set_new(spec, "cpus", json_integer(r->max_cores));
    else if (below(r, 2))
        json_object_set_new(spec, "cpus", json_real(0.25 * (1 + below(r, 8))));
    if (below(r, 2))
        json_object_set_new(spec, "timeout", json_integer(1 + below(r, LONGEST_MS / 1000)));
    if (kind != BIG && below(r, 4) == 0)
        json_object_set_new(spec, "priority", json_integer((int)below(r, 3) - 1));
    if (below(r, 3) == 0)
        json_object_set_new(spec, "retries", json_integer(below(r, 20)));
    if (below(r, 4) == 0)
        json_object_set_new(spec, "memory", json_integer((json_int_t)below(r, 1024) << 20));
    if (below(r, 4) == 0)
        json_object_set_new(spec, "place", json_string("pack"));
    if (below(r, 6) == 0 && r->made > 0) {
        char name[16];

        snprintf(name, sizeof name, "%u", 1 + below(r, r->made));
        first = world_job_of(&r->w, name);
        if (first && !first->making && first->kind != IMPOSSIBLE)
            json_object_set_new(spec, "after", json_pack("[s]", name));
    }
    return spec;
}

static void arrive(struct run *r)
{
    enum kind kind = below(r, 30) == 0 ? BIG : below(r, 100) == 0 ? IMPOSSIBLE : SMALL;
    unsigned line;
    json_t *spec = spec_of(r, kind, &line);
    char user[8];
    struct world_job *j;

    snprintf(user, sizeof user, "u%u", below(r, USERS));
    r->made++;
    r->w.early = below(r, 2) && !json_object_get(spec, "after");
    /* Its fields are known when it is first placed, which is not before the next step. */
    j = world_job_json(&r->w, NULL, user, r->at[below(r, r->n)].m->id, spec);
    j->kind = kind;
    j->place = HEAP_OUT;
    j->runs_ms = 1 + below(r, kind == BIG ? LONGEST_MS / 10 : below(r, 4) ? 60000 : LONGEST_MS);
    if (kind != IMPOSSIBLE) {
        j->gpus[0] = strstr(lines[line], "@gpus>=1 train") != NULL;
        j->gpus[1] = strstr(lines[line], "@gpus>=1 sort") != NULL;
    }
    r->arrive_ms = r->made < r->jobs ? r->w.now_ms + below(r, 2 * LONGEST_MS / 8 / (r->n * 4) + 2)
                                     : UINT64_MAX;
}

/* ---- looking */

static void check_promises(struct run *r)
{
    struct sched_allocation a;

    if (r->w.todo)
        return;
    for (unsigned i = 0; i < r->n; i++) {
        sched_allocated(r->w.s, r->at[i].m->id, &a);
        if ((int64_t)a.cpu_milli != r->at[i].m->used_cpu ||
            (int64_t)a.memory != r->at[i].m->used_memory)
            fail(r, r->at[i].m->id, NULL);
    }
}

static void check_why(struct run *r)
{
    struct world_job *j = r->w.jobs;
    unsigned skip = below(r, r->made + 1);
    struct obuf why = { 0 };

    while (j && skip-- > 0)
        j = j->hh.next;
    if (!j || j->making)
        return;
    if (sched_why(r->w.s, j->r.name, &why) < 0 || why.len < 10)
        fail(r, "it has no why", j->r.name);
    obuf_free(&why);
}

static void check_all_over(struct run *r)
{
    struct world_job *j, *next;

    HASH_ITER (hh, r->w.jobs, j, next) {
        struct obuf why = { 0 };

        total_jobs++;
        if (job_is_over(j->r.state))
            continue;
        if (j->kind != IMPOSSIBLE)
            fail(r, "it did not end", j->r.name);
        sched_why(r->w.s, j->r.name, &why);
        if (!strstr(why.p, "no machine can run it") || !strstr(why.p, "not nowhere"))
            fail(r, "it cannot run, and why does not say so", j->r.name);
        obuf_free(&why);
    }
}

/* ---- running */

static uint64_t next_event(struct run *r)
{
    const struct world_job *j = heap_top(&r->ends);
    uint64_t at = least(least(r->arrive_ms, r->quiet ? UINT64_MAX : r->chaos_ms), r->commit_ms);

    for (unsigned i = 0; i < r->n; i++)
        if (r->at[i].away)
            at = least(at, r->at[i].back_ms);
    return least(at, least(j ? j->ends_ms : UINT64_MAX, sched_next(r->w.s)));
}

static void turn(struct run *r)
{
    if (r->commit_ms <= r->w.now_ms) {
        r->commit_ms = UINT64_MAX;
        world_commit(&r->w);
    }
    end_due(r);
    back_due(r);
    while (r->arrive_ms <= r->w.now_ms)
        arrive(r);
    if (!r->quiet && r->chaos_ms <= r->w.now_ms)
        chaos(r);
    if (!r->quiet && r->arrive_ms == UINT64_MAX && r->w.now_ms > r->stop_ms)
        heal(r);
    sched_step(r->w.s);
    if (r->w.todo && r->commit_ms == UINT64_MAX)
        r->commit_ms = r->w.now_ms + below(r, 6);
    if (++r->looks % 64 == 0) {
        check_promises(r);
        check_why(r);
    }
}

static bool all_over(struct run *r)
{
    const struct world_job *j;

    if (r->arrive_ms != UINT64_MAX || !r->quiet)
        return false;
    for (j = r->w.jobs; j; j = j->hh.next)
        if (!job_is_over(j->r.state) && j->kind != IMPOSSIBLE)
            return false;
    return true;
}

static void make_machines(struct run *r)
{
    char id[16], labels[64];

    for (unsigned i = 0; i < r->n; i++) {
        unsigned cores = 2 + below(r, i == 0 ? 1 : 30);

        snprintf(id, sizeof id, "m%u", i);
        /* One has all, so that each line can run somewhere. */
        if (i == 0)
            snprintf(labels, sizeof labels, "gpus=2 zone=a");
        else
            snprintf(labels, sizeof labels, "%s zone=%c", below(r, 4) ? "" : "gpus=4",
                     i == 1 ? 'b' : 'a' + (char)below(r, 2));
        r->at[i].m = world_machine(&r->w, id, cores, 2048 + below(r, 8192), labels);
        r->max_cores = cores > r->max_cores ? cores : r->max_cores;
    }
}

static uint64_t run(uint64_t seed, unsigned n, unsigned jobs, bool loud)
{
    static const struct sim_ops none = { NULL, NULL, NULL };
    struct sched_options o = sched_defaults;
    struct run r = {
        .seed = seed, .n = n, .jobs = jobs, .loud = loud, .hash = 14695981039346656037ull
    };
    uint64_t end;

    r.sim = sim_new(1, seed, &none, NULL);
    r.at = calloc(n, sizeof *r.at);
    r.ends = HEAP_INIT(struct world_job, place, ends_before);
    o.keep_jobs = SIZE_MAX / 2; /* the records are looked at in the end */
    o.keep_ms = UINT32_MAX;
    o.fair = below(&r, 4) != 0;
    o.pack = below(&r, 4) == 0;
    o.backfill = below(&r, 8) != 0;
    world_open(&r.w, &o);
    r.w.logs = false;
    r.w.arg = &r;
    r.w.placed = placed;
    r.w.gone = gone;
    r.commit_ms = UINT64_MAX;
    r.arrive_ms = 2000;
    r.chaos_ms = 5000;
    r.stop_ms = 300000;
    make_machines(&r);
    end = 100ull * 24 * 3600 * 1000;
    while (!all_over(&r)) {
        uint64_t at = next_event(&r);

        if (at > end)
            break;
        world_to(&r.w, at > r.w.now_ms ? at : r.w.now_ms);
        turn(&r);
    }
    check_all_over(&r);
    check_promises(&r);
    total_losses += r.w.losses;
    total_placements += r.w.placements;
    if (loud)
        fprintf(stderr,
                "seed %" PRIu64 ": %u machines, %u jobs, %lu placements, %lu lost, %lu fences, "
                "%.1f hours\n",
                seed, n, jobs, r.w.placements, r.w.losses, r.w.fences,
                (double)r.w.now_ms / 3600000);
    world_close(&r.w);
    heap_free(&r.ends);
    free(r.at);
    sim_free(r.sim);
    return r.hash;
}

/* ---- a whole machine, while small jobs come for ever */

static void starvation(uint64_t seed)
{
    static const struct sim_ops none = { NULL, NULL, NULL };
    struct run r = { .seed = seed, .n = 4, .hash = 1 };
    unsigned begun = 0;
    uint64_t longest = 0;
    char id[16];

    r.sim = sim_new(1, seed, &none, NULL);
    r.at = calloc(r.n, sizeof *r.at);
    r.ends = HEAP_INIT(struct world_job, place, ends_before);
    world_open(&r.w, NULL);
    r.w.logs = false;
    r.w.arg = &r;
    r.w.placed = placed;
    r.w.gone = gone;
    for (unsigned i = 0; i < r.n; i++) {
        snprintf(id, sizeof id, "m%u", i);
        r.at[i].m = world_machine(&r.w, id, 8, 4096, NULL);
    }
    /* One small job a second of up to 100 s: one and a half times what 32 cores can do. */
    for (uint64_t t = 2000; t < 4 * 3600 * 1000; t += 1000) {
        struct world_job *j;
        bool big = t % 600000 == 0;
        char user[8];

        for (uint64_t at;
             (at = least(heap_top(&r.ends) ? ((struct world_job *)heap_top(&r.ends))->ends_ms
                                           : UINT64_MAX,
                         sched_next(r.w.s))) < t;) {
            world_to(&r.w, at > r.w.now_ms ? at : r.w.now_ms);
            end_due(&r);
            world_go(&r.w);
        }
        world_to(&r.w, t);
        snprintf(user, sizeof user, "u%u", below(&r, USERS));
        j = world_job_json(
            &r.w, NULL, big ? "big" : user, "m0",
            json_pack("{s:i, s:s, s:i}", "schema", 1, "run", "true", "cpus", big ? 8 : 1));
        j->kind = big ? BIG : SMALL;
        j->runs_ms = big ? 10000 : 1 + below(&r, 100000);
        world_go(&r.w);
    }
    for (struct world_job *j = r.w.jobs; j; j = j->hh.next)
        if (j->kind == BIG) {
            uint64_t queued = (j->r.made_us - WORLD_WALL_US) / 1000;
            uint64_t waited = (j->begun ? j->first_ms : r.w.now_ms) - queued;

            longest = waited > longest ? waited : longest;
            begun += j->begun;
        }
    if (longest > 300000 || begun < 20) {
        fprintf(stderr, "%u big jobs began, the longest wait was %" PRIu64 " ms\n", begun, longest);
        fail(&r, "big jobs starve", NULL);
    }
    world_close(&r.w);
    heap_free(&r.ends);
    free(r.at);
    sim_free(r.sim);
}

static unsigned machines_of(uint64_t seed)
{
    return seed % 10 == 0 ? 100 + (unsigned)(seed / 10 % 200) : 2 + (unsigned)(seed % 9) * 2;
}

int main(int argc, char **argv)
{
    const char *text = getenv("ONEOS_SIM_SEEDS");
    uint64_t seeds = text ? strtoull(text, NULL, 10) : 200;

    if (argc > 1) {
        uint64_t seed = strtoull(argv[1], NULL, 10);

        run(seed, machines_of(seed), 300, true);
        return 0;
    }
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t hash = run(seed, machines_of(seed), 300, false);

        if (seed % 50 == 1 && run(seed, machines_of(seed), 300, false) != hash) {
            fprintf(stderr, "seed %" PRIu64 " decides differently when run again\n", seed);
            return 1;
        }
    }
    for (uint64_t seed = 1; seed <= 2 + seeds / 100; seed++)
        starvation(seed);
    run(1, 10000, 3000, false);
    printf("%" PRIu64 " seeds: %lu jobs, %lu placements, %lu attempts lost\n", seeds, total_jobs,
           total_placements, total_losses);
    return 0;
}

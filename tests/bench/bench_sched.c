/*
 * bench_sched.c - how well, and how fast, the scheduler decides.
 *
 *   bench_sched                     the tables below, of a drawn trace and of the sample
 *   bench_sched swf FILE [CORES]    a trace in the Standard Workload Format, on machines of so many
 *                                   cores (0: one machine that has them all)
 *   bench_sched draw JOBS SEED      writes a drawn trace in that format
 *   bench_sched speed               time for a decision, 10,000 machines, 100,000 jobs queued
 *
 * For each policy: utilisation, wait, bounded slowdown (of at least 10 s), Jain's index of the
 * users' mean slowdowns (1: all alike), and the makespan beside its bound: what comes after any
 * moment cannot be done faster than by all cores at once, nor any job before it was submitted and
 * has run.
 *
 * Drawn traces are like those of Lublin and Feitelson: a quarter of the jobs take one core, the
 * sizes of the others are log-uniform, mostly powers of two; run times are log-uniform and longer
 * for larger jobs; arrivals are exponential; users ask for one to five times what they need.
 */
#include "sched/heap.h"
#include "tests/lib/sched_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct tjob {
    uint64_t submit_ms, run_ms, ask_ms;
    unsigned cores, user;
    uint64_t begun_ms;
};

struct trace {
    struct tjob *v;
    size_t n;
    unsigned cores; /* of the whole system */
};

/* ---- chance (the traces must be the same everywhere) */

static uint64_t chance_state;

static uint64_t chance(void)
{
    uint64_t x = chance_state += 0x9e3779b97f4a7c15ull;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static double uniform(void)
{
    return (double)(chance() >> 11) / 9007199254740992.0;
}

/* ---- traces */

static struct tjob *trace_add(struct trace *t)
{
    if ((t->n & (t->n - 1)) == 0) {
        t->v = realloc(t->v, (t->n ? 2 * t->n : 1) * sizeof *t->v);
        if (!t->v)
            abort();
    }
    t->v[t->n] = (struct tjob){ 0 };
    return &t->v[t->n++];
}

static unsigned draw_size(unsigned most)
{
    double log2 = uniform() * (double)(31 - __builtin_clz(most));

    if (uniform() < 0.24)
        return 1;
    if (uniform() < 0.75)
        log2 = round(log2);
    return (unsigned)exp2(log2) < 1 ? 1 : (unsigned)exp2(log2);
}

/* load: offered work beside what all cores can do. */
static void draw(struct trace *t, size_t n, unsigned cores, unsigned most, double load,
                 uint64_t seed)
{
    double at = 0, work = 0;

    chance_state = seed;
    *t = (struct trace){ .cores = cores };
    for (size_t i = 0; i < n; i++) {
        struct tjob *j = trace_add(t);
        double size, seconds;

        j->cores = draw_size(most);
        size = log2(j->cores) / log2(most);
        seconds = exp(uniform() * (6 + 3 * size)); /* 1 s to 7 min; the largest: to 2 h */
        j->run_ms = (uint64_t)(seconds * 1000);
        j->ask_ms = (uint64_t)(seconds * (1 + 4 * uniform()) / 60 + 1) * 60000;
        /* Few users have many of the jobs. */
        j->user = (unsigned)(12 * uniform() * uniform());
        work += seconds * j->cores;
    }
    for (size_t i = 0; i < n; i++) {
        t->v[i].submit_ms = (uint64_t)(at * 1000);
        at += -log(1 - uniform()) * work / (double)n / load / cores;
    }
}

/* The 18 columns: number, submitted, waited, run, cores, -, -, cores asked for, time asked for, -,
 * status, user, group, executable, queue, partition, -, -. */
static int read_swf(struct trace *t, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[1000];

    *t = (struct trace){ .cores = 0 };
    if (!f) {
        perror(path);
        return -1;
    }
    while (fgets(line, sizeof line, f)) {
        double c[18];
        int n = 0, used;
        struct tjob *j;

        if (*line == ';') {
            sscanf(line, "; MaxProcs: %u", &t->cores);
            continue;
        }
        for (const char *p = line; n < 18 && sscanf(p, "%lf%n", &c[n], &used) == 1; p += used)
            n++;
        if (n < 12 || c[3] <= 0 || (c[4] <= 0 && c[7] <= 0))
            continue; /* never ran */
        j = trace_add(t);
        j->submit_ms = (uint64_t)(c[1] * 1000);
        j->run_ms = (uint64_t)(c[3] * 1000);
        j->cores = (unsigned)(c[7] > 0 ? c[7] : c[4]);
        j->ask_ms = c[8] >= c[3] ? (uint64_t)(c[8] * 1000) : j->run_ms;
        j->user = c[11] > 0 ? (unsigned)c[11] : 0;
    }
    fclose(f);
    for (size_t i = 0; i < t->n && t->cores == 0; i++)
        t->cores = t->v[i].cores > t->cores ? t->v[i].cores : t->cores;
    return t->n ? 0 : -1;
}

static void write_swf(const struct trace *t)
{
    printf("; Version: 2.2\n; Computer: drawn by bench_sched\n; MaxJobs: %zu\n; MaxProcs: %u\n",
           t->n, t->cores);
    for (size_t i = 0; i < t->n; i++)
        printf("%zu %llu -1 %llu %u -1 -1 %u %llu -1 1 %u -1 -1 -1 -1 -1 -1\n", i + 1,
               (unsigned long long)t->v[i].submit_ms / 1000,
               (unsigned long long)(t->v[i].run_ms + 999) / 1000, t->v[i].cores, t->v[i].cores,
               (unsigned long long)t->v[i].ask_ms / 1000, t->v[i].user + 1);
}

/* ---- one policy on one trace */

struct play {
    struct world w;
    const struct trace *t;
    struct heap ends;
};

static bool ends_before(const void *a, const void *b)
{
    const struct world_job *x = a, *y = b;

    return x->ends_ms != y->ends_ms ? x->ends_ms < y->ends_ms : x->r.uid < y->r.uid;
}

static void placed(void *arg, struct world_job *j)
{
    struct play *p = arg;

    p->t->v[j->kind].begun_ms = p->w.now_ms;
    j->ends_ms = p->w.now_ms + j->runs_ms;
    heap_add(&p->ends, j);
}

static void submit(struct play *p, size_t i, unsigned most)
{
    struct tjob *t = &p->t->v[i];
    unsigned cores = t->cores < most ? t->cores : most;
    struct world_job *j;
    char user[16];

    snprintf(user, sizeof user, "u%u", t->user);
    j = world_job_json(&p->w, NULL, user, "m0",
                       json_pack("{s:i, s:s, s:i, s:f}", "schema", 1, "run", "true", "cpus",
                                 (int)cores, "timeout", (double)t->ask_ms / 1000));
    j->kind = (unsigned)i;
    j->runs_ms = t->run_ms;
}

struct score {
    double use, wait_s, slowdown, jain, makespan_s;
};

static void measure(const struct trace *t, struct score *out)
{
    double work = 0, end = 0, wait = 0, slow = 0, sum = 0, squares = 0;
    double user[64] = { 0 };
    unsigned count[64] = { 0 }, users = 0;

    for (size_t i = 0; i < t->n; i++) {
        const struct tjob *j = &t->v[i];
        double w = (double)(j->begun_ms - j->submit_ms) / 1000, run = (double)j->run_ms / 1000;
        double s = (w + run) / (run > 10 ? run : 10);

        s = s > 1 ? s : 1;
        work += run * j->cores;
        wait += w;
        slow += s;
        user[j->user % 64] += s;
        count[j->user % 64]++;
        end = (double)j->begun_ms / 1000 + run > end ? (double)j->begun_ms / 1000 + run : end;
    }
    for (unsigned u = 0; u < 64; u++)
        if (count[u]) {
            users++;
            sum += user[u] / count[u];
            squares += user[u] / count[u] * (user[u] / count[u]);
        }
    *out = (struct score){ .use = work / end / t->cores,
                           .wait_s = wait / (double)t->n,
                           .slowdown = slow / (double)t->n,
                           .jain = sum * sum / users / squares,
                           .makespan_s = end };
}

static double bound_s(const struct trace *t)
{
    double after = 0, most = 0;

    for (size_t i = t->n; i-- > 0;) {
        const struct tjob *j = &t->v[i];
        double at = (double)j->submit_ms / 1000, run = (double)j->run_ms / 1000;

        after += run * j->cores;
        most = at + after / t->cores > most ? at + after / t->cores : most;
        most = at + run > most ? at + run : most;
    }
    return most;
}

static void play(const struct trace *t, const struct sched_options *o, unsigned machine_cores,
                 struct score *out)
{
    struct play p = { .t = t };
    unsigned machines = machine_cores ? t->cores / machine_cores : 1;
    unsigned most = machine_cores ? machine_cores : t->cores;
    char id[16];
    size_t i = 0;

    p.ends = HEAP_INIT(struct world_job, place, ends_before);
    world_open(&p.w, o);
    p.w.logs = false;
    p.w.arg = &p;
    p.w.placed = placed;
    world_to(&p.w, 0);
    for (unsigned m = 0; m < machines; m++) {
        snprintf(id, sizeof id, "m%u", m);
        world_machine(&p.w, id, most, 1024, NULL);
    }
    while (i < t->n || p.ends.n) {
        const struct world_job *first = heap_top(&p.ends);
        uint64_t at = sched_next(p.w.s);

        at = first && first->ends_ms < at ? first->ends_ms : at;
        at = i < t->n && t->v[i].submit_ms < at ? t->v[i].submit_ms : at;
        world_to(&p.w, at > p.w.now_ms ? at : p.w.now_ms);
        for (struct world_job *j; (j = heap_top(&p.ends)) && j->ends_ms <= p.w.now_ms;) {
            heap_remove(&p.ends, j);
            world_end_job(&p.w, j, JOB_EXITED, 0);
        }
        while (i < t->n && t->v[i].submit_ms <= p.w.now_ms)
            submit(&p, i++, most);
        world_go(&p.w);
    }
    world_close(&p.w);
    heap_free(&p.ends);
    measure(t, out);
}

static void table(const char *title, const struct trace *t, unsigned machine_cores)
{
    static const struct {
        const char *name;
        bool fair, backfill, pack;
    } policies[] = { { "fifo", false, false, false },
                     { "easy backfill", false, true, false },
                     { "fair, no backfill", true, false, false },
                     { "fair, spread", true, true, false },
                     { "fair, pack", true, true, true } };

    printf("%s: %zu jobs, %u cores", title, t->n, t->cores);
    if (machine_cores)
        printf(" in machines of %u", machine_cores);
    printf("\n\n| policy | utilisation | mean wait s | mean bounded slowdown | fairness (Jain) | "
           "makespan h | over the bound |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        struct sched_options o = sched_defaults;
        struct score s;

        o.fair = policies[i].fair;
        o.backfill = policies[i].backfill;
        o.pack = policies[i].pack;
        o.keep_jobs = SIZE_MAX / 2;
        o.keep_ms = UINT32_MAX;
        play(t, &o, machine_cores, &s);
        printf("| %s | %.1f %% | %.0f | %.1f | %.2f | %.2f | %.1f %% |\n", policies[i].name,
               100 * s.use, s.wait_s, s.slowdown, s.jain, s.makespan_s / 3600,
               100 * (s.makespan_s / bound_s(t) - 1));
        fflush(stdout);
    }
    printf("\nbound of the makespan: %.2f h\n\n", bound_s(t) / 3600);
}

/* ---- speed */

enum { MACHINES = 10000, CORES = 4, QUEUED = 100000, ENDS = 5000 };

static json_t *spec_alike(unsigned i)
{
    (void)i;
    return json_pack("{s:i, s:s}", "schema", 1, "run", "true");
}

static json_t *spec_mixed(unsigned i)
{
    static const char *const lines[] = { "true", "make -j2 all", "@zone=1 sort < /oneos/fs/x",
                                         "cat | sort | uniq -c", "python3 train.py --seed 7" };
    static const double cpus[] = { 0.5, 1, 1, 2, 4 };

    return json_pack("{s:i, s:s, s:f, s:I, s:i}", "schema", 1, "run", lines[i % 5], "cpus",
                     cpus[i / 5 % 5], "memory", (json_int_t)(i / 25 % 4) << 26, "timeout",
                     60 << (i / 100 % 8));
}

static json_t *spec_different(unsigned i)
{
    return json_pack("{s:i, s:s, s:I}", "schema", 1, "run", "true", "memory",
                     (json_int_t)(1000 + i));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* told: so many jobs in all, as have room and 100,000 more. */
static void speed_row(const char *name, json_t *(*spec)(unsigned), unsigned users, unsigned told)
{
    struct sched_options o = sched_defaults;
    struct world w;
    struct sched_counts c;
    uint64_t *took = calloc(ENDS, sizeof *took), begin, fill_ns, tell_ns;
    unsigned n = 0, done = 0;
    uint64_t sum = 0;
    char text[32];

    if (!took)
        abort();
    o.keep_jobs = SIZE_MAX / 2;
    world_open(&w, &o);
    w.logs = false;
    for (unsigned i = 0; i < MACHINES; i++) {
        char labels[32];

        snprintf(text, sizeof text, "m%u", i);
        snprintf(labels, sizeof labels, "zone=%u", i % 4);
        world_machine(&w, text, CORES, 8192, labels);
    }
    /* Told one by one, then steps until nothing has room. */
    for (w.ns = 0;; n += 1000) {
        for (unsigned i = n; i < n + 1000; i++) {
            snprintf(text, sizeof text, "u%u", i * 7919 % users);
            world_job_json(&w, NULL, text, "m0", spec(i));
        }
        tell_ns = w.ns;
        if (n + 1000 >= told)
            break;
    }
    w.ns = 0;
    world_go(&w);
    fill_ns = w.ns;
    begin = w.placements;
    for (struct world_job *j = w.jobs, *next; j && done < ENDS; j = next) {
        next = j->hh.next;
        if (j->r.state != JOB_RUNNING)
            continue;
        world_to(&w, w.now_ms + 1);
        w.ns = 0;
        world_end_job(&w, j, JOB_EXITED, 0);
        world_go(&w);
        sum += w.ns;
        took[done++] = w.ns;
    }
    qsort(took, done, sizeof *took, by_value);
    sched_counts(w.s, &c);
    printf("| %s | %.1f | %.1f | %zu | %lu | %.1f | %.1f | %.1f | %.1f |\n", name,
           (double)tell_ns / 1000 / (double)(c.jobs), (double)fill_ns / 1000 / (double)begin,
           c.queued, w.placements - begin, (double)sum / 1000 / done, (double)took[done / 2] / 1000,
           (double)took[done * 99 / 100] / 1000, (double)took[done - 1] / 1000);
    fflush(stdout);
    world_close(&w);
    free(took);
}

static void speed(void)
{
    printf(
        "decisions on %d machines of %d cores, us of processor time; an end takes in the record, "
        "places what follows, takes in that record\n\n"
        "| queue | a record taken in | a placement while all is empty | then queued | placed "
        "after %d ends | an end: mean | median | 99 %% | most "
        "|\n|---|---|---|---|---|---|---|---|---|\n",
        MACHINES, CORES, ENDS);
    speed_row("all alike, one user", spec_alike, 1, 140000);
    speed_row("mixed sizes, selectors, pipelines, 100 users", spec_mixed, 100, 122000);
    speed_row("mixed, 1,000 users", spec_mixed, 1000, 122000);
    speed_row("each different", spec_different, 10, 140000);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "all";
    struct trace t;

    if (strcmp(mode, "draw") == 0 && argc == 4) {
        draw(&t, strtoul(argv[2], NULL, 10), 128, 128, 0.9, strtoull(argv[3], NULL, 10));
        write_swf(&t);
    } else if (strcmp(mode, "swf") == 0 && argc >= 3) {
        if (read_swf(&t, argv[2]) < 0)
            return 1;
        table(argv[2], &t, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0);
    } else if (strcmp(mode, "speed") == 0) {
        speed();
        return 0;
    } else if (strcmp(mode, "all") == 0) {
        draw(&t, 5000, 128, 128, 0.95, 1);
        table("drawn, jobs may take all", &t, 0);
        free(t.v);
        draw(&t, 5000, 128, 8, 0.95, 2);
        table("drawn, jobs of up to 8", &t, 8);
        free(t.v);
        draw(&t, 20000, 1024, 16, 0.98, 3);
        table("drawn, jobs of up to 16", &t, 16);
    } else {
        fprintf(stderr, "usage: bench_sched [swf FILE [CORES] | draw JOBS SEED | speed]\n");
        return 64;
    }
    free(t.v);
    return 0;
}

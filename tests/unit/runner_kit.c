/*
 * runner_kit.c - a runner whose effects are written down in words.
 */
#include "tests/unit/runner_kit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct runner *r;
uint64_t now;
char seen[8192];
struct runner_info own;

static uint64_t serial;

static void saw(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void saw(const char *fmt, ...)
{
    size_t n = strlen(seen);
    va_list ap;

    va_start(ap, fmt);
    if (n)
        n += (size_t)snprintf(seen + n, sizeof seen - n, "; ");
    vsnprintf(seen + n, sizeof seen - n, fmt, ap);
    va_end(ap);
}

static const char *text(const struct run_key *k)
{
    static char t[64];

    snprintf(t, sizeof t, "%d.%u.%u", (int)k->uid, k->attempt, k->group);
    return t;
}

static const char *const causes[] = { "?",    "exited", "killed",    "oom",      "timeout",
                                      "loss", "cancel", "not begun", "not taken" };

static void fx_start(void *arg, const char *job, const struct run_key *k)
{
    (void)arg, (void)job;
    saw("start %s", text(k));
}

static void fx_end(void *arg, const struct run_key *k, int sig, enum job_cause cause)
{
    (void)arg;
    saw("%s %s %s", sig == SIGKILL ? "kill" : "term", text(k), causes[cause]);
}

static void fx_forget(void *arg, const struct run_key *k)
{
    (void)arg;
    saw("forget %s", text(k));
}

static void fx_report(void *arg, uint64_t no, uint64_t session, const struct job_ended *ends,
                      size_t n, bool later)
{
    (void)arg;
    assert_int_equal(session, own.session);
    serial = no;
    saw(later ? "report later" : "report");
    for (size_t i = 0; i < n; i++) {
        struct run_key k = { ends[i].uid, ends[i].attempt, ends[i].group };
        size_t at = strlen(seen);

        snprintf(seen + at, sizeof seen - at, " %s=%s %d", text(&k), causes[ends[i].end.cause],
                 ends[i].end.exit);
    }
}

static void fx_barrier(void *arg)
{
    (void)arg;
    saw("barrier");
}

static void fx_lease(void *arg, uint64_t ms)
{
    (void)arg;
    saw("lease %d", (int)ms);
}

static void fx_claim(void *arg, uint64_t session)
{
    (void)arg;
    saw("claim %d.%d", (int)(session >> 20), (int)(session & 0xfffff));
}

static const struct runner_fx fx = { .start = fx_start,
                                     .end = fx_end,
                                     .forget = fx_forget,
                                     .report = fx_report,
                                     .barrier = fx_barrier,
                                     .lease = fx_lease,
                                     .claim = fx_claim };

void assert_seen(const char *want)
{
    runner_step(r, now);
    if (strcmp(seen, want) != 0)
        fail_msg("saw:  %s\nwant: %s", seen, want);
    seen[0] = '\0';
}

/* A job whose groups are on these machines. It lives until the next call. */
struct job *job(const char *name, uint64_t uid, uint32_t attempt, const char *on)
{
    static struct job j;
    static struct job_group groups[JOB_GROUPS_MAX];

    json_decref(j.spec);
    memset(&j, 0, sizeof j);
    memset(groups, 0, sizeof groups);
    snprintf(j.name, sizeof j.name, "%s", name);
    j.uid = uid;
    j.attempt = attempt;
    j.state = JOB_RUNNING;
    j.spec = json_object();
    j.groups = groups;
    for (; *on; on++)
        if (*on != ' ')
            groups[j.n_groups++].machine[0] = *on;
    return &j;
}

void tell(struct job *j)
{
    assert_int_equal(runner_job(r, now, j), 0);
}

struct run_key key(uint64_t uid, uint32_t attempt, uint32_t group)
{
    return (struct run_key){ uid, attempt, group };
}

void started(uint64_t uid, uint32_t attempt, uint32_t group)
{
    struct run_key k = key(uid, attempt, group);

    runner_started(r, now, &k, 0, 0, NULL);
}

void ended(uint64_t uid, uint32_t attempt, uint32_t group, enum job_cause cause, int exit)
{
    struct run_key k = key(uid, attempt, group);
    struct job_end end = { .cause = cause, .exit = exit };

    runner_ended(r, now, &k, &end);
}

void reported(int rc)
{
    runner_reported(r, now, serial, rc);
}

void read_all(struct job *j)
{
    runner_sync(r, now, true);
    if (j)
        tell(j);
    runner_sync(r, now, false);
}

void barriered(int rc)
{
    runner_barriered(r, now, rc, own.session ? &own : NULL);
}

int make_runner(void **state)
{
    (void)state;
    now = 1000000;
    own = (struct runner_info){ .session = SESSION };
    seen[0] = '\0';
    return runner_create(&r, "A", BOOT, &fx, NULL);
}

/* One that has a session, and has read all; its lease is over. */
int make_idle(void **state)
{
    make_runner(state);
    runner_step(r, now);
    barriered(0);
    read_all(NULL);
    now += 60000;
    runner_step(r, now);
    seen[0] = '\0';
    return 0;
}

/* ... with a job 7, group 0, that runs under a fresh lease. */
int make_busy(void **state)
{
    make_idle(state);
    tell(job("j", 7, 1, "A"));
    runner_step(r, now);
    barriered(0);
    runner_step(r, now);
    started(7, 1, 0);
    seen[0] = '\0';
    return 0;
}

int drop_runner(void **state)
{
    struct job *j = job("", 0, 0, "");

    (void)state;
    runner_destroy(r);
    json_decref(j->spec);
    j->spec = NULL;
    return 0;
}

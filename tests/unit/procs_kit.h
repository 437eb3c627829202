/*
 * procs_kit.h - a daemon's processes, with a real oneos-init, for the tests of them.
 */
#ifndef ONEOS_TESTS_UNIT_PROCS_KIT_H
#define ONEOS_TESTS_UNIT_PROCS_KIT_H

#include "run/procs_private.h"

#include "runkit.h"

#include <pwd.h>

struct daemon {
    struct kit *k;
    struct loop *core;
    struct proctab *tab;
    struct procs *procs;
};

static inline void ignore_change(void *arg, const struct proc_rec *r, bool gone)
{
    (void)arg, (void)r, (void)gone;
}

static inline void ignore_publish(void *arg, json_t *change)
{
    (void)arg;
    json_decref(change);
}

static inline void start(struct daemon *d, struct kit *k)
{
    static const struct proctab_ops ops = { .changed = ignore_change, .publish = ignore_publish };
    struct passwd *pw = getpwuid(geteuid());
    struct procs_options opt = { .dir = k->dir,
                                 .program = "./oneos-init",
                                 .self = "A",
                                 .owner = pw ? pw->pw_name : "0",
                                 .mount = "" };
    struct oerr e = { "" };

    d->k = k;
    assert_int_equal(loop_create(&d->core), 0);
    assert_int_equal(proctab_create(&d->tab, "A", &ops, d), 0);
    if (procs_create(&d->procs, d->core, k->loop, d->tab, &opt, &e) < 0)
        fail_msg("%s", e.text);
}

/* The data loop goes on for the next daemon; what it has posted by then has been seen. */
static inline void end(struct daemon *d, bool stop)
{
    procs_close(d->procs, stop);
    kit_sync(d->k);
    procs_destroy(d->procs);
    proctab_destroy(d->tab);
    loop_destroy(d->core);
}

#define turn_until(d, condition) await((uv_run(loop_uv((d)->core), UV_RUN_NOWAIT), (condition)))

static inline void on_done(void *arg, int rc, const char *text)
{
    int *answer = arg;

    (void)text;
    *answer = rc;
}

static inline struct proc *make(struct daemon *d)
{
    struct oerr e = { "" };
    struct proc *p;

    if (procs_new(d->procs, d->procs->owner, &p, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

static inline void run(struct daemon *d, struct proc *p, const char *script)
{
    char sh[] = "sh", c[] = "-c";
    char *argv[] = { sh, c, (char *)(uintptr_t)script };
    struct oerr e = { "" };
    int rc = 1;

    if (proc_exec(p, 3, argv, NULL, on_done, &rc, &e) < 0)
        fail_msg("%s", e.text);
    turn_until(d, rc <= 0);
    assert_int_equal(rc, 0);
}

static inline struct stream *open_it(struct proc *p, enum proc_stdio which)
{
    struct stream *s;

    assert_int_equal(proc_open(p, which, &s), 0);
    return s;
}

static inline void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static inline void await_end(struct daemon *d, struct proc *p)
{
    turn_until(d, proc_rec(p)->state == PROC_ENDED);
}

/* ---- processes of jobs */

/* One command of sh, tagged; set more of the plan before it is started. */
struct job {
    struct proc_plan plan;
    struct proc_stage stage;
    char *argv[4];
    int rc; /* 1 until it is answered */
    char text[200];
};

static inline void job_init(struct job *j, struct daemon *d, const char *script)
{
    static char sh[] = "/bin/sh", c[] = "-c";

    *j = (struct job){ .argv = { sh, c, (char *)(uintptr_t)script }, .rc = 1 };
    j->stage.argv = j->argv;
    j->plan = (struct proc_plan){
        .user = d->procs->owner, .cwd = "/", .stages = &j->stage, .n = 1, .tag = { "17", 42, 3, 1 }
    };
}

static inline void job_answered(void *arg, int rc, const char *text)
{
    struct job *j = arg;

    j->rc = rc;
    snprintf(j->text, sizeof j->text, "%s", text);
}

static inline struct proc *job_begin(struct job *j, struct daemon *d)
{
    struct oerr e = { "" };
    struct proc *p;

    if (procs_start(d->procs, &j->plan, &p, job_answered, j, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

static inline struct proc *job_run(struct job *j, struct daemon *d)
{
    struct proc *p = job_begin(j, d);

    turn_until(d, j->rc <= 0);
    if (j->rc < 0)
        fail_msg("%s", j->text);
    return p;
}

static inline struct stream *wire_of(struct proc *p, enum proc_stdio which)
{
    struct stream *s;

    assert_int_equal(proc_wire(p, which, &s), 0);
    return s;
}

#endif

/*
 * scheduler_kit.h - what stands around a scheduler in its tests: a real registry, a cluster of A
 * and B, and a replica whose commands wait until the test lets them through.
 */
#ifndef ONEOS_TESTS_UNIT_SCHEDULER_KIT_H
#define ONEOS_TESTS_UNIT_SCHEDULER_KIT_H

#include "job_kit.h"

#include "base/loop.h"
#include "sched/scheduler.h"

#include <utlist.h>

static struct kit kit;
static struct loop *loop;
static struct scheduler *scheduler;

/* ---- a cluster of A, B */

static struct member_view views[2] = { { .state = MEMBER_ALIVE, .info.id = "A" },
                                       { .state = MEMBER_SUSPECT, .info.id = "B" } };
static json_t *info, *labels, *load;

const struct member *cluster_members(const struct cluster *c)
{
    (void)c;
    return NULL;
}

size_t member_count(const struct member *m)
{
    (void)m;
    return 2;
}

const struct member_view *member_at(const struct member *m, size_t i)
{
    (void)m;
    return &views[i];
}

const struct member_view *member_find(const struct member *m, const char *id)
{
    (void)m;
    return *id >= 'A' && *id <= 'B' ? &views[*id - 'A'] : NULL;
}

const json_t *cluster_info(const struct cluster *c, const char *id)
{
    (void)c, (void)id;
    return info;
}

const json_t *cluster_labels(const struct cluster *c, const char *id)
{
    (void)c;
    return *id == 'B' ? labels : NULL;
}

const json_t *cluster_load(const struct cluster *c, const char *id)
{
    (void)c, (void)id;
    return load;
}

/* ---- a replica: commands wait until the test lets them through */

struct pending {
    char cmd[20];
    json_t *fields;
    replica_done *done;
    void *arg;
    struct pending *prev, *next;
};

static struct pending *asked;
static unsigned n_asked;

struct registry *replica_registry(struct replica *r)
{
    (void)r;
    return kit.r;
}

int replica_submit(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                   replica_done *done, void *arg)
{
    struct pending *a = calloc(1, sizeof *a);

    (void)r, (void)deadline_ms;
    snprintf(a->cmd, sizeof a->cmd, "%s", cmd);
    a->fields = fields;
    a->done = done;
    a->arg = arg;
    DL_APPEND(asked, a);
    n_asked++;
    return 0;
}

void replica_cancel(struct replica *r, void *arg)
{
    struct pending *a, *tmp;

    (void)r;
    DL_FOREACH_SAFE(asked, a, tmp)
    {
        if (a->arg == arg)
            a->done = NULL;
    }
}

static const struct replica_adviser *adviser;
static void *adviser_arg;

void replica_advised_by(struct replica *r, const struct replica_adviser *a, void *arg)
{
    (void)r;
    adviser = a;
    adviser_arg = arg;
}

static inline void let_through(void)
{
    struct pending *a = asked;

    assert_non_null(a);
    DL_DELETE(asked, a);
    n_asked--;
    job_do(&kit, a->cmd, a->fields);
    if (a->done)
        a->done(a->arg, kit.rc, kit.body, kit.words);
    free(a);
}

static inline void turn(void)
{
    uv_update_time(loop_uv(loop));
    uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

#endif

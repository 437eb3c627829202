/*
 * sched_early.c - jobs that are placed before they are made, so that the making and the placing are
 * one command.
 *
 * A stand-in is a job like any other, under a name and a uid that none can have; it is J_SENT from
 * the decision on. When its job is made it becomes that job. Invariant: each entry of s->early
 * names a stand-in, unless that is gone with a sched_sync().
 */
#include "sched/sched_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EARLY_UID (UINT64_C(1) << 62) /* and more: above the uids of jobs, which are times in us   \
                                       */
#define EARLY_MS  10000               /* longer than anybody waits for a command */
#define STUCK_MAX 8                   /* lanes */

static struct job_node *stand_in(const struct sched *s, uint64_t id)
{
    uint64_t uid = EARLY_UID + id;
    struct job_node *j;

    HASH_FIND(hh, s->jobs, &uid, sizeof uid, j);
    return j;
}

/* Where many wait it would be in vain, and costs a step each time. */
static bool may_be(const struct sched *s)
{
    return s->n_early < EARLY_MAX && s->n_ready == 0 && s->n_stuck <= STUCK_MAX;
}

static struct job_node *add(struct sched *s, const struct job *like, uint64_t id)
{
    struct job j = *like;

    snprintf(j.name, sizeof j.name, "?%llu", (unsigned long long)id);
    j.uid = EARLY_UID + id;
    j.state = JOB_PENDING;
    if (sched_job(s, &j) < 0)
        sched_job_gone(s, j.name, j.uid);
    return stand_in(s, id);
}

bool sched_early(struct sched *s, const struct job *j, uint64_t *id,
                 void (*put)(void *arg, const struct job_place *place), void *arg)
{
    struct job_node *node;

    if (!may_be(s))
        return false;
    /* By the time: what an earlier scheduler advised under this epoch is not taken for ours. */
    s->early_last = s->wall_us > s->early_last ? s->wall_us : s->early_last + 1;
    *id = s->early_last;
    node = add(s, j, *id);
    if (!node)
        return false;
    s->early_now = node;
    s->early_put = put;
    s->early_arg = arg;
    sched_step(s);
    s->early_now = NULL;
    if (node->state != J_SENT || !node->placing) {
        job_gone(s, node);
        return false;
    }
    s->early[s->n_early++] = (struct early){ .id = *id, .until_ms = s->now_ms + EARLY_MS };
    return true;
}

/* Takes it off the list; NULL: it is no more. */
static struct job_node *take(struct sched *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_early; i++) {
        if (s->early[i].id != id)
            continue;
        s->n_early--;
        memmove(&s->early[i], &s->early[i + 1], (s->n_early - i) * sizeof *s->early);
        return stand_in(s, id);
    }
    return NULL;
}

void sched_early_gone(struct sched *s, uint64_t id)
{
    struct job_node *j = take(s, id);

    if (j)
        job_gone(s, j);
}

void sched_early_made(struct sched *s, uint64_t id, const char *name, uint64_t uid)
{
    struct job_node *j = take(s, id), *other;
    char *own = j ? strdup(name) : NULL;

    if (!j)
        return;
    HASH_FIND(hh, s->jobs, &uid, sizeof uid, other);
    if (!own || other || job_named(s, name)) { /* the same was asked twice */
        free(own);
        job_gone(s, j);
        return;
    }
    job_unindex(s, j);
    free(j->name);
    j->name = own;
    j->uid = uid;
    if (!job_index(s, j))
        job_drop(s, j);
}

void early_expire(struct sched *s)
{
    while (s->n_early && s->early[0].until_ms <= s->now_ms)
        sched_early_gone(s, s->early[0].id);
}

uint64_t early_next(const struct sched *s)
{
    return s->n_early ? s->early[0].until_ms : UINT64_MAX;
}

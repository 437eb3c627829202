/*
 * retain.c - forgets ended jobs that are old, or more than are kept; never one that another job
 * waits for. When there are too many, it is the oldest of the user who has the most of them: so who
 * runs many does not push out what others want to look at.
 *
 * Invariants: a job that is over is in `ended`, and in its user's, until its forgetting is asked
 * for or put off, then in `going` until its record is gone. Elements of an array are in neither:
 * they go with it. `ended_records` counts what the registry has of those in the `ended` beside it.
 */
#include "sched/sched_private.h"

#include <string.h>

#define KEEP_RECORDS   (JOBS_MAX / 2) /* else a few large arrays would leave no room for new jobs */
#define FORGET_ONCE    100
#define FORGET_EACH_MS 20
#define PUT_OFF_MS     60000

static bool ended_before(const void *a, const void *b)
{
    const struct job_node *x = a, *y = b;

    return x->ended_us != y->ended_us ? x->ended_us < y->ended_us : x->uid < y->uid;
}

static bool asked_before(const void *a, const void *b)
{
    const struct job_node *x = a, *y = b;

    return x->again_ms != y->again_ms ? x->again_ms < y->again_ms : x->uid < y->uid;
}

void retain_init(struct sched *s)
{
    s->ended = HEAP_INIT(struct job_node, place, ended_before);
    s->going = HEAP_INIT(struct job_node, place, asked_before);
    s->retain_ms = UINT64_MAX;
}

void retain_user(struct user *u)
{
    u->ended = HEAP_INIT(struct job_node, place_user, ended_before);
}

int retain_add(struct sched *s, struct job_node *j)
{
    int rc;

    if (j->element) {
        s->elements_over++;
        return 0;
    }
    j->again_ms = 0;
    rc = heap_reserve(&j->user->ended, 1);
    if (rc == 0)
        rc = heap_add(&s->ended, j);
    if (rc == 0) {
        heap_add(&j->user->ended, j); /* there is room */
        s->ended_records += j->records;
        j->user->ended_records += j->records;
    }
    s->retain_ms = 0;
    return rc;
}

static void leave_ended(struct sched *s, struct job_node *j)
{
    heap_remove(&s->ended, j);
    heap_remove(&j->user->ended, j);
    s->ended_records -= j->records;
    j->user->ended_records -= j->records;
}

void retain_remove(struct sched *s, struct job_node *j)
{
    if (j->element)
        s->elements_over--;
    else if (j->again_ms)
        heap_remove(&s->going, j);
    else
        leave_ended(s, j);
}

/* Or one of its elements. */
static bool is_waited_for(const struct sched *s, const struct job_node *j)
{
    size_t len = strlen(j->name);
    struct dep *d;

    HASH_FIND_STR(s->deps, j->name, d);
    if (d || !j->array)
        return d != NULL;
    for (d = s->deps; d; d = d->hh.next)
        if (strncmp(d->name, j->name, len) == 0 && d->name[len] == '.')
            return true;
    return false;
}

static bool too_many_records(const struct sched *s)
{
    return s->ended_records > KEEP_RECORDS;
}

static bool too_many(const struct sched *s)
{
    return s->ended.n > s->opt.keep_jobs || too_many_records(s);
}

/* The oldest of the user who has the most of what there is too much of; of equals any, always the
 * same. */
static struct job_node *oldest_of_most(const struct sched *s)
{
    bool records = too_many_records(s);
    struct user *u, *most = NULL;

    for (u = s->users; u; u = u->hh.next)
        if (!most ||
            (records ? u->ended_records > most->ended_records : u->ended.n > most->ended.n))
            most = u;
    return most ? heap_top(&most->ended) : NULL;
}

static bool is_old(const struct sched *s, const struct job_node *j)
{
    return j && j->ended_us + s->opt.keep_ms * 1000 <= s->wall_us;
}

/* The next one that is to go, and is in no heap then. */
static struct job_node *next(struct sched *s)
{
    struct job_node *j = heap_top(&s->going);

    if (j && j->again_ms <= s->now_ms && heap_reserve(&s->going, 1) == 0) {
        heap_remove(&s->going, j);
        return j;
    }
    j = heap_top(&s->ended);
    if (!is_old(s, j))
        j = too_many(s) ? oldest_of_most(s) : NULL;
    if (!j || heap_reserve(&s->going, 1) < 0)
        return NULL;
    leave_ended(s, j);
    return j;
}

static uint64_t next_ms(const struct sched *s)
{
    const struct job_node *j = heap_top(&s->going);
    uint64_t at = j ? j->again_ms : UINT64_MAX, old;

    if ((j = heap_top(&s->ended))) {
        old = j->ended_us + s->opt.keep_ms * 1000;
        old = too_many(s) || old <= s->wall_us ? s->now_ms + FORGET_EACH_MS
                                               : s->now_ms + (old - s->wall_us) / 1000 + 1;
        at = old < at ? old : at;
    }
    return at > s->now_ms ? at : s->now_ms + FORGET_EACH_MS;
}

void retain_look(struct sched *s)
{
    struct job_id ids[FORGET_ONCE];
    struct job_node *j;
    size_t n = 0;

    if (s->now_ms < s->retain_ms)
        return;
    while (n < FORGET_ONCE && (j = next(s))) {
        bool put_off = is_waited_for(s, j);

        if (!put_off)
            ids[n++] = (struct job_id){ j->name, j->uid };
        j->again_ms = s->now_ms + (put_off ? PUT_OFF_MS : AGAIN_MS);
        heap_add(&s->going, j); /* there is room */
    }
    if (n)
        s->fx.forget(s->arg, ids, n);
    s->retain_ms = next_ms(s);
}

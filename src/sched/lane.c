/*
 * lane.c - the queue: who is next, and who cannot be placed before something changes.
 *
 * A lane has the waiting jobs that look the same to all machines, so that one verdict is that of
 * all of them. The lanes of one user at one priority are a queue; the queues of one priority are a
 * level. In a step each level's queues are ordered by share, then by the age of what they have
 * first.
 *
 * Invariant: a lane with waiting jobs is either in its queue's ready heap or blocked (blocked.c),
 * an empty one is neither.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool lanes_before(const struct job_node *a, const struct job_node *b)
{
    return a->queued_us != b->queued_us ? a->queued_us < b->queued_us : a->uid < b->uid;
}

static bool job_before(const void *a, const void *b)
{
    return lanes_before(a, b);
}

bool lane_before(const void *a, const void *b)
{
    return lanes_before(heap_top(&((const struct lane *)a)->jobs),
                        heap_top(&((const struct lane *)b)->jobs));
}

/* Ready queues only. */
static bool queue_before(const void *a, const void *b)
{
    const struct queue *p = a, *q = b;

    if (p->share != q->share)
        return p->share < q->share;
    return lane_before(heap_top(&p->ready), heap_top(&q->ready));
}

/* ---- levels and queues */

static struct level *level_get(struct sched *s, int priority)
{
    struct level **v, *l;
    size_t i = 0;

    while (i < s->n_levels && s->levels[i]->priority > priority)
        i++;
    if (i < s->n_levels && s->levels[i]->priority == priority)
        return s->levels[i];
    if (!(v = realloc(s->levels, (s->n_levels + 1) * sizeof *v)))
        return NULL;
    s->levels = v;
    if (!(l = calloc(1, sizeof *l)))
        return NULL;
    l->priority = priority;
    memmove(v + i + 1, v + i, (s->n_levels++ - i) * sizeof *v);
    return v[i] = l;
}

static int level_add(struct sched *s, struct queue *q)
{
    struct level *l = level_get(s, q->key.priority);
    struct queue **v;

    if (!l)
        return -ENOMEM;
    if (l->n == l->cap) {
        if (!(v = realloc(l->queues, (2 * l->cap + 4) * sizeof *v)))
            return -ENOMEM;
        l->queues = v;
        l->cap = 2 * l->cap + 4;
    }
    l->queues[l->n++] = q;
    return 0;
}

static void level_remove(struct sched *s, struct queue *q)
{
    struct level *l = level_get(s, q->key.priority);
    size_t i = 0;

    while (i < l->n && l->queues[i] != q)
        i++;
    l->queues[i] = l->queues[--l->n];
    if (l->n)
        return;
    for (i = 0; s->levels[i] != l; i++)
        ;
    memmove(s->levels + i, s->levels + i + 1, (--s->n_levels - i) * sizeof *s->levels);
    free(l->queues);
    free(l);
}

static void queue_free(struct sched *s, struct queue *q)
{
    level_remove(s, q);
    HASH_DEL(s->queues, q);
    heap_free(&q->ready);
    free(q);
}

static struct queue *queue_get(struct sched *s, int priority, struct user *u)
{
    struct queue *q, *n = calloc(1, sizeof *n);

    if (!n)
        return NULL;
    n->key.priority = priority;
    n->key.user = u;
    HASH_FIND(hh, s->queues, &n->key, sizeof n->key, q);
    if (q) {
        free(n);
        return q;
    }
    n->ready = HEAP_INIT(struct lane, place_ready, lane_before);
    n->place = HEAP_OUT;
    HASH_ADD(hh, s->queues, key, sizeof n->key, n);
    if (!n->hh.tbl) {
        free(n);
        return NULL;
    }
    if (level_add(s, n) < 0) {
        HASH_DEL(s->queues, n);
        free(n);
        return NULL;
    }
    return n;
}

void queues_done(struct sched *s)
{
    for (size_t i = 0; i < s->order.n; i++)
        ((struct queue *)s->order.v[i])->place = HEAP_OUT;
    s->order.n = 0;
}

struct queue *queue_first(struct sched *s, struct level *level)
{
    s->order.before = queue_before;
    s->order.place = offsetof(struct queue, place);
    queues_done(s);
    for (size_t i = 0; i < level->n; i++) {
        struct queue *q = level->queues[i];

        if (q->ready.n == 0)
            continue;
        q->share = s->opt.fair ? fair_use(&s->fair, &q->key.user->use) : 0;
        if (heap_add(&s->order, q) < 0)
            break;
    }
    return heap_top(&s->order);
}

void queue_moved(struct sched *s, struct queue *q)
{
    if (q->place == HEAP_OUT)
        return;
    if (q->ready.n == 0) {
        heap_remove(&s->order, q);
        return;
    }
    q->share = s->opt.fair ? fair_use(&s->fair, &q->key.user->use) : 0;
    heap_moved(&s->order, q);
}

/* ---- lanes */

static void stages_put(struct sched *s, struct stage *st, size_t n)
{
    for (size_t i = 0; st && i < n; i++) {
        if (st[i].choice)
            choice_put(s, st[i].choice);
        if (st[i].need)
            need_put(s, st[i].need);
    }
    free(st);
}

static void lane_free(struct sched *s, struct lane *l)
{
    struct queue *q = l->queue;

    if (l->hh.tbl)
        HASH_DEL(s->lanes, l);
    group_leave(s, l);
    stages_put(s, l->stages, l->n);
    heap_free(&l->jobs);
    free(l);
    if (q && --q->lanes == 0)
        queue_free(s, q);
}

/* Timeouts go by half octaves, so that alike jobs share a lane and short ones need not wait behind
 * long ones. */
static unsigned timeout_class(uint64_t us)
{
    unsigned octave = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

    return us < 4 ? octave : 2 * octave + (us >> (octave - 2) & 1);
}

static int lane_key(struct obuf *key, const struct job_node *j, const struct want *w)
{
    obuf_printf(key, "%d %u %llu %d %u %d %s", w->priority, w->cpu_milli,
                (unsigned long long)w->memory, (int)w->place, timeout_class(w->timeout_us),
                w->timeout_us ? 0 : w->endless, j->user->name);
    obuf_put(key, "", 1);
    return obuf_check(key);
}

/* Its stages' choices and needs; their addresses end the key. */
static int lane_stages(struct sched *s, struct stage *st, struct obuf *key,
                       const struct job_node *j, const struct want *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct sched_need need = { j->user->name, w->stages[i].command, w->stages[i].path,
                                   w->stages[i].cwd };

        st[i].choice = choice_get(s, w->stages[i].select, j->by);
        st[i].need = need_get(s, &need);
        if (!st[i].choice || !st[i].need)
            return -ENOMEM;
        obuf_put(key, &st[i], sizeof st[i]);
    }
    return obuf_check(key);
}

/* Takes over the stages, also when it fails. */
static struct lane *lane_new(struct sched *s, const struct obuf *key, const struct job_node *j,
                             const struct want *w, struct stage *st)
{
    struct lane *l = calloc(1, sizeof *l + key->len);

    if (!l) {
        stages_put(s, st, w->n);
        return NULL;
    }
    memcpy(l->key, key->p, key->len);
    l->stages = st;
    l->n = w->n;
    l->jobs = HEAP_INIT(struct job_node, place, job_before);
    l->place_ready = HEAP_OUT;
    l->cpu = w->cpu_milli;
    l->memory = (int64_t)w->memory;
    l->place = w->place;
    if ((l->queue = queue_get(s, w->priority, j->user))) {
        l->queue->lanes++;
        if (group_join(s, l) == 0)
            HASH_ADD_KEYPTR(hh, s->lanes, l->key, key->len, l);
    }
    if (l->hh.tbl)
        return l;
    lane_free(s, l);
    return NULL;
}

struct lane *lane_get(struct sched *s, struct job_node *j, const struct want *w)
{
    struct stage *st = calloc(w->n, sizeof *st);
    struct obuf key = { 0 };
    struct lane *l = NULL;

    if (st && lane_key(&key, j, w) == 0 && lane_stages(s, st, &key, j, w) == 0) {
        HASH_FIND(hh, s->lanes, key.p, key.len, l);
        if (!l) {
            l = lane_new(s, &key, j, w, st);
            st = NULL;
        }
    }
    if (l)
        l->refs++;
    stages_put(s, st, w->n);
    obuf_free(&key);
    return l;
}

void lane_put(struct sched *s, struct lane *l)
{
    if (--l->refs == 0)
        lane_free(s, l);
}

/* ---- its jobs */

int lane_ready(struct sched *s, struct lane *l)
{
    if (heap_add(&l->queue->ready, l) < 0)
        return -ENOMEM;
    s->n_ready++;
    return 0;
}

void lane_unready(struct sched *s, struct lane *l)
{
    if (l->place_ready == HEAP_OUT)
        return;
    heap_remove(&l->queue->ready, l);
    s->n_ready--;
    queue_moved(s, l->queue);
}

/* Its order among others follows its first job, which changes: it is in no heap meanwhile. */
static void aside(struct lane *l, bool *was_ready, bool *was_full)
{
    *was_ready = l->place_ready != HEAP_OUT;
    *was_full = l->place_full != HEAP_OUT;
    if (*was_ready)
        heap_remove(&l->queue->ready, l);
    if (*was_full)
        heap_remove(&l->group->full, l);
}

/* There is room: it was in there. */
static void aside_back(struct lane *l, bool was_ready, bool was_full)
{
    if (was_ready)
        heap_add(&l->queue->ready, l);
    if (was_full)
        heap_add(&l->group->full, l);
}

int lane_add(struct sched *s, struct job_node *j)
{
    struct lane *l = j->lane;
    bool was_ready, was_full;

    if (heap_reserve(&l->jobs, 1) < 0 || heap_reserve(&l->queue->ready, 1) < 0)
        return -ENOMEM;
    aside(l, &was_ready, &was_full);
    heap_add(&l->jobs, j);
    aside_back(l, was_ready, was_full);
    if (l->jobs.n == 1)
        lane_ready(s, l);
    j->user->queued++;
    s->counts.queued++;
    return 0;
}

void lane_remove(struct sched *s, struct job_node *j)
{
    struct lane *l = j->lane;
    bool was_ready, was_full;

    aside(l, &was_ready, &was_full);
    heap_remove(&l->jobs, j);
    if (l->jobs.n) {
        aside_back(l, was_ready, was_full);
    } else if (was_ready) {
        s->n_ready--;
    } else if (l->blocked != BLOCKED_NOT) {
        lane_free_blocked(s, l);
    }
    if (was_ready)
        queue_moved(s, l->queue);
    j->user->queued--;
    s->counts.queued--;
}

void lanes_free(struct sched *s)
{
    free(s->stuck);
    heap_free(&s->hopes);
    free(s->levels);
    heap_free(&s->order);
}

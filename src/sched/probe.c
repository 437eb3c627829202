/*
 * probe.c - threads that look, and questions from and to other machines.
 *
 *   waiting  in order; goes on when a thread of its user's share is free
 *   running  its thread looks; `need`, `exit` and `words` are the thread's, all else the core's
 *   done     the thread is through: it hands the work back by the async handle
 *
 * At its deadline a probe is answered with -1. When it is running it then stays in its list, with
 * no one to tell, and takes its user's share, until the thread comes back. So a daemon may stop
 * while threads hang: such a thread finds `closed` and frees its work itself.
 *
 * Invariants: the list `done` and `closed` are looked at under the lock; the async handle is open
 * as long as `closed` is not set.
 */
#include "sched/probe_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <utlist.h>

#define STACK_BYTES (512 * 1024) /* the name service has its needs */

struct work {
    struct probes *probes;
    char *user, *command, *path, *cwd; /* NULL as in sched_need */
    int exit;
    struct oerr words;
    probe_done_fn *done; /* NULL: nobody waits any more */
    void *arg;
    uint64_t deadline_ms;
    struct work *prev, *next; /* waiting or running */
    struct work *next_done;
};

struct probes {
    struct cluster *cluster;
    struct probe_here here;
    char *self, *mount;
    struct work *waiting, *running;
    unsigned n_waiting, n_running;
    uv_async_t back;
    uv_timer_t timer;
    pthread_mutex_t lock; /* of what follows */
    struct work *done;
    bool closed;
    unsigned refs; /* the core, its two handles, each thread */
};

static void unref(struct probes *p)
{
    bool last;

    pthread_mutex_lock(&p->lock);
    last = --p->refs == 0;
    pthread_mutex_unlock(&p->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&p->lock);
    free(p->self);
    free(p->mount);
    free(p);
}

static void work_free(struct work *w)
{
    free(w->user);
    free(w->command);
    free(w->path);
    free(w->cwd);
    free(w);
}

static void tell(struct work *w, int exit, const char *words)
{
    probe_done_fn *done = w->done;

    w->done = NULL;
    if (done)
        done(w->arg, exit, words);
}

/* ---- the thread */

static int look(const struct work *w, struct oerr *e)
{
    struct sched_need need = { w->user, w->command, w->path, w->cwd };
    char home[PATH_MAX];
    int rc = probe_become(&w->probes->here, need.user, home, e);

    if (!need.cwd)
        need.cwd = home;
    return rc == 0 ? probe_command(&w->probes->here, &need, e) : rc;
}

static void hand_back(struct work *w)
{
    struct probes *p = w->probes;
    bool closed;

    pthread_mutex_lock(&p->lock);
    closed = p->closed;
    if (!closed) {
        w->next_done = p->done;
        p->done = w;
        uv_async_send(&p->back);
    }
    pthread_mutex_unlock(&p->lock);
    if (closed)
        work_free(w);
}

static void *run(void *arg)
{
    struct work *w = arg;
    struct probes *p = w->probes;

    w->exit = look(w, &w->words);
    hand_back(w);
    unref(p);
    return NULL;
}

static int start_thread(struct work *w)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    rc = pthread_create(&thread, &attr, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* ---- the core's side */

static unsigned running_of(const struct probes *p, const char *user)
{
    const struct work *w;
    unsigned n = 0;

    DL_FOREACH(p->running, w)
    {
        n += strcmp(w->user, user) == 0;
    }
    return n;
}

static void start_one(struct probes *p, struct work *w)
{
    int rc;

    DL_DELETE(p->waiting, w);
    p->n_waiting--;
    DL_APPEND(p->running, w);
    p->n_running++;
    pthread_mutex_lock(&p->lock);
    p->refs++;
    pthread_mutex_unlock(&p->lock);
    rc = start_thread(w);
    if (rc == 0)
        return;
    w->exit = oerr_set(&w->words, -1, "%s has no thread for looking at '%.100s': %s", p->self,
                       w->command, strerror(rc));
    hand_back(w);
    unref(p);
}

static void start(struct probes *p)
{
    struct work *w, *next;

    DL_FOREACH_SAFE(p->waiting, w, next)
    {
        if (p->n_running >= PROBE_THREADS)
            break;
        if (running_of(p, w->user) < PROBE_USER_THREADS)
            start_one(p, w);
    }
}

static void on_back(uv_async_t *back)
{
    struct probes *p = container_of(back, struct probes, back);
    struct work *list, *w;

    pthread_mutex_lock(&p->lock);
    list = take_ptr(p->done);
    pthread_mutex_unlock(&p->lock);
    while ((w = list) != NULL) {
        list = w->next_done;
        DL_DELETE(p->running, w);
        p->n_running--;
        tell(w, w->exit, w->words.text);
        work_free(w);
    }
    start(p);
}

static void on_timer(uv_timer_t *timer);

/* Of those that somebody waits for. */
static struct work *soonest(struct work *list)
{
    struct work *w, *best = NULL;

    DL_FOREACH(list, w)
    {
        if (w->done && (!best || w->deadline_ms < best->deadline_ms))
            best = w;
    }
    return best;
}

static void arm(struct probes *p)
{
    const struct work *a = soonest(p->waiting), *b = soonest(p->running);
    uint64_t now = now_ms(), at;

    if (!a && !b)
        return;
    at = !a || (b && b->deadline_ms < a->deadline_ms) ? b->deadline_ms : a->deadline_ms;
    uv_timer_start(&p->timer, on_timer, at > now ? at - now : 0, 0);
}

static void give_up(struct probes *p, struct work *w, bool waits)
{
    struct oerr e;

    oerr_set(&e, -1,
             "%s did not find out in %d s whether it can run '%.100s': a file system there "
             "may hang",
             p->self, PROBE_MS / 1000, w->command);
    if (waits) {
        DL_DELETE(p->waiting, w);
        p->n_waiting--;
    }
    tell(w, -1, e.text);
    if (waits)
        work_free(w);
}

static void on_timer(uv_timer_t *timer)
{
    struct probes *p = container_of(timer, struct probes, timer);
    uint64_t now = now_ms();
    struct work *w;

    while ((w = soonest(p->waiting)) != NULL && w->deadline_ms <= now)
        give_up(p, w, true);
    while ((w = soonest(p->running)) != NULL && w->deadline_ms <= now)
        give_up(p, w, false);
    arm(p);
}

static bool copy(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return !text || *to;
}

static int ask_here(struct probes *p, const struct sched_need *need, probe_done_fn *done, void *arg,
                    struct oerr *e)
{
    struct work *w;

    if (p->n_waiting >= PROBE_WAITING)
        return oerr_set(e, -EAGAIN, "%s is asked about %d commands already; ask again later",
                        p->self, PROBE_WAITING);
    w = calloc(1, sizeof *w);
    if (!w || !copy(&w->user, need->user) || !copy(&w->command, need->command) ||
        !copy(&w->path, need->path) || !copy(&w->cwd, need->cwd)) {
        if (w)
            work_free(w);
        return oerr_set(e, -ENOMEM, "%s has no memory left", p->self);
    }
    w->probes = p;
    w->done = done;
    w->arg = arg;
    w->deadline_ms = now_ms() + PROBE_MS;
    DL_APPEND(p->waiting, w);
    p->n_waiting++;
    start(p);
    if (!uv_is_active((uv_handle_t *)&p->timer))
        arm(p);
    return 0;
}

/* ---- other machines */

json_t *probe_need_encode(const struct sched_need *need)
{
    return json_pack("{s:s, s:s, s:s*, s:s*}", "user", need->user, "command", need->command, "path",
                     need->path, "cwd", need->cwd);
}

int probe_need_decode(const json_t *body, struct sched_need *need)
{
    memset(need, 0, sizeof *need);
    if (json_unpack((json_t *)body, "{s:s, s:s, s?s, s?s}", "user", &need->user, "command",
                    &need->command, "path", &need->path, "cwd", &need->cwd) < 0 ||
        !*need->user || !*need->command)
        return -EPROTO;
    return 0;
}

struct asking {
    probe_done_fn *done;
    void *arg;
};

static void on_answer(void *arg, int rc, json_t *body, const char *text)
{
    struct asking *a = arg;
    const char *words = "";
    int exit = -1;

    if (rc == 0 && (json_unpack(body, "{s:i, s:s}", "exit", &exit, "words", &words) < 0 ||
                    (exit != 0 && exit != 126 && exit != 127))) {
        exit = -1;
        words = "its answer is malformed";
    }
    a->done(a->arg, exit, rc < 0 ? text : words);
    free(a);
}

static int ask_there(struct probes *p, const char *machine, const struct sched_need *need,
                     probe_done_fn *done, void *arg, struct oerr *e)
{
    json_t *body = probe_need_encode(need);
    struct asking *a = malloc(sizeof *a);
    int rc;

    if (!body || !a) {
        json_decref(body);
        free(a);
        return oerr_set(e, body ? -ENOMEM : -EINVAL,
                        "the question whether %s can run that could "
                        "not be put: %s",
                        machine, body ? "no memory" : "it is not UTF-8");
    }
    a->done = done;
    a->arg = arg;
    if (e)
        e->text[0] = '\0';
    rc = cluster_ask(p->cluster, machine, BUS_RUNNABLE, body, PROBE_ASK_MS, on_answer, a, e);
    if (rc < 0) {
        free(a);
        if (e && !e->text[0])
            oerr_set(e, rc, "%s cannot be asked: %s", machine, strerror(-rc));
    }
    return rc;
}

int probe_ask(struct probes *p, const char *machine, const struct sched_need *need,
              probe_done_fn *done, void *arg, struct oerr *e)
{
    if (!need->user || !*need->user || !need->command || !*need->command)
        return oerr_set(e, -EINVAL, "a probe needs a user and a command");
    if (strcmp(machine, p->self) == 0)
        return ask_here(p, need, done, arg, e);
    if (!p->cluster)
        return oerr_set(e, -EHOSTUNREACH, "%s cannot be asked", machine);
    return ask_there(p, machine, need, done, arg, e);
}

static void answer(void *arg, int exit, const char *words)
{
    struct bus_ask *ask = arg;
    json_t *body = exit < 0 ? NULL : json_pack("{s:i, s:s}", "exit", exit, "words", words);

    if (body)
        bus_answer(ask, body);
    else
        bus_refuse(ask, -ETIMEDOUT, "%s", words);
}

void probes_asked(struct probes *p, struct bus_ask *ask, const json_t *body)
{
    struct sched_need need;
    struct oerr e = { .text = "" };
    int rc;

    if (!p)
        rc = oerr_set(&e, -EAGAIN, "this machine cannot tell yet what it can run; ask again");
    else if ((rc = probe_need_decode(body, &need)) < 0)
        oerr_set(&e, rc, "what %s is to run is malformed", p->self);
    else
        rc = ask_here(p, &need, answer, ask, &e);
    if (rc < 0)
        bus_refuse(ask, rc, "%s", e.text);
}

/* ---- life */

static void on_closed_back(uv_handle_t *handle)
{
    unref(container_of((uv_async_t *)handle, struct probes, back));
}

static void on_closed_timer(uv_handle_t *handle)
{
    unref(container_of((uv_timer_t *)handle, struct probes, timer));
}

int probes_create(struct probes **out, struct loop *core, struct cluster *cluster, const char *self,
                  const char *mount)
{
    struct probes *p = calloc(1, sizeof *p);
    int rc = p && copy(&p->self, self) && copy(&p->mount, mount) ? 0 : -ENOMEM;

    if (rc == 0)
        rc = uv_async_init(loop_uv(core), &p->back, on_back);
    if (rc < 0) {
        if (p) {
            free(p->self);
            free(p->mount);
        }
        free(p);
        return rc;
    }
    uv_timer_init(loop_uv(core), &p->timer);
    pthread_mutex_init(&p->lock, NULL);
    probe_here_init(&p->here, p->self, p->mount);
    p->cluster = cluster;
    p->refs = 3;
    *out = p;
    return 0;
}

void probes_destroy(struct probes *p)
{
    struct work *w, *next, *list;

    if (!p)
        return;
    DL_FOREACH(p->waiting, w)
    {
        tell(w, -1, "the daemon stops");
    }
    DL_FOREACH(p->running, w)
    {
        tell(w, -1, "the daemon stops");
    }
    pthread_mutex_lock(&p->lock);
    p->closed = true; /* from here on those that run are their threads' */
    list = take_ptr(p->done);
    pthread_mutex_unlock(&p->lock);
    DL_FOREACH_SAFE(p->waiting, w, next)
    work_free(w);
    LL_FOREACH_SAFE2(list, w, next, next_done)
    work_free(w);
    uv_close((uv_handle_t *)&p->back, on_closed_back);
    uv_close((uv_handle_t *)&p->timer, on_closed_timer);
    unref(p);
}

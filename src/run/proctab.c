/*
 * proctab.c - the table of all processes, its replication, and who waits for an end.
 *
 * Records of jobs are published some at a time: one that comes and goes meanwhile is nobody's news.
 *
 * Change: {"seq": N, "set": [RECORD...], "drop": [NUMBER...]}; all: {"seq": N, "set": [RECORD...]}.
 * A replica of a machine is complete up to `seq`; a change that is not seq + 1 is not applied.
 * Waiters of one process share a broadcast flow, whose only writer is here: the verdict is written
 * to it once and it is closed.
 */
#include "run/proctab.h"
#include "base/cleanup.h"
#include "base/flow.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <utlist.h>

struct replica {
    char machine[ID_MAX];
    uint64_t seq;
    bool synced, lost;
    UT_hash_handle hh;
};

struct proctab {
    char self[ID_MAX];
    struct proctab_ops ops;
    void *arg;
    struct proc_rec *recs;
    struct replica *replicas;
    uint64_t seq;
    struct proc_rec *late; /* of jobs: not published as they are now */
    json_t *late_drops;    /* numbers; NULL: none */
};

int proctab_create(struct proctab **out, const char *self, const struct proctab_ops *ops, void *arg)
{
    struct proctab *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    snprintf(t->self, sizeof t->self, "%s", self);
    t->ops = *ops;
    t->arg = arg;
    *out = t;
    return 0;
}

static void discard(struct ioreq *io, ssize_t rc)
{
    (void)rc;
    slices_free(&io->bytes);
    free(io);
}

/* Tells all waiters, and closes: what they read ends behind the line. */
static void tell(struct flow **waiters, const char *line)
{
    struct flow *flow = take_ptr(*waiters);
    struct ioreq *io = calloc(1, sizeof *io);
    struct stream *w = NULL;

    if (!flow) {
        free(io);
        return;
    }
    if (!io || flow_open_writer(flow, false, &w) < 0 ||
        slices_copy(&io->bytes, line, strlen(line)) < 0) {
        if (w)
            w->ops->close(w, -EIO);
        free(io);
        flow_break(flow, -EIO);
    } else {
        io->done = discard;
        io->nonblock = true;
        w->ops->write(w, io);
        w->ops->close(w, 0);
    }
    flow_unref(flow);
}

static struct replica *replica_of(const struct proctab *t, const char *machine)
{
    struct replica *r;

    HASH_FIND_STR(t->replicas, machine, r);
    return r;
}

static void settle(struct proctab *t, struct proc_rec *r)
{
    char line[128];

    if (r->waiters && proctab_verdict(t, r, line))
        tell(&r->waiters, line);
}

static void remove_rec(struct proctab *t, struct proc_rec *r)
{
    char line[128];

    HASH_DEL(t->recs, r);
    if (r->late)
        DL_DELETE2(t->late, r, late_prev, late_next);
    if (r->waiters) {
        snprintf(line, sizeof line, "lost %s\n", r->machine);
        tell(&r->waiters, line);
    }
    if (t->ops.changed)
        t->ops.changed(t->arg, r, true);
    free(r);
}

void proctab_destroy(struct proctab *t)
{
    struct replica *p, *next_p;
    struct proc_rec *r, *next_r;

    if (!t)
        return;
    t->ops.changed = NULL;
    HASH_ITER (hh, t->recs, r, next_r)
        remove_rec(t, r);
    HASH_ITER (hh, t->replicas, p, next_p) {
        HASH_DEL(t->replicas, p);
        free(p);
    }
    json_decref(t->late_drops);
    free(t);
}

static struct proc_rec *find(const struct proctab *t, const char *name)
{
    struct proc_rec *r;

    HASH_FIND_STR(t->recs, name, r);
    return r;
}

const struct proc_rec *proctab_find(const struct proctab *t, const char *name)
{
    return find(t, name);
}

const struct proc_rec *proctab_next(const struct proctab *t, const struct proc_rec *after)
{
    return after ? after->hh.next : t->recs;
}

static int put(struct proctab *t, const struct proc_rec *from)
{
    struct proc_rec *r = find(t, from->name);

    if (!r) {
        r = calloc(1, sizeof *r);
        if (!r)
            return -ENOMEM;
        *r = *from;
        r->waiters = NULL;
        r->published = r->late = false;
        HASH_ADD_STR(t->recs, name, r);
    } else {
        struct proc_rec was = *r;

        *r = *from;
        r->waiters = was.waiters;
        r->published = was.published;
        r->late = was.late;
        r->late_prev = was.late_prev;
        r->late_next = was.late_next;
        r->hh = was.hh;
    }
    settle(t, r);
    if (t->ops.changed)
        t->ops.changed(t->arg, r, false);
    return 0;
}

/* Whether publishing can wait; then somebody will. */
static bool can_wait(struct proctab *t, const struct proc_rec *r)
{
    if (!t->ops.later || !*r->job)
        return false;
    if (!t->late && !t->late_drops)
        t->ops.later(t->arg);
    return true;
}

int proctab_set(struct proctab *t, const struct proc_rec *from)
{
    int rc = put(t, from);
    struct proc_rec *r = rc == 0 ? find(t, from->name) : NULL;

    if (!r)
        return rc;
    if (!can_wait(t, r)) {
        r->published = true;
        t->ops.publish(t->arg, json_pack("{s:I, s:[o]}", "seq", (json_int_t)++t->seq, "set",
                                         proc_rec_encode(r)));
    } else if (!r->late) {
        r->late = true;
        DL_APPEND2(t->late, r, late_prev, late_next);
    }
    return rc;
}

void proctab_publish(struct proctab *t)
{
    json_t *set = json_array();
    struct proc_rec *r;

    while ((r = t->late) != NULL) {
        DL_DELETE2(t->late, r, late_prev, late_next);
        r->late = false;
        r->published = true;
        json_array_append_new(set, proc_rec_encode(r));
    }
    if (json_array_size(set) > 0 || t->late_drops)
        t->ops.publish(t->arg, json_pack("{s:I, s:o, s:o*}", "seq", (json_int_t)++t->seq, "set",
                                         set, "drop", take_ptr(t->late_drops)));
    else
        json_decref(set);
}

void proctab_drop(struct proctab *t, const char *name)
{
    struct proc_rec *r = find(t, name);

    if (!r)
        return;
    if (!can_wait(t, r)) {
        t->ops.publish(t->arg, json_pack("{s:I, s:[I]}", "seq", (json_int_t)++t->seq, "drop",
                                         (json_int_t)r->number));
    } else if (r->published) {
        if (!t->late_drops)
            t->late_drops = json_array();
        json_array_append_new(t->late_drops, json_integer(r->number));
    }
    remove_rec(t, r);
}

uint64_t proctab_seq(const struct proctab *t)
{
    return t->seq;
}

json_t *proctab_all(const struct proctab *t)
{
    json_t *set = json_array();

    for (struct proc_rec *r = t->recs; r; r = r->hh.next)
        if (strcmp(r->machine, t->self) == 0) {
            r->published = true;
            json_array_append_new(set, proc_rec_encode(r));
        }
    return json_pack("{s:I, s:o}", "seq", (json_int_t)t->seq, "set", set);
}

static struct replica *replica_make(struct proctab *t, const char *machine)
{
    struct replica *p = replica_of(t, machine);

    if (!p && (p = calloc(1, sizeof *p)) != NULL) {
        snprintf(p->machine, sizeof p->machine, "%s", machine);
        HASH_ADD_STR(t->replicas, machine, p);
    }
    return p;
}

/* Decodes the records of `set`, which must all be from's. */
static int decode_set(const char *from, const json_t *set, struct proc_rec **out, size_t *n)
{
    *n = json_array_size(set);
    *out = calloc(*n + 1, sizeof **out);
    if (!*out)
        return -ENOMEM;
    for (size_t i = 0; i < *n; i++)
        if (proc_rec_decode(json_array_get(set, i), *out + i) < 0 ||
            strcmp((*out)[i].machine, from) != 0)
            return -EPROTO;
    return 0;
}

int proctab_apply(struct proctab *t, const char *from, const json_t *change)
{
    cleanup_free struct proc_rec *recs = NULL;
    json_t *set = NULL, *drop = NULL;
    struct replica *p = replica_of(t, from);
    json_int_t seq;
    size_t n;
    int rc;

    if (json_unpack((json_t *)change, "{s:I, s?o, s?o}", "seq", &seq, "set", &set, "drop", &drop) <
        0)
        return -EPROTO;
    if (p && p->synced && (uint64_t)seq <= p->seq)
        return 0;
    if (!p || !p->synced || (uint64_t)seq != p->seq + 1)
        return -EAGAIN;
    rc = decode_set(from, set, &recs, &n);
    if (rc < 0)
        return rc;
    p->seq = (uint64_t)seq;
    for (size_t i = 0; i < n; i++)
        put(t, &recs[i]);
    for (size_t i = 0; i < json_array_size(drop); i++) {
        char name[PROC_NAME_MAX];
        struct proc_rec *r;

        snprintf(name, sizeof name, "%s.%u", from,
                 (uint32_t)json_integer_value(json_array_get(drop, i)));
        if ((r = find(t, name)) != NULL)
            remove_rec(t, r);
    }
    return 0;
}

/* Of the machine's records, removes those that are not among these. */
static void retain(struct proctab *t, const char *machine, const struct proc_rec *keep, size_t n)
{
    struct proc_rec *r, *next;

    HASH_ITER (hh, t->recs, r, next) {
        size_t i = 0;

        if (strcmp(r->machine, machine) != 0)
            continue;
        while (i < n && keep[i].number != r->number)
            i++;
        if (i == n)
            remove_rec(t, r);
    }
}

int proctab_replace(struct proctab *t, const char *from, const json_t *all)
{
    cleanup_free struct proc_rec *recs = NULL;
    struct replica *p;
    json_t *set;
    json_int_t seq;
    size_t n;
    int rc;

    if (strcmp(from, t->self) == 0 ||
        json_unpack((json_t *)all, "{s:I, s:o}", "seq", &seq, "set", &set) < 0)
        return -EPROTO;
    rc = decode_set(from, set, &recs, &n);
    if (rc < 0)
        return rc;
    p = replica_make(t, from);
    if (!p)
        return -ENOMEM;
    retain(t, from, recs, n);
    p->seq = (uint64_t)seq;
    p->synced = true;
    p->lost = false;
    for (size_t i = 0; i < n; i++)
        put(t, &recs[i]);
    return 0;
}

int proctab_learn(struct proctab *t, const char *from, const json_t *record)
{
    struct proc_rec rec;

    if (proc_rec_decode(record, &rec) < 0 || strcmp(rec.machine, from) != 0)
        return -EPROTO;
    return find(t, rec.name) ? 0 : put(t, &rec);
}

bool proctab_behind(const struct proctab *t, const char *from, uint64_t seq)
{
    const struct replica *p = replica_of(t, from);

    /* A number that went back is a machine that started anew before anybody noticed it was gone. */
    return !p || !p->synced || p->seq != seq;
}

void proctab_lost(struct proctab *t, const char *machine)
{
    struct replica *p = replica_make(t, machine);
    struct proc_rec *r, *next;

    if (!p || p->lost)
        return;
    p->lost = true;
    HASH_ITER (hh, t->recs, r, next)
        if (strcmp(r->machine, machine) == 0)
            settle(t, r);
}

void proctab_back(struct proctab *t, const char *machine)
{
    struct replica *p = replica_of(t, machine);

    if (p)
        p->lost = p->synced = false;
}

void proctab_forget(struct proctab *t, const char *machine)
{
    struct replica *p = replica_of(t, machine);

    retain(t, machine, NULL, 0);
    if (p) {
        HASH_DEL(t->replicas, p);
        free(p);
    }
}

bool proctab_verdict(const struct proctab *t, const struct proc_rec *r, char line[128])
{
    const struct replica *p = replica_of(t, r->machine);

    if (r->state == PROC_ENDED && r->cause == CAUSE_LOST)
        snprintf(line, 128, "lost %s\n", r->machine);
    else if (r->state == PROC_ENDED && r->signal > 0)
        snprintf(line, 128, "signal %s\n", sigabbrev_np(r->signal) ? sigabbrev_np(r->signal) : "?");
    else if (r->state == PROC_ENDED)
        snprintf(line, 128, "exit %d\n", r->exit);
    else if (p && p->lost)
        snprintf(line, 128, "lost %s\n", r->machine);
    else
        return false;
    return true;
}

int proctab_wait(struct proctab *t, const char *name, struct stream **out)
{
    struct proc_rec *r = find(t, name);
    int rc;

    if (!r)
        return -ENOENT;
    if (!r->waiters) {
        rc = flow_create(&r->waiters, 4096, FLOW_BROADCAST);
        if (rc < 0)
            return rc;
    }
    rc = flow_open_reader(r->waiters, out);
    settle(t, r);
    return rc;
}

/*
 * registry_queue.c - committed commands, and carrying them out in batches.
 *
 * A batch is one transaction. Where it fails (a full disk, no memory) all of it is undone, the
 * queue stays as it was, and the next flush tries again. Answers and watches are told after the
 * commit; from inside, more may be queued: the flush under way carries it out too.
 */
#include "cluster/registry_private.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define BATCH_COMMANDS 1024
#define BATCH_BYTES    (8 << 20)
#define DEPTH_MAX      100

struct queued {
    uint64_t index;
    json_t *cmd; /* once it was parsed */
    bool parsed, malformed;
    struct registry_result result;
    struct queued *prev, *next;
    size_t len;
    char text[];
};

static void result_clear(struct registry_result *result)
{
    json_decref(result->body);
    *result = (struct registry_result){ 0 };
}

static void queued_free(struct queued *q)
{
    result_clear(&q->result);
    json_decref(q->cmd);
    free(q);
}

void queue_drop(struct registry *r, uint64_t index)
{
    struct queued *q, *tmp;

    DL_FOREACH_SAFE(r->queue, q, tmp)
    {
        if (q->index > index)
            break;
        DL_DELETE(r->queue, q);
        queued_free(q);
    }
}

int registry_committed(struct registry *r, uint64_t index, const void *text, size_t len)
{
    struct queued *q;

    if (index <= r->last)
        return 0;
    q = malloc(sizeof *q + len);
    if (!q) {
        /* What follows must not be applied without it. */
        r->stuck = true;
        return oerr_set(&r->trouble, -ENOMEM,
                        "memory ran out for what was agreed on: start oneosd again");
    }
    *q = (struct queued){ .index = index, .len = len };
    memcpy(q->text, text, len);
    DL_APPEND(r->queue, q);
    r->last = index;
    return 0;
}

/* ---- a batch */

/* What a command puts into a value or an answer must be one that jansson can read again, which has
 * a limit of its own. */
static bool too_deep(const json_t *j, unsigned left)
{
    const char *key;
    json_t *value;
    size_t i;

    if (left == 0)
        return true;
    json_object_foreach ((json_t *)j, key, value) {
        if (too_deep(value, left - 1))
            return true;
    }
    json_array_foreach (j, i, value) {
        if (too_deep(value, left - 1))
            return true;
    }
    return false;
}

/* What is no object is a command too: it fails. */
static int parse(struct queued *q)
{
    json_error_t error;

    if (q->parsed)
        return 0;
    q->cmd = json_loadb(q->text, q->len, JSON_REJECT_DUPLICATES, &error);
    if (!q->cmd && json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    q->malformed = !json_is_object(q->cmd) || too_deep(q->cmd, DEPTH_MAX);
    if (q->malformed) {
        json_decref(q->cmd);
        q->cmd = json_object();
        if (!q->cmd)
            return -ENOMEM;
    }
    q->parsed = true;
    return 0;
}

static int apply_one(struct registry_txn *t, struct queued *q)
{
    int rc = parse(q);

    if (rc < 0)
        return rc;
    result_clear(&q->result);
    t->index = q->index;
    if (!q->malformed)
        return registry_apply(t, q->cmd, &q->result);
    q->result.rc = oerr_set(&q->result.words, -EINVAL,
                            "a command is a JSON object, nested %d deep at most", DEPTH_MAX);
    return 0;
}

/* Applies from the front on; *last: the last one applied, NULL: none. */
static int apply_some(struct registry_txn *t, struct queued **last, struct oerr *e)
{
    struct queued *q;
    size_t n = 0, bytes = 0;
    int rc;

    *last = NULL;
    DL_FOREACH(t->r->queue, q)
    {
        if (++n > BATCH_COMMANDS || (bytes += q->len) > BATCH_BYTES + q->len)
            break;
        rc = apply_one(t, q);
        if (rc < 0) {
            *e = q->result.words;
            /* Those before a command that we do not know are good. */
            return rc == -EPROTONOSUPPORT && !t->failed && *last ? 0 : rc;
        }
        *last = q;
    }
    return 0;
}

/* Takes the batch off the queue and tells of it. */
static void tell_batch(struct registry *r, struct registry_txn *t, struct queued *last,
                       registry_applied *applied, void *arg)
{
    struct queued *batch = NULL, *q, *tmp;
    uint64_t end = last->index;

    DL_FOREACH_SAFE(r->queue, q, tmp)
    {
        if (q->index > end)
            break;
        DL_DELETE(r->queue, q);
        DL_APPEND(batch, q);
    }
    DL_FOREACH_SAFE(batch, q, tmp)
    {
        DL_DELETE(batch, q);
        if (applied)
            applied(arg, q->index, q->cmd, &q->result);
        queued_free(q);
    }
    if (!r->all_changed && r->watchers.all) {
        changes_last(&t->writes);
        watchers_tell(&r->watchers, &t->writes);
    }
}

static int flush_batch(struct registry *r, registry_applied *applied, void *arg, struct oerr *e)
{
    struct registry_txn t;
    struct queued *last;
    int rc = registry_begin(r, &t);

    if (rc < 0)
        return rc;
    rc = apply_some(&t, &last, e);
    if (rc < 0) {
        registry_abort(&t);
        return rc;
    }
    rc = registry_commit(&t, last->index);
    if (rc < 0)
        return rc;
    tell_batch(r, &t, last, applied, arg);
    changes_free(&t.writes);
    return 0;
}

/* ---- the flush */

static void in_trouble(struct registry *r, int rc, const struct oerr *words)
{
    struct oerr was = r->trouble;

    if (rc == 0) {
        if (was.text[0])
            log_info("registry", "it goes on");
        r->trouble.text[0] = '\0';
        return;
    }
    if (rc == -EPROTONOSUPPORT) {
        r->trouble = *words;
    } else if (rc == -EBADMSG) {
        r->stuck = true;
        store_distrust(&r->store);
        oerr_set(&r->trouble, rc, "%s is damaged: start oneosd again, then it is made anew",
                 r->store.path);
    } else {
        store_words(&r->store, rc, &r->trouble);
    }
    if (strcmp(was.text, r->trouble.text) != 0)
        log_error("registry", "%s", r->trouble.text);
}

int registry_flush(struct registry *r, registry_applied *applied, void *arg)
{
    struct oerr words = { "" };
    int rc = 0;

    if (r->flushing)
        return 0;
    if (r->stuck)
        return -EIO;
    r->flushing = true;
    while (rc == 0 && r->queue) {
        rc = registry_room(r, flush_batch(r, applied, arg, &words));
        if (rc == -EAGAIN)
            rc = 0;
        if (r->all_changed) {
            r->all_changed = false;
            watchers_tell(&r->watchers, NULL);
        }
    }
    r->flushing = false;
    in_trouble(r, rc, &words);
    return rc;
}

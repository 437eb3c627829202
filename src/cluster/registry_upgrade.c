/*
 * registry_upgrade.c - from the schema of a file or snapshot to ours, step by step.
 *
 * A step must commute with every command that an older program may have left in the log: upgrading
 * and then applying it comes to the same as applying it and then upgrading. Machines of two
 * versions upgrade at different times, and their states must not differ for it.
 */
#include "cluster/registry_private.h"
#include "base/cleanup.h"
#include "cluster/registry_tables.h"

#include <errno.h>

/* ---- 1 to 2: unended/USER counts the jobs of each user that have not ended */

static bool has_ended(const char *state)
{
    static const char *const over[] = { "done", "failed", "cancelled", "lost" };

    for (size_t i = 0; i < ARRAY_SIZE(over); i++)
        if (strcmp(state, over[i]) == 0)
            return true;
    return false;
}

static int count_job(json_t *counts, const json_t *job)
{
    const char *user, *state;
    json_int_t n;

    if (json_unpack((json_t *)job, "{s:s, s:s}", "user", &user, "state", &state) < 0 ||
        has_ended(state))
        return 0;
    n = json_integer_value(json_object_get(counts, user));
    return json_object_set_new(counts, user, json_integer(n + 1)) < 0 ? -ENOMEM : 0;
}

static int count_jobs(struct registry_txn *t, json_t *counts)
{
    char key[REGISTRY_KEY_MAX] = "";
    json_t *job;
    int rc;

    while ((rc = txn_next(t, "job/", key, key, &job)) == 0) {
        rc = count_job(counts, job);
        json_decref(job);
        if (rc < 0)
            return rc;
    }
    return rc == -ENOENT ? 0 : rc;
}

static int store_counts(struct registry_txn *t, json_t *counts)
{
    const char *user;
    json_t *n;
    int rc = 0;

    json_object_foreach (counts, user, n) {
        char key[REGISTRY_KEY_MAX];

        arg_key(key, "unended", user);
        if (rc == 0)
            rc = txn_put(t, key, json_incref(n));
    }
    return rc;
}

static int count_unended(struct registry_txn *t, struct oerr *e)
{
    json_t *counts = json_object();
    int rc = counts ? count_jobs(t, counts) : -ENOMEM;

    (void)e;
    if (rc == 0)
        rc = store_counts(t, counts);
    json_decref(counts);
    return rc;
}

/* ---- the steps */

/* The third has the same keys; what its commands may say is more. */
static int keep_all(struct registry_txn *t, struct oerr *e)
{
    (void)t, (void)e;
    return 0;
}

const struct registry_upgrade registry_upgrades[] = { { 1, count_unended },
                                                      { 2, keep_all },
                                                      { 0 } };

static int run_step(struct registry_txn *t, int from, const struct registry_upgrade *steps,
                    struct oerr *e)
{
    int rc;

    for (; steps->run; steps++) {
        if (steps->from == from) {
            rc = steps->run(t, e);
            return rc < 0 ? rc : txn_carry_out(t);
        }
    }
    return oerr_set(e, -EPROTONOSUPPORT,
                    "the registry has schema %d, which this oneosd can no longer upgrade: start "
                    "one that is a little older first",
                    from);
}

static int upgrade_to(struct registry_txn *t, json_t *meta, int to,
                      const struct registry_upgrade *steps, struct oerr *e)
{
    int from = (int)json_integer_value(json_object_get(meta, "schema")), rc;

    if (from < 1)
        return oerr_set(e, -EBADMSG, "the registry's state does not say its schema");
    if (from > to)
        return oerr_set(e, -EPROTONOSUPPORT,
                        "the registry's state was written by a newer oneosd (schema %d; this one "
                        "knows %d): start that one",
                        from, to);
    if (from == to)
        return 0;
    for (; from < to; from++) {
        rc = run_step(t, from, steps, e);
        if (rc < 0)
            return rc;
    }
    json_object_set_new(meta, "schema", json_integer(to));
    return txn_put_now(t, KEY_META, meta);
}

int txn_upgrade(struct registry_txn *t, int to, const struct registry_upgrade *steps,
                struct oerr *e)
{
    json_t *meta = NULL;
    int rc = txn_get(t, KEY_META, &meta);

    if (rc == -ENOENT)
        return oerr_set(e, -EBADMSG, "the registry's state does not say its schema");
    if (rc == 0)
        rc = upgrade_to(t, meta, to, steps, e);
    json_decref(meta);
    return rc;
}

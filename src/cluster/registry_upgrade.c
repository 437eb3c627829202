/*
 * registry_upgrade.c - from the schema of a file or snapshot to ours, step by step.
 *
 * A step must commute with every command that an older program may have left in the log: upgrading
 * and then applying it comes to the same as applying it and then upgrading. Machines of two
 * versions upgrade at different times, and their states must not differ for it.
 */
#include "cluster/registry_private.h"

#include <errno.h>

const struct registry_upgrade registry_upgrades[] = { { 0 } };

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

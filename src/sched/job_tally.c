/*
 * job_tally.c - how many jobs of each user have not ended, and the bound on them.
 *
 * The counts follow from the records alone, whatever the schema of a command; by what an older
 * program left they are counted once (registry_upgrade.c). Only the bound begins with a schema.
 */
#include "sched/job_cmd_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define BOUND_SINCE 2 /* schema */

struct tally {
    char user[JOB_USER_MAX];
    json_int_t was, by; /* before the command; what it changed */
    json_int_t made;    /* by the command so far */
    UT_hash_handle hh;
};

static void key_of(const char *user, char key[REGISTRY_KEY_MAX])
{
    snprintf(key, REGISTRY_KEY_MAX, UNENDED_KEY "%s", user);
}

static int load(struct work *w, const char *user, json_int_t *n)
{
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    int rc;

    key_of(user, key);
    rc = txn_get(w->t, key, &value);
    *n = json_integer_value(value);
    json_decref(value);
    return rc == -ENOENT ? 0 : rc;
}

static int get(struct work *w, const char *user, struct tally **out)
{
    struct tally *t;
    int rc;

    HASH_FIND_STR(w->tallies, user, t);
    *out = t;
    if (t)
        return 0;
    t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    strcpy(t->user, user);
    rc = load(w, user, &t->was);
    if (rc == 0) {
        HASH_ADD_STR(w->tallies, user, t);
        rc = t->hh.tbl ? 0 : -ENOMEM;
    }
    if (rc < 0)
        free(t);
    *out = rc < 0 ? NULL : t;
    return rc;
}

bool tally_bounds(const json_t *cmd)
{
    return json_integer_value(json_object_get(cmd, "v")) >= BOUND_SINCE;
}

int tally_room(struct work *w, const char *user, struct oerr *e)
{
    struct tally *t;
    int rc;

    if (!w->bounded || strcmp(user, "root") == 0)
        return 0;
    rc = get(w, user, &t);
    if (rc < 0)
        return rc;
    if (t->was + t->made >= JOBS_USER_MAX)
        return oerr_set(e, -EDQUOT,
                        "%s has %lld jobs that have not ended, and may have %d: wait until some "
                        "have ended, or cancel some",
                        user, (long long)t->was, JOBS_USER_MAX);
    t->made++;
    return 0;
}

int tally_move(struct work *w, const char *user, int by)
{
    struct tally *t;
    int rc = get(w, user, &t);

    if (rc == 0)
        t->by += by;
    return rc;
}

static int store(struct work *w, const struct tally *t)
{
    char key[REGISTRY_KEY_MAX];
    int rc;

    key_of(t->user, key);
    if (t->was + t->by > 0)
        return txn_put(w->t, key, json_integer(t->was + t->by));
    rc = txn_del(w->t, key);
    return rc == -ENOENT ? 0 : rc;
}

int tally_end(struct work *w, int rc)
{
    struct tally *t, *tmp;

    HASH_ITER (hh, w->tallies, t, tmp) {
        if (rc == 0 && t->by)
            rc = store(w, t);
        HASH_DEL(w->tallies, t);
        free(t);
    }
    return rc;
}

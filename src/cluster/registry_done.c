/*
 * registry_done.c - what was answered to whom, for those who ask again.
 *
 * A command carries "from": [ORIGIN, SERIAL, FLOOR]: who asks, its number, and the lowest number
 * that the asker still waits for. Kept, as part of the state and so the same everywhere:
 *
 *     _done/ORIGIN/SERIAL   [rc] or [rc, words, body]
 *     _from/ORIGIN          [floor, index of its last command]
 *
 * Invariants: no _done is below its origin's floor. A number below the floor was answered, and the
 * asker had the answer, so one that still comes is a straggler: it is refused and changes nothing.
 * At most ORIGINS_MAX origins: a new one drives out the one that has been silent for longest.
 */
#include "cluster/registry_private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define ORIGIN_MAX  96 /* with its NUL */
#define ORIGINS_MAX 4096

int asked_parse(const json_t *cmd, struct asked *a, struct oerr *e)
{
    const json_t *from = json_object_get(cmd, "from");
    json_int_t serial, floor;

    *a = (struct asked){ 0 };
    if (!from)
        return 0;
    if (json_unpack((json_t *)from, "[s,I,I!]", &a->origin, &serial, &floor) < 0 || !*a->origin ||
        strlen(a->origin) >= ORIGIN_MAX || strchr(a->origin, '/') || floor < 0 || serial < floor) {
        a->origin = NULL;
        return oerr_set(e, -EINVAL,
                        "`from` of a command is [ORIGIN, SERIAL, FLOOR] with FLOOR <= SERIAL");
    }
    a->serial = (uint64_t)serial;
    a->floor = (uint64_t)floor;
    return 0;
}

static void done_key(const struct asked *a, uint64_t serial, char key[REGISTRY_KEY_MAX])
{
    snprintf(key, REGISTRY_KEY_MAX, KEY_DONE "%s/%016" PRIx64, a->origin, serial);
}

static void from_key(const char *origin, char key[REGISTRY_KEY_MAX])
{
    snprintf(key, REGISTRY_KEY_MAX, KEY_FROM "%s", origin);
}

/* What is kept of the origin: -ENOENT nothing. */
static int from_get(struct registry_txn *t, const char *key, uint64_t *floor, uint64_t *index)
{
    json_t *from = NULL;
    json_int_t f = 0, i = 0;
    int rc = txn_get(t, key, &from);

    if (rc == 0 && json_unpack(from, "[I,I]", &f, &i) < 0)
        rc = t->failed = -EBADMSG;
    json_decref(from);
    *floor = (uint64_t)f;
    *index = (uint64_t)i;
    return rc;
}

/* ---- finding */

static int decode(const json_t *kept, struct registry_result *result)
{
    const char *words = "";

    if (json_unpack((json_t *)kept, "[i]", &result->rc) < 0)
        return -EBADMSG;
    if (json_array_size(kept) > 1)
        words = json_string_value(json_array_get(kept, 1));
    snprintf(result->words.text, sizeof result->words.text, "%s", words ? words : "");
    result->body = json_incref(json_array_get(kept, 2));
    return 1;
}

int done_find(struct registry_txn *t, const struct asked *a, struct registry_result *result)
{
    char key[REGISTRY_KEY_MAX];
    uint64_t floor, index;
    json_t *kept = NULL;
    int rc;

    if (!a->origin)
        return 0;
    done_key(a, a->serial, key);
    rc = txn_get(t, key, &kept);
    if (rc == 0) {
        rc = decode(kept, result);
        if (rc < 0)
            t->failed = rc;
        json_decref(kept);
        return rc;
    }
    if (rc != -ENOENT)
        return rc;
    from_key(a->origin, key);
    rc = from_get(t, key, &floor, &index);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (a->serial >= floor)
        return 0;
    result->rc = oerr_set(&result->words, -EALREADY,
                          "command %" PRIu64 " of %s was carried out before, and its result is "
                          "forgotten",
                          a->serial, a->origin);
    return 1;
}

/* ---- keeping */

static json_t *encode(const struct registry_result *result)
{
    const char *words = result->rc < 0 ? result->words.text : "";

    if (result->body)
        return json_pack("[i,s,O]", result->rc, words, result->body);
    return result->rc < 0 ? json_pack("[i,s]", result->rc, words) : json_pack("[i]", 0);
}

static int del_now(struct registry_txn *t, const char *key)
{
    int rc = store_del(t->mdb, t->dbi, key);

    if (rc == 0)
        return 0;
    return t->failed = store_write_errno(&t->r->store, rc);
}

/* Those of the origin below serial `to`. */
static int forget(struct registry_txn *t, const struct asked *a, uint64_t to)
{
    char prefix[REGISTRY_KEY_MAX], end[REGISTRY_KEY_MAX], key[REGISTRY_KEY_MAX];
    int rc;

    snprintf(prefix, sizeof prefix, KEY_DONE "%s/", a->origin);
    done_key(a, to, end);
    while ((rc = txn_next(t, prefix, "", key, NULL)) == 0 && strcmp(key, end) < 0) {
        rc = del_now(t, key);
        if (rc < 0)
            return rc;
    }
    return rc == -ENOENT ? 0 : rc;
}

/* Room for a new origin: the one that was silent for longest goes. */
static int drive_out(struct registry_txn *t)
{
    char key[REGISTRY_KEY_MAX] = "", oldest[REGISTRY_KEY_MAX] = "";
    uint64_t floor, index, least = UINT64_MAX;
    int rc;

    if (txn_count(t, KEY_FROM) < ORIGINS_MAX || t->failed)
        return t->failed;
    while ((rc = txn_next(t, KEY_FROM, key, key, NULL)) == 0) {
        rc = from_get(t, key, &floor, &index);
        if (rc < 0)
            return rc;
        if (index < least) {
            least = index;
            strcpy(oldest, key);
        }
    }
    if (rc != -ENOENT)
        return rc;
    rc = forget(t, &(struct asked){ .origin = oldest + strlen(KEY_FROM) }, UINT64_MAX);
    return rc < 0 ? rc : del_now(t, oldest);
}

int done_keep(struct registry_txn *t, const struct asked *a, const struct registry_result *result)
{
    char key[REGISTRY_KEY_MAX];
    uint64_t floor = 0, index;
    json_t *value;
    int rc;

    if (!a->origin)
        return 0;
    from_key(a->origin, key);
    rc = from_get(t, key, &floor, &index);
    if (rc == -ENOENT)
        rc = drive_out(t);
    if (rc == 0 && a->floor > floor) {
        floor = a->floor;
        rc = forget(t, a, floor);
    }
    if (rc < 0)
        return rc;
    value = json_pack("[I,I]", (json_int_t)floor, (json_int_t)t->index);
    rc = txn_put_now(t, key, value);
    json_decref(value);
    if (rc < 0)
        return rc;
    done_key(a, a->serial, key);
    value = encode(result);
    rc = txn_put_now(t, key, value);
    json_decref(value);
    return rc;
}

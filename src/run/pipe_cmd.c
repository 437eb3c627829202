/*
 * pipe_cmd.c - the registry's commands about pipes, and their fields.
 *
 *   pipe.make     name mode capacity owner perm excl at_us
 *   pipe.remove   name uid
 *   pipe.set      name uid [mode] [capacity] [perm] over
 *   pipe.hold     name uid machine inc over
 *   pipe.release  name uid epoch
 *
 * The value of pipe/NAME: {"uid", "mode", "capacity", "owner", "perm", "made_us", "epoch"}, and
 * while it is held {"holder", "inc"}.
 *
 * Invariants: an epoch of a uid belongs to one holder in one life; a hold changes only into none,
 * or, by `over`, into the next.
 */
#include "run/pipe_cmd.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static const char *const modes[] = { [FLOW_STREAM] = "stream", [FLOW_BROADCAST] = "broadcast" };

static int mode_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcmp(name, modes[i]) == 0)
            return (int)i;
    return -1;
}

/* ---- the record */

static json_t *encode(const struct pipe_info *p)
{
    json_t *value =
        json_pack("{s:I, s:s, s:I, s:s, s:i, s:I, s:I}", "uid", (json_int_t)p->uid, "mode",
                  modes[p->mode], "capacity", (json_int_t)p->capacity, "owner", p->owner, "perm",
                  (int)p->perm, "made_us", (json_int_t)p->made_us, "epoch", (json_int_t)p->epoch);

    if (value && p->holder[0] &&
        (json_object_set_new(value, "holder", json_string(p->holder)) < 0 ||
         json_object_set_new(value, "inc", json_integer((json_int_t)p->incarnation)) < 0)) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

/* The fields at the tail are optional, so that a later version can add some. */
int pipe_info_decode(const char *name, const json_t *value, struct pipe_info *out)
{
    json_int_t uid, capacity, made, epoch, inc = 0;
    const char *mode, *owner, *holder = "";
    int perm, m;

    if (json_unpack((json_t *)value, "{s:I, s:s, s:I, s:s, s:i, s:I, s:I, s?s, s?I}", "uid", &uid,
                    "mode", &mode, "capacity", &capacity, "owner", &owner, "perm", &perm, "made_us",
                    &made, "epoch", &epoch, "holder", &holder, "inc", &inc) < 0)
        return -EPROTO;
    m = mode_named(mode);
    if (m < 0 || strlen(name) > PIPE_NAME_MAX || strlen(owner) >= PIPE_OWNER_MAX ||
        strlen(holder) >= ID_MAX)
        return -EPROTO;
    *out = (struct pipe_info){ .uid = (uint64_t)uid,
                               .incarnation = (uint64_t)inc,
                               .epoch = (uint64_t)epoch,
                               .mode = (enum flow_mode)m,
                               .capacity = (uint64_t)capacity,
                               .perm = (unsigned)perm & 0777,
                               .made_us = (uint64_t)made };
    strcpy(out->name, name);
    strcpy(out->owner, owner);
    strcpy(out->holder, holder);
    return 0;
}

/* ---- what a command names */

/* What stands in the folder pipes/ beside the pipes. */
static const char *const reserved[] = { ".", "..", "ctl", "error", "status", "all.jsonl" };

int pipe_check_name(const char *name, struct oerr *e)
{
    size_t len = strlen(name);
    json_t *text;

    if (len == 0)
        return oerr_set(e, -EINVAL, "a pipe needs a name");
    if (len > PIPE_NAME_MAX)
        return oerr_set(e, -ENAMETOOLONG, "the pipe name %.40s... is longer than %d bytes", name,
                        PIPE_NAME_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return oerr_set(e, -EINVAL, "%s is not a name for a pipe; choose another", name);
    for (size_t i = 0; i < len; i++)
        if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return oerr_set(e, -EINVAL,
                            "the pipe name %s has a slash or a control character; use others",
                            name);
    text = json_string(name);
    if (!text)
        return oerr_set(e, -EINVAL, "the pipe name %s is not UTF-8", name);
    json_decref(text);
    return 0;
}

static int check_capacity(json_int_t capacity, struct oerr *e)
{
    if (capacity >= PIPE_CAPACITY_MIN && capacity <= PIPE_CAPACITY_MAX)
        return 0;
    return oerr_set(e, -EINVAL, "the capacity of a pipe is from %d to %d bytes", PIPE_CAPACITY_MIN,
                    PIPE_CAPACITY_MAX);
}

static int check_mode(const char *mode, struct oerr *e)
{
    if (mode_named(mode) >= 0)
        return 0;
    return oerr_set(e, -EINVAL, "the mode of a pipe is stream or broadcast, not '%.40s'", mode);
}

static int malformed(const json_t *cmd, struct oerr *e)
{
    const char *name = json_string_value(json_object_get(cmd, "cmd"));

    return oerr_set(e, -EINVAL, "the command %s lacks a field, or one is of another kind",
                    name ? name : "about a pipe");
}

static void key_of(const char *name, char key[REGISTRY_KEY_MAX])
{
    snprintf(key, REGISTRY_KEY_MAX, PIPE_KEY "%s", name);
}

/* The record under a name; -ENOENT, -EPROTO. */
static int load(struct registry_txn *t, const char *name, struct pipe_info *p)
{
    char key[REGISTRY_KEY_MAX];
    json_t *value = NULL;
    int rc;

    key_of(name, key);
    rc = txn_get(t, key, &value);
    if (rc == 0)
        rc = pipe_info_decode(name, value, p);
    json_decref(value);
    return rc;
}

/* The pipe that a command names, with its uid. */
static int load_named(struct registry_txn *t, const json_t *cmd, struct pipe_info *p,
                      struct oerr *e)
{
    const char *name;
    json_int_t uid;
    int rc;

    if (json_unpack((json_t *)cmd, "{s:s, s:I}", "name", &name, "uid", &uid) < 0)
        return malformed(cmd, e);
    rc = pipe_check_name(name, e);
    if (rc < 0)
        return rc;
    rc = load(t, name, p);
    if (rc == -ENOENT || (rc == 0 && p->uid != (uint64_t)uid))
        return oerr_set(e, -ENOENT, "there is no pipe %s (any more)", name);
    if (rc < 0)
        oerr_set(e, rc, "what the registry has of pipe %s cannot be read", name);
    return rc;
}

/* Ends a hold of which somebody knows that it is over. */
static void end_hold(const json_t *cmd, const char *field, struct pipe_info *p)
{
    json_t *over = json_object_get(cmd, field);

    if (!p->holder[0] || !over || (uint64_t)json_integer_value(over) != p->epoch)
        return;
    p->holder[0] = '\0';
    p->incarnation = 0;
}

static int store(struct registry_txn *t, const struct pipe_info *p, json_t **result)
{
    json_t *value = encode(p);
    char key[REGISTRY_KEY_MAX];

    if (!value)
        return -ENOMEM;
    key_of(p->name, key);
    if (result)
        *result = json_incref(value);
    return txn_put(t, key, value);
}

/* ---- pipe.make */

json_t *pipe_make_fields(const char *name, const struct pipe_options *opt)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:i, s:b, s:I}", "name", name, "mode", modes[opt->mode],
                     "capacity", (json_int_t)(opt->capacity ? opt->capacity : PIPE_CAPACITY),
                     "owner", opt->owner ? opt->owner : "", "perm", (int)opt->perm, "excl",
                     opt->excl, "at_us", (json_int_t)opt->made_us);
}

/* Indexes begin anew with a new registry, and this machine may still use a pipe of the one before:
 * the time of the making tells them apart. */
static uint64_t new_uid(const struct registry_txn *t, json_int_t at_us)
{
    return txn_index(t) << 20 | ((uint64_t)at_us & 0xfffff);
}

static int check_make(const char *name, const char *mode, json_int_t capacity, const char *owner,
                      struct oerr *e)
{
    int rc = pipe_check_name(name, e);

    if (rc == 0)
        rc = check_mode(mode, e);
    if (rc == 0)
        rc = check_capacity(capacity, e);
    if (rc == 0 && strlen(owner) >= PIPE_OWNER_MAX)
        rc = oerr_set(e, -EINVAL, "the user name %.100s is too long", owner);
    return rc;
}

static int make(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *name, *mode, *owner;
    json_int_t capacity, at_us;
    struct pipe_info p;
    int rc, perm, excl;

    if (json_unpack((json_t *)cmd, "{s:s, s:s, s:I, s:s, s:i, s:b, s:I}", "name", &name, "mode",
                    &mode, "capacity", &capacity, "owner", &owner, "perm", &perm, "excl", &excl,
                    "at_us", &at_us) < 0)
        return malformed(cmd, e);
    rc = check_make(name, mode, capacity, owner, e);
    if (rc < 0)
        return rc;
    rc = load(t, name, &p);
    if (rc == 0 && excl)
        return oerr_set(e, -EEXIST, "pipe %s exists", name);
    if (rc == 0) {
        *result = encode(&p);
        return 0;
    }
    if (rc != -ENOENT)
        return oerr_set(e, rc, "what the registry has of pipe %s cannot be read", name);
    if (txn_count(t, PIPE_KEY) >= PIPES_MAX)
        return oerr_set(e, -ENOSPC, "there are %d pipes, which is the most; remove some",
                        PIPES_MAX);
    p = (struct pipe_info){ .uid = new_uid(t, at_us),
                            .mode = (enum flow_mode)mode_named(mode),
                            .capacity = (uint64_t)capacity,
                            .perm = (unsigned)perm & 0777,
                            .made_us = (uint64_t)at_us };
    strcpy(p.name, name);
    strcpy(p.owner, owner);
    return store(t, &p, result);
}

/* ---- pipe.remove */

json_t *pipe_remove_fields(const char *name, uint64_t uid)
{
    return json_pack("{s:s, s:I}", "name", name, "uid", (json_int_t)uid);
}

static int remove_pipe(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX];
    struct pipe_info p;
    int rc = load_named(t, cmd, &p, e);

    (void)result;
    if (rc < 0)
        return rc;
    key_of(p.name, key);
    return txn_del(t, key);
}

/* ---- pipe.set */

json_t *pipe_set_fields(const char *name, uint64_t uid, const struct pipe_set *set, uint64_t over)
{
    json_t *f = json_pack("{s:s, s:I, s:I}", "name", name, "uid", (json_int_t)uid, "over",
                          (json_int_t)over);

    if (f &&
        ((set->mode >= 0 && json_object_set_new(f, "mode", json_string(modes[set->mode])) < 0) ||
         (set->capacity &&
          json_object_set_new(f, "capacity", json_integer((json_int_t)set->capacity)) < 0) ||
         (set->perm >= 0 && json_object_set_new(f, "perm", json_integer(set->perm)) < 0))) {
        json_decref(f);
        f = NULL;
    }
    return f;
}

static int set(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *mode = NULL;
    json_int_t capacity = 0;
    struct pipe_info p;
    int perm = -1, rc = load_named(t, cmd, &p, e);

    if (rc < 0)
        return rc;
    if (json_unpack((json_t *)cmd, "{s?s, s?I, s?i}", "mode", &mode, "capacity", &capacity, "perm",
                    &perm) < 0)
        return malformed(cmd, e);
    if (mode && (rc = check_mode(mode, e)) < 0)
        return rc;
    if (capacity && (rc = check_capacity(capacity, e)) < 0)
        return rc;
    end_hold(cmd, "over", &p);
    if (mode && (enum flow_mode)mode_named(mode) != p.mode) {
        if (p.holder[0])
            return oerr_set(e, -EBUSY,
                            "the mode of pipe %s cannot change while it is in use; wait until its "
                            "ends are closed and it is empty",
                            p.name);
        p.mode = (enum flow_mode)mode_named(mode);
    }
    if (capacity)
        p.capacity = (uint64_t)capacity;
    if (perm >= 0)
        p.perm = (unsigned)perm & 0777;
    return store(t, &p, result);
}

/* ---- pipe.hold, pipe.release */

json_t *pipe_hold_fields(const char *name, uint64_t uid, const char *machine, uint64_t incarnation,
                         uint64_t over)
{
    return json_pack("{s:s, s:I, s:s, s:I, s:I}", "name", name, "uid", (json_int_t)uid, "machine",
                     machine, "inc", (json_int_t)incarnation, "over", (json_int_t)over);
}

static int hold(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *machine;
    struct pipe_info p;
    json_int_t inc;
    int rc = load_named(t, cmd, &p, e);

    if (rc < 0)
        return rc;
    if (json_unpack((json_t *)cmd, "{s:s, s:I}", "machine", &machine, "inc", &inc) < 0 ||
        !*machine || strlen(machine) >= ID_MAX)
        return malformed(cmd, e);
    end_hold(cmd, "over", &p);
    if (p.holder[0]) {
        *result = encode(&p);
        return 0;
    }
    strcpy(p.holder, machine);
    p.incarnation = (uint64_t)inc;
    p.epoch++;
    return store(t, &p, result);
}

json_t *pipe_release_fields(const char *name, uint64_t uid, uint64_t epoch)
{
    return json_pack("{s:s, s:I, s:I}", "name", name, "uid", (json_int_t)uid, "epoch",
                     (json_int_t)epoch);
}

static int release(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    struct pipe_info p;
    int rc = load_named(t, cmd, &p, e);

    (void)result;
    if (rc < 0 || !p.holder[0])
        return rc;
    end_hold(cmd, "epoch", &p);
    return p.holder[0] ? 0 : store(t, &p, NULL);
}

const struct registry_command pipe_commands[] = {
    { "pipe.make", 1, make }, { "pipe.remove", 1, remove_pipe }, { "pipe.set", 1, set },
    { "pipe.hold", 1, hold }, { "pipe.release", 1, release },    { 0 },
};

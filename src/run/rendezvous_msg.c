/*
 * rendezvous_msg.c - what the rendezvous of machines say to each other, as JSON.
 *
 *   {"k": "claim", "name"}              {"k": "ok"}
 *   {"k": "update", "removed", pipe}    {"k": "exists", "home", "inc", "ver"}
 *   {"k": "sync", "homes": [[home, inc, ver]...]}
 *   {"k": "pull", "home"}               {"k": "list", "home", "inc", "ver", "pipes": [pipe...]}
 *   {"k": "open", uid, "by"}            {"k": "pipe", pipe}
 *   {"k": "release", uid, "epoch"}      {"k": "yield"}
 *   {"k": "remove", uid}                {"k": "refuse", "rc", "text"}
 *   {"k": "set", uid, "mode", "cap"}
 *
 *   uid: "home", "inc", "serial". pipe: uid, "name", "holder", "hinc", "epoch", "mode", "cap",
 *   "owner", "created", "ver"; in a list without home and inc, which are the list's.
 *
 * A list of RV_PIPES_MAX pipes with the longest names stays below BUS_BODY_MAX.
 */
#include "run/rendezvous_msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const modes[] = { [FLOW_STREAM] = "stream", [FLOW_BROADCAST] = "broadcast" };

/* ---- fields: encode */

static int put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value);
}

static int put_u64(json_t *o, const char *key, uint64_t v)
{
    return v <= INT64_MAX ? put(o, key, json_integer((json_int_t)v)) : -1;
}

static int put_text(json_t *o, const char *key, const char *text)
{
    return put(o, key, json_string(text));
}

static int put_known(json_t *o, const struct rv_known *k)
{
    return put_text(o, "home", k->home) | put_u64(o, "inc", k->incarnation) |
           put_u64(o, "ver", k->version);
}

static int put_uid(json_t *o, const struct pipe_uid *uid)
{
    return put_text(o, "home", uid->home) | put_u64(o, "inc", uid->incarnation) |
           put_u64(o, "serial", uid->serial);
}

/* All but the uid. */
static int put_pipe(json_t *o, const struct pipe_info *p)
{
    return put_text(o, "name", p->name) | put_text(o, "holder", p->holder) |
           put_u64(o, "hinc", p->holder_incarnation) | put_u64(o, "epoch", p->epoch) |
           put_text(o, "mode", modes[p->mode]) | put_u64(o, "cap", p->capacity) |
           put_text(o, "owner", p->owner) | put_u64(o, "created", p->created_us) |
           put_u64(o, "ver", p->version);
}

/* ---- fields: decode. Each says what is wrong once. */

struct in {
    const json_t *o;
    struct oerr *e;
};

static int bad(const struct in *in, const char *key)
{
    return oerr_set(in->e, -EPROTO, "a message about pipes has no good \"%s\"", key);
}

static int get_u64(const struct in *in, const char *key, uint64_t *v)
{
    const json_t *j = json_object_get(in->o, key);

    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return bad(in, key);
    *v = (uint64_t)json_integer_value(j);
    return 0;
}

/* A text that fits, without NULs. */
static int get_text(const struct in *in, const char *key, char *to, size_t size)
{
    const json_t *j = json_object_get(in->o, key);
    size_t n = json_string_length(j);

    if (!json_is_string(j) || n >= size || strlen(json_string_value(j)) != n)
        return bad(in, key);
    memset(to, 0, size);
    memcpy(to, json_string_value(j), n);
    return 0;
}

static int get_id(const struct in *in, const char *key, char to[ID_MAX])
{
    int rc = get_text(in, key, to, ID_MAX);

    return rc == 0 && identity_check_id(to, NULL) < 0 ? bad(in, key) : rc;
}

static int get_name(const struct in *in, char to[PIPE_NAME_MAX + 1])
{
    int rc = get_text(in, "name", to, PIPE_NAME_MAX + 1);

    return rc == 0 && pipe_check_name(to, NULL) < 0 ? bad(in, "name") : rc;
}

static int get_known(const struct in *in, struct rv_known *k)
{
    int rc = get_id(in, "home", k->home);

    if (rc == 0)
        rc = get_u64(in, "inc", &k->incarnation);
    if (rc == 0)
        rc = get_u64(in, "ver", &k->version);
    return rc;
}

static int get_serial(const struct in *in, uint64_t *serial)
{
    int rc = get_u64(in, "serial", serial);

    return rc == 0 && *serial == 0 ? bad(in, "serial") : rc;
}

static int get_uid(const struct in *in, struct pipe_uid *uid)
{
    int rc = get_id(in, "home", uid->home);

    if (rc == 0)
        rc = get_u64(in, "inc", &uid->incarnation);
    if (rc == 0)
        rc = get_serial(in, &uid->serial);
    return rc;
}

static int get_mode(const struct in *in, enum flow_mode *mode)
{
    const char *text = json_string_value(json_object_get(in->o, "mode"));

    for (size_t i = 0; text && i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(text, modes[i]) == 0) {
            *mode = (enum flow_mode)i;
            return 0;
        }
    return bad(in, "mode");
}

static int get_capacity(const struct in *in, uint64_t *capacity)
{
    int rc = get_u64(in, "cap", capacity);

    if (rc == 0 && (*capacity < PIPE_CAPACITY_MIN || *capacity > PIPE_CAPACITY_MAX))
        rc = bad(in, "cap");
    return rc;
}

static int get_holder(const struct in *in, struct pipe_info *p)
{
    int rc = get_text(in, "holder", p->holder, sizeof p->holder);

    if (rc == 0 && p->holder[0])
        rc = get_id(in, "holder", p->holder);
    if (rc == 0)
        rc = get_u64(in, "hinc", &p->holder_incarnation);
    if (rc == 0)
        rc = get_u64(in, "epoch", &p->epoch);
    return rc;
}

/* All but the uid. */
static int get_pipe(const struct in *in, struct pipe_info *p)
{
    int rc = get_name(in, p->name);

    if (rc == 0)
        rc = get_holder(in, p);
    if (rc == 0)
        rc = get_mode(in, &p->mode);
    if (rc == 0)
        rc = get_capacity(in, &p->capacity);
    if (rc == 0)
        rc = get_text(in, "owner", p->owner, sizeof p->owner);
    if (rc == 0)
        rc = get_u64(in, "created", &p->created_us);
    if (rc == 0)
        rc = get_u64(in, "ver", &p->version);
    return rc;
}

/* The array under that key, with at most max things in it, and room for them. */
static int get_array(const struct in *in, const char *key, size_t max, size_t size,
                     const json_t **array, void *room)
{
    void *mem;

    *array = json_object_get(in->o, key);
    if (!json_is_array(*array) || json_array_size(*array) > max)
        return bad(in, key);
    mem = calloc(json_array_size(*array) + 1, size);
    if (!mem)
        return -ENOMEM;
    memcpy(room, &mem, sizeof mem);
    return 0;
}

/* ---- messages */

static int put_nothing(json_t *o, const struct rv_msg *m)
{
    (void)o;
    (void)m;
    return 0;
}

static int get_nothing(const struct in *in, struct rv_msg *m)
{
    (void)in;
    (void)m;
    return 0;
}

static int put_claim(json_t *o, const struct rv_msg *m)
{
    return put_text(o, "name", m->u.name);
}

static int get_claim(const struct in *in, struct rv_msg *m)
{
    return get_name(in, m->u.name);
}

static int put_update(json_t *o, const struct rv_msg *m)
{
    const struct pipe_info *p = &m->u.update.pipe;
    int rc = put_uid(o, &p->uid) | put(o, "removed", json_boolean(m->u.update.removed));

    return rc | (m->u.update.removed ? put_u64(o, "ver", p->version) : put_pipe(o, p));
}

static int get_update(const struct in *in, struct rv_msg *m)
{
    const json_t *removed = json_object_get(in->o, "removed");
    struct pipe_info *p = &m->u.update.pipe;
    int rc = get_uid(in, &p->uid);

    if (rc == 0 && !json_is_boolean(removed))
        rc = bad(in, "removed");
    m->u.update.removed = json_is_true(removed);
    if (rc == 0)
        rc = m->u.update.removed ? get_u64(in, "ver", &p->version) : get_pipe(in, p);
    return rc == 0 && p->version == 0 ? bad(in, "ver") : rc;
}

static int put_sync(json_t *o, const struct rv_msg *m)
{
    json_t *homes = json_array();
    int rc = put(o, "homes", homes);

    for (size_t i = 0; i < m->u.sync.n && rc == 0; i++) {
        const struct rv_known *k = &m->u.sync.v[i];

        rc = k->incarnation <= INT64_MAX && k->version <= INT64_MAX
                 ? json_array_append_new(homes,
                                         json_pack("[s, I, I]", k->home, (json_int_t)k->incarnation,
                                                   (json_int_t)k->version))
                 : -1;
    }
    return rc;
}

static int get_home(const struct in *in, const json_t *row, struct rv_known *k)
{
    const char *home;
    json_int_t inc, ver;

    if (json_unpack((json_t *)row, "[s, I, I!]", &home, &inc, &ver) < 0 ||
        identity_check_id(home, NULL) < 0 || inc < 0 || ver < 0)
        return bad(in, "homes");
    strcpy(k->home, home);
    k->incarnation = (uint64_t)inc;
    k->version = (uint64_t)ver;
    return 0;
}

static int get_sync(const struct in *in, struct rv_msg *m)
{
    const json_t *homes;
    int rc = get_array(in, "homes", RV_HOMES_MAX, sizeof *m->u.sync.v, &homes, &m->u.sync.v);

    for (size_t i = 0; rc == 0 && i < json_array_size(homes); i++) {
        rc = get_home(in, json_array_get(homes, i), &m->u.sync.v[i]);
        m->u.sync.n = i + 1;
    }
    return rc;
}

static int put_pull(json_t *o, const struct rv_msg *m)
{
    return put_text(o, "home", m->u.home);
}

static int get_pull(const struct in *in, struct rv_msg *m)
{
    return get_id(in, "home", m->u.home);
}

static int put_list(json_t *o, const struct rv_msg *m)
{
    json_t *pipes = json_array();
    int rc = put_known(o, &m->u.list.of) | put(o, "pipes", pipes);

    for (size_t i = 0; i < m->u.list.n && rc == 0; i++) {
        json_t *p = json_object();

        rc = put_u64(p, "serial", m->u.list.v[i].uid.serial) | put_pipe(p, &m->u.list.v[i]);
        if (json_array_append_new(pipes, p) < 0)
            rc = -1;
    }
    return rc;
}

static int get_list(const struct in *in, struct rv_msg *m)
{
    const struct rv_known *of = &m->u.list.of;
    const json_t *pipes;
    int rc = get_known(in, &m->u.list.of);

    if (rc == 0)
        rc = get_array(in, "pipes", RV_PIPES_MAX, sizeof *m->u.list.v, &pipes, &m->u.list.v);
    for (size_t i = 0; rc == 0 && i < json_array_size(pipes); i++) {
        const struct in row = { json_array_get(pipes, i), in->e };
        struct pipe_info *p = &m->u.list.v[i];

        strcpy(p->uid.home, of->home);
        p->uid.incarnation = of->incarnation;
        rc = get_serial(&row, &p->uid.serial);
        if (rc == 0)
            rc = get_pipe(&row, p);
        if (rc == 0 && p->version > of->version)
            rc = bad(&row, "ver");
        m->u.list.n = i + 1;
    }
    return rc;
}

static int put_exists(json_t *o, const struct rv_msg *m)
{
    return put_known(o, &m->u.exists);
}

static int get_exists(const struct in *in, struct rv_msg *m)
{
    return get_known(in, &m->u.exists);
}

static int put_open(json_t *o, const struct rv_msg *m)
{
    return put_uid(o, &m->u.op.uid) | put_u64(o, "by", m->u.op.incarnation);
}

static int get_open(const struct in *in, struct rv_msg *m)
{
    int rc = get_uid(in, &m->u.op.uid);

    return rc == 0 ? get_u64(in, "by", &m->u.op.incarnation) : rc;
}

static int put_release(json_t *o, const struct rv_msg *m)
{
    return put_uid(o, &m->u.op.uid) | put_u64(o, "epoch", m->u.op.epoch);
}

static int get_release(const struct in *in, struct rv_msg *m)
{
    int rc = get_uid(in, &m->u.op.uid);

    return rc == 0 ? get_u64(in, "epoch", &m->u.op.epoch) : rc;
}

static int put_remove(json_t *o, const struct rv_msg *m)
{
    return put_uid(o, &m->u.op.uid);
}

static int get_remove(const struct in *in, struct rv_msg *m)
{
    return get_uid(in, &m->u.op.uid);
}

/* What is left as it is, is not there. */
static int put_set(json_t *o, const struct rv_msg *m)
{
    int rc = put_uid(o, &m->u.op.uid);

    if (m->u.op.mode >= 0)
        rc |= put_text(o, "mode", modes[m->u.op.mode]);
    if (m->u.op.capacity)
        rc |= put_u64(o, "cap", m->u.op.capacity);
    return rc;
}

static int get_set(const struct in *in, struct rv_msg *m)
{
    int rc = get_uid(in, &m->u.op.uid);
    enum flow_mode mode;

    m->u.op.mode = -1;
    if (rc == 0 && json_object_get(in->o, "mode")) {
        rc = get_mode(in, &mode);
        m->u.op.mode = rc == 0 ? (int)mode : -1;
    }
    if (rc == 0 && json_object_get(in->o, "cap"))
        rc = get_capacity(in, &m->u.op.capacity);
    return rc;
}

static int put_answer_pipe(json_t *o, const struct rv_msg *m)
{
    return put_uid(o, &m->u.update.pipe.uid) | put_pipe(o, &m->u.update.pipe);
}

static int get_answer_pipe(const struct in *in, struct rv_msg *m)
{
    struct pipe_info *p = &m->u.update.pipe;
    int rc = get_uid(in, &p->uid);

    if (rc == 0)
        rc = get_pipe(in, p);
    return rc == 0 && p->version == 0 ? bad(in, "ver") : rc;
}

static int put_refuse(json_t *o, const struct rv_msg *m)
{
    return put(o, "rc", json_integer(m->u.refuse.rc)) | put_text(o, "text", m->u.refuse.words.text);
}

static int get_refuse(const struct in *in, struct rv_msg *m)
{
    const json_t *rc = json_object_get(in->o, "rc");
    char text[sizeof m->u.refuse.words.text];

    if (!json_is_integer(rc) || json_integer_value(rc) >= 0 || json_integer_value(rc) < -4095)
        return bad(in, "rc");
    if (get_text(in, "text", text, sizeof text) < 0)
        return -EPROTO;
    m->u.refuse.rc = (int)json_integer_value(rc);
    oerr_set(&m->u.refuse.words, 0, "%s", text); /* without control characters */
    return 0;
}

static const struct row {
    const char *name;
    int (*put)(json_t *o, const struct rv_msg *m);
    int (*get)(const struct in *in, struct rv_msg *m);
} rows[RV_KINDS] = {
    [RV_CLAIM] = { "claim", put_claim, get_claim },
    [RV_UPDATE] = { "update", put_update, get_update },
    [RV_SYNC] = { "sync", put_sync, get_sync },
    [RV_PULL] = { "pull", put_pull, get_pull },
    [RV_OPEN] = { "open", put_open, get_open },
    [RV_RELEASE] = { "release", put_release, get_release },
    [RV_REMOVE] = { "remove", put_remove, get_remove },
    [RV_SET] = { "set", put_set, get_set },
    [RV_OK] = { "ok", put_nothing, get_nothing },
    [RV_EXISTS] = { "exists", put_exists, get_exists },
    [RV_YIELD] = { "yield", put_nothing, get_nothing },
    [RV_LIST] = { "list", put_list, get_list },
    [RV_PIPE] = { "pipe", put_answer_pipe, get_answer_pipe },
    [RV_REFUSE] = { "refuse", put_refuse, get_refuse },
};

json_t *rv_msg_encode(const struct rv_msg *m)
{
    json_t *o = json_object();

    if (put_text(o, "k", rows[m->kind].name) == 0 && rows[m->kind].put(o, m) == 0)
        return o;
    json_decref(o);
    return NULL;
}

int rv_msg_decode(struct rv_msg *m, const json_t *body, struct oerr *e)
{
    const struct in in = { body, e };
    const char *name = json_string_value(json_object_get(body, "k"));
    int rc = bad(&in, "k");

    memset(m, 0, sizeof *m);
    m->kind = RV_KINDS;
    for (int k = 0; name && k < RV_KINDS; k++)
        if (strcmp(name, rows[k].name) == 0) {
            m->kind = (enum rv_kind)k;
            rc = rows[k].get(&in, m);
        }
    if (rc < 0) {
        rv_msg_free(m);
        if (rc == -ENOMEM)
            oerr_set(e, rc, "out of memory");
    } else if (e) {
        e->text[0] = '\0';
    }
    return rc;
}

void rv_msg_free(struct rv_msg *m)
{
    if (m->kind == RV_SYNC)
        free(m->u.sync.v);
    else if (m->kind == RV_LIST)
        free(m->u.list.v);
    memset(m, 0, sizeof *m);
    m->kind = RV_KINDS;
}

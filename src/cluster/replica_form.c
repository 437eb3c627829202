/*
 * replica_form.c - carries out what formation says, and keeps our member record.
 *
 * The facts: membership, what the heartbeats of others said last (struct heard), the configuration,
 * and the registry. What we say of ourselves (`mine`) goes out at once when it changes.
 *
 * `<dir>/dissolved` holds {"from", "into"} of the registry that this machine gave up, so that it
 * never begins a new one while that other is only silent.
 */
#include "cluster/replica_private.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

#define PAUSE_MS  300 /* after a step that failed, and before a wipe: the others shall hear why */
#define SUBMIT_MS 3000

/* ---- what is known */

static struct heard *heard_find(struct replica *r, const char *id)
{
    struct heard *h = NULL;

    HASH_FIND_STR(r->heard, id, h);
    return h;
}

const struct standing *form_said(struct replica *r, const char *id, uint64_t incarnation)
{
    const struct heard *h = heard_find(r, id);

    if (strcmp(id, r->me->id) == 0)
        return &r->mine;
    return h && h->incarnation == incarnation ? &h->is : NULL;
}

void form_heard(void *arg, const char *from, uint64_t incarnation, const json_t *standing)
{
    struct replica *r = arg;
    struct heard *h = heard_find(r, from);
    struct standing is;

    if (!standing || standing_decode(standing, &is) < 0)
        return;
    if (!h) {
        h = calloc(1, sizeof *h);
        if (!h)
            return;
        snprintf(h->id, sizeof h->id, "%s", from);
        HASH_ADD_STR(r->heard, id, h);
    }
    if (h->incarnation == incarnation && memcmp(&h->is, &is, sizeof is) == 0)
        return;
    h->incarnation = incarnation;
    h->is = is;
    replica_machine(r);
}

static uint32_t count_members(struct replica *r)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    uint32_t n = 0;

    if (registry_read(r->registry, &v) < 0)
        return 0;
    while (view_next(v, "member/", key, key, NULL) == 0)
        n++;
    registry_view_end(v);
    return n;
}

/* For people who read the log later. */
static void log_leader(struct replica *r)
{
    char id[ID_MAX];
    uint64_t leader = consensus_leader(r->consensus, id);

    if (leader == r->logged_leader)
        return;
    r->logged_leader = leader;
    if (leader)
        log_info("registry", "%s leads the registry, term %lu", id, consensus_term(r->consensus));
    else
        log_info("registry", "nobody leads the registry");
}

static void look_at_self(struct replica *r)
{
    struct standing was = r->mine;
    const struct consensus_server *v;

    log_leader(r);
    registry_id(r->registry, r->mine.registry);
    r->mine.leader = consensus_is_leader(r->consensus);
    r->mine.begun = !r->mine.registry[0] && consensus_servers(r->consensus, &v) > 0;
    r->mine.term = consensus_term(r->consensus);
    r->mine.index = was.index;
    r->mine.data = registry_has_data(r->registry);
    r->mine.machines = count_members(r);
    snprintf(r->mine.refuses, sizeof r->mine.refuses, "%s", formation_refuses(r->formation));
    if (memcmp(&was, &r->mine, sizeof was) != 0)
        cluster_beat(r->cluster);
    r->mine.index = registry_index(r->registry);
}

json_t *form_standing(void *arg)
{
    return standing_encode(&((struct replica *)arg)->mine);
}

static size_t list_machines(struct replica *r, struct form_machine **out)
{
    const struct member *m = cluster_members(r->cluster);
    struct form_machine *v = calloc(member_count(m) + 1, sizeof *v);
    size_t n = 0;

    for (size_t i = 0; v && i < member_count(m); i++) {
        const struct member_view *is = member_at(m, i);
        bool self = strcmp(is->info.id, r->me->id) == 0;
        const struct standing *said = form_said(r, is->info.id, is->info.incarnation);

        if (!is->trusted && !self)
            continue;
        snprintf(v[n].id, sizeof v[n].id, "%s", is->info.id);
        v[n].alive = is->state == MEMBER_ALIVE || is->state == MEMBER_SUSPECT;
        v[n].left = is->state == MEMBER_LEFT;
        v[n].since_ms = is->since_ms;
        v[n].known = said;
        if (said)
            v[n].is = *said;
        n++;
    }
    *out = v;
    return n;
}

static bool is_member(void *arg, const char *id)
{
    char key[ID_MAX + 16];

    snprintf(key, sizeof key, "member/%s", id);
    return replica_has(arg, key);
}

static json_t *lookup(struct replica *r, const char *key)
{
    struct registry_view *v;
    json_t *value = NULL;

    if (registry_read(r->registry, &v) == 0) {
        if (view_get(v, key, &value) < 0)
            value = NULL;
        registry_view_end(v);
    }
    return value;
}

/* By our registry's word: another one that it took over, or itself. */
static bool ended(void *arg, const char *registry, char into[REGISTRY_ID])
{
    struct replica *r = arg;
    bool ours = strcmp(registry, r->mine.registry) == 0;
    char key[REGISTRY_ID + 16] = "_meta";
    const char *to;
    json_t *value;

    if (!ours)
        snprintf(key, sizeof key, "ended/%s", registry);
    value = lookup(r, key);
    to = json_string_value(json_object_get(value, ours ? "dissolved" : "into"));
    snprintf(into, REGISTRY_ID, "%s", to ? to : "");
    json_decref(value);
    return into[0];
}

static bool caught_up(void *arg, uint64_t node)
{
    return consensus_heard(((struct replica *)arg)->consensus, node);
}

bool replica_member(struct replica *r, const char *id)
{
    return is_member(r, id);
}

bool replica_replaced(struct replica *r, const char *id)
{
    const struct heard *h = heard_find(r, id);
    char key[ID_MAX + 16];
    const char *hex;
    json_t *value;
    bool other;

    snprintf(key, sizeof key, "member/%s", id);
    value = h ? lookup(r, key) : NULL;
    hex = json_string_value(json_object_get(value, "node"));
    other = hex && strtoull(hex, NULL, 16) != h->is.node;
    json_decref(value);
    return other;
}

/* ---- what is done */

static void changed_conf(void *arg, int rc, uint64_t index)
{
    struct replica *r = arg;

    (void)index;
    r->changing = false;
    r->look = true;
    if (rc < 0)
        r->form_ms = now_ms() + PAUSE_MS;
}

static void began_change(struct replica *r, int rc)
{
    r->changing = rc == 0;
    if (rc < 0)
        r->form_ms = now_ms() + PAUSE_MS;
}

static void do_bootstrap(struct replica *r, const struct form_step *s)
{
    struct oerr e = { "" };
    int rc = consensus_bootstrap(r->consensus, &e);

    (void)s;
    if (rc == -EBUSY && consensus_last_index(r->consensus) == 0) {
        r->wipe = true; /* stopped in the middle of it: there is a term, and nothing else */
    } else if (rc < 0) {
        log_error("registry", "cannot begin a registry: %s", e.text);
        r->form_ms = now_ms() + PAUSE_MS;
    }
    r->look = true;
}

static const struct peer_info *peer_of(struct replica *r, const char *id)
{
    const struct member_view *v = member_find(cluster_members(r->cluster), id);

    return v ? &v->info : NULL;
}

static void put_done(void *arg, int rc, const json_t *body, const char *text)
{
    struct replica *r = arg;

    (void)body;
    r->putting = false;
    r->look = true;
    if (rc < 0) {
        log_warn("registry", "a machine is not taken in: %s", text);
        r->adding.node = 0;
        r->form_ms = now_ms() + PAUSE_MS;
    }
}

/* The record first, the seat then. */
static void put_member(struct replica *r, const char *id, uint64_t node)
{
    const struct peer_info *p = peer_of(r, id);
    char hex[20];

    if (!p || r->putting)
        return;
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)node);
    r->putting = replica_submit(r, "member.put",
                                json_pack("{s:s, s:s, s:s, s:s}", "id", id, "node", hex, "key",
                                          p->curve_public, "address", p->address),
                                SUBMIT_MS, put_done, r) == 0;
}

static void add_now(struct replica *r)
{
    began_change(r, consensus_add(r->consensus, r->adding.node, r->adding.id, changed_conf, r));
    r->adding.node = 0;
}

static void do_add(struct replica *r, const struct form_step *s)
{
    r->adding = *s;
    if (is_member(r, s->id))
        add_now(r);
    else
        put_member(r, s->id, s->node);
}

static void do_assign(struct replica *r, const struct form_step *s)
{
    began_change(r, consensus_assign(r->consensus, s->node, s->role, changed_conf, r));
}

static void do_remove(struct replica *r, const struct form_step *s)
{
    began_change(r, consensus_remove(r->consensus, s->node, changed_conf, r));
}

static void do_transfer(struct replica *r, const struct form_step *s)
{
    consensus_transfer(r->consensus, s->node);
    r->form_ms = now_ms() + PAUSE_MS;
}

static void submitted(void *arg, int rc, const json_t *body, const char *text)
{
    struct replica *r = arg;

    (void)body;
    r->submitting = false;
    r->look = true;
    if (rc < 0) {
        log_info("registry", "%s", text);
        r->form_ms = now_ms() + PAUSE_MS;
    }
}

/* One command of formation's own at a time. */
static void submit_one(struct replica *r, const char *cmd, json_t *fields)
{
    if (r->submitting)
        json_decref(fields);
    else
        r->submitting = replica_submit(r, cmd, fields, SUBMIT_MS, submitted, r) == 0;
}

static void do_dissolve(struct replica *r, const struct form_step *s)
{
    submit_one(r, "registry.dissolve", json_pack("{s:s}", "into", s->registry));
}

static void save_dissolved(struct replica *r)
{
    char path[4300], text[200];
    struct oerr e = { "" };
    int n = snprintf(text, sizeof text, "{\"from\": \"%s\", \"into\": \"%s\"}\n", r->mine.from,
                     r->mine.into);

    snprintf(path, sizeof path, "%s/dissolved", r->dir);
    if (file_replace(path, text, (size_t)n, &e) < 0)
        log_error("registry", "%s", e.text);
}

static void do_wipe(struct replica *r, const struct form_step *s)
{
    standing_ended(r->mine.from, r->mine.registry);
    snprintf(r->mine.into, sizeof r->mine.into, "%s", s->registry);
    save_dissolved(r);
    r->wipe_ms = now_ms() + PAUSE_MS;
}

static void (*const doers[])(struct replica *, const struct form_step *) = {
    [FORM_BOOTSTRAP] = do_bootstrap, [FORM_ADD] = do_add,           [FORM_ASSIGN] = do_assign,
    [FORM_REMOVE] = do_remove,       [FORM_TRANSFER] = do_transfer, [FORM_DISSOLVE] = do_dissolve,
    [FORM_WIPE] = do_wipe,
};

/* A leader whose registry has no id yet has just begun it. */
static void name_registry(struct replica *r)
{
    char id[UUID_STR_LEN];
    uuid_t u;

    uuid_generate(u);
    uuid_unparse_lower(u, id);
    submit_one(r, "registry.init", json_pack("{s:s}", "id", id));
}

/* Members that came out of another registry: it is recorded that it ended. */
static void absorb(struct replica *r, const struct form_machine *v, size_t n)
{
    char into[REGISTRY_ID], newest[REGISTRY_ID];

    for (size_t i = 0; i < n; i++)
        if (v[i].known && v[i].is.from[0] && strcmp(v[i].is.into, r->mine.registry) == 0) {
            snprintf(newest, sizeof newest, "%.*s", (int)strcspn(v[i].is.from, " "), v[i].is.from);
            if (strcmp(newest, r->mine.registry) == 0 || ended(r, newest, into))
                continue;
            submit_one(r, "registry.absorb", json_pack("{s:s}", "id", newest));
            return;
        }
}

static void step(struct replica *r)
{
    struct form_facts f = { .now_ms = now_ms(),
                            .self = r->me->id,
                            .started_ms = r->started_ms,
                            .is_leader = r->mine.leader,
                            .changing = r->changing || r->putting,
                            .is_member = is_member,
                            .ended = ended,
                            .caught_up = caught_up,
                            .arg = r };
    struct form_machine *machines;
    struct form_step s = { FORM_NOTHING };

    f.n = list_machines(r, &machines);
    f.machines = machines;
    f.n_servers = consensus_servers(r->consensus, &f.servers);
    if (machines)
        formation_step(r->formation, &f, &s);
    if (s.what != FORM_NOTHING) {
        log_info("registry", "%s", s.why);
        doers[s.what](r, &s);
    }
    if (machines && r->mine.leader && !r->wipe_ms) {
        if (!r->mine.registry[0])
            name_registry(r);
        else if (!is_member(r, r->me->id))
            put_member(r, r->me->id, r->mine.node);
        else
            absorb(r, machines, f.n);
    }
    free(machines);
}

static void check_ready(struct replica *r)
{
    if (r->ready || !r->mine.registry[0] || !is_member(r, r->me->id))
        return;
    r->ready = true;
    if (r->when_ready)
        r->when_ready(r->when_ready_arg);
}

void form_settle(struct replica *r)
{
    uint64_t now = now_ms();

    if (r->wipe_ms && now >= r->wipe_ms)
        r->wipe = true; /* with the next tick: the engine is at work now */
    if (r->wipe_ms || (!r->look && now < formation_next(r->formation)))
        return;
    if (now < r->form_ms)
        return;
    r->look = false;
    look_at_self(r);
    if (r->adding.node && !r->putting && r->mine.leader)
        add_now(r);
    else
        step(r);
    check_ready(r);
}

void form_wiped(struct replica *r)
{
    r->wipe_ms = 0;
    r->changing = r->putting = r->submitting = false;
    r->ready = false;
    r->look = true;
}

/* ---- life */

int form_open(struct replica *r, struct oerr *e)
{
    char path[4300], text[300];
    const char *from, *into;
    json_t *saved;
    int rc = formation_create(&r->formation);

    if (rc < 0)
        return rc;
    snprintf(path, sizeof path, "%s/dissolved", r->dir);
    rc = file_read(path, false, text, sizeof text, e);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    saved = json_loads(text, 0, NULL);
    rc = json_unpack(saved, "{s:s, s:s}", "from", &from, "into", &into);
    if (rc == 0) {
        snprintf(r->mine.from, sizeof r->mine.from, "%s", from);
        snprintf(r->mine.into, sizeof r->mine.into, "%s", into);
    }
    json_decref(saved);
    return rc == 0 ? 0 : oerr_set(e, -EBADMSG, "%s is damaged: remove it", path);
}

void form_close(struct replica *r)
{
    struct heard *h, *next;

    HASH_ITER (hh, r->heard, h, next) {
        HASH_DEL(r->heard, h);
        free(h);
    }
    formation_destroy(r->formation);
}

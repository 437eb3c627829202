/*
 * services.c - the rows below services/: which machine runs each of the core services, and since
 * when.
 */
#include "tree/system.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

struct placed {
    char machine[ID_MAX], why[256];
    uint64_t epoch, since_us;
};

static void copy(char *to, size_t size, const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    snprintf(to, size, "%s", s ? s : "");
}

static void read_placed(struct system *sys, const char *name, struct placed *p)
{
    json_t *o = registry_value(sys, "service", name);

    copy(p->machine, sizeof p->machine, o, "machine");
    copy(p->why, sizeof p->why, o, "why");
    p->epoch = (uint64_t)json_integer_value(json_object_get(o, "epoch"));
    p->since_us = (uint64_t)json_integer_value(json_object_get(o, "since_us"));
    json_decref(o);
}

static bool known(const char *name)
{
    for (const char *const *p = service_names; *p; p++)
        if (strcmp(*p, name) == 0)
            return true;
    return false;
}

static int find_service(const struct tree_at *at, struct tree_attr *attr)
{
    struct placed p;

    if (!known(at->v[0]))
        return -ENOENT;
    read_placed(system_of(at), at->v[0], &p);
    attr->mtime_us = p.since_us;
    return 0;
}

static int find_placed(const struct tree_at *at, struct tree_attr *attr)
{
    struct placed p;
    int rc = find_service(at, attr);

    if (rc < 0)
        return rc;
    read_placed(system_of(at), at->v[0], &p);
    return p.machine[0] ? 0 : -ENOENT;
}

static int list_services(const struct tree_at *at, struct tree_names *names)
{
    (void)at;
    for (const char *const *p = service_names; *p; p++)
        tree_names_add(names, *p);
    return 0;
}

static int show_machine(const struct tree_at *at, struct obuf *out)
{
    struct placed p;

    read_placed(system_of(at), at->v[0], &p);
    obuf_printf(out, "../../machines/%s", p.machine);
    return 0;
}

/* How it is, by the word of the machine that has it; words: what is wrong with it there. A machine
 * that is not certain that it still has it says nothing of it. */
static const char *state_of(struct system *sys, const char *name, const struct placed *p,
                            char words[160])
{
    enum service_state s;

    words[0] = '\0';
    if (!p->machine[0])
        return "unplaced";
    if (!cluster_reachable(sys->cluster, p->machine))
        return "unreachable";
    s = service_reported(cluster_services(sys->cluster, p->machine), name, p->epoch, words);
    return s == SERVICE_ELSEWHERE ? "waiting" : service_state_name(s);
}

static int show_status(const struct tree_at *at, struct obuf *out)
{
    struct system *sys = system_of(at);
    struct placed p;
    char words[160];

    read_placed(sys, at->v[0], &p);
    obuf_printf(out, "state %s\n", state_of(sys, at->v[0], &p, words));
    if (p.machine[0])
        obuf_printf(out, "machine %s\nepoch %lu\n", p.machine, p.epoch);
    if (p.since_us)
        show_time(out, "since", p.since_us);
    if (p.why[0])
        obuf_printf(out, "why %s\n", p.why);
    if (words[0])
        obuf_printf(out, "trouble %s\n", words);
    return 0;
}

static void put_line(struct system *sys, const char *name, struct obuf *out)
{
    struct placed p;
    char words[160], *text;
    const char *state;
    json_t *o;

    read_placed(sys, name, &p);
    state = state_of(sys, name, &p, words);
    o = json_pack("{s:i, s:s, s:s, s:s, s:I}", "schema", 1, "name", name, "state", state, "machine",
                  p.machine, "epoch", (json_int_t)p.epoch);
    json_set_time(o, "since", p.since_us);
    if (p.why[0])
        json_object_set_new(o, "why", json_string(p.why));
    if (words[0])
        json_object_set_new(o, "trouble", json_string(words));
    text = json_dumps(o, JSON_COMPACT);
    obuf_printf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(o);
}

static int show_all(const struct tree_at *at, struct obuf *out)
{
    for (const char *const *name = service_names; *name; name++)
        put_line(system_of(at), *name, out);
    return 0;
}

/* ---- move */

static int check_target(struct tree_call *call, const char *id)
{
    struct system *sys = system_of(&call->at);
    json_t *member = registry_value(sys, "member", id);
    int rc = 0;

    if (!member)
        rc = oerr_set(&call->err, -ENOENT, "there is no machine '%.60s' in the registry", id);
    else if (!cluster_reachable(sys->cluster, id))
        rc = oerr_set(&call->err, -EHOSTUNREACH, "%s is not alive", id);
    else if (json_is_true(json_object_get(member, "draining")))
        rc = oerr_set(&call->err, -EBUSY, "%s is draining; `oneos resume %s` first", id, id);
    json_decref(member);
    return rc;
}

static void moved(void *arg, int rc, const json_t *body, const char *text);

/* Who moves it names the epoch that it replaces, so that of two movers one is the later. */
static int move_to(struct tree_call *call, const char *id)
{
    const char *name = call->at.v[0];
    struct placed p;
    char why[TREE_USER_MAX + 32];

    read_placed(system_of(&call->at), name, &p);
    if (strcmp(p.machine, id) == 0)
        return 0;
    snprintf(why, sizeof why, "%s moved it", call->user);
    return registry_ask(call, "service.assign",
                        json_pack("{s:s, s:s, s:I, s:s}", "name", name, "machine", id, "epoch",
                                  (json_int_t)p.epoch, "why", why),
                        moved);
}

static void moved(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;
    char *id = call->scratch;

    if (rc == -ESTALE) { /* somebody moved it meanwhile */
        rc = move_to(call, id);
        if (rc == TREE_LATER)
            return;
        text = call->err.text;
    }
    free(take_ptr(call->scratch));
    registry_answered(call, rc, body, text);
}

static int v_move(struct tree_call *call, int argc, char **argv)
{
    int rc = check_target(call, argv[1]);

    (void)argc;
    if (rc < 0)
        return rc;
    call->scratch = strdup(argv[1]);
    rc = call->scratch ? move_to(call, call->scratch) : -ENOMEM;
    if (rc != TREE_LATER)
        free(take_ptr(call->scratch));
    return rc;
}

static const struct tree_verb verbs[] = {
    { "move", 1, 1, v_move, "ID" },
    { 0 },
};

/* clang-format off */
const struct tree_row services_rows[] = {
    { .path = "services", .kind = TREE_DIR, .mode = 0555, .list = list_services,
      .help = "the core services: filesystem scheduler shell web" },
    { .path = "services/all.jsonl", .kind = TREE_TEXT, .mode = 0444, .show = show_all,
      .help = "all services, one JSON object a line" },
    { .path = "services/{name}", .kind = TREE_DIR, .mode = 0555, .find = find_service,
      .help = "one service" },
    { .path = "services/{name}/machine", .kind = TREE_LINK, .mode = 0777, .find = find_placed,
      .moves = true, .show = show_machine, .help = "the machine that runs it" },
    { .path = "services/{name}/status", .kind = TREE_TEXT, .mode = 0444, .show = show_status,
      .help = "state (running, waiting for a leader, starting, failed, unreachable, unplaced), machine, epoch (grows with every move), since, why it is there" },
    { .path = "services/{name}/ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs,
      .help = "move ID" },
    { .path = "services/{name}/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl failed" },
    { 0 },
};
/* clang-format on */

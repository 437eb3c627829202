/*
 * registry_node.c - one machine of a registry without a file tree, processes or pipes: what the
 * daemon has, wired as the daemon wires it, with commands kv.* of its own.
 *
 *   registry_node ID --state DIR [--listen ADDRESS] [--join HOST:PORT] [--log LEVEL]
 *
 * then lines on standard input, each answered by one (lines.h); a failure by "WHAT ERRNO WORDS":
 *
 *   settled                     once this machine votes, and has all that was agreed on
 *   leads                       "leads yes", "leads no", "leads none" (no leader is known)
 *   status                      how the replica is
 *   put KEY VALUE, cas KEY OLD NEW, del KEY     VALUE: JSON; OLD null: it is not there
 *   get KEY, lget KEY           the value here; the same behind a read barrier
 *   raw ID TEXT                 asks that machine to put this text into the log, as it is
 *   load OUTSTANDING SECONDS, lread OUTSTANDING SECONDS, read THREADS SECONDS, ping ID SECONDS
 * [PAUSE-MS], failover PID                figures (registry_load.c, pace.h) clients FILE CLIENTS
 * KEYS SECONDS   registry_clients.c
 */
#include "registry_node.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define SETTLE_MS 10

/* ---- single commands */

struct single {
    struct node *n;
    const char *what;
    char key[REGISTRY_KEY_MAX];
};

static struct single *single_new(struct node *n, const char *what, const char *key)
{
    struct single *s = calloc(1, sizeof *s);

    if (!s)
        abort();
    s->n = n;
    s->what = what;
    kv_key(s->key, key);
    return s;
}

static void say_error(const char *what, int rc, const char *text)
{
    say("%s %s %s", what, oerr_name(-rc), text);
}

static void on_single(void *arg, int rc, const json_t *body, const char *text)
{
    struct single *s = arg;

    (void)body;
    if (rc == 0)
        say("%s ok", s->what);
    else
        say_error(s->what, rc, text);
    free(s);
}

static void submit(struct node *n, const char *what, const char *cmd, const char *key,
                   json_t *fields)
{
    struct single *s = single_new(n, what, key);
    int rc = replica_submit(n->replica, cmd, fields, DEADLINE_MS, on_single, s);

    if (rc < 0)
        on_single(s, rc, NULL, "it cannot be asked for");
}

static json_t *value_of(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    return value ? value : json_string(text);
}

static void do_put(void *arg, int n, char **w)
{
    (void)n;
    submit(arg, "put", "kv.put", w[0],
           json_pack("{s:s, s:o}", "key", w[0], "value", value_of(w[1])));
}

static void do_cas(void *arg, int n, char **w)
{
    (void)n;
    submit(arg, "cas", "kv.cas", w[0],
           json_pack("{s:s, s:o, s:o}", "key", w[0], "old", value_of(w[1]), "new", value_of(w[2])));
}

static void do_del(void *arg, int n, char **w)
{
    (void)n;
    submit(arg, "del", "kv.del", w[0], json_pack("{s:s}", "key", w[0]));
}

static void say_value(struct node *n, const char *what, const char *key)
{
    struct registry_view *v;
    const char *text;
    size_t len;
    int rc = registry_read(replica_registry(n->replica), &v);

    if (rc == 0) {
        rc = view_text(v, key, &text, &len);
        if (rc == 0)
            say("%s ok %.*s", what, (int)len, text);
        registry_view_end(v);
    }
    if (rc < 0)
        say_error(what, rc, key);
}

static void do_get(void *arg, int n, char **w)
{
    char key[REGISTRY_KEY_MAX];

    (void)n;
    kv_key(key, w[0]);
    say_value(arg, "get", key);
}

static void on_read(void *arg, int rc, const json_t *body, const char *text)
{
    struct single *s = arg;

    (void)body;
    if (rc == 0)
        say_value(s->n, s->what, s->key);
    else
        say_error(s->what, rc, text);
    free(s);
}

static void do_lget(void *arg, int n, char **w)
{
    struct node *node = arg;
    struct single *s = single_new(node, "lget", w[0]);
    int rc = replica_barrier(node->replica, DEADLINE_MS, on_read, s);

    (void)n;
    if (rc < 0)
        on_read(s, rc, NULL, "it cannot be asked for");
}

/* ---- how it is */

static void do_status(void *arg, int n, char **w)
{
    struct node *node = arg;
    struct replica_health h;

    (void)n, (void)w;
    replica_health(node->replica, &h);
    say("status leader %s role %s quorum %d voters %u alive %u learners %u term %llu index %llu "
        "state %d ready %d trouble %s",
        h.leader[0] ? h.leader : "none", consensus_role_name(h.role), h.quorum, h.voters,
        h.voters_alive, h.learners, (unsigned long long)h.term, (unsigned long long)h.index,
        h.state, replica_ready(node->replica), h.trouble);
}

static void do_leads(void *arg, int n, char **w)
{
    struct node *node = arg;
    struct replica_health h;

    (void)n, (void)w;
    replica_health(node->replica, &h);
    say("leads %s", !h.leader[0] ? "none" : strcmp(h.leader, node->me->id) == 0 ? "yes" : "no");
}

static void on_raw(void *arg, int rc, json_t *body, const char *text)
{
    (void)arg, (void)body;
    if (rc == 0)
        say("raw ok");
    else
        say_error("raw", rc, text);
}

static void do_raw(void *arg, int n, char **w)
{
    struct node *node = arg;
    struct oerr e = { "" };
    int rc = cluster_ask(node->cluster, w[0], BUS_REGISTRY,
                         json_pack("{s:s, s:s}", "do", "submit", "cmd", w[1]), DEADLINE_MS, on_raw,
                         NULL, &e);

    (void)n;
    if (rc < 0)
        say_error("raw", rc, e.text);
}

static void settle(uv_timer_t *timer);

static void on_settled(void *arg, int rc, const json_t *body, const char *text)
{
    struct node *n = arg;

    (void)body, (void)text;
    if (rc == 0)
        say("settled");
    else
        uv_timer_start(&n->settling, settle, SETTLE_MS, 0);
}

static void settle(uv_timer_t *timer)
{
    struct node *n = container_of(timer, struct node, settling);
    struct replica_health h;

    replica_health(n->replica, &h);
    if (!replica_ready(n->replica) || h.role != ROLE_VOTER || !h.quorum ||
        replica_barrier(n->replica, DEADLINE_MS, on_settled, n) < 0)
        uv_timer_start(&n->settling, settle, SETTLE_MS, 0);
}

static void do_settled(void *arg, int n, char **w)
{
    (void)n, (void)w;
    settle(&((struct node *)arg)->settling);
}

/* clang-format off */
static const struct line_verb verbs[] = {
    { "settled",  0, 0, do_settled },
    { "leads",    0, 0, do_leads },
    { "status",   0, 0, do_status },
    { "put",      2, 2, do_put },
    { "cas",      3, 3, do_cas },
    { "del",      1, 1, do_del },
    { "get",      1, 1, do_get },
    { "lget",     1, 1, do_lget },
    { "raw",      2, 2, do_raw },
    { "load",     2, 2, do_load },
    { "lread",    2, 2, do_lread },
    { "read",     2, 2, do_read },
    { "ping",     2, 3, do_ping },
    { "failover", 1, 1, do_failover },
    { "clients",  4, 4, do_clients },
    { 0 },
};
/* clang-format on */

/* ---- life */

static void on_machine(void *arg, const struct member_view *v, enum member_state from)
{
    struct node *n = arg;

    (void)v, (void)from;
    if (n->replica)
        replica_machine(n->replica);
}

static void on_lost(void *arg, const char *id)
{
    (void)arg, (void)id;
}

static void on_asked(void *arg, struct bus_ask *ask, const char *from, enum bus_type type,
                     json_t *body)
{
    struct node *n = arg;

    (void)from;
    if (type == BUS_REGISTRY && n->replica)
        replica_asked(n->replica, ask, body);
    else
        bus_refuse(ask, -ENOSYS, "%s does not know this question", n->me->id);
}

static void on_chan(void *arg, struct chan *chan, const char *peer, const char *spec)
{
    (void)arg, (void)peer, (void)spec;
    link_refuse(chan, -ENOSYS);
}

static const struct cluster_ops cluster_ops = { .changed = on_machine,
                                                .lost = on_lost,
                                                .asked = on_asked };
static const struct link_ops link_ops = { .open = on_chan };
static const struct registry_command *const tables[] = { kv_commands, NULL };

static void *run_data(void *arg)
{
    loop_run(arg);
    return NULL;
}

static int node_start(struct node *n, const struct identity_options *who,
                      const struct cluster_options *opt, struct oerr *e)
{
    int rc = identity_load(&n->me, who, e);

    if (rc == 0)
        rc = loop_create(&n->core);
    if (rc == 0)
        rc = loop_create(&n->data);
    if (rc == 0)
        rc = links_create(&n->links, n->data, n->me, opt->listen, 0, &link_ops, n, e);
    if (rc == 0)
        rc = cluster_create(&n->cluster, n->core, n->me, n->links, opt, &cluster_ops, n, e);
    if (rc == 0)
        rc = replica_create(&n->replica, n->core, n->me, n->cluster, tables, e);
    if (rc == 0)
        rc = -pthread_create(&n->data_thread, NULL, run_data, n->data);
    return rc;
}

static void node_stop(struct node *n)
{
    loop_stop(n->data);
    pthread_join(n->data_thread, NULL);
    cluster_destroy(n->cluster);
    replica_destroy(n->replica);
    clients_free();
    links_destroy(n->links);
    pace_destroy(n->pace);
    lines_stop();
    uv_close((uv_handle_t *)&n->settling, NULL);
    loop_destroy(n->data);
    uv_run(loop_uv(n->core), UV_RUN_NOWAIT);
    loop_destroy(n->core);
    identity_destroy(n->me);
}

static void on_end(void *arg)
{
    struct node *n = arg;

    cluster_leave(n->cluster);
    loop_stop(n->core);
}

static void usage(void)
{
    fprintf(stderr, "usage: registry_node ID --state DIR [--listen ADDRESS] [--join HOST:PORT] "
                    "[--log LEVEL]\n");
    exit(64);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "state", 1, NULL, 's' },
                                             { "listen", 1, NULL, 'l' },
                                             { "join", 1, NULL, 'j' },
                                             { "log", 1, NULL, 'v' },
                                             { 0 } };
    struct identity_options who = { 0 };
    struct cluster_options opt = { .labels = json_object() };
    struct node n = { 0 };
    struct oerr e = { "" };
    int c, level = LOG_WARN;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            who.state = optarg;
        else if (c == 'l')
            opt.listen = optarg;
        else if (c == 'j')
            opt.join = optarg;
        else if (c != 'v' || (level = log_level_parse(optarg)) < 0)
            usage();
    }
    if (optind != argc - 1 || !who.state)
        usage();
    who.id = argv[optind];
    log_to(2, (enum log_level)level);
    signal(SIGPIPE, SIG_IGN);
    if (node_start(&n, &who, &opt, &e) < 0) {
        fprintf(stderr, "registry_node: %s\n", e.text);
        return 1;
    }
    uv_timer_init(loop_uv(n.core), &n.settling);
    n.pace = pace_create(loop_uv(n.core), &n);
    lines_start(loop_uv(n.core), verbs, on_end, &n);
    cluster_start(n.cluster);
    loop_run(n.core);
    node_stop(&n);
    json_decref(opt.labels);
    return 0;
}

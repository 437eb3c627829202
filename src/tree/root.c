/*
 * root.c - the rows at the top: README, status, events, ctl, self, log.
 */
#include "tree/system.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/units.h"
#include "config.h"

#include <errno.h>
#include <string.h>

static int show_readme(const struct tree_at *at, struct obuf *out)
{
    const struct tree_row *row;

    obuf_puts(
        out,
        "This is OneOS: several Linux machines as one tree of files.\n"
        "Machines, processes, jobs, pipes and services are files here; ls, cat and echo are the\n"
        "tools.\n\n"
        "  cat machines/*/state                 who is there\n"
        "  oneos run -l ID -- CMD               run a command on machine ID\n"
        "  echo run CMD > jobs/ctl              run it wherever there is room; cat jobs/last/wait\n"
        "  touch pipes/p; cat pipes/p           a pipe that every machine can open\n"
        "  echo signal TERM > procs/ID.N/ctl    signal a process, wherever it runs\n"
        "  cat status                           is all well? `trouble` says what is not\n\n"
        "A write to a ctl file that fails leaves its reason in `error` beside it.\n"
        "The whole contract: man oneosfs. The files:\n\n");
    for (size_t i = 1; (row = tree_row_at(at->tree, i)) != NULL; i++)
        obuf_printf(out, "  %-28s %s\n", row->path, row->help);
    return 0;
}

static void count_states(struct cluster *c, size_t counts[MEMBER_GONE + 1])
{
    const struct member *m = cluster_members(c);

    memset(counts, 0, (MEMBER_GONE + 1) * sizeof *counts);
    for (size_t i = 0; i < member_count(m); i++)
        counts[member_at(m, i)->state]++;
}

static int show_status(const struct tree_at *at, struct obuf *out)
{
    struct system *sys = system_of(at);
    size_t counts[MEMBER_GONE + 1];
    struct replica_health h;
    const char *twin = cluster_twin(sys->cluster);

    count_states(sys->cluster, counts);
    replica_health(sys->replica, &h);
    obuf_printf(out, "cluster %s\nid %s\nleader %s\nquorum %s\n", sys->me->cluster_name,
                sys->me->id, h.leader[0] ? h.leader : "none", h.quorum ? "yes" : "no");
    for (int s = MEMBER_PENDING; s < MEMBER_GONE; s++)
        obuf_printf(out, "machines_%s %zu\n", member_state_name((enum member_state)s), counts[s]);
    obuf_printf(out, "version %s\nuptime_seconds %lu\n", PACKAGE_VERSION,
                (now_ms() - sys->start_ms) / 1000);
    obuf_printf(out, "voters %u\nvoters_alive %u\nrole %s\nterm %lu\nindex %lu\n", h.voters,
                h.voters_alive, h.voters ? consensus_role_name(h.role) : "none", h.term, h.index);
    if (twin)
        obuf_printf(out,
                    "trouble another oneosd with the id %s runs at %s, on a copy of this machine's "
                    "state folder or under a name that was given twice: stop one of the two, and "
                    "start it with another id and a folder of its own\n",
                    sys->me->id, twin);
    else if (h.trouble[0])
        obuf_printf(out, "trouble %s\n", h.trouble);
    return 0;
}

static int open_events(const struct tree_at *at, const char *user, int flags, struct stream **out)
{
    (void)user, (void)flags;
    return events_open(system_of(at)->events, out);
}

static int show_self(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "machines/%s", system_of(at)->me->id);
    return 0;
}

/* These verbs decide who belongs to the system: the daemon's user and root only, by the file's
 * mode. The registry hears of it first, so that without a quorum nothing is done by halves; then
 * membership, on all machines, by its word (daemon_members.c). */

static bool pending(struct cluster *c, const char *id)
{
    const struct member_view *v = member_find(cluster_members(c), id);

    return v && !v->trusted;
}

/* The machine that the verb is about is kept for what follows on the registry's word. */
static int ask_about(struct tree_call *call, const char *cmd, json_t *fields, replica_done *then)
{
    const char *id = json_string_value(json_object_get(fields, "id"));
    int rc = -ENOMEM;

    call->scratch = id ? strdup(id) : NULL;
    if (call->scratch)
        rc = registry_ask(call, cmd, fields, then);
    else
        json_decref(fields);
    if (rc != TREE_LATER)
        free(take_ptr(call->scratch));
    return rc;
}

/* Whom the registry had accepted already it tells nobody of. */
static void accepted(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;
    struct cluster *c = system_of(&call->at)->cluster;
    char *id = take_ptr(call->scratch);

    if (rc == 0 && pending(c, id)) {
        rc = cluster_accept(c, id, &call->err);
        text = call->err.text;
    }
    free(id);
    registry_answered(call, rc, body, text);
}

static int v_accept(struct tree_call *call, int argc, char **argv)
{
    struct cluster *c = system_of(&call->at)->cluster;
    const struct member_view *v = member_find(cluster_members(c), argv[1]);

    (void)argc;
    if (!pending(c, argv[1]))
        return cluster_accept(c, argv[1], &call->err);
    return ask_about(call, "member.accept",
                     json_pack("{s:s, s:s}", "id", argv[1], "key", v->info.curve_public), accepted);
}

/* Whoever was accepted in words and is pending still is no machine of the registry's. */
static int v_reject(struct tree_call *call, int argc, char **argv)
{
    struct system *sys = system_of(&call->at);
    json_t *known = registry_value(sys, "accepted", argv[1]);
    int rc = cluster_reject(sys->cluster, argv[1], &call->err);

    (void)argc;
    if (rc == 0 && known)
        rc = registry_call(call, "member.reject", json_pack("{s:s}", "id", argv[1]));
    json_decref(known);
    return rc;
}

static void forgotten(void *arg, int rc, const json_t *body, const char *text)
{
    struct tree_call *call = arg;
    char *id = take_ptr(call->scratch);

    if (rc == 0)
        cluster_forget(system_of(&call->at)->cluster, id, NULL);
    free(id);
    registry_answered(call, rc, body, text);
}

static bool recorded(struct system *sys, const char *id)
{
    json_t *known = registry_value(sys, "accepted", id);

    json_decref(known);
    return known || replica_member(sys->replica, id);
}

static int v_forget(struct tree_call *call, int argc, char **argv)
{
    struct system *sys = system_of(&call->at);
    const char *id = argv[1];
    bool here = cluster_reachable(sys->cluster, id) && !replica_replaced(sys->replica, id);

    (void)argc;
    if (here || strcmp(id, sys->me->id) == 0 || !recorded(sys, id))
        return cluster_forget(sys->cluster, id, &call->err);
    return ask_about(call, "member.forget", json_pack("{s:s}", "id", id), forgotten);
}

static int v_token(struct tree_call *call, int argc, char **argv)
{
    uint64_t ttl_us = 3600ull * 1000000;
    int rc = argc > 1 ? units_time(argv[1], &ttl_us, &call->err) : 0;

    return rc < 0 ? rc
                  : cluster_token(system_of(&call->at)->cluster, ttl_us, &call->out, &call->err);
}

static const struct tree_verb verbs[] = {
    { "accept", 1, 1, v_accept, "ID" },
    { "reject", 1, 1, v_reject, "ID" },
    { "forget", 1, 1, v_forget, "ID" },
    { "token", 0, 1, v_token, "[TTL]" },
    { 0 },
};

/* clang-format off */
const struct tree_row root_rows[] = {
    { .path = "", .kind = TREE_DIR, .mode = 0555, .help = "the tree" },
    { .path = "README", .kind = TREE_TEXT, .mode = 0444, .show = show_readme,
      .help = "what is here, in short" },
    { .path = "status", .kind = TREE_TEXT, .mode = 0444, .show = show_status,
      .help = "cluster name, id, leader, quorum (yes, no), machines by state, version, uptime, voters, this machine's role, term and index in the registry, and `trouble`: what is wrong and what to do" },
    { .path = "events", .kind = TREE_STREAM, .mode = 0444, .open = open_events,
      .help = "what happens to machines, processes, pipes, services, leader and quorum: one JSON object a line, from open onwards; {\"lost\":n} when too slow" },
    { .path = "ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs,
      .help = "accept ID | reject ID | forget ID | token [TTL] (then read: the token)" },
    { .path = "error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl failed" },
    { .path = "self", .kind = TREE_LINK, .mode = 0777, .show = show_self,
      .help = "the machine whose mount this is" },
    { 0 },
};
/* clang-format on */

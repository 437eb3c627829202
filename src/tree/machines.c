/*
 * machines.c - the rows below machines/: one directory per machine that is or was a member, or asks
 * to be one.
 *
 * state, info, labels and load are this machine's replica of what the owner published; the rest
 * lives with its owner. What is live answers EHOSTUNREACH while its owner does not.
 */
#include "tree/system.h"
#include "base/log.h"
#include "tree/labels.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const struct member_view *view_of(const struct tree_at *at)
{
    return member_find(cluster_members(system_of(at)->cluster), at->v[0]);
}

static int find_machine(const struct tree_at *at, struct tree_attr *attr)
{
    if (!view_of(at))
        return -ENOENT;
    attr->mtime_us = cluster_changed_us(system_of(at)->cluster, at->v[0]);
    return 0;
}

static int list_machines(const struct tree_at *at, struct tree_names *names)
{
    const struct member *m = cluster_members(system_of(at)->cluster);

    for (size_t i = 0; i < member_count(m); i++)
        tree_names_add(names, member_at(m, i)->info.id);
    return 0;
}

/* The owner, as long as it can be reached. */
static int home_machine(const struct tree_at *at, const char **machine)
{
    *machine = at->v[0];
    if (strcmp(at->v[0], system_of(at)->me->id) == 0)
        return 0;
    return cluster_reachable(system_of(at)->cluster, at->v[0]) ? 0 : -EHOSTUNREACH;
}

/* "": it has no seat in the registry. */
static const char *role_of(struct system *sys, const char *id)
{
    enum consensus_role role;

    return replica_role(sys->replica, id, &role) == 0 ? consensus_role_name(role) : "";
}

/* What the registry says of it. */
static void add_record(struct system *sys, const char *id, json_t *machine)
{
    json_t *record = registry_value(sys, "member", id);
    const char *role = role_of(sys, id);

    if (*role)
        json_object_set_new(machine, "role", json_string(role));
    if (record)
        json_object_set(machine, "draining", json_object_get(record, "draining"));
    json_decref(record);
}

/* More than it has waits on it for room. */
void machine_promised(struct system *sys, const char *id, struct promised *out)
{
    const json_t *info = cluster_info(sys->cluster, id);
    json_int_t cores = json_integer_value(json_object_get(info, "cores"));
    json_int_t memory = json_integer_value(json_object_get(info, "memory_bytes"));

    joblist_promised(sys->joblist, id, out);
    if (cores > 0 && out->cpu_milli > cores * 1000)
        out->cpu_milli = (unsigned)cores * 1000;
    if (memory > 0 && out->memory > (uint64_t)memory)
        out->memory = (uint64_t)memory;
}

/* What the scheduler has promised of it to jobs. */
static void add_promised(struct system *sys, const char *id, json_t *machine)
{
    struct promised p;

    machine_promised(sys, id, &p);
    json_object_set_new(machine, "allocated_cpus", json_real(p.cpu_milli / 1000.0));
    json_object_set_new(machine, "allocated_memory_bytes", json_integer((json_int_t)p.memory));
}

static int show_all(const struct tree_at *at, struct obuf *out)
{
    struct cluster *c = system_of(at)->cluster;
    const struct member *m = cluster_members(c);

    for (size_t i = 0; i < member_count(m); i++) {
        const struct member_view *v = member_at(m, i);
        json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:s}", "schema", 1, "id", v->info.id, "state",
                              member_state_name(v->state), "address", v->info.address, "key",
                              v->info.curve_public);
        char *text;

        if (cluster_info(c, v->info.id))
            json_object_update_missing(j, (json_t *)cluster_info(c, v->info.id));
        if (cluster_reachable(c, v->info.id) && cluster_load(c, v->info.id))
            json_object_update_missing(j, (json_t *)cluster_load(c, v->info.id));
        json_object_set(j, "labels", (json_t *)cluster_labels(c, v->info.id));
        add_record(system_of(at), v->info.id, j);
        add_promised(system_of(at), v->info.id, j);
        text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15));
        obuf_printf(out, "%s\n", text ? text : "{}");
        free(text);
        json_decref(j);
    }
    return 0;
}

static int show_state(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "%s\n", member_state_name(view_of(at)->state));
    return 0;
}

static int show_info(const struct tree_at *at, struct obuf *out)
{
    struct system *sys = system_of(at);
    const struct member_view *v = view_of(at);
    json_t *record = registry_value(sys, "member", at->v[0]);
    json_int_t joined = json_integer_value(json_object_get(record, "joined_us"));
    const char *role = role_of(sys, at->v[0]);

    labels_show(cluster_info(sys->cluster, at->v[0]), out);
    obuf_printf(out, "address %s\nkey %s\n", v->info.address, v->info.curve_public);
    if (joined || v->info.incarnation)
        show_time(out, "joined", joined ? (uint64_t)joined : v->info.incarnation);
    if (*role)
        obuf_printf(out, "role %s\n", role);
    if (record)
        obuf_printf(out, "draining %s\n",
                    json_is_true(json_object_get(record, "draining")) ? "yes" : "no");
    json_decref(record);
    return 0;
}

static int show_load(const struct tree_at *at, struct obuf *out)
{
    struct cluster *c = system_of(at)->cluster;
    struct promised p;

    if (!cluster_reachable(c, at->v[0]))
        return -EHOSTUNREACH;
    labels_show(cluster_load(c, at->v[0]), out);
    machine_promised(system_of(at), at->v[0], &p);
    obuf_printf(out, "allocated_cpus %g\nallocated_memory_bytes %lu\nallocated_groups %u\n",
                p.cpu_milli / 1000.0, p.memory, p.groups);
    return 0;
}

static int show_labels(const struct tree_at *at, struct obuf *out)
{
    labels_show(cluster_labels(system_of(at)->cluster, at->v[0]), out);
    return 0;
}

static int save_labels(struct tree_call *call, const char *text, size_t n)
{
    struct system *sys = system_of(&call->at);
    json_t *labels = json_object();
    int rc = labels_parse(labels, text, n, &call->err);

    if (rc < 0) {
        json_decref(labels);
        return rc;
    }
    return registry_call(call, "member.label",
                         json_pack("{s:s, s:o}", "id", sys->me->id, "labels", labels));
}

static int v_drain(struct tree_call *call, int argc, char **argv)
{
    (void)argc;
    return registry_call(
        call, "member.drain",
        json_pack("{s:s, s:b}", "id", call->at.v[0], "on", strcmp(argv[0], "drain") == 0));
}

static int v_leave(struct tree_call *call, int argc, char **argv)
{
    struct system *sys = system_of(&call->at);

    (void)argc, (void)argv;
    sys->leave(sys->arg);
    return 0;
}

static const struct tree_verb verbs[] = {
    { "drain", 0, 0, v_drain, "" },
    { "resume", 0, 0, v_drain, "" },
    { "leave", 0, 0, v_leave, "" },
    { 0 },
};

static int show_log(const struct tree_at *at, struct obuf *out)
{
    (void)at;
    log_show(out);
    return 0;
}

int clone_process(struct tree_call *call)
{
    struct system *sys = system_of(&call->at);
    struct proc *proc;
    int rc;

    if (sys->draining)
        return oerr_set(&call->err, -EBUSY, "%s is draining and takes no new processes",
                        sys->me->id);
    rc = procs_new(sys->procs, call->user, &proc, &call->err);
    if (rc < 0)
        return rc;
    obuf_printf(&call->out, "%s\n", proc_rec(proc)->name);
    snprintf(call->made, sizeof call->made, "procs/%s/ctl", proc_rec(proc)->name);
    call->record = proc_rec_encode(proc_rec(proc));
    return 0;
}

static int list_procs(const struct tree_at *at, struct tree_names *names)
{
    for (const struct proc_rec *r = NULL; (r = proctab_next(system_of(at)->proctab, r)) != NULL;)
        if (strcmp(r->machine, at->v[0]) == 0)
            tree_names_add(names, strrchr(r->name, '.') + 1);
    return 0;
}

static const struct proc_rec *rec_of(const struct tree_at *at)
{
    char name[PROC_NAME_MAX];

    if (strlen(at->v[1]) > 10 || at->v[1][0] == '0')
        return NULL;
    snprintf(name, sizeof name, "%s.%s", at->v[0], at->v[1]);
    return proctab_find(system_of(at)->proctab, name);
}

static int find_proc(const struct tree_at *at, struct tree_attr *attr)
{
    const struct proc_rec *r = rec_of(at);

    if (!r)
        return -ENOENT;
    snprintf(attr->owner, sizeof attr->owner, "%s", r->user);
    attr->mtime_us = r->changed_us;
    return 0;
}

static int show_proc(const struct tree_at *at, struct obuf *out)
{
    obuf_printf(out, "../../../procs/%s.%s", at->v[0], at->v[1]);
    return 0;
}

/* clang-format off */
const struct tree_row machines_rows[] = {
    { .path = "machines", .kind = TREE_DIR, .mode = 0555, .list = list_machines,
      .help = "every machine that is or was a member, or asks to be one" },
    { .path = "machines/all.jsonl", .kind = TREE_TEXT, .mode = 0444, .show = show_all,
      .help = "all machines, one JSON object a line" },
    { .path = "machines/{id}", .kind = TREE_DIR, .mode = 0555, .find = find_machine,
      .help = "one machine" },
    { .path = "machines/{id}/state", .kind = TREE_TEXT, .mode = 0444, .show = show_state,
      .help = "alive, suspect, dead, left or pending" },
    { .path = "machines/{id}/info", .kind = TREE_TEXT, .mode = 0444, .show = show_info,
      .help = "version, os, kernel, arch, cores, memory_bytes, boot_id, address, key, joined, role in the registry (voter, learner), draining" },
    { .path = "machines/{id}/load", .kind = TREE_TEXT, .mode = 0444, .show = show_load,
      .help = "cpu_used (0 to 1), memory_used_bytes, disk_free_bytes, net_rx_bytes, net_tx_bytes, procs, clock_us; what was promised to jobs: allocated_cpus, allocated_memory_bytes, allocated_groups (of their commands)" },
    { .path = "machines/{id}/labels", .kind = TREE_TEXT, .mode = 0644, .show = show_labels,
      .save = save_labels, .home = home_machine, .help = "what it is good for: `key value` lines, to be edited" },
    { .path = "machines/{id}/ctl", .kind = TREE_CTL, .mode = 0622, .own = true, .verbs = verbs,
      .home = home_machine, .help = "drain | resume | leave" },
    { .path = "machines/{id}/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last write to ctl or labels failed" },
    { .path = "machines/{id}/log", .kind = TREE_TEXT, .mode = 0400, .show = show_log,
      .home = home_machine, .help = "the newest lines of its daemon's log" },
    { .path = "machines/{id}/registry", .kind = TREE_STREAM, .mode = 0400, .open = open_registry,
      .accmode = ONLY(O_RDONLY), .home = home_machine,
      .help = "the registry as it has it: a key and its JSON a line; keys with `_` are the registry's own" },
    { .path = "machines/{id}/registry.log", .kind = TREE_STREAM, .mode = 0400, .open = open_registry_log,
      .accmode = ONLY(O_RDONLY), .home = home_machine,
      .help = "the log of the registry on its disk: index, term, kind (command, barrier, change) and text a line" },
    { .path = "machines/{id}/procs", .kind = TREE_DIR, .mode = 0555, .list = list_procs,
      .help = "its processes" },
    { .path = "machines/{id}/procs/error", .kind = TREE_ERROR, .mode = 0444,
      .help = "why the last open of clone failed" },
    { .path = "machines/{id}/procs/clone", .kind = TREE_CLONE, .mode = 0666, .clone = clone_process,
      .home = home_machine, .help = "open for reading and writing: a new process there; then as procs/clone" },
    { .path = "machines/{id}/procs/{n}", .kind = TREE_LINK, .mode = 0777, .find = find_proc,
      .show = show_proc, .help = "one of its processes" },
    { 0 },
};
/* clang-format on */

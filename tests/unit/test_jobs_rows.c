/*
 * test_jobs_rows.c - the rows below jobs/ on a real registry: what is written becomes commands,
 * what is read is the record. The machines are two, A (here, 2 cores) and B (4 cores, gpu), and C,
 * which is dead and was never heard. Streams are somebody else's.
 */
#include "base/cleanup.h"
#include "base/loop.h"
#include "job_kit.h"
#include "sched/runs.h"
#include "tree/system.h"

#include <fcntl.h>
#include <time.h>

static struct kit kit;
static struct identity me = { .id = "A" };
static struct system sys = { .me = &me };
static struct tree *tree;

/* Commands on their way to the registry. */
static struct {
    const char *cmd;
    json_t *fields;
    replica_done *done;
    void *arg;
} asked;
static unsigned commands;
static char signalled[64];

/* ---- in place of the daemon's other parts ---- */

struct registry *replica_registry(struct replica *r)
{
    (void)r;
    return kit.r;
}

int replica_submit(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                   replica_done *done, void *arg)
{
    (void)r, (void)deadline_ms;
    assert_non_null(fields);
    assert_null(asked.fields);
    asked.cmd = cmd;
    asked.fields = fields;
    asked.done = done;
    asked.arg = arg;
    return 0;
}

static void applied(void *arg, uint64_t index, const json_t *cmd,
                    const struct registry_result *result)
{
    (void)arg, (void)index, (void)cmd;
    if (asked.done)
        asked.done(asked.arg, result->rc, result->body, result->words.text);
}

/* Carries out what was asked for, and what comes of that. */
static void turn(void)
{
    while (asked.fields) {
        json_t *fields = take_ptr(asked.fields);
        char *text;

        json_object_set_new(fields, "v", json_integer(1));
        json_object_set_new(fields, "cmd", json_string(asked.cmd));
        json_object_set_new(fields, "at_us", json_integer((json_int_t)wall_us()));
        text = json_dumps(fields, JSON_COMPACT);
        json_decref(fields);
        kit_queue(&kit, text);
        free(text);
        commands++;
        assert_int_equal(registry_flush(kit.r, applied, NULL), 0);
    }
}

static struct member_view machines[] = {
    { .state = MEMBER_ALIVE, .info.id = "A" },
    { .state = MEMBER_ALIVE, .info.id = "B" },
    { .state = MEMBER_DEAD, .info.id = "C" },
};
static size_t n_machines = 2;
static json_t *infos[2], *labels[2];

const struct member *cluster_members(const struct cluster *c)
{
    (void)c;
    return NULL;
}

size_t member_count(const struct member *m)
{
    (void)m;
    return n_machines;
}

const struct member_view *member_at(const struct member *m, size_t i)
{
    (void)m;
    return &machines[i];
}

const struct member_view *member_find(const struct member *m, const char *id)
{
    (void)m;
    for (size_t i = 0; i < n_machines; i++)
        if (strcmp(machines[i].info.id, id) == 0)
            return &machines[i];
    return NULL;
}

const json_t *cluster_info(const struct cluster *c, const char *id)
{
    (void)c;
    return *id == 'C' ? NULL : infos[*id - 'A'];
}

const json_t *cluster_labels(const struct cluster *c, const char *id)
{
    (void)c;
    return *id == 'C' ? NULL : labels[*id - 'A'];
}

bool cluster_reachable(const struct cluster *c, const char *id)
{
    (void)c;
    return *id != 'C';
}

int runs_open(struct runs *r, const char *name, enum proc_stdio which, struct stream **out)
{
    (void)r, (void)name, (void)which, (void)out;
    return -ENOTCONN;
}

int runs_wait(struct runs *r, const char *name, struct stream **out)
{
    (void)r, (void)name, (void)out;
    return -ENOTCONN;
}

int runs_signal(struct runs *r, const char *name, int sig,
                void (*done)(void *arg, int rc, const char *text), void *arg, struct oerr *e)
{
    (void)r, (void)done, (void)arg;
    snprintf(signalled, sizeof signalled, "%s %d", name, sig);
    return oerr_set(e, -ESRCH, "it does not run");
}

int scheduler_machine(struct scheduler *s, char id[ID_MAX])
{
    (void)s;
    strcpy(id, "A");
    return 0;
}

int scheduler_why(struct scheduler *s, const char *name, struct obuf *out, struct oerr *e)
{
    (void)s, (void)name, (void)out;
    return oerr_set(e, -EAGAIN, "it is elsewhere");
}

int signal_parse(const char *name, struct oerr *e)
{
    return strcmp(name, "TERM") == 0 ? 15 : oerr_set(e, -EINVAL, "there is no signal '%s'", name);
}

static const struct proc_rec process = { .name = "A.7", .machine = "A", .user = "ann", .job = "1" };

const struct proc_rec *proctab_find(const struct proctab *t, const char *name)
{
    (void)t;
    return strcmp(name, process.name) == 0 ? &process : NULL;
}

const struct proc_rec *proctab_next(const struct proctab *t, const struct proc_rec *after)
{
    (void)t;
    return after ? NULL : &process;
}

/* ---- the tree ---- */

static const struct tree_row top[] = { { .path = "", .kind = TREE_DIR, .mode = 0555, .help = "." },
                                       { 0 } };
static const struct tree_row *const tables[] = { top, jobs_rows, NULL };

static int set_up(void **state)
{
    const struct tree_env env = { .self = "A", .owner = "root", .system = &sys };

    (void)state;
    infos[0] = json_pack("{s:i, s:I, s:s}", "cores", 2, "memory_bytes", (json_int_t)4 << 30,
                         "hostname", "anna");
    infos[1] = json_pack("{s:i, s:I}", "cores", 4, "memory_bytes", (json_int_t)8 << 30);
    labels[0] = json_object();
    labels[1] = json_pack("{s:s, s:s}", "gpu", "", "zone", "lab");
    n_machines = 2;
    commands = 0;
    job_kit_open(&kit);
    assert_int_equal(joblist_create(&sys.joblist, kit.r), 0);
    assert_int_equal(tree_create(&tree, tables, &env, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_destroy(tree);
    joblist_destroy(sys.joblist);
    job_kit_close(&kit);
    for (size_t i = 0; i < 2; i++) {
        json_decref(infos[i]);
        json_decref(labels[i]);
    }
    return 0;
}

static struct {
    bool ended;
    int rc;
    struct obuf out;
    char words[400], made[80];
} got;

static void ended(struct tree_call *call, int rc)
{
    got.ended = true;
    got.rc = rc;
    obuf_free(&got.out);
    got.out = call->out;
    call->out = (struct obuf){ 0 };
    snprintf(got.words, sizeof got.words, "%s", call->err.text);
    snprintf(got.made, sizeof got.made, "%.70s", call->made);
    tree_call_free(call);
}

static struct tree_call *call_on(const char *path, const char *user)
{
    struct tree_call *call;
    struct tree_at at;

    assert_int_equal(tree_resolve(tree, path, &at), 0);
    call = tree_call_new(&at, user, ended, NULL);
    assert_non_null(call);
    got.ended = false;
    return call;
}

static int end(void)
{
    turn();
    assert_true(got.ended);
    return got.rc;
}

static int write_as(const char *user, const char *path, const char *text)
{
    tree_write(call_on(path, user), text, strlen(text));
    return end();
}

static int writes(const char *path, const char *text)
{
    return write_as("ann", path, text);
}

static const char *out(void)
{
    return got.out.p ? got.out.p : "";
}

static const char *read_as(const char *user, const char *path)
{
    tree_read(call_on(path, user));
    return end() == 0 ? out() : oerr_name(-got.rc);
}

static int clones(const char *lines)
{
    tree_clone(call_on("jobs/clone", "ann"), lines, strlen(lines));
    return end();
}

static int makes(const char *path)
{
    tree_make(call_on(path, "ann"), O_CREAT | O_EXCL);
    return end();
}

static int removes(const char *user, const char *path)
{
    tree_remove(call_on(path, user));
    return end();
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in: %s", part, text);
}

static void assert_state(const char *name, const char *state)
{
    char path[80], line[40];

    snprintf(path, sizeof path, "jobs/%s/status", name);
    snprintf(line, sizeof line, "state %s\n", state);
    assert_has(read_as("ann", path), line);
}

static void refuses(const char *path, const char *text, int rc, const char *words)
{
    if (writes(path, text) != rc)
        fail_msg("%s to %s: %d, %s", text, path, got.rc, got.words);
    assert_has(got.words, words);
}

/* ---- tests ---- */

static void a_line_makes_a_job(void **state)
{
    (void)state;
    assert_int_equal(writes("jobs/ctl", "run sort <'/tmp/a b' | uniq >/oneos/fs/x\n"), 0);
    assert_string_equal(out(), "1\n");
    assert_state("1", "pending");
    assert_has(read_as("ann", "jobs/1/spec"),
               "\"run\": \"sort < '/tmp/a b' | uniq > /oneos/fs/x\"");
    assert_has(read_as("bob", "jobs/1/status"), "user ann\nby A\n");
    assert_string_equal(read_as("bob", "jobs/1/ctl"), "EACCES");
    assert_string_equal(read_as("root", "jobs/1/ctl"), "1\n");
    assert_has(read_as("bob", "jobs/all.jsonl"), "\"id\":\"1\"");
}

static void many_lines_are_one_command(void **state)
{
    struct obuf lines = { 0 };
    struct timespec t0, t1;
    double ms;

    (void)state;
    for (int i = 0; i < 1000; i++)
        obuf_printf(&lines, "run echo %d\n", i);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    assert_int_equal(writes("jobs/ctl", lines.p), 0);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    obuf_free(&lines);
    ms = (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) / 1e6;
    print_message("1,000 lines in %.1f ms\n", ms);
    assert_int_equal(commands, 1);
    assert_has(out(), "1\n2\n3\n");
    assert_has(out(), "\n1000\n");
    assert_state("1000", "pending");
    assert_string_equal(read_as("ann", "jobs/last"), "1000");
}

static void lines_before_a_bad_one_have_run(void **state)
{
    (void)state;
    refuses("jobs/ctl", "run true\nrun false\nrun 'open | x' | \nrun never\n", -EINVAL, "|");
    assert_int_equal(commands, 1);
    assert_state("2", "pending");
    assert_string_equal(read_as("ann", "jobs/3/status"), "ENOENT");
    assert_has(read_as("ann", "jobs/error"), "|");
}

static void what_no_machine_can_run_is_refused(void **state)
{
    (void)state;
    refuses("jobs/ctl", "run\n", -EINVAL, "a word is missing: run LINE");
    refuses("jobs/ctl", "run @nope true\n", -EINVAL,
            "@nope fits no machine: A has no label nope; B has no label nope");
    refuses("jobs/ctl", "run @gpu,cores>=8 true\n", -EINVAL, "B has 4 cores, 8 are wanted");
    refuses("jobs/ctl", "run echo a; echo b\n", -EINVAL, ";");
    refuses("jobs/ctl", "flurb x\n", -EINVAL, "unknown verb 'flurb'");
    assert_int_equal(commands, 0);
    assert_int_equal(clones("set cpus 5\nrun true\n"), -EINVAL);
    assert_has(got.words, "5 cpus are wanted, and the largest machine that fits, B, has 4");
    assert_int_equal(clones("set cpus 3\nrun @zone!=lab true\n"), -EINVAL);
    assert_has(got.words, "3 cpus are wanted, and the largest machine that fits, A, has 2");
    assert_int_equal(clones("set memory 9GiB\nrun true\n"), -EINVAL);
    assert_has(got.words,
               "9GiB of memory are wanted, and the largest machine that fits, B, has 8GiB");
    assert_int_equal(clones("set cwd tmp\nrun true\n"), -EINVAL);
    assert_has(got.words, "cwd");
    assert_int_equal(commands, 0);
    assert_int_equal(write_as("4711", "jobs/ctl", "run true\n"), -EPERM);
    assert_has(got.words, "the user 4711 has no name here");
    n_machines = 3; /* of C nothing is known: it may have anything */
    assert_int_equal(writes("jobs/ctl", "run @nope true\n"), 0);
    assert_int_equal(clones("set cpus 64\nrun true\n"), 0);
}

static void a_clone_with_its_lines_is_one_command(void **state)
{
    (void)state;
    assert_int_equal(clones("set cpus 2\nset env A=1 \nset env 'B=x y'\nhold\nrun @gpu cat | wc\n"),
                     0);
    assert_int_equal(commands, 1);
    assert_string_equal(got.made, "jobs/1/ctl");
    assert_string_equal(out(), "1\n");
    assert_state("1", "held");
    assert_has(read_as("ann", "jobs/1/spec"), "\"B\": \"x y\"");
    assert_string_equal(read_as("bob", "jobs/1/spec"), "EACCES");
    assert_int_equal(writes("jobs/1/ctl", "release\n"), 0);
    assert_state("1", "pending");
    /* lines behind the run are run one by one */
    assert_int_equal(clones("run true\ncancel\n"), 0);
    assert_int_equal(commands, 5);
    assert_state("2", "cancelled");
    assert_has(read_as("ann", "jobs/2/status"), "cancelled_by ann\n");
    /* what is wrong with one makes nothing */
    assert_int_equal(clones("set priority high\nrun true\n"), -EINVAL);
    assert_string_equal(got.made, "");
    assert_has(read_as("ann", "jobs/error"), "priority");
    assert_string_equal(read_as("ann", "jobs/3/status"), "ENOENT");
}

static void a_clone_that_is_not_run_goes_with_its_handle(void **state)
{
    (void)state;
    assert_int_equal(clones(""), 0);
    assert_string_equal(got.made, "jobs/1/ctl");
    assert_state("1", "new");
    assert_int_equal(clones("set cpus 2\n"), 0);
    assert_has(read_as("ann", "jobs/2/spec"), "\"cpus\": 2");
    assert_int_equal(writes("jobs/1/ctl", "run true\n"), 0);
    tree_closed(call_on("jobs/1/ctl", "ann"));
    assert_int_equal(end(), 0);
    tree_closed(call_on("jobs/2/ctl", "ann"));
    assert_int_equal(end(), 0);
    assert_state("1", "pending");
    assert_string_equal(read_as("ann", "jobs/2/status"), "ENOENT");
}

static void a_named_job_is_set_up_and_run(void **state)
{
    (void)state;
    assert_int_equal(makes("jobs/train"), 0);
    assert_int_equal(makes("jobs/17"), -EINVAL);
    assert_has(read_as("ann", "jobs/error"), "17");
    assert_int_equal(makes("jobs/-x"), -EINVAL);
    assert_state("train", "new");
    refuses("jobs/train/ctl", "run\n", -EINVAL, "nothing to run yet");
    refuses("jobs/train/ctl", "set\n", -EINVAL, "a word is missing: set KEY [VALUE...]");
    refuses("jobs/train/ctl", "set colour red\n", -EINVAL, "colour");
    refuses("jobs/train/ctl", "set cpus many\n", -EINVAL, "cpus");
    refuses("jobs/train/ctl", "set after 99\nrun true\n", -EINVAL, "99");
    assert_int_equal(writes("jobs/train/ctl", "set after\n"), 0);
    assert_int_equal(
        writes("jobs/train/ctl", "set timeout '2h 30min'\nset retries 2\nset cpus 1.5\n"), 0);
    assert_has(read_as("ann", "jobs/train/spec"), "\"timeout\": \"2h 30min\"");
    assert_int_equal(writes("jobs/train/ctl", "set cpus 1\n"),
                     0); /* the default: not in the spec */
    assert_null(strstr(read_as("ann", "jobs/train/spec"), "cpus"));
    assert_int_equal(writes("jobs/train/ctl", "run @A A='b c' ./train 'x | y' > /oneos/fs/model\n"),
                     0);
    assert_state("train", "pending");
    assert_has(read_as("ann", "jobs/train/spec"), "@A A='b c' ./train 'x | y' > /oneos/fs/model");
    assert_has(read_as("bob", "jobs/all.jsonl"),
               "\"run\":\"@A ./train 'x | y' > /oneos/fs/model\"");
    refuses("jobs/train/ctl", "set cpus 2\n", -EBUSY, "pending");
    refuses("jobs/train/ctl", "run true\n", -EBUSY, "pending");
    assert_int_equal(write_as("bob", "jobs/train/ctl", "cancel\n"), -EPERM);
    assert_has(got.words, "belongs to ann; bob may not");
    assert_int_equal(writes("jobs/train/ctl", "hold\nset cpus 2\nrelease\n"), 0);
    refuses("jobs/train/ctl", "hold\nset cpus 20\n", -EINVAL, "20 cpus are wanted");
    assert_int_equal(removes("ann", "jobs/train"), -EBUSY);
    assert_int_equal(write_as("root", "jobs/train/ctl", "cancel\n"), 0);
    assert_state("train", "cancelled");
    assert_has(read_as("ann", "jobs/train/status"), "cancelled_by root\n");
    refuses("jobs/train/ctl", "cancel\n", -EBUSY, "cancelled");
    assert_int_equal(removes("bob", "jobs/train"), -EPERM);
    assert_int_equal(removes("ann", "jobs/train"), 0);
    assert_string_equal(read_as("ann", "jobs/train/status"), "ENOENT");
    assert_int_equal(makes("jobs/train"), 0);
    assert_int_equal(removes("ann", "jobs/train"), 0); /* never run */
}

static void a_signal_is_somebody_elses(void **state)
{
    (void)state;
    assert_int_equal(writes("jobs/ctl", "run true\n"), 0);
    refuses("jobs/1/ctl", "signal FLURB\n", -EINVAL, "FLURB");
    refuses("jobs/1/ctl", "signal TERM\n", -ESRCH, "it does not run");
    assert_string_equal(signalled, "1 15");
}

static void a_spec_is_written_back(void **state)
{
    cleanup_free char *spec = NULL;

    (void)state;
    assert_int_equal(clones("set cpus 2\nset priority -5\nset env K=V\nrun sort < a | head -n 3\n"),
                     0);
    spec = strdup(read_as("ann", "jobs/1/spec"));
    assert_int_equal(makes("jobs/again"), 0);
    assert_int_equal(writes("jobs/again/ctl", "set retries 3\n"), 0);
    assert_int_equal(writes("jobs/again/spec", spec), 0);
    assert_string_equal(read_as("ann", "jobs/again/spec"), spec); /* retries are gone */
    assert_int_equal(writes("jobs/again/ctl", "run\n"), 0);
    assert_state("again", "pending");
    assert_int_equal(writes("jobs/again/spec", spec), -EBUSY);
    assert_int_equal(makes("jobs/bad"), 0);
    refuses("jobs/bad/spec", "{\"schema\":1,\"run\":\"a |\"}\n", -EINVAL, "run");
    refuses("jobs/bad/spec", "{\"schema\":1,\"run\":\"true\",\"colour\":1}\n", -EINVAL, "colour");
    refuses("jobs/bad/spec", "{\"schema\":1,\"run\":\"true\",\"cpus\":99}\n", -EINVAL, "99 cpus");
    refuses("jobs/bad/spec", "{\n", -EINPROGRESS, ""); /* more may follow */
    refuses("jobs/bad/spec", "{,\n", -EINVAL, "JSON");
    assert_true(*read_as("ann", "jobs/bad/error"));
    assert_int_equal(writes("jobs/bad/spec", "{\"schema\":1,\"run\":\"true\",\"memory\":1024}\n"),
                     0);
    assert_has(read_as("ann", "jobs/bad/spec"), "\"memory\": \"1KiB\"");
}

static void status_and_why_tell_how_it_went(void **state)
{
    struct job_end end_ = EXITED(3);

    (void)state;
    assert_int_equal(write_as("alice", "jobs/ctl", "run true | false\n"), 0);
    assert_has(read_as("ann", "jobs/1/why"), "it waits for the scheduler: it is elsewhere");
    assert_int_equal(job_put(&kit, "1", 1, "AB"), 0);
    assert_has(read_as("ann", "jobs/1/status"),
               "state running\nuser alice\nby A\nmachines A B\nattempt 1\n");
    assert_int_equal(job_over(&kit, "1", 0, EXITED(0), wall_us()), 0);
    assert_int_equal(job_over(&kit, "1", 1, end_, wall_us()), 0);
    assert_has(read_as("ann", "jobs/1/status"), "state failed\nexit 3\ncause exited\n");
    assert_has(read_as("ann", "jobs/1/why"), "it has ended: exit 3\n");
    assert_has(read_as("ann", "jobs/all.jsonl"), "\"machines\":[\"A\",\"B\"]");
    assert_has(read_as("ann", "jobs/all.jsonl"), "\"exit\":3");
}

static void an_array_counts_its_elements(void **state)
{
    (void)state;
    assert_int_equal(clones("set array 1-3\nrun true\n"), 0);
    assert_state("1.2", "pending");
    assert_has(read_as("ann", "jobs/1/status"), "elements_pending 3\n");
    assert_has(read_as("ann", "jobs/1.2/status"), "array 1\nindex 2\n");
    assert_has(read_as("ann", "jobs/all.jsonl"), "\"elements\":{\"pending\":3}");
}

static void last_is_of_who_looks(void **state)
{
    struct tree_attr attr;
    struct tree_at at;

    (void)state;
    assert_int_equal(tree_stat_as(tree, "jobs/last", "ann", &at, &attr), -ENOENT);
    assert_int_equal(write_as("ann", "jobs/ctl", "run true\n"), 0);
    assert_int_equal(write_as("bob", "jobs/ctl", "run true\n"), 0);
    assert_int_equal(write_as("ann", "jobs/ctl", "run true\n"), 0);
    assert_string_equal(read_as("ann", "jobs/last"), "3");
    assert_string_equal(read_as("bob", "jobs/last"), "2");
    assert_string_equal(read_as("eve", "jobs/last"), "ENOENT");
    assert_int_equal(writes("jobs/3/ctl", "cancel\n"), 0);
    assert_int_equal(removes("ann", "jobs/3"), 0);
    assert_string_equal(read_as("ann", "jobs/last"), "1");
    assert_int_equal(tree_stat_as(tree, "jobs/2", "ann", &at, &attr), 0);
    assert_string_equal(attr.owner, "bob");
    assert_true(attr.mtime_us > 0);
}

static void the_list_follows_the_registry(void **state)
{
    struct tree_names names = { 0 };
    struct tree_at at;

    (void)state;
    assert_int_equal(writes("jobs/ctl", "run true\nrun true\n"), 0);
    assert_int_equal(makes("jobs/x"), 0);
    assert_int_equal(tree_resolve(tree, "jobs", &at), 0);
    assert_int_equal(tree_list(&at, &names), 0);
    assert_int_equal(names.n, 4 + 3); /* all.jsonl ctl error clone, and the jobs */
    tree_names_free(&names);
    assert_int_equal(tree_resolve(tree, "jobs/1/procs", &at), 0);
    assert_int_equal(tree_list(&at, &names), 0);
    assert_int_equal(names.n, 1);
    assert_string_equal(names.v[0], "A.7");
    tree_names_free(&names);
    assert_string_equal(read_as("ann", "jobs/1/procs/A.7"), "../../../procs/A.7");
    assert_string_equal(read_as("ann", "jobs/2/procs/A.7"), "ENOENT");
    joblist_destroy(sys.joblist); /* as a daemon that starts again has it */
    assert_int_equal(joblist_create(&sys.joblist, kit.r), 0);
    assert_non_null(joblist_find(sys.joblist, "2"));
    assert_string_equal(joblist_newest(sys.joblist, "ann")->name, "x");
}

static void assert_promised(const char *machine, unsigned cpu_milli, uint64_t memory,
                            unsigned groups)
{
    struct promised p;

    joblist_promised(sys.joblist, machine, &p);
    assert_int_equal(p.cpu_milli, cpu_milli);
    assert_int_equal(p.memory, memory);
    assert_int_equal(p.groups, groups);
}

static void promises_are_added_up(void **state)
{
    (void)state;
    assert_int_equal(clones("set cpus 0.5\nset memory 1MiB\nrun a | b | c | d\n"), 0);
    assert_int_equal(writes("jobs/ctl", "run true\n"), 0);
    assert_promised("A", 0, 0, 0);
    assert_int_equal(job_put(&kit, "1", 1, "ABBA"), 0);
    assert_int_equal(job_put(&kit, "2", 1, "A"), 0);
    assert_promised("A", 1500, 1 << 20, 3); /* once a machine, whatever it runs there */
    assert_promised("B", 500, 1 << 20, 1);
    assert_promised("C", 0, 0, 0);
    joblist_destroy(sys.joblist);
    assert_int_equal(joblist_create(&sys.joblist, kit.r), 0);
    assert_promised("A", 1500, 1 << 20, 3);
    assert_int_equal(job_over(&kit, "2", 0, EXITED(0), wall_us()), 0);
    assert_promised("A", 500, 1 << 20, 2);
}

static char told[200];

static void tell(void *arg, const struct job_brief *b, bool gone)
{
    (void)arg;
    snprintf(told + strlen(told), sizeof told - strlen(told), "%s:%s ", b->name,
             gone ? "gone" : job_state_name(b->state));
}

static void changes_of_state_are_told(void **state)
{
    (void)state;
    told[0] = '\0';
    joblist_on_change(sys.joblist, tell, NULL);
    assert_int_equal(makes("jobs/x"), 0);
    assert_int_equal(writes("jobs/x/ctl", "set cpus 2\nrun true\nhold\ncancel\n"), 0);
    assert_int_equal(removes("ann", "jobs/x"), 0);
    assert_string_equal(told, "x:new x:pending x:held x:cancelled x:gone ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_makes_a_job),
        TEST(many_lines_are_one_command),
        TEST(lines_before_a_bad_one_have_run),
        TEST(what_no_machine_can_run_is_refused),
        TEST(a_clone_with_its_lines_is_one_command),
        TEST(a_clone_that_is_not_run_goes_with_its_handle),
        TEST(a_named_job_is_set_up_and_run),
        TEST(a_signal_is_somebody_elses),
        TEST(a_spec_is_written_back),
        TEST(status_and_why_tell_how_it_went),
        TEST(an_array_counts_its_elements),
        TEST(last_is_of_who_looks),
        TEST(the_list_follows_the_registry),
        TEST(promises_are_added_up),
        TEST(changes_of_state_are_told),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    obuf_free(&got.out);
    return rc;
}

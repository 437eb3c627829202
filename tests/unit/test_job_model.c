/*
 * test_job_model.c - random commands about jobs, in any order and some of them repeated; what must
 * hold after each.
 *
 * A job that is over stays as it is until it is forgotten; a uid comes once; an attempt only grows,
 * by one, and what one attempt was given does not change; the counts of an array are those of its
 * elements; placed/ID/NAME is there exactly for what runs there; a machine without a session, or
 * with a fenced one, is given nothing; unended/USER is how many jobs of his have not ended. A
 * second registry that gets all in large batches has the same state byte for byte; and so has one
 * that an older program, which knew no such counts, had until then.
 */
#define KIT_MORE job_commands, old_commands,
#include "sched/job_cmd.h"
static const struct registry_command old_commands[];
#include "job_kit.h"

#define CHOSEN   5
#define NAMES    (4 * CHOSEN) /* with the elements of arrays */
#define COMMANDS 4000

static unsigned seed;

static unsigned any(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static const char *const machines[] = { "A", "B", "C" };
static uint64_t sessions[3] = { 11, 12, 13 };
static uint64_t now = 1000 * S, last_uid;

/* What a name had before the command. */
static struct seen {
    char name[JOB_NAME_MAX];
    bool there;
    struct job job;
} seen[NAMES];

static struct kit one, two;

static const char *const users[] = { "u", "v", "root" };

/* old.make: the state becomes what a program of schema 1 would have left. */
static int old_make(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX] = "";
    json_t *meta;

    (void)cmd, (void)result, (void)e;
    while (txn_next(t, UNENDED_KEY, key, key, NULL) == 0)
        txn_del(t, key);
    assert_int_equal(txn_get(t, KEY_META, &meta), 0);
    json_object_set_new(meta, "schema", json_integer(1));
    return txn_put(t, KEY_META, meta);
}

static const struct registry_command old_commands[] = { { "old.make", 1, old_make }, { 0 } };

/* ---- commands */

static const struct seen *some_job(void)
{
    unsigned at = any(NAMES);

    for (unsigned i = 0; i < NAMES; i++)
        if (seen[(at + i) % NAMES].there)
            return &seen[(at + i) % NAMES];
    return &seen[0];
}

static uint64_t uid_of_seen(const struct seen *s)
{
    return s->there && any(20) ? s->job.uid : s->job.uid + any(3);
}

static json_t *some_spec(void)
{
    static const char *const specs[] = { "'run':'a'",
                                         "'run':'a','retries':2",
                                         "'run':'a','restart':'always'",
                                         "'run':'a','restart':'on-failure','retries':1",
                                         "'run':'a','array':'1-3'",
                                         "'run':'a','array':'1-2','retries':1",
                                         "'cpus':2",
                                         "'run':'a','after':['a']" };

    return spec_of(specs[any(8)]);
}

static json_t *some_place(const struct seen *s)
{
    static const char *const lists[][3] = { { "A" },          { "B" },           { "C" },
                                            { "A", "B" },     { "C", "C", "A" }, { "B", "A", "B" },
                                            { "A", "A", "Z" } };
    static const size_t n[] = { 1, 1, 1, 2, 3, 3, 3 };
    unsigned l = any(7);
    struct job_place p = { .name = s->name,
                           .uid = uid_of_seen(s),
                           .attempt = s->job.attempt + (any(10) ? 1 : any(3)),
                           .on = lists[l],
                           .n_on = n[l],
                           .groups = lists[l],
                           .n_groups = n[l],
                           .status_group = any((unsigned)n[l]) };

    return job_place_fields(any(20) ? 1 : 2, &p, 1, now);
}

static json_t *some_end(const struct seen *s)
{
    struct job_ended ends[3];
    unsigned m = any(3), n = 1 + any(3);

    for (unsigned i = 0; i < n; i++) {
        ends[i] =
            (struct job_ended){ .name = s->name,
                                .uid = uid_of_seen(s),
                                .attempt = s->job.attempt - (any(10) ? 0 : 1),
                                .group = any(3),
                                .end = { .cause = (enum job_cause)(1 + any(JOB_NOT_BEGUN)) } };
        if (any(2))
            ends[i].end = EXITED((int)any(2));
        if (any(3) == 0)
            s = some_job();
    }
    return job_end_fields(machines[m], sessions[m] + (any(20) ? 0 : 1), ends, n, now);
}

static json_t *some_command(const char **cmd)
{
    const struct seen *s = some_job();
    const struct job_id ids[2] = { { s->name, uid_of_seen(s) }, { "b", 1 } };
    unsigned m = any(3), kind = any(40);

    now += any(3) * S;
    if (kind < 5)
        return *cmd = "job.make", job_make_fields(seen[any(CHOSEN)].name, users[any(3)], "A",
                                                  some_spec(), any(4) != 0, any(6) == 0, now);
    if (kind < 7)
        return *cmd = "job.run",
               job_run_fields(s->name, uid_of_seen(s), json_pack("{s:s}", "run", "b"), now);
    if (kind < 8)
        return *cmd = "job.set",
               job_set_fields(s->name, uid_of_seen(s), json_pack("{s:i}", "x", any(9)));
    if (kind < 9)
        return *cmd = "job.hold", job_hold_fields(s->name, uid_of_seen(s));
    if (kind < 11)
        return *cmd = "job.release", job_release_fields(s->name, uid_of_seen(s), now);
    if (kind < 12)
        return *cmd = "job.cancel", job_cancel_fields(s->name, uid_of_seen(s), "root", now);
    if (kind < 13)
        return *cmd = "job.refuse", job_refuse_fields(1, s->name, uid_of_seen(s), 127, "no", now);
    if (kind < 16)
        return *cmd = "job.forget", job_forget_fields(ids, 1 + any(2));
    if (kind < 25)
        return *cmd = "job.place", some_place(s);
    if (kind < 37)
        return *cmd = "job.end", some_end(s);
    if (kind < 38)
        return *cmd = "runner.fence", runner_fence_fields(1, machines[m], sessions[m], now);
    if (kind < 39)
        return *cmd = "job.lost", job_lost_fields(1, machines[m], sessions[m], now);
    sessions[m] += any(2) * 10;
    return *cmd = "runner.claim", runner_claim_fields(machines[m], sessions[m], now);
}

/* ---- what must hold */

static bool fenced_before[3];

static void check_place(const struct job *j)
{
    for (size_t i = 0; i < j->n_groups; i++) {
        unsigned m = (unsigned)(j->groups[i].machine[0] - 'A');

        assert_true(m < 3);
        assert_false(fenced_before[m]);
        assert_int_equal(j->groups[i].end.cause, JOB_NOT_ENDED);
    }
}

static void check_change(const struct seen *s, const struct job *j)
{
    bool same = s->there && s->job.uid == j->uid;

    if (!same) {
        assert_true(j->uid > last_uid || !s->there);
        assert_true(j->state <= JOB_PENDING);
        assert_int_equal(j->attempt, 0);
        return;
    }
    if (job_is_over(s->job.state)) {
        json_t *a = job_encode(&s->job), *b = job_encode(j);

        assert_true(json_equal(a, b));
        json_decref(a);
        json_decref(b);
    }
    if (j->attempt == s->job.attempt + 1) {
        assert_int_equal(s->job.state, JOB_PENDING);
        assert_int_equal(j->state, JOB_RUNNING);
        check_place(j);
        return;
    }
    assert_int_equal(j->attempt, s->job.attempt);
    assert_int_equal(j->n_groups, s->job.n_groups);
    for (size_t i = 0; i < j->n_groups; i++) {
        assert_string_equal(j->groups[i].machine, s->job.groups[i].machine);
        if (s->job.groups[i].end.cause != JOB_NOT_ENDED)
            assert_int_equal(j->groups[i].end.cause, s->job.groups[i].end.cause);
    }
    if (s->job.state != JOB_RUNNING && !j->counts)
        assert_int_not_equal(j->state, JOB_RUNNING);
}

/* It runs exactly while one of its groups has not ended; and is noted where those are. */
static void check_groups(const struct job *j)
{
    bool open[3] = { false }, any_open = false;

    for (size_t i = 0; i < j->n_groups; i++)
        if (j->groups[i].end.cause == JOB_NOT_ENDED)
            open[j->groups[i].machine[0] - 'A'] = any_open = true;
    if (!j->counts)
        assert_int_equal(j->state == JOB_RUNNING, any_open);
    for (unsigned m = 0; m < 3; m++) {
        char key[REGISTRY_KEY_MAX];

        snprintf(key, sizeof key, PLACED_KEY "%s/%s", machines[m], j->name);
        assert_int_equal(*kit_text(&one, key) != '\0', open[m]);
    }
}

static void check_array(const struct job *array)
{
    json_int_t counts[JOB_LOST + 1] = { 0 }, sum = 0;

    for (unsigned i = 0; i < NAMES; i++)
        if (seen[i].there && strcmp(seen[i].job.array, array->name) == 0)
            counts[seen[i].job.state]++;
    for (int s = JOB_NEW; s <= JOB_LOST; s++) {
        const char *name = job_state_name((enum job_state)s);

        sum += counts[s];
        assert_int_equal(json_integer_value(json_object_get(array->counts, name)), counts[s]);
    }
    assert_true(sum > 0);
    assert_int_equal(job_is_over(array->state),
                     counts[JOB_HELD] + counts[JOB_PENDING] + counts[JOB_RUNNING] == 0);
    if (array->state == JOB_DONE)
        assert_int_equal(counts[JOB_DONE], sum);
    if (array->state == JOB_LOST)
        assert_true(counts[JOB_LOST] > 0);
}

static void check_tallies(void)
{
    for (unsigned u = 0; u < 3; u++) {
        char key[20], text[20];
        unsigned n = 0;

        for (unsigned i = 0; i < NAMES; i++)
            n += seen[i].there && !job_is_over(seen[i].job.state) &&
                 strcmp(seen[i].job.user, users[u]) == 0;
        snprintf(key, sizeof key, UNENDED_KEY "%s", users[u]);
        snprintf(text, sizeof text, "%u", n);
        assert_string_equal(kit_text(&one, key), n ? text : "");
    }
}

static void check_all(void)
{
    uint64_t highest = last_uid;
    size_t n = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        struct job j;

        if (job_read(&one, seen[i].name, &j) == 0) {
            check_change(&seen[i], &j);
            check_groups(&j);
            highest = j.uid > highest ? j.uid : highest;
            n++;
            job_clear(&seen[i].job);
            seen[i].job = j;
            seen[i].there = true;
        } else {
            assert_true(!seen[i].there || seen[i].job.state == JOB_NEW ||
                        job_is_over(seen[i].job.state));
            seen[i].there = false;
        }
    }
    last_uid = highest;
    for (unsigned i = 0; i < NAMES; i++)
        if (seen[i].there && seen[i].job.counts)
            check_array(&seen[i].job);
    if (*kit_text(&one, "jobs")) {
        json_t *head = json_loads(kit_text(&one, "jobs"), 0, NULL);

        assert_int_equal(json_integer_value(json_object_get(head, "n")), n);
        json_decref(head);
    }
    check_tallies();
    for (unsigned m = 0; m < 3; m++) {
        char key[20];

        snprintf(key, sizeof key, "runner/%s", machines[m]);
        fenced_before[m] = strstr(kit_text(&one, key), "fenced") != NULL;
    }
}

/* ---- the test */

/* The same text for both, the second at its leisure. */
static int run(const char *cmd, json_t *fields)
{
    json_t *copy = json_deep_copy(fields);
    char *text;
    int rc = job_do(&one, cmd, fields);

    json_object_set_new(copy, "v", json_integer(REGISTRY_SCHEMA));
    json_object_set_new(copy, "cmd", json_string(cmd));
    text = json_dumps(copy, 0);
    kit_queue(&two, text);
    free(text);
    json_decref(copy);
    if (any(100) == 0)
        assert_int_equal(registry_flush(two.r, NULL, NULL), 0);
    return rc;
}

/* The second one becomes what an older program left, and is upgraded; and goes on from there. */
static void grow_old(void)
{
    void *p;
    size_t n;

    assert_int_equal(registry_flush(two.r, NULL, NULL), 0);
    assert_int_equal(kit_run(&one, "'old.make'"), 0);
    assert_int_equal(registry_dump(one.r, &p, &n), 0);
    assert_int_equal(registry_restore(two.r, ++two.index, p, n), 0);
    assert_int_equal(registry_restore(one.r, ++one.index, p, n), 0);
    free(p);
    check_tallies();
}

static void same_states(void)
{
    void *a, *b;
    size_t na, nb;

    assert_int_equal(registry_flush(two.r, NULL, NULL), 0);
    assert_int_equal(registry_dump(one.r, &a, &na), 0);
    assert_int_equal(registry_dump(two.r, &b, &nb), 0);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(a);
    free(b);
}

static void random_commands(void **state)
{
    static const char *const good[] = { "job.make", "job.place", "job.end", "job.forget" };
    unsigned done[4] = { 0 };

    (void)state;
    job_kit_open(&one);
    job_kit_open(&two);
    for (unsigned i = 0; i < CHOSEN; i++)
        snprintf(seen[i].name, JOB_NAME_MAX, "%c", 'a' + i);
    for (unsigned i = CHOSEN; i < NAMES; i++)
        snprintf(seen[i].name, JOB_NAME_MAX, "%c.%u", 'a' + i % CHOSEN, i / CHOSEN);
    for (int i = 0; i < COMMANDS; i++) {
        const char *cmd;
        json_t *fields = some_command(&cmd), *again = json_deep_copy(fields);
        int rc = run(cmd, fields);

        check_all();
        for (unsigned g = 0; g < 4; g++)
            done[g] += rc == 0 && strcmp(cmd, good[g]) == 0;
        if (any(5) == 0) {
            run(cmd, json_incref(again));
            check_all();
        }
        json_decref(again);
        if (i % (COMMANDS / 4) == COMMANDS / 8)
            grow_old();
    }
    for (unsigned g = 0; g < 4; g++)
        assert_true(done[g] > COMMANDS / 100);
    same_states();
    for (unsigned i = 0; i < NAMES; i++)
        job_clear(&seen[i].job);
    job_kit_close(&one);
    job_kit_close(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_commands) };
    const char *from = getenv("SEED");

    seed = from ? (unsigned)atoi(from) : 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

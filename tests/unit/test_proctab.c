/*
 * test_proctab.c - the table of all processes: replication with its gaps, and who waits for an end.
 */
#include "run/proctab.h"
#include "base/flow.h"

#include "runkit.h"

struct seen {
    unsigned changes, gone;
    char last[PROC_NAME_MAX];
    json_t *published[16];
    size_t n;
};

static void on_changed(void *arg, const struct proc_rec *r, bool gone)
{
    struct seen *s = arg;

    s->changes += !gone;
    s->gone += gone;
    snprintf(s->last, sizeof s->last, "%s", r->name);
}

static void on_publish(void *arg, json_t *change)
{
    struct seen *s = arg;

    assert_non_null(change);
    assert_true(s->n < ARRAY_SIZE(s->published));
    s->published[s->n++] = change;
}

static const struct proctab_ops ops = { .changed = on_changed, .publish = on_publish };

struct pair {
    struct seen owner, other;
    struct proctab *a, *b; /* of machine A, and of B, which replicates it */
};

static void pair_make(struct pair *p)
{
    memset(p, 0, sizeof *p);
    assert_int_equal(proctab_create(&p->a, "A", &ops, &p->owner), 0);
    assert_int_equal(proctab_create(&p->b, "B", &ops, &p->other), 0);
}

static void pair_free(struct pair *p)
{
    proctab_destroy(p->a);
    proctab_destroy(p->b);
    for (size_t i = 0; i < p->owner.n; i++)
        json_decref(p->owner.published[i]);
    for (size_t i = 0; i < p->other.n; i++)
        json_decref(p->other.published[i]);
}

/* All of A's records to B. */
static void sync_all(struct pair *p)
{
    json_t *all = proctab_all(p->a);

    assert_int_equal(proctab_replace(p->b, "A", all), 0);
    json_decref(all);
}

static struct proc_rec rec(const char *machine, uint32_t number, enum proc_state state)
{
    struct proc_rec r = { .number = number, .state = state, .exit = -1, .signal = -1 };

    snprintf(r.machine, sizeof r.machine, "%s", machine);
    snprintf(r.name, sizeof r.name, "%s.%u", machine, number);
    snprintf(r.user, sizeof r.user, "u");
    return r;
}

static void set(struct proctab *t, uint32_t number, enum proc_state state)
{
    struct proc_rec r = rec("A", number, state);

    assert_int_equal(proctab_set(t, &r), 0);
}

static void set_exit(struct proctab *t, uint32_t number, int exit)
{
    struct proc_rec r = rec("A", number, PROC_ENDED);

    r.exit = exit;
    r.cause = CAUSE_EXITED;
    assert_int_equal(proctab_set(t, &r), 0);
}

static struct stream *wait_for(struct proctab *t, const char *name)
{
    struct stream *s;

    assert_int_equal(proctab_wait(t, name, &s), 0);
    return s;
}

static void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static void changes_are_replicated_in_order(void **state)
{
    struct pair p;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_NEW);
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[0]), -EAGAIN); /* never synced */
    sync_all(&p);
    assert_non_null(proctab_find(p.b, "A.1"));
    assert_false(proctab_behind(p.b, "A", proctab_seq(p.a)));
    set(p.a, 1, PROC_RUNNING);
    assert_true(proctab_behind(p.b, "A", proctab_seq(p.a)));
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[1]), 0);
    assert_int_equal(proctab_find(p.b, "A.1")->state, PROC_RUNNING);
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[1]), 0); /* twice does nothing */
    assert_int_equal(p.other.changes, 2);
    proctab_drop(p.a, "A.1");
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[2]), 0);
    assert_null(proctab_find(p.b, "A.1"));
    assert_int_equal(p.other.gone, 1);
    pair_free(&p);
}

static void a_gap_is_not_applied(void **state)
{
    struct pair p;

    (void)state;
    pair_make(&p);
    sync_all(&p);
    set(p.a, 1, PROC_NEW);
    set(p.a, 2, PROC_NEW);
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[1]), -EAGAIN);
    assert_null(proctab_find(p.b, "A.2"));
    assert_true(proctab_behind(p.b, "A", proctab_seq(p.a)));
    sync_all(&p);
    assert_non_null(proctab_find(p.b, "A.1"));
    assert_non_null(proctab_find(p.b, "A.2"));
    pair_free(&p);
}

static void a_machine_that_started_anew_is_noticed(void **state)
{
    struct pair p;

    (void)state;
    pair_make(&p);
    for (uint32_t i = 1; i < 6; i++)
        set(p.a, i, PROC_NEW);
    sync_all(&p);
    assert_false(proctab_behind(p.b, "A", 5));
    assert_true(proctab_behind(p.b, "A", 1));
    pair_free(&p);
}

static void all_replaces_what_was_there(void **state)
{
    struct pair p;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_NEW);
    set(p.a, 2, PROC_NEW);
    sync_all(&p);
    proctab_drop(p.a, "A.1");
    set(p.a, 3, PROC_RUNNING);
    sync_all(&p);
    assert_null(proctab_find(p.b, "A.1"));
    assert_non_null(proctab_find(p.b, "A.2"));
    assert_non_null(proctab_find(p.b, "A.3"));
    proctab_forget(p.b, "A");
    assert_null(proctab_next(p.b, NULL));
    assert_true(proctab_behind(p.b, "A", 0));
    pair_free(&p);
}

static void what_is_malformed_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "{}", "[]", "{\"seq\": \"1\"}", "{\"seq\": 2, \"set\": [{}]}", "{\"seq\": 2, \"set\": [7]}",
    };
    struct pair p;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_RUNNING);
    sync_all(&p);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *j = json_loads(bad[i], 0, NULL);

        assert_non_null(j);
        assert_int_equal(proctab_apply(p.b, "A", j), -EPROTO);
        assert_int_equal(proctab_replace(p.b, "A", j), -EPROTO);
        assert_int_equal(proctab_learn(p.b, "A", j), -EPROTO);
        json_decref(j);
    }
    assert_int_equal(proctab_find(p.b, "A.1")->state, PROC_RUNNING);
    assert_false(proctab_behind(p.b, "A", proctab_seq(p.a)));
    pair_free(&p);
}

/* Nobody speaks for another, nor for us. */
static void a_machine_speaks_for_itself_only(void **state)
{
    struct pair p;
    json_t *all;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_RUNNING);
    all = proctab_all(p.a);
    assert_int_equal(proctab_replace(p.b, "C", all), -EPROTO);
    assert_int_equal(proctab_learn(p.b, "C", json_array_get(json_object_get(all, "set"), 0)),
                     -EPROTO);
    assert_int_equal(proctab_replace(p.a, "A", all), -EPROTO);
    assert_null(proctab_next(p.b, NULL));
    json_decref(all);
    pair_free(&p);
}

static void what_the_owner_gave_is_known_at_once(void **state)
{
    struct pair p;
    json_t *all, *one;

    (void)state;
    pair_make(&p);
    sync_all(&p);
    set(p.a, 1, PROC_NEW);
    all = proctab_all(p.a);
    one = json_array_get(json_object_get(all, "set"), 0);
    assert_int_equal(proctab_learn(p.b, "A", one), 0);
    assert_non_null(proctab_find(p.b, "A.1"));
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[0]), 0);
    set(p.a, 1, PROC_RUNNING);
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[1]), 0);
    assert_int_equal(proctab_learn(p.b, "A", one), 0); /* late: what is known is newer */
    assert_int_equal(proctab_find(p.b, "A.1")->state, PROC_RUNNING);
    json_decref(all);
    pair_free(&p);
}

static void who_waits_is_told_once_and_gets_the_end(void **state)
{
    struct stream *s[3];
    struct rreq r;
    struct pair p;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_RUNNING);
    for (int i = 0; i < 3; i++)
        s[i] = wait_for(p.a, "A.1");
    rreq_init(&r, 100);
    s[0]->ops->read(s[0], &r.io);
    assert_false(rreq_answered(&r));
    assert_true(s[0]->ops->cancel(s[0], &r.io));
    shut(s[0]);
    set_exit(p.a, 1, 3);
    for (int i = 1; i < 3; i++) {
        assert_text(s[i], "exit 3\n");
        assert_end(s[i], 0);
        shut(s[i]);
    }
    s[0] = wait_for(p.a, "A.1"); /* afterwards */
    assert_text(s[0], "exit 3\n");
    assert_end(s[0], 0);
    shut(s[0]);
    assert_int_equal(proctab_wait(p.a, "A.9", &s[0]), -ENOENT);
    pair_free(&p);
}

static void the_end_is_heard_elsewhere(void **state)
{
    struct pair p;
    struct stream *s;
    struct proc_rec r = rec("A", 1, PROC_ENDED);

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_RUNNING);
    sync_all(&p);
    s = wait_for(p.b, "A.1");
    r.signal = SIGKILL;
    r.cause = CAUSE_KILLED;
    assert_int_equal(proctab_set(p.a, &r), 0);
    assert_int_equal(proctab_apply(p.b, "A", p.owner.published[1]), 0);
    assert_text(s, "signal KILL\n");
    assert_end(s, 0);
    shut(s);
    pair_free(&p);
}

static void who_waits_on_a_lost_machine_is_told_so(void **state)
{
    char line[128];
    struct pair p;
    struct stream *s;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_RUNNING);
    set_exit(p.a, 2, 0);
    sync_all(&p);
    s = wait_for(p.b, "A.1");
    proctab_lost(p.b, "A");
    assert_text(s, "lost A\n");
    assert_end(s, 0);
    shut(s);
    s = wait_for(p.b, "A.1"); /* who comes later, too */
    assert_text(s, "lost A\n");
    shut(s);
    s = wait_for(p.b, "A.2"); /* but not of what had ended */
    assert_text(s, "exit 0\n");
    shut(s);
    proctab_back(p.b, "A");
    assert_true(proctab_behind(p.b, "A", proctab_seq(p.a)));
    assert_false(proctab_verdict(p.b, proctab_find(p.b, "A.1"), line));
    sync_all(&p);
    assert_false(proctab_behind(p.b, "A", proctab_seq(p.a)));
    pair_free(&p);
}

static void who_waits_for_what_goes_is_told_so(void **state)
{
    struct pair p;
    struct stream *s, *t;

    (void)state;
    pair_make(&p);
    set(p.a, 1, PROC_NEW);
    set(p.a, 2, PROC_RUNNING);
    s = wait_for(p.a, "A.1");
    t = wait_for(p.a, "A.2");
    proctab_drop(p.a, "A.1");
    assert_text(s, "lost A\n");
    shut(s);
    proctab_destroy(p.a);
    p.a = NULL;
    assert_text(t, "lost A\n");
    assert_end(t, 0);
    shut(t);
    pair_free(&p);
}

static void a_record_survives_its_json(void **state)
{
    struct proc_rec r = rec("A", 4000000000u, PROC_ENDED), back;
    json_t *j;

    (void)state;
    r.cause = CAUSE_OOM;
    r.signal = SIGKILL;
    r.created_us = 1;
    r.started_us = 2;
    r.ended_us = 3;
    r.changed_us = 4;
    r.stuck = ENOSPC;
    snprintf(r.cmdline, sizeof r.cmdline, "a 'b c'");
    j = proc_rec_encode(&r);
    assert_int_equal(proc_rec_decode(j, &back), 0);
    assert_memory_equal(&r, &back, sizeof r);
    json_object_set_new(j, "output_errno", json_integer(-1));
    assert_int_equal(proc_rec_decode(j, &back), -EPROTO);
    json_decref(j);
}

static void a_bad_record_is_refused(void **state)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        { "machine", "\"\"" },      { "machine", "\"a/b\"" }, { "machine", "7" },
        { "number", "0" },          { "number", "-1" },       { "number", "4294967296" },
        { "state", "\"gone\"" },    { "cause", "\"bored\"" }, { "exit", "256" },
        { "exit", "4294967301" },   { "exit", "-2" },         { "signal", "65" },
        { "signal", "4294967305" }, { "created_us", "-1" },   { "ended_us", "\"now\"" },
        { "cmdline", "null" },      { "user", "null" },       { "user", NULL },
        { "cmdline", NULL },
    };
    char longer[PROC_CMDLINE_MAX + 3];
    struct proc_rec r = rec("A", 1, PROC_RUNNING), back;

    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[0] = longer[sizeof longer - 2] = '"';
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *j = proc_rec_encode(&r);
        const char *value = bad[i].value ? bad[i].value : longer;

        json_object_set_new(j, bad[i].key, json_loads(value, JSON_DECODE_ANY, NULL));
        if (proc_rec_decode(j, &back) != -EPROTO)
            fail_msg("%s %s is taken", bad[i].key, value);
        json_object_del(j, bad[i].key);
        assert_int_equal(proc_rec_decode(j, &back), -EPROTO);
        json_decref(j);
    }
    assert_int_equal(proc_rec_decode(NULL, &back), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_replicated_in_order),
        cmocka_unit_test(a_gap_is_not_applied),
        cmocka_unit_test(a_machine_that_started_anew_is_noticed),
        cmocka_unit_test(all_replaces_what_was_there),
        cmocka_unit_test(what_is_malformed_changes_nothing),
        cmocka_unit_test(a_machine_speaks_for_itself_only),
        cmocka_unit_test(what_the_owner_gave_is_known_at_once),
        cmocka_unit_test(who_waits_is_told_once_and_gets_the_end),
        cmocka_unit_test(the_end_is_heard_elsewhere),
        cmocka_unit_test(who_waits_on_a_lost_machine_is_told_so),
        cmocka_unit_test(who_waits_for_what_goes_is_told_so),
        cmocka_unit_test(a_record_survives_its_json),
        cmocka_unit_test(a_bad_record_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_scheduler_whole.c - the scheduler with all of its parts, between a real registry and a
 * replica that carries out at once what it is asked for.
 */
#include "scheduler_kit.h"

static const struct sched_options options = { .fair = true,
                                              .backfill = true,
                                              .half_life_ms = 3600000,
                                              .fence_ms = 20,
                                              .lost_ms = 60,
                                              .keep_ms = 3600000,
                                              .keep_jobs = 10000 };

static void open_all(void)
{
    struct oerr e;

    job_kit_open(&kit);
    assert_int_equal(loop_create(&loop), 0);
    assert_int_equal(scheduler_create(&scheduler, loop, NULL, NULL, &options, NULL, NULL), 0);
    info = json_pack("{s:i, s:I, s:s, s:s, s:s}", "cores", 4, "memory_bytes", (json_int_t)8 << 30,
                     "arch", "x86_64", "os", "Linux", "hostname", "h");
    labels = json_pack("{s:s}", "gpu", "2");
    load = json_pack("{s:f}", "cpu_used", 0.0);
    views[0].state = views[1].state = MEMBER_ALIVE;
    assert_int_equal(kit_run(&kit, "'member.label','id':'B','labels':{'gpu':'2'}"), 0);
    assert_int_equal(scheduler_service.start(scheduler, 1, &e), 0);
}

static void close_all(void)
{
    struct oerr e;

    if (!scheduler_service.health(scheduler, &e))
        fail_msg("%s", e.text);
    scheduler_service.stop(scheduler);
    while (n_asked)
        let_through();
    scheduler_destroy(scheduler);
    loop_destroy(loop);
    json_decref(info);
    json_decref(labels);
    json_decref(load);
    job_kit_close(&kit);
}

/* Turns until it is in this state; five seconds at most. */
static void until(const char *name, const char *state)
{
    uint64_t end = now_ms() + 5000;

    while (strcmp(state_of(&kit, name), state) != 0) {
        struct obuf why = { 0 };

        if (now_ms() > end) {
            scheduler_why(scheduler, name, &why, NULL);
            fail_msg("%s is %s: %s", name, state_of(&kit, name), why.p);
        }
        turn();
        while (n_asked)
            let_through();
    }
}

static void one_job(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'true'"), 0);
    until("x", "running");
    assert_int_equal(job_of(&kit, "x")->n_groups, 1);
    assert_int_equal(job_over(&kit, "x", 0, EXITED(0), wall_us()), 0);
    assert_string_equal(state_of(&kit, "x"), "done");
    assert_int_equal(job_submit(&kit, "y", "'run':'@gpu>=1 true | cat'"), 0);
    until("y", "running");
    assert_string_equal(job_of(&kit, "y")->on[0], "B");
    close_all();
}

static void one_after_the_other(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'true'"), 0);
    assert_int_equal(job_submit(&kit, "y", "'run':'true','after':['x']"), 0);
    until("x", "running");
    assert_string_equal(state_of(&kit, "y"), "pending");
    assert_int_equal(job_over(&kit, "x", 0, EXITED(0), wall_us()), 0);
    until("y", "running");
    close_all();
}

static void why_it_waits(void **state)
{
    struct obuf why = { 0 };

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'true'"), 0);
    until("x", "running");
    assert_int_equal(job_submit(&kit, "y", "'run':'@tape true'"), 0);
    for (int i = 0; i < 3; i++)
        turn();
    assert_string_equal(state_of(&kit, "y"), "pending");
    assert_int_equal(scheduler_why(scheduler, "y", &why, NULL), 0);
    if (!strstr(why.p, "has no label tape"))
        fail_msg("%s", why.p);
    obuf_free(&why);
    close_all();
}

/* A machine dies: it is fenced, and when its lease is over for sure its job runs elsewhere. */
static void a_machine_dies(void **state)
{
    char machine[ID_MAX];
    unsigned m;

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'true','retries':1"), 0);
    until("x", "running");
    strcpy(machine, job_of(&kit, "x")->on[0]);
    m = (unsigned)(*machine - 'A');
    views[m].state = MEMBER_DEAD;
    scheduler_member(scheduler, &views[m]);
    until("x", "pending");
    assert_int_equal(job_of(&kit, "x")->end.cause, JOB_LOSS);
    until("x", "running");
    assert_string_not_equal(job_of(&kit, "x")->on[0], machine);
    assert_int_equal(job_of(&kit, "x")->attempt, 2);
    close_all();
}

/* More than there is room for: they go one after the other, and none is forgotten. */
static void many(void **state)
{
    enum { N = 400 };
    unsigned done = 0, running = 0;
    uint64_t end = now_ms() + 20000;

    (void)state;
    open_all();
    for (int i = 0; i < N; i++)
        assert_int_equal(job_submit(&kit, "", "'run':'true'"), 0);
    while (done < N && now_ms() < end) {
        turn();
        while (n_asked)
            let_through();
        running = 0;
        for (int i = 1; i <= N; i++) {
            char name[16];

            snprintf(name, sizeof name, "%d", i);
            if (strcmp(state_of(&kit, name), "running") != 0)
                continue;
            running++;
            assert_int_equal(job_over(&kit, name, 0, EXITED(0), wall_us()), 0);
            done++;
        }
        assert_true(running <= 8); /* 2 machines, 4 cores each, 1 for each job */
    }
    assert_int_equal(done, N);
    close_all();
}

static void applied_as_by_the_replica(void *arg, uint64_t index, const json_t *cmd,
                                      const struct registry_result *result)
{
    const json_t *advice = json_object_get(cmd, "advice");

    kit_applied(arg, index, cmd, result);
    if (advice)
        adviser->carried_out(adviser_arg, advice, result->again ? -EALREADY : result->rc,
                             result->body);
}

/* Makes a job as the replica does: with advice on the way. Whether there was any. serial 0: nobody
 * would ask again. */
static bool submit_as(json_int_t serial, const char *name, const char *run)
{
    json_t *spec = json_pack("{s:i, s:s}", "schema", 1, "run", run), *advice;
    json_t *cmd = job_make_fields(name, "alice", "A", spec, true, false, wall_us());
    char *text;

    json_object_set_new(cmd, "v", json_integer(REGISTRY_SCHEMA));
    json_object_set_new(cmd, "cmd", json_string("job.make"));
    if (serial)
        json_object_set_new(cmd, "from", json_pack("[s, I, I]", "asker", serial, serial));
    advice = adviser->advise(adviser_arg, cmd);
    if (advice)
        json_object_set(cmd, "advice", advice);
    text = json_dumps(cmd, 0);
    kit_queue(&kit, text);
    free(text);
    json_decref(cmd);
    assert_int_equal(registry_flush(kit.r, applied_as_by_the_replica, &kit), 0);
    json_decref(advice);
    return advice != NULL;
}

static bool submit_advised(const char *name, const char *run)
{
    return submit_as(0, name, run);
}

/* One command for both, where there is room; nothing is promised twice, or kept in vain. */
static void made_and_placed_at_once(void **state)
{
    struct sched_allocation a, b;
    unsigned early = 0;

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "first", "'run':'true'"), 0);
    until("first", "running"); /* now both machines are known to have it */
    for (int i = 1; i < 20; i++) {
        char name[16];

        snprintf(name, sizeof name, "j%d", i);
        early += submit_advised(name, "true");
        assert_int_equal(n_asked, 0);
        assert_string_equal(state_of(&kit, name), i < 8 ? "running" : "pending");
    }
    assert_int_equal(early, 7);
    assert_false(submit_advised("j1", "true"));
    assert_int_equal(kit.rc, -EEXIST);
    turn();
    assert_int_equal(scheduler_allocated(scheduler, "A", &a), 0);
    assert_int_equal(scheduler_allocated(scheduler, "B", &b), 0);
    assert_int_equal(a.cpu_milli + b.cpu_milli, 8000);
    assert_int_equal(job_over(&kit, "j1", 0, EXITED(0), wall_us()), 0);
    until("j8", "running");
    close_all();
}

/* Refused though there was room: that is free again. */
static void advised_and_refused(void **state)
{
    struct sched_allocation a;

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "first", "'run':'@A true'"), 0);
    until("first", "running");
    assert_true(submit_advised("first", "@A true"));
    assert_int_equal(kit.rc, -EEXIST);
    assert_int_equal(scheduler_allocated(scheduler, "A", &a), 0);
    assert_int_equal(a.cpu_milli, 1000);
    close_all();
}

/* The same command comes once more, with new advice, when its job was forgotten: what was kept for
 * it then is free again. */
static void asked_again_when_it_is_gone(void **state)
{
    struct sched_allocation a;
    struct job_id id = { "x", 0 };

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "first", "'run':'@A true'"), 0);
    until("first", "running");
    assert_true(submit_as(7, "x", "@A true"));
    assert_string_equal(state_of(&kit, "x"), "running");
    assert_int_equal(job_over(&kit, "x", 0, EXITED(0), wall_us()), 0);
    id.uid = job_uid(&kit, "x");
    assert_int_equal(job_do(&kit, "job.forget", job_forget_fields(&id, 1)), 0);
    turn();
    assert_true(submit_as(7, "x", "@A true"));
    assert_int_equal(kit.rc, 0);
    assert_int_equal(job_read(&kit, "x", &(struct job){ 0 }), -ENOENT);
    assert_int_equal(scheduler_allocated(scheduler, "A", &a), 0);
    assert_int_equal(a.cpu_milli, 1000);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job),
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(why_it_waits),
        cmocka_unit_test(a_machine_dies),
        cmocka_unit_test(many),
        cmocka_unit_test(made_and_placed_at_once),
        cmocka_unit_test(advised_and_refused),
        cmocka_unit_test(asked_again_when_it_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

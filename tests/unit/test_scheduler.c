/*
 * test_scheduler.c - the scheduler's glue between a real registry and a sched that only writes down
 * what it hears and decides what the test says; replica and cluster are ours, too.
 */
#include "scheduler_kit.h"

/* ---- a sched that writes down */

struct sched {
    const struct sched_fx *fx;
    void *arg;
};

const struct sched_options sched_defaults = { .fair = true };

static char heard[4000];
static unsigned steps, alive;
static uint64_t next_ms;
static void (*decide)(const struct sched_fx *fx, void *arg); /* in the next step */

static void hear(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void hear(const char *fmt, ...)
{
    size_t n = strlen(heard);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(heard + n, sizeof heard - n, fmt, ap);
    va_end(ap);
}

int sched_create(struct sched **out, const struct sched_options *o, const struct sched_fx *fx,
                 void *arg)
{
    assert_true(o->fair);
    *out = calloc(1, sizeof **out);
    (*out)->fx = fx;
    (*out)->arg = arg;
    alive++;
    return 0;
}

void sched_destroy(struct sched *s)
{
    alive--;
    free(s);
}

void sched_time(struct sched *s, uint64_t now, uint64_t wall)
{
    (void)s;
    assert_true(now > 0 && wall > 0);
}

int sched_machine(struct sched *s, const struct sched_machine *m)
{
    (void)s;
    hear("machine %s %d%s %s; ", m->id, m->health, m->draining ? " draining" : "",
         json_object_get(m->labels, "gpu") ? "gpu" : "-");
    return 0;
}

void sched_machine_gone(struct sched *s, const char *id)
{
    (void)s;
    hear("gone %s; ", id);
}

void sched_load(struct sched *s, const char *id, unsigned cpu_milli)
{
    (void)s;
    hear("load %s %u; ", id, cpu_milli);
}

int sched_runner(struct sched *s, const char *id, uint64_t session, bool fenced)
{
    (void)s;
    hear("runner %s %llu%s; ", id, (unsigned long long)session, fenced ? " fenced" : "");
    return 0;
}

int sched_job(struct sched *s, const struct job *j)
{
    (void)s;
    hear("job %s %s; ", j->name, job_state_name(j->state));
    return strcmp(j->name, "unreadable") == 0 ? -EINVAL : 0;
}

void sched_job_gone(struct sched *s, const char *name, uint64_t uid)
{
    (void)s, (void)uid;
    hear("gone %s; ", name);
}

void sched_probed(struct sched *s, uint64_t id, int exit, const char *words)
{
    (void)s;
    hear("probed %llu %d %s; ", (unsigned long long)id, exit, words);
}

void sched_failed(struct sched *s, const char *name, uint64_t uid, uint32_t attempt)
{
    (void)s, (void)uid;
    hear("failed %s %u; ", name, attempt);
}

bool sched_early(struct sched *s, const struct job *j, uint64_t *id,
                 void (*put)(void *arg, const struct job_place *place), void *arg)
{
    static const char *const on[] = { "A" };
    struct job_place p = { .name = "?1", .uid = 1, .attempt = 1, .on = on, .n_on = 1 };

    (void)s;
    hear("early %s %s; ", j->user, json_string_value(json_object_get(j->spec, "run")));
    if (strcmp(j->user, "late") == 0)
        return false;
    p.groups = on;
    p.n_groups = 1;
    *id = 41;
    put(arg, &p);
    return true;
}

void sched_early_made(struct sched *s, uint64_t id, const char *name, uint64_t uid)
{
    (void)s;
    hear("made %llu %s %llu; ", (unsigned long long)id, name, (unsigned long long)uid);
}

void sched_early_gone(struct sched *s, uint64_t id)
{
    (void)s;
    hear("unmade %llu; ", (unsigned long long)id);
}

void sched_sync(struct sched *s, bool begin)
{
    (void)s;
    hear(begin ? "sync; " : "synced; ");
}

void sched_step(struct sched *s)
{
    void (*fn)(const struct sched_fx *fx, void *arg) = decide;

    steps++;
    decide = NULL;
    if (fn)
        fn(s->fx, s->arg);
}

uint64_t sched_next(const struct sched *s)
{
    (void)s;
    return next_ms;
}

int sched_why(struct sched *s, const char *name, struct obuf *out)
{
    (void)s;
    if (strcmp(name, "x") != 0)
        return -ENOENT;
    obuf_printf(out, "because\n");
    return 0;
}

void sched_allocated(const struct sched *s, const char *machine, struct sched_allocation *out)
{
    (void)s, (void)machine;
    *out = (struct sched_allocation){ .cpu_milli = 5 };
}

/* ---- helpers */

/* What was heard since the last time. */
static const char *said(void)
{
    static char text[sizeof heard];

    strcpy(text, heard);
    heard[0] = '\0';
    return text;
}

static uint64_t probe_id;

static void ask_machine(void *arg, uint64_t id, const char *machine, const struct sched_need *need)
{
    (void)arg;
    assert_string_equal(machine, "A");
    assert_string_equal(need->command, "ls");
    probe_id = id;
}

static void open_with(const struct scheduler_ops *ops)
{
    job_kit_open(&kit);
    assert_int_equal(loop_create(&loop), 0);
    assert_int_equal(scheduler_create(&scheduler, loop, NULL, NULL, NULL, ops, NULL), 0);
    info = json_pack("{s:i}", "cores", 4);
    labels = json_pack("{s:s}", "gpu", "2");
    load = json_pack("{s:f}", "cpu_used", 0.5);
    heard[0] = '\0';
    next_ms = UINT64_MAX;
    views[0].state = MEMBER_ALIVE;
    steps = 0;
}

static void begin(void)
{
    struct oerr e;

    assert_int_equal(scheduler_service.start(scheduler, 1, &e), 0);
    while (steps == 0)
        turn();
    turn();
}

static void open_all(void)
{
    open_with(NULL);
    begin();
    said();
}

static void close_all(void)
{
    scheduler_service.stop(scheduler);
    while (n_asked)
        let_through();
    scheduler_destroy(scheduler);
    assert_int_equal(alive, 0);
    loop_destroy(loop);
    json_decref(info);
    json_decref(labels);
    json_decref(load);
    job_kit_close(&kit);
}

/* ---- tests */

static void reads_all_first(void **state)
{
    struct oerr e;
    struct obuf b = { 0 };

    (void)state;
    open_with(NULL);
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    assert_int_equal(job_submit(&kit, "unreadable", "'run':'a'"), 0);
    assert_int_equal(kit_run(&kit, "'member.drain','id':'A','on':true"), 0);
    assert_int_equal(scheduler_why(scheduler, "x", &b, &e), -EAGAIN);
    assert_string_equal(e.text, "the scheduler is not on this machine, or not yet: ask again");
    assert_int_equal(scheduler_service.start(scheduler, 1, &e), 0);
    assert_int_equal(scheduler_why(scheduler, "x", &b, &e), -EAGAIN);
    assert_int_equal(steps, 0);
    while (steps == 0)
        turn();
    assert_string_equal(said(), "machine A 0 draining -; machine B 1 -; sync; load A 2000; "
                                "load B 2000; runner A 11; runner B 12; runner C 13; "
                                "job unreadable pending; job x pending; synced; ");
    assert_int_equal(scheduler_why(scheduler, "x", &b, &e), 0);
    assert_int_equal(scheduler_why(scheduler, "y", &b, &e), -ENOENT);
    assert_true(scheduler_service.health(scheduler, &e));
    obuf_free(&b);
    close_all();
}

static void one_step_for_many_events(void **state)
{
    unsigned before;

    (void)state;
    open_all();
    before = steps;
    for (int i = 0; i < 5; i++)
        assert_int_equal(job_submit(&kit, "", "'run':'a'"), 0);
    assert_int_equal(steps, before);
    turn();
    assert_int_equal(steps, before + 1);
    turn();
    assert_int_equal(steps, before + 1);
    assert_string_equal(said(), "job 1 pending; job 2 pending; job 3 pending; job 4 pending; "
                                "job 5 pending; ");
    close_all();
}

static void place_two(const struct sched_fx *fx, void *arg)
{
    static const char *const on[] = { "A" };
    struct job_place p[2];

    for (int i = 0; i < 2; i++)
        p[i] = (struct job_place){ .name = i ? "y" : "x",
                                   .uid = job_uid(&kit, i ? "y" : "x"),
                                   .attempt = i ? 7 : 1,
                                   .on = on,
                                   .n_on = 1,
                                   .groups = on,
                                   .n_groups = 1 };
    fx->place(arg, p, 2);
    assert_int_equal(n_asked, 0); /* nothing leaves from inside */
}

static void places(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    assert_int_equal(job_submit(&kit, "y", "'run':'a'"), 0);
    decide = place_two;
    turn();
    assert_int_equal(n_asked, 1);
    said();
    let_through();
    assert_string_equal(said(), "job x running; failed y 7; ");
    assert_string_equal(state_of(&kit, "x"), "running");
    turn();
    close_all();
}

static void place_x(const struct sched_fx *fx, void *arg)
{
    static const char *const on[] = { "A" };
    struct job_place p = { .name = "x",
                           .uid = job_uid(&kit, "x"),
                           .attempt = 1,
                           .on = on,
                           .n_on = 1,
                           .groups = on,
                           .n_groups = 1 };

    fx->place(arg, &p, 1);
}

/* Another is in charge by now. */
static void an_old_epoch(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    decide = place_x;
    turn();
    assert_int_equal(kit_run(&kit, "'service.assign','name':'scheduler','machine':'B','epoch':1,"
                                   "'at_us':1"),
                     0);
    said();
    let_through();
    assert_int_equal(kit.rc, -ESTALE);
    assert_string_equal(said(), "failed x 1; ");
    close_all();
}

static void refuse_x(const struct sched_fx *fx, void *arg)
{
    fx->refuse(arg, "x", job_uid(&kit, "x"), 127, "no machine has it");
}

static void refuses(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    decide = refuse_x;
    turn();
    let_through();
    assert_string_equal(state_of(&kit, "x"), "failed");
    assert_string_equal(job_of(&kit, "x")->end.words, "no machine has it");
    said();
    turn();
    decide = refuse_x; /* it is over already */
    scheduler_member(scheduler, &views[0]);
    turn();
    let_through();
    assert_string_equal(said(), "machine A 0 -; failed x 0; ");
    close_all();
}

static void fence_b(const struct sched_fx *fx, void *arg)
{
    fx->fence(arg, "B", 12);
}

static void lose_b(const struct sched_fx *fx, void *arg)
{
    const struct job_id id = { "x", job_uid(&kit, "x") };

    fx->lost(arg, "B", 12);
    fx->forget(arg, &id, 1);
}

static void fences(void **state)
{
    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    assert_int_equal(job_put(&kit, "x", 1, "B"), 0);
    decide = fence_b;
    turn();
    said();
    let_through();
    assert_string_equal(said(), "runner B 12 fenced; ");
    decide = lose_b;
    turn();
    let_through();
    assert_string_equal(said(), "job x lost; ");
    let_through();
    assert_string_equal(said(), "gone x; ");
    close_all();
}

/* Commands fly, and no more is decided until one has come down. */
static void few_fly(void **state)
{
    unsigned before;

    (void)state;
    open_all();
    for (int i = 0; i < 4; i++) {
        decide = fence_b;
        scheduler_member(scheduler, &views[0]);
        turn();
    }
    assert_int_equal(n_asked, 4);
    before = steps;
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    turn();
    assert_int_equal(steps, before);
    let_through();
    turn();
    assert_int_equal(steps, before + 1);
    close_all();
}

static void stops_in_flight(void **state)
{
    struct oerr e;

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    decide = place_x;
    turn();
    scheduler_service.stop(scheduler);
    said();
    let_through(); /* nobody hears of it */
    assert_int_equal(job_submit(&kit, "z", "'run':'a'"), 0);
    scheduler_member(scheduler, &views[0]);
    turn();
    assert_string_equal(said(), "");
    steps = 0;
    assert_int_equal(scheduler_service.start(scheduler, 2, &e), 0);
    while (steps == 0)
        turn();
    assert_non_null(strstr(said(), "job x running; job z pending; synced"));
    close_all();
}

static void ask_ls(const struct sched_fx *fx, void *arg)
{
    const struct sched_need need = { .user = "alice", .command = "ls" };

    fx->probe(arg, 3, "A", &need);
}

static void probes(void **state)
{
    const struct scheduler_ops ops = { .probe = ask_machine };
    struct oerr e;

    (void)state;
    open_with(&ops);
    begin();
    said();
    decide = ask_ls;
    scheduler_member(scheduler, &views[0]);
    turn();
    said();
    scheduler_probed(scheduler, probe_id, 127, "no ls");
    turn();
    assert_string_equal(said(), "probed 3 127 no ls; ");
    /* An answer to the one before. */
    scheduler_service.stop(scheduler);
    assert_int_equal(scheduler_service.start(scheduler, 2, &e), 0);
    steps = 0;
    while (steps == 0)
        turn();
    said();
    scheduler_probed(scheduler, probe_id, 0, "");
    turn();
    assert_string_equal(said(), "");
    close_all();
}

/* Without a prober all machines can; the answer is not given from inside. */
static void probes_nobody(void **state)
{
    unsigned before;

    (void)state;
    open_all();
    decide = ask_ls;
    scheduler_member(scheduler, &views[0]);
    before = steps;
    turn();
    assert_string_equal(said(), "machine A 0 -; probed 3 0 ; ");
    assert_int_equal(steps, before + 2);
    close_all();
}

static void members(void **state)
{
    (void)state;
    open_all();
    views[0].state = MEMBER_DEAD;
    scheduler_member(scheduler, &views[0]);
    scheduler_learned(scheduler, "B");
    assert_int_equal(kit_run(&kit, "'member.drain','id':'B','on':true"), 0);
    assert_int_equal(kit_run(&kit, "'member.label','id':'A','labels':{'gpu':'1'}"), 0);
    views[0].state = MEMBER_GONE;
    scheduler_member(scheduler, &views[0]);
    assert_string_equal(said(), "machine A 2 -; machine B 1 -; machine B 1 draining -; "
                                "machine A 2 gpu; gone A; ");
    close_all();
}

/* The registry's state came as a whole: all is told again. */
static void restored(void **state)
{
    struct oerr e;
    void *dump;
    size_t n;

    (void)state;
    open_all();
    assert_int_equal(job_submit(&kit, "x", "'run':'a'"), 0);
    assert_int_equal(registry_dump(kit.r, &dump, &n), 0);
    assert_int_equal(job_submit(&kit, "y", "'run':'a'"), 0);
    turn();
    said();
    kit.index += 10;
    assert_int_equal(registry_restore(kit.r, kit.index, dump, n), 0);
    free(dump);
    steps = 0;
    while (steps == 0)
        turn();
    assert_non_null(strstr(said(), "sync; runner A 11; runner B 12; runner C 13; job x pending; "
                                   "synced; "));
    assert_true(scheduler_service.health(scheduler, &e));
    close_all();
}

static void wakes_by_itself(void **state)
{
    unsigned before;

    (void)state;
    open_all();
    next_ms = now_ms() + 20;
    scheduler_member(scheduler, &views[0]);
    turn();
    before = steps;
    turn();
    assert_int_equal(steps, before);
    while (steps == before)
        uv_run(loop_uv(loop), UV_RUN_ONCE);
    assert_true(now_ms() >= next_ms - 1);
    next_ms = UINT64_MAX;
    close_all();
}

static void where(void **state)
{
    struct sched_allocation a;
    char id[ID_MAX];

    (void)state;
    open_with(NULL);
    assert_int_equal(scheduler_machine(scheduler, id), 0);
    assert_string_equal(id, "A");
    assert_int_equal(scheduler_allocated(scheduler, "A", &a), -EAGAIN);
    begin();
    assert_int_equal(scheduler_allocated(scheduler, "A", &a), 0);
    assert_int_equal(a.cpu_milli, 5);
    close_all();
}

/* ---- advice to commands on their way */

/* What is said about a job.make with that changed; "-": nothing. */
static const char *advice_with(const char *key, json_t *value)
{
    static char text[200];
    json_t *cmd = job_make_fields("x", "ann", "A", spec_of("'run':'a'"), true, false, S), *advice;

    json_object_set_new(cmd, "v", json_integer(REGISTRY_SCHEMA));
    json_object_set_new(cmd, "cmd", json_string("job.make"));
    json_object_set_new(cmd, key, value);
    advice = adviser->advise(adviser_arg, cmd);
    json_decref(cmd);
    strcpy(text, "-");
    if (advice)
        snprintf(text, sizeof text, "%s in epoch %lld as %lld",
                 json_string_value(json_array_get(json_object_get(advice, "on"), 0)),
                 json_integer_value(json_object_get(advice, "epoch")),
                 json_integer_value(json_object_get(advice, "id")));
    json_decref(advice);
    return text;
}

static void advises(void **state)
{
    char *longer = calloc(1, 1000);

    (void)state;
    open_all();
    memset(longer, 'a', 999);
    assert_string_equal(advice_with("name", json_string("x")), "A in epoch 1 as 41");
    assert_string_equal(said(), "early ann a; ");
    assert_string_equal(advice_with("user", json_string("late")), "-");
    assert_string_equal(said(), "early late a; ");
    assert_string_equal(advice_with("cmd", json_string("job.run")), "-");
    assert_string_equal(advice_with("cmd", json_integer(1)), "-");
    assert_string_equal(advice_with("start", json_false()), "-");
    assert_string_equal(advice_with("hold", json_true()), "-");
    assert_string_equal(advice_with("user", json_string(longer)), "-");
    assert_string_equal(advice_with("by", json_string(longer)), "-");
    assert_string_equal(advice_with("by", json_null()), "-");
    assert_string_equal(advice_with("at_us", json_integer(-5)), "-");
    assert_string_equal(advice_with("spec", json_string("true")), "-");
    assert_string_equal(advice_with("spec", spec_of("'cpus':1")), "-");
    assert_string_equal(advice_with("spec", spec_of("'run':'a','array':'1-3'")), "-");
    assert_string_equal(advice_with("spec", spec_of("'run':'a','after':['b']")), "-");
    assert_string_equal(said(), "");
    free(longer);
    close_all();
}

static void advises_only_while_it_decides(void **state)
{
    struct oerr e;

    (void)state;
    open_with(NULL);
    assert_string_equal(advice_with("name", json_string("x")), "-");
    assert_int_equal(scheduler_service.start(scheduler, 1, &e), 0);
    assert_string_equal(advice_with("name", json_string("x")), "-"); /* it still reads */
    while (steps == 0)
        turn();
    assert_string_equal(advice_with("name", json_string("x")), "A in epoch 1 as 41");
    close_all();
    assert_null(adviser);
}

static void carried_out(json_int_t epoch, int rc, json_t *body)
{
    json_t *advice = json_pack("{s:I, s:i}", "epoch", epoch, "id", 41);

    adviser->carried_out(adviser_arg, advice, rc, body);
    json_decref(advice);
    json_decref(body);
}

static json_t *made_x(bool placed)
{
    return json_pack("{s:s, s:i, s:b}", "name", "x", "uid", 9, "placed", placed);
}

static void hears_what_became_of_it(void **state)
{
    (void)state;
    open_all();
    carried_out(1, 0, made_x(true));
    assert_string_equal(said(), "made 41 x 9; ");
    carried_out(1, 0, made_x(false)); /* it is there, pending */
    assert_string_equal(said(), "unmade 41; ");
    carried_out(1, -EEXIST, NULL);
    carried_out(1, -EALREADY, made_x(true)); /* it was told of before */
    assert_string_equal(said(), "unmade 41; unmade 41; ");
    carried_out(2, 0, made_x(true)); /* of another's advice */
    carried_out(1, 0, NULL);
    assert_string_equal(said(), "unmade 41; ");
    scheduler_service.stop(scheduler);
    carried_out(1, 0, made_x(true));
    assert_string_equal(said(), "");
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_first),
        cmocka_unit_test(one_step_for_many_events),
        cmocka_unit_test(places),
        cmocka_unit_test(an_old_epoch),
        cmocka_unit_test(refuses),
        cmocka_unit_test(fences),
        cmocka_unit_test(few_fly),
        cmocka_unit_test(stops_in_flight),
        cmocka_unit_test(probes),
        cmocka_unit_test(probes_nobody),
        cmocka_unit_test(members),
        cmocka_unit_test(restored),
        cmocka_unit_test(wakes_by_itself),
        cmocka_unit_test(where),
        cmocka_unit_test(advises),
        cmocka_unit_test(advises_only_while_it_decides),
        cmocka_unit_test(hears_what_became_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

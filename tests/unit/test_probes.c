/*
 * test_probes.c - the threads of probes, their deadlines, and questions over the bus. Looking at
 * files is replaced by one that hangs when it is told to.
 */
#include "base/cleanup.h"
#include "sched/probe_private.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* ---- in place of the rest */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hang;
static unsigned hanging, most, looking;

void probe_here_init(struct probe_here *here, const char *self, const char *mount)
{
    here->self = self;
    here->mount = mount;
}

int probe_become(const struct probe_here *here, const char *user, char home[PATH_MAX],
                 struct oerr *e)
{
    strcpy(home, "/home");
    return strcmp(user, "nobody") == 0 ? oerr_set(e, 126, "no %s on %s", user, here->self) : 0;
}

int probe_command(const struct probe_here *here, const struct sched_need *need, struct oerr *e)
{
    pthread_mutex_lock(&lock);
    most = ++looking > most ? looking : most;
    if (strcmp(need->command, "hang") == 0) {
        hanging++;
        pthread_cond_broadcast(&changed);
        while (hang)
            pthread_cond_wait(&changed, &lock);
        hanging--;
        pthread_cond_broadcast(&changed);
    }
    looking--;
    pthread_mutex_unlock(&lock);
    if (strcmp(need->command, "where") == 0)
        return oerr_set(e, 126, "%s %s", need->cwd, need->path ? need->path : "none");
    return strcmp(need->command, "none") == 0
               ? oerr_set(e, 127, "%s has no command '%s'", here->self, need->command)
               : 0;
}

static struct {
    char machine[ID_MAX];
    json_t *body;
    bus_done_fn *done;
    void *arg;
    json_t *answer;
    int refused;
} net;

int cluster_ask(struct cluster *c, const char *id, enum bus_type type, json_t *body,
                unsigned deadline_ms, bus_done_fn *done, void *arg, struct oerr *e)
{
    (void)c;
    assert_int_equal(type, BUS_RUNNABLE);
    assert_int_equal(deadline_ms, PROBE_ASK_MS);
    if (strcmp(id, "gone") == 0) {
        json_decref(body);
        return oerr_set(e, -EHOSTUNREACH, "machine gone is dead");
    }
    net.body = body;
    net.done = done;
    net.arg = arg;
    return 0;
}

void bus_answer(struct bus_ask *ask, json_t *body)
{
    (void)ask;
    net.answer = body;
}

void bus_refuse(struct bus_ask *ask, int rc, const char *fmt, ...)
{
    (void)ask;
    (void)fmt;
    net.refused = rc;
}

/* ---- */

static struct loop *core;
static struct probes *probes;

struct told {
    unsigned n;
    int exit;
    char words[320];
};

static void on_told(void *arg, int exit, const char *words)
{
    struct told *t = arg;

    t->n++;
    t->exit = exit;
    snprintf(t->words, sizeof t->words, "%s", words);
}

static void ask(const char *machine, const char *user, const char *command, struct told *t)
{
    struct sched_need need = { user, command, NULL, NULL };
    struct oerr e;

    t->n = 0;
    assert_int_equal(probe_ask(probes, machine, &need, on_told, t, &e), 0);
    assert_int_equal(t->n, 0);
}

static void wait_for(const struct told *t)
{
    while (!t->n)
        uv_run(loop_uv(core), UV_RUN_ONCE);
}

static void wait_hanging(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (hanging != n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void set_hang(bool on)
{
    pthread_mutex_lock(&lock);
    hang = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int setup(void **state)
{
    (void)state;
    memset(&net, 0, sizeof net);
    most = 0;
    assert_int_equal(loop_create(&core), 0);
    return probes_create(&probes, core, (struct cluster *)&net, "B", "/mnt");
}

static int teardown(void **state)
{
    (void)state;
    probes_destroy(probes);
    uv_run(loop_uv(core), UV_RUN_NOWAIT);
    loop_destroy(core);
    set_hang(false);
    wait_hanging(0);
    json_decref(net.body);
    json_decref(net.answer);
    return 0;
}

static void here_it_is_looked_at(void **state)
{
    struct sched_need need = { "a", "where", "/p", "/c" };
    struct told t = { 0 };

    (void)state;
    ask("B", "a", "good", &t);
    wait_for(&t);
    assert_int_equal(t.exit, 0);
    ask("B", "a", "none", &t);
    wait_for(&t);
    assert_int_equal(t.exit, 127);
    assert_string_equal(t.words, "B has no command 'none'");
    ask("B", "nobody", "good", &t);
    wait_for(&t);
    assert_int_equal(t.exit, 126);
    ask("B", "a", "where", &t);
    wait_for(&t);
    assert_string_equal(t.words, "/home none");
    t.n = 0;
    assert_int_equal(probe_ask(probes, "B", &need, on_told, &t, NULL), 0);
    wait_for(&t);
    assert_string_equal(t.words, "/c /p");
    need.command = "";
    assert_int_equal(probe_ask(probes, "B", &need, on_told, &t, NULL), -EINVAL);
}

static void what_hangs_is_its_users_own(void **state)
{
    struct told a[4], b;
    uint64_t start = now_ms();

    (void)state;
    set_hang(true);
    for (size_t i = 0; i < 3; i++)
        ask("B", "a", "hang", &a[i]);
    ask("B", "a", "good", &a[3]);
    wait_hanging(PROBE_USER_THREADS);
    ask("B", "b", "good", &b);
    wait_for(&b);
    assert_int_equal(b.exit, 0);
    assert_true(now_ms() - start < PROBE_MS);
    for (size_t i = 0; i < 4; i++) {
        wait_for(&a[i]);
        assert_int_equal(a[i].exit, -1);
        assert_non_null(strstr(a[i].words, "did not find out in 3 s"));
    }
    assert_true(now_ms() - start >= PROBE_MS);
    ask("B", "a", "good", &a[3]); /* still no thread for a */
    uv_run(loop_uv(core), UV_RUN_NOWAIT);
    assert_int_equal(a[3].n, 0);
    set_hang(false);
    wait_for(&a[3]);
    assert_int_equal(a[3].exit, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(a[i].n, 1);
}

static void many_are_bounded(void **state)
{
    enum { MANY = PROBE_THREADS + PROBE_WAITING };
    static struct told t[MANY + 1];
    struct sched_need need = { "last", "good", NULL, NULL };
    struct oerr e;
    char user[16];

    (void)state;
    set_hang(true);
    for (int i = 0; i < MANY; i++) {
        snprintf(user, sizeof user, "u%d", i);
        ask("B", user, "hang", &t[i]);
    }
    assert_int_equal(probe_ask(probes, "B", &need, on_told, &t[MANY], &e), -EAGAIN);
    wait_hanging(PROBE_THREADS);
    set_hang(false);
    for (int i = 0; i < MANY; i++) {
        wait_for(&t[i]);
        assert_int_equal(t[i].exit, 0);
    }
    assert_true(most <= PROBE_THREADS);
}

static void the_end_does_not_wait(void **state)
{
    struct told t[3];

    (void)state;
    set_hang(true);
    for (size_t i = 0; i < 3; i++)
        ask("B", "a", "hang", &t[i]);
    wait_hanging(2);
    probes_destroy(probes);
    probes = NULL;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(t[i].n, 1);
        assert_int_equal(t[i].exit, -1);
    }
}

static void other_machines_are_asked(void **state)
{
    struct sched_need need = { "a", "cc", "/p", NULL }, back;
    cleanup_free char *text = NULL;
    struct told t = { 0 };
    struct oerr e;
    json_t *answer;

    (void)state;
    assert_int_equal(probe_ask(probes, "gone", &need, on_told, &t, &e), -EHOSTUNREACH);
    assert_string_equal(e.text, "machine gone is dead");
    assert_int_equal(probe_ask(probes, "C", &need, on_told, &t, &e), 0);
    text = json_dumps(net.body, JSON_COMPACT);
    assert_string_equal(text, "{\"user\":\"a\",\"command\":\"cc\",\"path\":\"/p\"}");
    assert_int_equal(probe_need_decode(net.body, &back), 0);
    assert_string_equal(back.path, "/p");
    assert_null(back.cwd);
    answer = json_pack("{s:i, s:s}", "exit", 127, "words", "C has none");
    net.done(net.arg, 0, answer, NULL);
    assert_int_equal(t.exit, 127);
    assert_string_equal(t.words, "C has none");
    json_decref(take_ptr(net.body));
    assert_int_equal(probe_ask(probes, "C", &need, on_told, &t, &e), 0);
    json_object_set_new(answer, "exit", json_integer(3));
    net.done(net.arg, 0, answer, NULL);
    json_decref(answer);
    assert_int_equal(t.exit, -1);
    json_decref(take_ptr(net.body));
    assert_int_equal(probe_ask(probes, "C", &need, on_told, &t, &e), 0);
    net.done(net.arg, -EHOSTUNREACH, NULL, "no answer");
    assert_int_equal(t.exit, -1);
    assert_string_equal(t.words, "no answer");
    need.command = "\xff";
    assert_int_equal(probe_ask(probes, "C", &need, on_told, &t, &e), -EINVAL);
}

static void others_ask(void **state)
{
    static const char *const bad[] = { "{}",
                                       "[]",
                                       "{\"user\":\"a\"}",
                                       "{\"user\":\"\",\"command\":\"x\"}",
                                       "{\"user\":\"a\",\"command\":7}",
                                       "{\"user\":\"a\",\"command\":\"x\",\"cwd\":1}" };
    json_t *body = json_loads("{\"user\":\"a\",\"command\":\"none\"}", 0, NULL);
    cleanup_free char *text = NULL;

    (void)state;
    probes_asked(probes, NULL, body);
    while (!net.answer)
        uv_run(loop_uv(core), UV_RUN_ONCE);
    text = json_dumps(net.answer, JSON_COMPACT);
    assert_string_equal(text, "{\"exit\":127,\"words\":\"B has no command 'none'\"}");
    probes_asked(NULL, NULL, body);
    assert_int_equal(net.refused, -EAGAIN);
    json_decref(body);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        net.refused = 0;
        body = json_loads(bad[i], 0, NULL);
        probes_asked(probes, NULL, body);
        json_decref(body);
        assert_int_equal(net.refused, -EPROTO);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(here_it_is_looked_at),  TEST(what_hangs_is_its_users_own), TEST(many_are_bounded),
        TEST(the_end_does_not_wait), TEST(other_machines_are_asked),    TEST(others_ask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

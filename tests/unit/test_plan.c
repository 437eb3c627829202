/*
 * test_plan.c - tables of lines and placements, and the groups and wires that they become.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "sched/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void show_io(struct obuf *b, const struct init_redirect *io)
{
    if (io->in)
        obuf_printf(b, " <%s", io->in);
    if (io->out)
        obuf_printf(b, " %s%s", io->append ? "+" : ">", io->out);
    if (io->err)
        obuf_printf(b, " 2%s%s", io->err_append ? "+" : ">", io->err);
}

/* One group a line: number, machine, processes; then where its ends lead to. */
static char *show(const struct plan *p)
{
    struct obuf b = { 0 };

    for (size_t i = 0; i < p->n; i++) {
        const struct plan_group *g = &p->groups[i];

        obuf_printf(&b, "%zu %s%s:", i, g->file ? "file " : "", g->machine);
        for (size_t k = g->first; k < g->first + g->n; k++) {
            obuf_printf(&b, "%s %s", k > g->first ? " |" : "", p->procs[k].argv[0]);
            show_io(&b, &p->procs[k].io);
        }
        if (g->in_from != PLAN_NONE)
            obuf_printf(&b, "; in %s%d", g->from_err ? "err " : "", g->in_from);
        if (g->out_to != PLAN_NONE)
            obuf_printf(&b, "; out %d", g->out_to);
        if (g->err_to != PLAN_NONE)
            obuf_printf(&b, "; err %d", g->err_to);
        obuf_puts(&b, "\n");
    }
    obuf_printf(&b, "in %d out %d status %d", p->stdin_group, p->stdout_group, p->status_group);
    return b.p;
}

/* Submitted on A, in /w; a letter of `on` is the machine of a command. */
static const struct {
    const char *line, *on, *plan;
} cases[] = {
    { "a", "A", "0 A: a\nin 0 out 0 status 0" },
    { "a", "B", "0 B: a\nin 0 out 0 status 0" },
    { "a | b | c", "AAA", "0 A: a | b | c\nin 0 out 0 status 0" },
    { "a | b | c", "AAB", "0 A: a | b; out 1\n1 B: c; in 0\nin 0 out 1 status 1" },
    { "a | b | c", "ABA", "0 A: a; out 1\n1 B: b; in 0; out 2\n2 A: c; in 1\nin 0 out 2 status 2" },
    { "a < /oneos/fs/i > /oneos/fs/o", "B",
      "0 B: a </oneos/fs/i >/oneos/fs/o\nin -1 out -1 status 0" },
    { "a < i > o 2> e", "A", "0 A: a </w/i >/w/o 2>/w/e\nin -1 out -1 status 0" },
    { "a < i >> o", "B",
      "0 B: a; in 1; out 2\n1 file A: cat </w/i; out 0\n"
      "2 file A: cat +/w/o; in 0\nin -1 out -1 status 0" },
    { "a < i | b > o", "AB",
      "0 A: a </w/i; out 1\n1 B: b; in 0; out 2\n"
      "2 file A: cat >/w/o; in 1\nin -1 out -1 status 1" },
    { "a < i | b > o", "BA",
      "0 B: a; in 2; out 1\n1 A: b >/w/o; in 0\n2 file A: cat </w/i; out 0\nin -1 out -1 status "
      "1" },
    { "a 2> e", "B", "0 B: a; err 1\n1 file A: cat >/w/e; in err 0\nin 0 out 0 status 0" },
    { "a 2>> /oneos/e", "B", "0 B: a 2+/oneos/e\nin 0 out 0 status 0" },
    { "a | b 2>> e | c", "BBB",
      "0 B: a; out 1\n1 B: b; in 0; out 2; err 3\n2 B: c; in 1\n"
      "3 file A: cat +/w/e; in err 1\nin 0 out 2 status 2" },
    { "a 2> e | b 2> e", "BB",
      "0 B: a; out 1; err 2\n1 B: b; in 0; err 3\n2 file A: cat >/w/e; in err 0\n"
      "3 file A: cat >/w/e; in err 1\nin 0 out 1 status 1" },
    { "a 2> e | b 2> e", "AA", "0 A: a 2>/w/e | b 2>/w/e\nin 0 out 0 status 0" },
    { "a < i 2> e > o", "B",
      "0 B: a; in 1; out 2; err 3\n1 file A: cat </w/i; out 0\n2 file A: cat >/w/o; in 0\n"
      "3 file A: cat >/w/e; in err 0\nin -1 out -1 status 0" },
    { "a < /dev/zero > /dev/null 2> /dev/stdout", "B",
      "0 B: a </dev/zero >/dev/null 2>/dev/stdout\nin -1 out -1 status 0" },
    { "a > /dev/nullx", "B",
      "0 B: a; out 1\n1 file A: cat >/dev/nullx; in 0\nin 0 out -1 status 0" },
    { "a < /oneosx", "B", "0 B: a; in 1\n1 file A: cat </oneosx; out 0\nin -1 out 0 status 0" },
    { "a < ./x//../y/ > ../z", "A", "0 A: a </w/x/../y/ >/w/../z\nin -1 out -1 status 0" },
    { "a < ../oneos/./fs/x", "B", "0 B: a </oneos/fs/x\nin -1 out 0 status 0" },
    { "a < /oneos/../etc/x", "B",
      "0 B: a; in 1\n1 file A: cat </etc/x; out 0\nin -1 out 0 status 0" },
    { "a < //oneos/../../x", "B", "0 B: a; in 1\n1 file A: cat </x; out 0\nin -1 out 0 status 0" },
};

static int make(struct plan *p, struct job_spec *spec, const char *line, const char *on,
                const char *cwd, struct oerr *e)
{
    static char names[RUN_STAGES_MAX][2];
    char *machines[RUN_STAGES_MAX] = { NULL };

    *spec = (struct job_spec){ 0 };
    assert_int_equal(run_line_parse(&spec->line, line, strlen(line), NULL), 0);
    for (size_t i = 0; on[i]; i++) {
        names[i][0] = on[i];
        machines[i] = names[i];
    }
    return plan_make(p, spec, machines, "A", cwd, e);
}

static void nobody_writes_its_input(void **state)
{
    struct job_spec spec = { .no_input = true };
    char a[] = "A", b[] = "B", *on[] = { a, b };
    struct plan p;

    (void)state;
    assert_int_equal(run_line_parse(&spec.line, "a | b", 5, NULL), 0);
    assert_int_equal(plan_make(&p, &spec, on, "A", "/w", NULL), 0);
    assert_int_equal(p.stdin_group, PLAN_NONE);
    assert_int_equal(p.stdout_group, 1);
    assert_int_equal(p.groups[0].in_from, PLAN_NONE);
    assert_int_equal(p.groups[1].in_from, 0);
    plan_free(&p);
    job_spec_free(&spec);
}

static void cuts_and_joins(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job_spec spec;
        struct plan p;
        char *text;

        assert_int_equal(make(&p, &spec, cases[i].line, cases[i].on, "/w", NULL), 0);
        text = show(&p);
        if (strcmp(text, cases[i].plan) != 0)
            fail_msg("%s on %s:\n%s\nnot\n%s", cases[i].line, cases[i].on, text, cases[i].plan);
        free(text);
        plan_free(&p);
        job_spec_free(&spec);
    }
}

/* Both ends of a wire agree, every process is in one group, whatever the line and the placement. */
static void every_wire_has_two_ends(void **state)
{
    static const char line[] = "a <i 2>e | b 2>/oneos/e | c 2>>e | d 2>e >o";

    (void)state;
    for (unsigned place = 0; place < 81; place++) {
        char on[5] = { (char)('A' + place % 3), (char)('A' + place / 3 % 3),
                       (char)('A' + place / 9 % 3), (char)('A' + place / 27), '\0' };
        struct job_spec spec;
        size_t procs = 0;
        struct plan p;

        assert_int_equal(make(&p, &spec, line, on, "/w", NULL), 0);
        for (size_t i = 0; i < p.n; i++) {
            const struct plan_group *g = &p.groups[i];

            assert_int_equal(g->first, procs);
            procs += g->n;
            if (g->out_to != PLAN_NONE) {
                assert_int_equal(p.groups[g->out_to].in_from, i);
                assert_false(p.groups[g->out_to].from_err);
            }
            if (g->err_to != PLAN_NONE) {
                assert_int_equal(p.groups[g->err_to].in_from, i);
                assert_true(p.groups[g->err_to].from_err);
                assert_int_equal(g->n, 1);
            }
            if (g->in_from != PLAN_NONE)
                assert_int_equal(
                    g->from_err ? p.groups[g->in_from].err_to : p.groups[g->in_from].out_to, i);
            for (size_t k = g->first; k < g->first + g->n && !g->file; k++)
                assert_int_equal(on[k], g->machine[0]);
        }
        assert_int_equal(procs, p.n_procs);
        plan_free(&p);
        job_spec_free(&spec);
    }
}

static void without_a_cwd_paths_stay_relative(void **state)
{
    struct job_spec spec;
    struct plan p;
    char *text;

    (void)state;
    assert_int_equal(make(&p, &spec, "a < i > ../o", "B", NULL, NULL), 0);
    text = show(&p);
    assert_string_equal(text, "0 B: a; in 1; out 2\n1 file A: cat <i; out 0\n"
                              "2 file A: cat >../o; in 0\nin -1 out -1 status 0");
    free(text);
    plan_free(&p);
    job_spec_free(&spec);
}

static void the_cwd_of_the_spec_comes_first(void **state)
{
    static const char text[] = "{\"schema\": 1, \"run\": \"a < i\", \"cwd\": \"/oneos/fs/d\"}";
    char machine[] = "B", *on[] = { machine };
    struct job_spec spec;
    struct plan p;

    (void)state;
    assert_int_equal(job_spec_parse(text, strlen(text), &spec, NULL), 0);
    assert_int_equal(plan_make(&p, &spec, on, "A", "/w", NULL), 0);
    assert_string_equal(p.procs[0].io.in, "/oneos/fs/d/i");
    assert_null(p.procs[0].env[0]);
    plan_free(&p);
    job_spec_free(&spec);
}

static void refuses_what_makes_no_sense(void **state)
{
    struct job_spec spec = { 0 };
    struct oerr e = { "" };
    struct plan p;

    (void)state;
    assert_int_equal(plan_make(&p, &spec, NULL, "A", "/w", &e), -EINVAL);
    assert_string_equal(e.text, "the job has no run line: write run LINE into its ctl");
    assert_int_equal(make(&p, &spec, "a | b", "A", "/w", &e), -EINVAL);
    assert_string_equal(e.text, "command 2 of the run line has no machine");
    assert_int_equal(plan_make(&p, &spec, NULL, NULL, "/w", &e), -EINVAL);
    assert_string_equal(e.text, "the job does not say which machine it was submitted on");
    assert_null(p.groups);
    plan_free(&p);
    job_spec_free(&spec);
}

static void maps_paths_to_the_mount(void **state)
{
    static const struct {
        const char *path, *mapped;
    } paths[] = {
        { "/oneos/fs/x", "/m/oneos/fs/x" },
        { "/oneos", "/m/oneos" },
        { "/oneos/", "/m/oneos/" },
        { "/oneos//fs/../a", "/m/oneos/a" },
        { "/oneosx", "/oneosx" },
        { "/oneos/../etc", "/oneos/../etc" },
        { "/tmp/a//b", "/tmp/a//b" },
        { "oneos/x", "oneos/x" },
        { "", "" },
        { "/", "/" },
        { "/..", "/.." },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct obuf b = { 0 };

        plan_path(paths[i].path, "/m/oneos", &b);
        assert_string_equal(b.p, paths[i].mapped);
        assert_int_equal(plan_shared(paths[i].path), strcmp(paths[i].path, b.p) != 0);
        obuf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_writes_its_input),
        cmocka_unit_test(cuts_and_joins),
        cmocka_unit_test(every_wire_has_two_ends),
        cmocka_unit_test(without_a_cwd_paths_stay_relative),
        cmocka_unit_test(the_cwd_of_the_spec_comes_first),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(maps_paths_to_the_mount),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_run_line.c - run lines: what they mean, what is refused, and that print and parse undo each
 * other.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "sched/run_line.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* A line as the text of its parts: [select] {env} argv <in >out or +out 2>err or 2+err, stages by
 * a newline. */
static char *parts(const struct run_line *line)
{
    struct obuf b = { 0 };

    for (size_t i = 0; i < line->n; i++) {
        const struct run_stage *s = &line->stages[i];

        obuf_puts(&b, i ? "\n" : "");
        if (s->select)
            obuf_printf(&b, "[%s]", s->select);
        for (size_t k = 0; k < s->n_env; k++)
            obuf_printf(&b, "{%s}", s->env[k]);
        assert_null(s->env[s->n_env]);
        for (int k = 0; k < s->argc; k++)
            obuf_printf(&b, "(%s)", s->argv[k]);
        assert_null(s->argv[s->argc]);
        if (s->in)
            obuf_printf(&b, " <%s", s->in);
        if (s->out)
            obuf_printf(&b, " %s%s", s->append ? "+" : ">", s->out);
        if (s->err)
            obuf_printf(&b, " 2%s%s", s->err_append ? "+" : ">", s->err);
    }
    return b.p;
}

static const struct {
    const char *line, *parts, *printed;
} good[] = {
    { "true", "(true)", "true" },
    { "  ls\t-l \n", "(ls)(-l)", "ls -l" },
    { "ls\r\n\n", "(ls)", "ls" },
    { "@gpu nvidia-smi", "[gpu](nvidia-smi)", "@gpu nvidia-smi" },
    { "@cores>=4,memory>=8GiB,!slow make", "[cores>=4,memory>=8GiB,!slow](make)",
      "@cores>=4,memory>=8GiB,!slow make" },
    { "@'zone=the lab' a", "[zone=the lab](a)", "@'zone=the lab' a" },
    { "@zone=the\\ lab a", "[zone=the lab](a)", "@'zone=the lab' a" },
    { "@cores<3 a", "[cores<3](a)", "@cores<3 a" },
    { "@A A=1 B='x y' C= c d", "[A]{A=1}{B=x y}{C=}(c)(d)", "@A A=1 B='x y' C= c d" },
    { "A=1 B=2 A=3 c", "{A=3}{B=2}(c)", "A=3 B=2 c" },
    { "'@gpu' x", "(@gpu)(x)", "'@gpu' x" },
    { "'@'a>4", "(@a) >4", "'@a' > 4" },
    { "\\@gpu", "(@gpu)", "'@gpu'" },
    { "'A=1' B=2", "(A=1)(B=2)", "'A=1' B=2" },
    { "A'='1", "(A=1)", "'A=1'" },
    { "1A=2 =3", "(1A=2)(=3)", "1A=2 =3" },
    { "echo @gpu A=1", "(echo)(@gpu)(A=1)", "echo @gpu A=1" },
    { "a<b>c", "(a) <b >c", "a < b > c" },
    { "a < b >> c 2> d", "(a) <b +c 2>d", "a < b >> c 2> d" },
    { "a 2>>d", "(a) 2+d", "a 2>> d" },
    { "2>d a", "(a) 2>d", "a 2> d" },
    { "<i A=1 >o c 2>e d", "{A=1}(c)(d) <i >o 2>e", "A=1 c d < i > o 2> e" },
    { "a2>f", "(a2) >f", "a2 > f" },
    { "a 2 >f", "(a)(2) >f", "a 2 > f" },
    { "a '2'>f", "(a)(2) >f", "a 2 > f" },
    { "a \\2>f", "(a)(2) >f", "a 2 > f" },
    { "a 2'>'f '|' \\< \">>\"", "(a)(2>f)(|)(<)(>>)", "a '2>f' '|' '<' '>>'" },
    { "a > 'b c'", "(a) >b c", "a > 'b c'" },
    { "a|b|c", "(a)\n(b)\n(c)", "a | b | c" },
    { "@A a <i | @here X=1 b 2>e | c >o", "[A](a) <i\n[here]{X=1}(b) 2>e\n(c) >o",
      "@A a < i | @here X=1 b 2> e | c > o" },
    { "curl http://x/?a=1&b=(2);c $HOME * ~ #x", "(curl)(http://x/?a=1&b=(2);c)($HOME)(*)(~)(#x)",
      "curl 'http://x/?a=1&b=(2);c' '$HOME' '*' '~' '#x'" },
    { "find . -exec rm {} \\;", "(find)(.)(-exec)(rm)({})(;)", "find . -exec rm '{}' ';'" },
    { "echo 'a;' \"b &\" \\& ';' '&&' '$(x)' \"`y`\"", "(echo)(a;)(b &)(&)(;)(&&)($(x))(`y`)",
      "echo 'a;' 'b &' '&' ';' '&&' '$(x)' '`y`'" },
    { "sh -c 'a\nb'", "(sh)(-c)(a\nb)", "sh -c 'a\nb'" },
    { "a '' \"it's\"", "(a)()(it's)", "a '' 'it'\\''s'" },
    { "a\\\nb 2\\\n>c", "(ab) 2>c", "ab 2> c" },
    { "\303\244 \342\202\254", "(\303\244)(\342\202\254)", "'\303\244' '\342\202\254'" },
};

static void reads_and_prints(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct oerr e = { "" };
        struct run_line line;
        struct obuf b = { 0 };
        char *p;

        if (run_line_parse(&line, good[i].line, strlen(good[i].line), &e) < 0)
            fail_msg("%s: %s", good[i].line, e.text);
        p = parts(&line);
        assert_string_equal(p, good[i].parts);
        run_line_print(&line, &b);
        assert_string_equal(b.p, good[i].printed);
        free(p);
        obuf_free(&b);
        run_line_free(&line);
    }
}

#define NO_OP(op)                                                                                  \
    "the run line has no '" op "': quote it if it is meant as text, or use sh -c '...'"
#define NO_REDIRECT(op)                                                                            \
    "the run line has no '" op "', only < > >> 2> 2>>: quote it if it is meant as text, or use "   \
    "sh -c '...'"
#define ONE_LINE "a run line is one line: for more than one use sh -c '...', or quote the newline"

static const struct {
    const char *line, *words;
} bad[] = {
    { "", "the run line is empty: write a command" },
    { " \n ", "the run line is empty: write a command" },
    { "|", "a command is missing before '|'" },
    { "| a", "a command is missing before '|'" },
    { "a |", "a command is missing behind '|'" },
    { "a | | b", "a command is missing behind '|'" },
    { "@gpu", "a command is missing behind '@gpu'" },
    { "A=1 | b", "a command is missing behind 'A=1'" },
    { "a | > f", "a command is missing behind 'f'" },
    { "'' a", "the command is an empty word: write its name" },
    { "a >", "a file name is missing behind '>'" },
    { "a > | b", "'>' can only be in the last command of a pipeline: the output of the others is "
                 "the pipe" },
    { "a 2> | b", "a file name is missing behind '2>'" },
    { "a < > b", "a file name is missing behind '<'" },
    { "a > ''", "the file name behind '>' is empty" },
    { "a > b >> c", "'>>' is one file too many: b is named already" },
    { "a 2>b 2>>c", "'2>>' is one file too many: b is named already" },
    { "a <b <c", "'<' is one file too many: b is named already" },
    { "a >x | b", "'>' can only be in the last command of a pipeline: the output of the others is "
                  "the pipe" },
    { "a | b <x", "'<' can only be in the first command of a pipeline: the input of the others is "
                  "the pipe" },
    { "A=1 @gpu a", "the selector @gpu must be the first word of its command, and the only one: "
                    "join terms with commas, or quote it if it is the command" },
    { "@gpu @fast a", "the selector @fast must be the first word of its command, and the only one: "
                      "join terms with commas, or quote it if it is the command" },
    { "@ a", "the selector is empty: write a machine or a label behind the @" },
    { "@a,, b", "the selector has an empty term: take a comma away" },
    { "a && b", NO_OP("&&") },
    { "a&& b", NO_OP("&&") },
    { "a || b", NO_OP("||") },
    { "a ; b", NO_OP(";") },
    { "a; b", NO_OP(";") },
    { "a;|b", NO_OP(";") },
    { "a &", NO_OP("&") },
    { "a&", NO_OP("&") },
    { "a |& b", NO_OP("|&") },
    { "(a)", NO_OP("(") },
    { "a )", NO_OP(")") },
    { "echo $(date)", NO_OP("$(") },
    { "echo x$(date)", NO_OP("$(") },
    { "echo `date`", NO_OP("`") },
    { "a 2>&1", NO_REDIRECT("2>&") },
    { "a >&2", NO_REDIRECT(">&") },
    { "a > &2", NO_OP("&") },
    { "a &> f", NO_REDIRECT("&>") },
    { "a&>f", NO_REDIRECT("&>") },
    { "a 1> f", NO_REDIRECT("1>") },
    { "a 3<f", NO_REDIRECT("3<") },
    { "a << E", NO_REDIRECT("<<") },
    { "a <<< E", NO_REDIRECT("<<<") },
    { "a <(b)", NO_REDIRECT("<(") },
    { "a >(b)", NO_REDIRECT(">(") },
    { "a <> f", NO_REDIRECT("<>") },
    { "a >| f", NO_REDIRECT(">|") },
    { "a\nb", ONE_LINE },
    { "a\n\n;", ONE_LINE },
    { "a 'b", "a single quote is not closed: add the missing '" },
    { "a \\", "the line ends in a backslash: quote it or take it away" },
    { "a \377", "the run line is not UTF-8" },
};

static void refuses_with_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct oerr e = { "" };
        struct run_line line;

        if (run_line_parse(&line, bad[i].line, strlen(bad[i].line), &e) != -EINVAL)
            fail_msg("%s is not refused", bad[i].line);
        if (strcmp(e.text, bad[i].words) != 0)
            fail_msg("%s:\n  %s\n  %s", bad[i].line, e.text, bad[i].words);
        assert_int_equal(line.n, 0);
        assert_null(line.stages);
        run_line_free(&line);
    }
}

static void expect_refused(const struct obuf *b, const char *words)
{
    struct oerr e = { "" };
    struct run_line line;

    assert_int_equal(obuf_check(b), 0);
    assert_int_equal(run_line_parse(&line, b->p, b->len, &e), -EINVAL);
    assert_string_equal(e.text, words);
}

static void expect_taken(const struct obuf *b)
{
    struct oerr e = { "" };
    struct run_line line;

    assert_int_equal(obuf_check(b), 0);
    if (run_line_parse(&line, b->p, b->len, &e) < 0)
        fail_msg("%s", e.text);
    run_line_free(&line);
}

static void has_bounds(void **state)
{
    struct obuf b = { 0 };
    size_t len;

    (void)state;
    obuf_puts(&b, "a");
    for (int i = 1; i < RUN_STAGES_MAX; i++)
        obuf_puts(&b, "|a");
    expect_taken(&b);
    obuf_puts(&b, "|a");
    expect_refused(&b, "a pipeline has at most 64 commands");

    obuf_reset(&b);
    for (int i = 0; i < RUN_STAGE_ENV; i++)
        obuf_printf(&b, "V%d=x ", i);
    len = b.len;
    obuf_puts(&b, "c");
    expect_taken(&b);
    b.len = len;
    obuf_puts(&b, "W= c");
    expect_refused(&b, "a command has at most 1024 variables in front of it");

    obuf_reset(&b);
    while (b.len < RUN_LINE_MAX)
        obuf_puts(&b, "x");
    expect_taken(&b);
    obuf_puts(&b, "x");
    expect_refused(&b, "the line is longer than 524288 bytes");

    obuf_reset(&b);
    while (b.len < RUN_LINE_MAX)
        obuf_puts(&b, "\\'");
    expect_refused(&b, "the line with its quotes written out is longer than 524288 bytes");
    obuf_free(&b);
}

/* Many of the bytes that look further ahead or back must not make it slow. */
static void takes_long_runs_of_operators(void **state)
{
    static const char *const pieces[] = { ";", "&", "x;", "$", "2", "@", "\\;", "<" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        struct obuf b = { 0 };
        struct run_line line;

        obuf_puts(&b, "c x");
        while (b.len + 4 < RUN_LINE_MAX)
            obuf_puts(&b, pieces[i]);
        obuf_puts(&b, "y");
        run_line_parse(&line, b.p, b.len, NULL);
        run_line_free(&line);
        obuf_free(&b);
    }
}

/* ---- random lines */

static uint32_t seed = 20240611;

static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

static void same(const struct run_line *a, const struct run_line *b, const char *text)
{
    char *x = parts(a), *y = parts(b);

    if (strcmp(x, y) != 0)
        fail_msg("%s:\n%s\n%s", text, x, y);
    free(x);
    free(y);
}

/* Bytes that mean something, quoted or not, as they come: where the line is taken, its text must
 * give the same line again. */
static void random_texts_come_back(void **state)
{
    static const char *const pieces[] = {
        "a",   "b", " ",  " ", " ",  "|", "<",   ">",   ">>",       "2>", "2",
        "2>>", "@", "A=", "=", ",",  "'", "'",   "\"",  "\"",       "\\", "\n",
        ";",   "&", "(",  ")", "$(", "`", "@x ", " | ", "\303\244",
    };
    int taken = 0;

    (void)state;
    for (int round = 0; round < 100000; round++) {
        struct obuf text = { 0 }, printed = { 0 }, again = { 0 };
        struct run_line line, back;

        for (uint32_t n = 1 + rnd(12); n > 0; n--)
            obuf_puts(&text, pieces[rnd(ARRAY_SIZE(pieces))]);
        if (run_line_parse(&line, text.p, text.len, NULL) == 0) {
            run_line_print(&line, &printed);
            if (run_line_parse(&back, printed.p, printed.len, NULL) < 0)
                fail_msg("%s printed as %s", text.p, printed.p);
            same(&line, &back, text.p);
            run_line_print(&back, &again);
            assert_string_equal(again.p, printed.p);
            run_line_free(&back);
            taken++;
        }
        run_line_free(&line);
        obuf_free(&text);
        obuf_free(&printed);
        obuf_free(&again);
    }
    assert_true(taken > 5000);
}

static char *random_text(bool empty)
{
    static const char special[] = "'\"\\|$` \t\n\r;&<>#*~a=@2()";
    static char texts[32][16];
    static int next;
    char *t = texts[next++ % 32];
    uint32_t n = (uint32_t)!empty + rnd(8);

    for (uint32_t i = 0; i < n; i++)
        t[i] = rnd(4) ? special[rnd(sizeof special - 1)] : (char)(1 + rnd(127));
    t[n] = '\0';
    return t;
}

/* Lines made of any words: what is printed gives just these. */
static void random_lines_come_back(void **state)
{
    static const char *const selectors[] = { NULL, NULL, "gpu", "cores>=4,!a", "zone!=a b" };

    (void)state;
    for (int round = 0; round < 50000; round++) {
        struct run_stage stages[3] = { { 0 } };
        struct run_line line = { .stages = stages, .n = 1 + rnd(3) }, back;
        char env[3][2][24], *envs[3][3] = { { NULL } }, *argvs[3][4] = { { NULL } };
        struct obuf b = { 0 };
        struct oerr e;

        for (size_t i = 0; i < line.n; i++) {
            struct run_stage *s = &stages[i];

            s->select = (char *)selectors[rnd(ARRAY_SIZE(selectors))];
            s->n_env = rnd(3);
            for (size_t k = 0; k < s->n_env; k++) {
                snprintf(env[i][k], sizeof env[i][k], "%c=%s", (char)('A' + k), random_text(true));
                envs[i][k] = env[i][k];
            }
            s->env = envs[i];
            s->argc = 1 + (int)rnd(3);
            for (int k = 0; k < s->argc; k++)
                argvs[i][k] = random_text(k > 0);
            s->argv = argvs[i];
            s->in = i == 0 && rnd(2) ? random_text(false) : NULL;
            s->out = i + 1 == line.n && rnd(2) ? random_text(false) : NULL;
            s->append = s->out && rnd(2);
            s->err = rnd(3) ? NULL : random_text(false);
            s->err_append = s->err && rnd(2);
        }
        run_line_print(&line, &b);
        if (run_line_parse(&back, b.p, b.len, &e) < 0)
            fail_msg("round %d: %s: %s", round, b.p, e.text);
        same(&line, &back, b.p);
        run_line_free(&back);
        obuf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_prints),
        cmocka_unit_test(refuses_with_words),
        cmocka_unit_test(has_bounds),
        cmocka_unit_test(takes_long_runs_of_operators),
        cmocka_unit_test(random_texts_come_back),
        cmocka_unit_test(random_lines_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

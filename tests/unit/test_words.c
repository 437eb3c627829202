/*
 * test_words.c - splitting lines into words, and that it undoes obuf_quote().
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct expect {
    const char *line;
    const char *words[6]; /* a word "|op" is the operator | */
    size_t rest;          /* bytes behind the first line */
};

static const struct expect lines[] = {
    { "", { NULL }, 0 },
    { " \t ", { NULL }, 0 },
    { "\nnext", { NULL }, 4 },
    { "exec ls -l\n", { "exec", "ls", "-l" }, 0 },
    { "  a\tb  ", { "a", "b" }, 0 },
    { "a 'b c' d", { "a", "b c", "d" }, 0 },
    { "a'b'\"c\"d", { "abcd" }, 0 },
    { "'' \"\" x", { "", "", "x" }, 0 },
    { "'a\\b$`\"' ", { "a\\b$`\"" }, 0 },
    { "\"a\\\"b\\\\c\\$d\\`e\\n\"", { "a\"b\\c$d`e\\n" }, 0 },
    { "a\\ b\\'c \\|", { "a b'c", "|" }, 0 },
    { "a|b", { "a", "|op", "b" }, 0 },
    { "a | b '|' \"|\"", { "a", "|op", "b", "|", "|" }, 0 },
    { "||", { "|op", "|op" }, 0 },
    { "a\\\nb c", { "ab", "c" }, 0 },
    { "\"a\\\nb\" c", { "ab", "c" }, 0 },
    { "sh -c 'echo a\necho b'\nnext\n", { "sh", "-c", "echo a\necho b" }, 5 },
    { "one\r\ntwo", { "one" }, 3 },
    { "a;b>c #d", { "a;b>c", "#d" }, 0 },
    { "\303\244\303\266 \377", { "\303\244\303\266", "\377" }, 0 },
};

static void splits_as_the_shell_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        const struct expect *x = &lines[i];
        size_t len = strlen(x->line), used;
        struct words w;
        int n = 0;

        assert_int_equal(words_split(&w, x->line, len, &used, NULL), 0);
        assert_int_equal(len - used, x->rest);
        for (; x->words[n]; n++) {
            bool op = strcmp(x->words[n], "|op") == 0;

            assert_true(n < w.n);
            assert_string_equal(w.v[n], op ? "|" : x->words[n]);
            assert_int_equal(w.op[n], op);
        }
        assert_int_equal(w.n, n);
        if (n)
            assert_null(w.v[n]);
        words_free(&w);
    }
}

/* Words of a run line: an operator is shown as <|>, a quoted rest begins behind a ^. */
static const struct {
    const char *line, *words;
} run_lines[] = {
    { "a|b", "a <|> b" },
    { "a<b>c>>d", "a <<> b <>> c <>>> d" },
    { "a 2>b 2>>c", "a <2>> b <2>>> c" },
    { "a2>b 2 >c '2'>d", "a2 <>> b 2 <>> c ^2 <>> d" },
    { "a 10>b 3<c", "a <10>> b <3<> c" },
    { "a;b&c(d)", "a;b&c(d)" },
    { "a; b& c;;|d", "a <;> b <&> c <;> <;> <|> d" },
    { "a&&b a&& b", "a&&b a <&&> b" },
    { "; & (a )", "<;> <&> <(> a <)>" },
    { "a\\; b';'", "a^; b^;" },
    { "a$(b) `c", "a <$(> b) <`> c" },
    { "'$(' \"`\" \\`", "^$( ^` ^`" },
    { "a <<b <<<c <&d >&e >|f <>g &>h ||i |&j",
      "a <<<> b <<<<> c <<&> d <>&> e <>|> f <<>> g <&>> h <||> i <|&> j" },
    { "@a>=4|@b<3 @c>d", "@a>=4 <|> @b<3 @c <>> d" },
    { "'@'a>4", "^@a <>> 4" },
    { "@a'>'4 x", "@a^>4 x" },
    { "A='b c' \"A=b\" A=b'c'd", "A=^b c ^A=b A=b^cd" },
    { "a\\\nb 2\\\n>c", "ab <2>> c" },
};

static void splits_run_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(run_lines); i++) {
        size_t len = strlen(run_lines[i].line), used;
        struct obuf b = { 0 };
        struct words w;

        assert_int_equal(words_split_run(&w, run_lines[i].line, len, &used, NULL), 0);
        assert_int_equal(used, len);
        for (int k = 0; k < w.n; k++) {
            size_t bare = w.bare[k], n = strlen(w.v[k]);

            obuf_puts(&b, k ? " " : "");
            if (w.op[k])
                obuf_printf(&b, "<%s>", w.v[k]);
            else
                obuf_printf(&b, "%.*s%s%s", (int)bare, w.v[k], bare < n ? "^" : "", w.v[k] + bare);
        }
        assert_string_equal(b.p, run_lines[i].words);
        obuf_free(&b);
        words_free(&w);
    }
}

static void knows_where_words_begin(void **state)
{
    static const char line[] = " run 'a'b|\\c \\\n\"d\" 2>e\nf";
    static const size_t plain[] = { 1, 5, 9, 10, 15, 19 }, run[] = { 1, 5, 9, 10, 15, 19, 21 };
    struct words w;
    size_t used;

    (void)state;
    assert_int_equal(words_split(&w, line, strlen(line), &used, NULL), 0);
    assert_int_equal(w.n, ARRAY_SIZE(plain));
    assert_memory_equal(w.at, plain, sizeof plain);
    words_free(&w);
    assert_int_equal(words_split_run(&w, line, strlen(line), &used, NULL), 0);
    assert_int_equal(w.n, ARRAY_SIZE(run));
    assert_memory_equal(w.at, run, sizeof run);
    words_free(&w);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *line;
        size_t len;
        const char *words;
    } bad[] = {
        { "exec 'ls", 8, "single quote is not closed" },
        { "exec \"ls", 8, "double quote is not closed" },
        { "\"a\\\"", 4, "double quote is not closed" },
        { "'a\nb\nc", 6, "single quote is not closed" },
        { "a\\", 2, "ends in a backslash" },
        { "a\0b", 3, "NUL byte at byte 1" },
        { "'a\0b'", 5, "NUL byte at byte 2" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct words w;
        struct oerr e;
        size_t used;

        assert_int_equal(words_split(&w, bad[i].line, bad[i].len, &used, &e), -EINVAL);
        assert_non_null(strstr(e.text, bad[i].words));
        assert_int_equal(used, bad[i].len);
        assert_int_equal(w.n, 0);
        assert_null(w.v);
    }
}

static void a_nul_on_a_later_line_is_not_ours(void **state)
{
    struct words w;
    size_t used;

    (void)state;
    assert_int_equal(words_split(&w, "a b\nc\0d", 7, &used, NULL), 0);
    assert_int_equal(used, 4);
    assert_int_equal(w.n, 2);
    words_free(&w);
}

static void bounds_the_line(void **state)
{
    size_t len = 1024 * 1024, used;
    cleanup_free char *line = malloc(len);
    struct words w;
    struct oerr e;

    (void)state;
    assert_non_null(line);
    memset(line, 'x', len);
    assert_int_equal(words_split(&w, line, len, &used, &e), -EINVAL);
    assert_non_null(strstr(e.text, "longer than 524288 bytes"));
    memset(line, '\'', len);
    assert_int_equal(words_split(&w, line, len - 1, &used, &e), -EINVAL);
    assert_int_equal(words_split(&w, line, WORDS_LINE_MAX, &used, &e), 0);
    assert_int_equal(w.n, 1);
    words_free(&w);
    memset(line, '|', len);
    line[1000] = '\n';
    assert_int_equal(words_split(&w, line, len, &used, &e), 0);
    assert_int_equal(w.n, 1000);
    assert_int_equal(used, 1001);
    words_free(&w);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* A word of up to 11 bytes, mostly such as have a meaning. */
static void random_word(uint32_t *seed, char *word)
{
    static const char special[] = "'\"\\|$` \t\n\r;&<>#*~a=";
    size_t n = next_random(seed) % 12;

    for (size_t i = 0; i < n; i++)
        word[i] = next_random(seed) % 4 ? special[next_random(seed) % (sizeof special - 1)]
                                        : (char)(1 + next_random(seed) % 255);
    word[n] = '\0';
}

static void gives_back_what_was_quoted(void **state)
{
    uint32_t seed = 20240607;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char words[5][12];
        int n = 1 + (int)(next_random(&seed) % 5);
        struct obuf b = { 0 };
        struct words w;
        size_t used;

        for (int i = 0; i < n; i++) {
            random_word(&seed, words[i]);
            obuf_puts(&b, i ? " " : "");
            obuf_quote(&b, words[i]);
        }
        obuf_puts(&b, "\nrest");
        if (words_split(&w, b.p, b.len, &used, NULL) != 0 || w.n != n || b.len - used != 4)
            fail_msg("round %d: %s", round, b.p);
        for (int i = 0; i < n; i++)
            if (strcmp(w.v[i], words[i]) != 0 || w.op[i])
                fail_msg("round %d, word %d: %s", round, i, b.p);
        words_free(&w);
        obuf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_as_the_shell_does),          cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(a_nul_on_a_later_line_is_not_ours), cmocka_unit_test(bounds_the_line),
        cmocka_unit_test(gives_back_what_was_quoted),        cmocka_unit_test(splits_run_lines),
        cmocka_unit_test(knows_where_words_begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

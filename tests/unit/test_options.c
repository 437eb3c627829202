/*
 * test_options.c - one table of rows for flags, environment, files and --help.
 *
 * Each test has its own folder with etc/oneos.conf and home/oneos/oneos.conf.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static int check_level(const char *value, struct oerr *e)
{
    if (strcmp(value, "info") == 0 || strcmp(value, "debug") == 0)
        return 0;
    return oerr_set(e, -EINVAL, "'%s' is not a level: use info or debug", value);
}

static const struct option_row rows[] = {
    { .name = "mount", .letter = 'm', .arg = "DIR", .help = "where", .negatable = true },
    { .name = "label", .arg = "K=V", .help = "a label", .many = true },
    { .name = "log-level", .arg = "LEVEL", .help = "how much", .check = check_level },
    { .name = "json", .help = "JSON" },
    { .name = "quick", .letter = 'q', .help = "hurry", .flag_only = true },
    { 0 },
};

static char dir[64], system_file[96], user_file[128];

static struct options_spec spec = {
    .program = "oneosd",
    .usage = "[OPTIONS] [ID]",
    .about = "Does things.",
    .rows = rows,
    .system_file = system_file,
};

static int setup(void **state)
{
    char sub[96];

    (void)state;
    strcpy(dir, "/tmp/oneos-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(system_file, sizeof system_file, "%s/system.conf", dir);
    snprintf(sub, sizeof sub, "%s/oneos", dir);
    snprintf(user_file, sizeof user_file, "%s/oneos.conf", sub);
    setenv("XDG_CONFIG_HOME", dir, 1);
    unsetenv("ONEOS_MOUNT");
    unsetenv("ONEOS_NO_MOUNT");
    unsetenv("ONEOS_LABEL");
    unsetenv("ONEOS_LOG_LEVEL");
    unsetenv("ONEOS_JSON");
    unsetenv("ONEOS_QUICK");
    spec.lenient = spec.subcommands = false;
    return mkdir(sub, 0700);
}

static int teardown(void **state)
{
    char sub[96];

    (void)state;
    snprintf(sub, sizeof sub, "%s/oneos", dir);
    unlink(system_file);
    unlink(user_file);
    rmdir(sub);
    return rmdir(dir);
}

static void write_file(const char *path, const char *text)
{
    cleanup_fclose FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
}

/* Reads the options of a command line given as words. */
#define READ(o, e, ...) read_options(o, e, (const char *[]){ "oneosd", __VA_ARGS__, NULL })

static int read_options(struct options **o, struct oerr *e, const char *const *words)
{
    char *argv[12] = { NULL }; /* the options borrow the words, not the list */
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    return options_read(o, &spec, argc, argv, e);
}

static void expect_source(const char *value, const char *source, const char *const *argv)
{
    struct options *o;
    struct oerr e = { "" };

    if (read_options(&o, &e, argv) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(options_get(o, "mount"), value);
    assert_string_equal(options_source(o, "mount"), source);
    options_free(o);
}

static void the_nearer_place_wins(void **state)
{
    const char *none[] = { "oneosd", NULL }, *flag[] = { "oneosd", "--mount=/flag", NULL };
    char source[160];
    struct options *o;

    (void)state;
    assert_int_equal(read_options(&o, NULL, none), 0);
    assert_null(options_get(o, "mount"));
    assert_string_equal(options_source(o, "mount"), "");
    options_free(o);
    write_file(system_file, "# a comment\n\nmount = /system\n");
    snprintf(source, sizeof source, "%s:3", system_file);
    expect_source("/system", source, none);
    write_file(user_file, "mount = /user\n");
    snprintf(source, sizeof source, "%s:1", user_file);
    expect_source("/user", source, none);
    setenv("ONEOS_MOUNT", "", 1);
    expect_source("/user", source, none);
    setenv("ONEOS_MOUNT", "/environment", 1);
    expect_source("/environment", "ONEOS_MOUNT", none);
    expect_source("/flag", "--mount", flag);
}

static void a_stronger_place_can_turn_off_and_on_again(void **state)
{
    struct options *o;

    (void)state;
    write_file(system_file, "mount = /system\n");
    assert_int_equal(READ(&o, NULL, "--no-mount"), 0);
    assert_true(options_off(o, "mount"));
    assert_null(options_get(o, "mount"));
    options_free(o);
    setenv("ONEOS_NO_MOUNT", "yes", 1);
    assert_int_equal(READ(&o, NULL, "--json"), 0);
    assert_true(options_off(o, "mount"));
    options_free(o);
    assert_int_equal(READ(&o, NULL, "-m", "/flag"), 0);
    assert_false(options_off(o, "mount"));
    assert_string_equal(options_get(o, "mount"), "/flag");
    options_free(o);
}

static void repeated_values_come_from_one_place(void **state)
{
    const char *const *all;
    struct options *o;
    int n;

    (void)state;
    write_file(user_file, "label = a\n  label = b\n[oneosd]\nlabel = c\n[oneos]\nlabel = d\n");
    assert_int_equal(READ(&o, NULL, "--json"), 0);
    all = options_all(o, "label", &n);
    assert_int_equal(n, 3);
    assert_string_equal(all[0], "a");
    assert_string_equal(all[2], "c");
    options_free(o);
    assert_int_equal(READ(&o, NULL, "--label", "x", "B", "--label=y"), 0);
    all = options_all(o, "label", &n);
    assert_int_equal(n, 2);
    assert_string_equal(all[1], "y");
    assert_string_equal(options_get(o, "label"), "y");
    options_free(o);
}

static void switches_and_operands(void **state)
{
    char words[][8] = { "oneosd", "A", "-q", "--json", "B", "--", "-x" };
    char *argv[] = { words[0], words[1], words[2], words[3], words[4], words[5], words[6], NULL };
    struct options *o;

    (void)state;
    assert_int_equal(options_read(&o, &spec, 7, argv, NULL), 0);
    assert_true(options_on(o, "quick"));
    assert_true(options_on(o, "json"));
    assert_int_equal(options_operands(o), 4);
    assert_string_equal(argv[4], "A");
    assert_string_equal(argv[6], "-x");
    options_free(o);
    setenv("ONEOS_JSON", "no", 1);
    setenv("ONEOS_QUICK", "yes", 1);
    assert_int_equal(READ(&o, NULL, "C"), 0);
    assert_false(options_on(o, "json"));
    assert_false(options_on(o, "quick"));
    options_free(o);
}

static void a_subcommand_takes_the_flags_of_its_program(void **state)
{
    static const struct option_row sub_rows[] = {
        { .name = "follow", .letter = 'f', .help = "go on", .flag_only = true },
        { 0 },
    };
    char words[][8] = { "oneosd", "--mount", "/a", "logs", "-f", "--json", "X" };
    char *argv[] = { words[0], words[1], words[2], words[3], words[4], words[5], words[6], NULL };
    struct options_spec sub = {
        .program = "oneosd logs", .usage = "", .about = "", .rows = sub_rows
    };
    struct options *o, *s;
    struct oerr e;

    (void)state;
    spec.subcommands = true;
    assert_int_equal(options_read(&o, &spec, 7, argv, NULL), 0);
    assert_int_equal(options_operands(o), 3);
    assert_false(options_on(o, "json"));
    sub.outer = o;
    assert_int_equal(options_read(&s, &sub, 4, argv + 3, NULL), 0);
    assert_true(options_on(s, "follow"));
    assert_true(options_on(o, "json"));
    assert_int_equal(options_operands(s), 3);
    options_free(s);
    assert_int_equal(READ(&s, &e, "-f"), -EINVAL);
    options_free(o);
}

static void bad_usage(void **state)
{
    static const struct {
        const char *argv[4];
        const char *words;
    } bad[] = {
        { { "oneosd", "--nonsense" }, "no option --nonsense" },
        { { "oneosd", "-z" }, "no option -z" },
        { { "oneosd", "--mount" }, "--mount needs a value: DIR" },
        { { "oneosd", "-m" }, "--mount needs a value: DIR" },
        { { "oneosd", "--json=5" }, "--json takes no value" },
        { { "oneosd", "--no-json" }, "no option --no-json" },
        { { "oneosd", "--log-level", "loud" }, "--log-level: 'loud' is not a level" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct options *o = NULL;
        struct oerr e = { "" };
        int rc;

        rc = read_options(&o, &e, bad[i].argv);
        assert_int_equal(rc, -EINVAL);
        assert_int_equal(options_exit_status(rc), 64);
        if (!strstr(e.text, bad[i].words))
            fail_msg("%s", e.text);
    }
}

static void bad_files(void **state)
{
    char longline[512] = "mount = ";
    const struct {
        const char *text;
        int line;
        const char *words;
    } bad[] = {
        { "mount = /a\nmuont = /b\n", 2, "no option 'muont'" },
        { "\n\njust words\n", 3, "`name = value`" },
        { "[oneosd\n", 1, "`name = value`" },
        { "[onoesd]\nmount = /a\n", 2, "no section [onoesd]" },
        { "log-level = info\nlog-level = loud\n", 2, "'loud' is not a level" },
        { "json = maybe\n", 1, "neither yes nor no" },
        { "quick = yes\n", 1, "no option 'quick'" },
        { longline, 1, "too long" },
    };

    (void)state;
    memset(longline + 8, 'x', 400);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct options *o = NULL;
        struct oerr e = { "" };
        char where[160];
        int rc;

        write_file(user_file, bad[i].text);
        rc = READ(&o, &e, "A");
        assert_int_equal(rc, -EBADMSG);
        assert_int_equal(options_exit_status(rc), 78);
        snprintf(where, sizeof where, "%s:%d: ", user_file, bad[i].line);
        if (strncmp(e.text, where, strlen(where)) != 0 || !strstr(e.text, bad[i].words))
            fail_msg("%s", e.text);
        if (strstr(e.text + strlen(where), user_file))
            fail_msg("said twice: %s", e.text);
    }
}

static void a_file_that_cannot_be_read(void **state)
{
    struct options *o = NULL;
    struct oerr e;

    (void)state;
    assert_int_equal(mkdir(user_file, 0700), 0);
    assert_int_equal(READ(&o, &e, "A"), -EBADMSG);
    assert_non_null(strstr(e.text, "cannot be read"));
    assert_int_equal(rmdir(user_file), 0);
}

static void the_lenient_program_skips_what_is_not_its_own(void **state)
{
    struct options *o;
    struct oerr e;

    (void)state;
    spec.lenient = true;
    write_file(user_file, "join = x:1\nmount = /a\n[oneos]\nother = 1\n");
    assert_int_equal(READ(&o, &e, "A"), 0);
    assert_string_equal(options_get(o, "mount"), "/a");
    options_free(o);
    write_file(user_file, "[oneosd]\nother = 1\n");
    assert_int_equal(READ(&o, &e, "A"), -EBADMSG);
}

static void a_bad_variable(void **state)
{
    struct options *o = NULL;
    struct oerr e;

    (void)state;
    setenv("ONEOS_LOG_LEVEL", "loud", 1);
    assert_int_equal(READ(&o, &e, "A"), -EBADMSG);
    assert_string_equal(e.text, "ONEOS_LOG_LEVEL: 'loud' is not a level: use info or debug");
}

static void help_comes_from_the_rows(void **state)
{
    struct obuf b = { 0 };
    struct options *o;

    (void)state;
    write_file(user_file, "this file is broken\n");
    assert_int_equal(READ(&o, NULL, "--help"), 0);
    assert_true(options_wants_help(o));
    assert_false(options_wants_version(o));
    options_free(o);
    options_help(&spec, &b);
    assert_non_null(strstr(b.p, "Usage: oneosd [OPTIONS] [ID]\nDoes things.\n"));
    for (const struct option_row *row = rows; row->name; row++) {
        assert_non_null(strstr(b.p, row->name));
        assert_non_null(strstr(b.p, row->help));
    }
    assert_non_null(strstr(b.p, "-m, --mount DIR | --no-mount"));
    obuf_free(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_nearer_place_wins),
        TEST(a_stronger_place_can_turn_off_and_on_again),
        TEST(repeated_values_come_from_one_place),
        TEST(switches_and_operands),
        TEST(a_subcommand_takes_the_flags_of_its_program),
        TEST(bad_usage),
        TEST(bad_files),
        TEST(a_file_that_cannot_be_read),
        TEST(the_lenient_program_skips_what_is_not_its_own),
        TEST(a_bad_variable),
        TEST(help_comes_from_the_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

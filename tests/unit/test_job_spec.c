/*
 * test_job_spec.c - specs of jobs: every key good and bad, from JSON and from words; what is
 * written is read again as the same.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/words.h"
#include "sched/job.h"
#include "sched/job_spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_REAL_PRECISION(6));

    assert_non_null(text);
    json_decref(json);
    return text;
}

/* ---- from JSON */

#define HEAD "{\"schema\": 1, \"run\": \"a\""

static const struct {
    const char *given, *written; /* behind HEAD; written NULL: as given */
} good[] = {
    { "", NULL },
    { ", \"cpus\": 4", NULL },
    { ", \"cpus\": 0.5", NULL },
    { ", \"cpus\": 0.29", NULL },
    { ", \"cpus\": \"1.5\"", ", \"cpus\": 1.5" },
    { ", \"cpus\": 1", "" },
    { ", \"cpus\": 2.0", ", \"cpus\": 2" },
    { ", \"cpus\": 10000", NULL },
    { ", \"memory\": \"512MiB\"", NULL },
    { ", \"memory\": 536870912", ", \"memory\": \"512MiB\"" },
    { ", \"memory\": \"1.5GiB\"", ", \"memory\": \"1536MiB\"" },
    { ", \"memory\": 1000", ", \"memory\": \"1000B\"" },
    { ", \"memory\": 0", "" },
    { ", \"priority\": -1000", NULL },
    { ", \"priority\": \"7\"", ", \"priority\": 7" },
    { ", \"retries\": 3", NULL },
    { ", \"restart\": \"never\"", "" },
    { ", \"restart\": \"on-failure\"", NULL },
    { ", \"restart\": \"always\"", NULL },
    { ", \"timeout\": \"2h 30min\"", NULL },
    { ", \"timeout\": \"1d 1h 1min 1s 1ms\"", NULL },
    { ", \"timeout\": 90", ", \"timeout\": \"1min 30s\"" },
    { ", \"timeout\": 0.25", ", \"timeout\": \"250ms\"" },
    { ", \"timeout\": \"1us\"", ", \"timeout\": \"1ms\"" },
    { ", \"timeout\": \"infinity\"", "" },
    { ", \"after\": [\"17\", \"train\"]", NULL },
    { ", \"after\": 17", ", \"after\": [\"17\"]" },
    { ", \"after\": [\"a\", \"b\", \"a\"]", ", \"after\": [\"a\", \"b\"]" },
    { ", \"after\": []", "" },
    { ", \"timeout\": []", "" },
    { ", \"place\": \"spread\"", NULL },
    { ", \"place\": \"pack\"", NULL },
    { ", \"place\": \"any\"", "" },
    { ", \"near\": \"/oneos/fs/data\"", NULL },
    { ", \"array\": \"1-100\"", NULL },
    { ", \"array\": \"0-0\"", NULL },
    { ", \"array\": \"5-10004\"", NULL },
    { ", \"env\": {\"K\": \"V\", \"E\": \"\", \"X\": \"a=b\"}", NULL },
    { ", \"env\": {\"N\": 5}", ", \"env\": {\"N\": \"5\"}" },
    { ", \"env\": [\"B=1\", \"A=2\", \"B=3\"]", ", \"env\": {\"B\": \"3\", \"A\": \"2\"}" },
    { ", \"env\": {}", "" },
    { ", \"cwd\": \"/oneos/fs/x y\"", NULL },
    { ", \"input\": \"none\"", NULL },
    { ", \"input\": \"open\"", "" },
    { ", \"cwd\": \"/a\", \"cpus\": 3", ", \"cpus\": 3, \"cwd\": \"/a\"" },
};

static void reads_and_writes_each_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct oerr e = { "" };
        struct job_spec spec, back;
        char given[512], written[512], *text;

        snprintf(given, sizeof given, HEAD "%s}", good[i].given);
        snprintf(written, sizeof written, HEAD "%s}",
                 good[i].written ? good[i].written : good[i].given);
        if (job_spec_parse(given, strlen(given), &spec, &e) < 0)
            fail_msg("%s: %s", given, e.text);
        text = dump(job_spec_encode(&spec));
        assert_string_equal(text, written);
        assert_int_equal(job_spec_parse(text, strlen(text), &back, &e), 0);
        free(text);
        text = dump(job_spec_encode(&back));
        assert_string_equal(text, written);
        free(text);
        job_spec_free(&spec);
        job_spec_free(&back);
    }
}

static void fills_the_struct(void **state)
{
    static const char text[] =
        "{\"schema\": 1, \"run\": \"@gpu a < /i | b\", \"cpus\": 0.5, \"memory\": \"1KiB\","
        "\"priority\": -3, \"retries\": 2, \"restart\": \"always\", \"timeout\": \"1s\","
        "\"after\": \"x\", \"place\": \"pack\", \"near\": \"/oneos/n\", \"array\": \"3-9\","
        "\"env\": {\"K\": \"V\"}, \"cwd\": \"/c\"}";
    struct job_spec s;

    (void)state;
    assert_int_equal(job_spec_parse(text, strlen(text), &s, NULL), 0);
    assert_int_equal(s.line.n, 2);
    assert_string_equal(s.line.stages[0].select, "gpu");
    assert_int_equal(s.cpu_milli, 500);
    assert_int_equal(s.memory, 1024);
    assert_int_equal(s.priority, -3);
    assert_int_equal(s.retries, 2);
    assert_int_equal(s.restart, JOB_RESTART_ALWAYS);
    assert_int_equal(s.timeout_ms, 1000);
    assert_int_equal(s.after.n, 1);
    assert_string_equal(s.after.v[0], "x");
    assert_null(s.after.v[1]);
    assert_int_equal(s.place, JOB_WHERE_PACK);
    assert_string_equal(s.near, "/oneos/n");
    assert_true(s.array);
    assert_int_equal(s.array_first, 3);
    assert_int_equal(s.array_last, 9);
    assert_int_equal(s.env.n, 1);
    assert_string_equal(s.env.v[0], "K=V");
    assert_null(s.env.v[1]);
    assert_string_equal(s.cwd, "/c");
    job_spec_free(&s);
    assert_int_equal(job_spec_parse(HEAD "}", strlen(HEAD "}"), &s, NULL), 0);
    assert_int_equal(s.cpu_milli, 1000);
    assert_false(s.array);
    assert_null(s.env.v);
    job_spec_free(&s);
}

static const struct {
    const char *given, *words;
} bad[] = {
    { "[]", "a spec is a JSON object, as {\"schema\": 1, \"run\": \"ls\"}" },
    { "{\"run\": \"a\"}", "schema: it is missing; write \"schema\": 1" },
    { "{\"schema\": 2, \"run\": \"a\"}", "schema: it must be 1; another is not known here" },
    { "{\"schema\": \"1\", \"run\": \"a\"}", "schema: it must be 1; another is not known here" },
    { "{\"schema\": 1}", "run: it is missing; write the run line, as \"run\": \"ls -l\"" },
    { "{\"schema\": 1, \"run\": 5}", "run: it must be a text, the run line" },
    { "{\"schema\": 1, \"run\": \"a |\"}", "run: a command is missing behind '|'" },
    { HEAD ", \"memroy\": 1}", "memroy: a spec has no such key; take it away" },
    { HEAD ", \"spread\": 1}", "spread: a spec has no such key; take it away" },
    { HEAD ", \"cpus\": 0}", "cpus: '0' is not from 0.001 to 10000" },
    { HEAD ", \"cpus\": 10001}", "cpus: '10001' is not from 0.001 to 10000" },
    { HEAD ", \"cpus\": -1}", "cpus: '-1' is not a number: write it as 2 or 0.5" },
    { HEAD ", \"cpus\": null}", "cpus: its value must be a text or a number" },
    { HEAD ", \"cpus\": [1]}", "cpus: its value must be a text or a number" },
    { HEAD ", \"memory\": \"5MB\"}",
      "memory: the size '5MB' has the unit MB: write MiB (1024 based)" },
    { HEAD ", \"memory\": -1}",
      "memory: '-1' is not a size: write a number and a unit, as 512MiB" },
    { HEAD ", \"memory\": {\"A\": 1}}", "memory: its value must be a text or a number" },
    { HEAD ", \"priority\": 1001}", "priority: '1001' is not a whole number from -1000 to 1000" },
    { HEAD ", \"priority\": 1.5}", "priority: '1.5' is not a whole number from -1000 to 1000" },
    { HEAD ", \"priority\": \"\"}", "priority: '' is not a whole number from -1000 to 1000" },
    { HEAD ", \"input\": \"\"}", "input: '' is not one of open, none" },
    { HEAD ", \"input\": false}", "input: its value must be a text or a number" },
    { HEAD ", \"retries\": -1}", "retries: '-1' is not a whole number from 0 to 1000" },
    { HEAD ", \"retries\": 99999999999}",
      "retries: '99999999999' is not a whole number from 0 to 1000" },
    { HEAD ", \"restart\": true}", "restart: its value must be a text or a number" },
    { HEAD ", \"restart\": \"maybe\"}",
      "restart: 'maybe' is not one of never, on-failure, always" },
    { HEAD ", \"timeout\": \"soon\"}",
      "timeout: 'soon' is not a time: write it as 2h 30min or 250ms" },
    { HEAD ", \"after\": [[1]]}", "after: its value must be a text or a number" },
    { HEAD ", \"after\": \"\"}", "after: '' is not the name of a job, as 17 or train" },
    { HEAD ", \"place\": \"far\"}", "place: 'far' is not one of any, spread, pack" },
    { HEAD ", \"near\": \"/tmp\"}", "near: '/tmp' is not a path under /oneos" },
    { HEAD ", \"array\": 5}", "array: '5' is not a range: write FIRST-LAST, as 1-100" },
    { HEAD ", \"array\": \"1-\"}", "array: '1-' is not a range: write FIRST-LAST, as 1-100" },
    { HEAD ", \"array\": \"1-5-9\"}", "array: '1-5-9' is not a range: write FIRST-LAST, as 1-100" },
    { HEAD ", \"array\": \"9-1\"}", "array: '9-1' is empty: its first is behind its last" },
    { HEAD ", \"array\": \"1-10001\"}", "array: '1-10001' has more than 10000 elements" },
    { HEAD ", \"env\": {\"A=B\": 1}}", "env: 'A=B' is not a name for a variable" },
    { HEAD ", \"env\": {\"\": 1}}", "env: '' is not a name for a variable" },
    { HEAD ", \"env\": \"1A=2\"}", "env: '1A=2' is not K=V with a name of letters, digits and '_' "
                                   "that does not begin with a digit" },
    { HEAD ", \"cwd\": \"x\"}", "cwd: 'x' is not an absolute path: begin it with /" },
    { HEAD ", \"cwd\": \"\"}", "cwd: '' is not an absolute path: begin it with /" },
};

static void refuses_with_words(void **state)
{
    static const char twice[] = HEAD ", \"run\": \"b\"}";
    struct job_spec spec;
    struct oerr e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (job_spec_parse(bad[i].given, strlen(bad[i].given), &spec, &e) != -EINVAL)
            fail_msg("%s is not refused", bad[i].given);
        assert_string_equal(e.text, bad[i].words);
        assert_null(spec.line.stages);
    }
    assert_int_equal(job_spec_parse("{\n\"a\": ", 7, &spec, &e), -EINVAL);
    assert_true(job_spec_is_begun("{\n\"a\": ", 7));
    assert_true(job_spec_is_begun("", 0));
    assert_false(job_spec_is_begun("{\n\"a\": }", 8));
    assert_false(job_spec_is_begun("{}", 2));
    assert_non_null(strstr(e.text, "the spec is not JSON, at line 2: "));
    assert_int_equal(job_spec_parse(twice, strlen(twice), &spec, &e), -EINVAL);
    assert_non_null(strstr(e.text, "duplicate"));
}

/* ---- from words */

/* Of a patch that was made with rc: puts it into the spec. */
static int applied(json_t *json, int rc, json_t *patch)
{
    if (rc == 0)
        assert_int_equal(job_spec_apply(json, patch), 0);
    else
        assert_null(patch);
    json_decref(patch);
    return rc;
}

static int set_words(json_t *json, int argc, char *const *argv, struct oerr *e)
{
    json_t *patch;
    int rc = job_spec_patch(json, argc, argv, &patch, e);

    return applied(json, rc, patch);
}

static int run(json_t *json, const char *line, struct oerr *e)
{
    json_t *patch;
    int rc = job_spec_patch_line(line, strlen(line), &patch, e);

    return applied(json, rc, patch);
}

static int set_line(json_t *json, const char *line, struct oerr *e)
{
    struct words w;
    size_t used;
    int rc;

    assert_int_equal(words_split(&w, line, strlen(line), &used, NULL), 0);
    rc = set_words(json, w.n, w.v, e);
    words_free(&w);
    return rc;
}

static void sets_keys_one_by_one(void **state)
{
    static const struct {
        const char *line, *spec;
    } steps[] = {
        { "cwd /x", "{\"schema\": 1, \"cwd\": \"/x\"}" },
        { "cpus 2", "{\"schema\": 1, \"cpus\": 2, \"cwd\": \"/x\"}" },
        { "cpus", "{\"schema\": 1, \"cwd\": \"/x\"}" },
        { "cwd", "{\"schema\": 1}" },
        { "timeout 2h 30min", "{\"schema\": 1, \"timeout\": \"2h 30min\"}" },
        { "timeout '90 s'", "{\"schema\": 1, \"timeout\": \"1min 30s\"}" },
        { "timeout 0", "{\"schema\": 1}" },
        { "spread", "{\"schema\": 1, \"place\": \"spread\"}" },
        { "pack", "{\"schema\": 1, \"place\": \"pack\"}" },
        { "place any", "{\"schema\": 1}" },
        { "after a b a", "{\"schema\": 1, \"after\": [\"a\", \"b\"]}" },
        { "after 17", "{\"schema\": 1, \"after\": [\"17\"]}" },
        { "after", "{\"schema\": 1}" },
        { "env A=1", "{\"schema\": 1, \"env\": {\"A\": \"1\"}}" },
        { "env B='x y' C=",
          "{\"schema\": 1, \"env\": {\"A\": \"1\", \"B\": \"x y\", \"C\": \"\"}}" },
        { "env B C=2", "{\"schema\": 1, \"env\": {\"A\": \"1\", \"C\": \"2\"}}" },
        { "env A C nothing", "{\"schema\": 1}" },
        { "memory 1.5GiB", "{\"schema\": 1, \"memory\": \"1536MiB\"}" },
        { "memory", "{\"schema\": 1}" },
        { "near '/oneos/fs/a b'", "{\"schema\": 1, \"near\": \"/oneos/fs/a b\"}" },
        { "near", "{\"schema\": 1}" },
        { "priority -5", "{\"schema\": 1, \"priority\": -5}" },
        { "retries 2", "{\"schema\": 1, \"priority\": -5, \"retries\": 2}" },
        { "restart on-failure",
          "{\"schema\": 1, \"priority\": -5, \"retries\": 2, \"restart\": \"on-failure\"}" },
        { "array 1-3", "{\"schema\": 1, \"priority\": -5, \"retries\": 2, "
                       "\"restart\": \"on-failure\", \"array\": \"1-3\"}" },
    };
    json_t *json = json_object();
    struct oerr e = { "" };
    char *text;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (set_line(json, steps[i].line, &e) < 0)
            fail_msg("%s: %s", steps[i].line, e.text);
        text = dump(json_incref(json));
        assert_string_equal(text, steps[i].spec);
        free(text);
    }
    assert_int_equal(run(json, "a  'b' |c>d\n", &e), 0);
    text = dump(json);
    assert_string_equal(text, "{\"schema\": 1, \"run\": \"a b | c > d\", \"priority\": -5, "
                              "\"retries\": 2, \"restart\": \"on-failure\", \"array\": \"1-3\"}");
    free(text);
}

static void a_refused_set_changes_nothing(void **state)
{
    static const struct {
        const char *line, *words;
    } refused[] = {
        { "", "a key is missing: set KEY VALUE" },
        { "cpus 1 2", "cpus: it takes one value, so that '2' is too much" },
        { "cpus x", "cpus: 'x' is not a number: write it as 2 or 0.5" },
        { "spread 1", "spread: it takes no value, so that '1' is too much" },
        { "pack a b", "pack: it takes no value, so that 'a' is too much" },
        { "env A=2 =1", "env: '=1' is not K=V with a name of letters, digits and '_' that does "
                        "not begin with a digit" },
        { "after x y/z", "after: 'y/z' is not the name of a job, as 17 or train" },
        { "cwd /\377", "cwd: '/?' is not UTF-8" },
        { "run ls", "the line is set by the verb run: write run LINE" },
        { "memroy 5", "there is no key 'memroy'; set knows: cpus memory priority retries restart "
                      "timeout after place near array env cwd input spread pack" },
    };
    json_t *json = json_pack("{s:i, s:s, s:{s:s}}", "schema", 1, "after", "x", "env", "A", "1");
    char *before = json_dumps(json, 0), *after;
    struct oerr e = { "" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_int_equal(set_line(json, refused[i].line, &e), -EINVAL);
        assert_string_equal(e.text, refused[i].words);
    }
    assert_int_equal(run(json, "a |", &e), -EINVAL);
    after = dump(json);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void has_bounds(void **state)
{
    char *names[JOB_AFTER_MAX + 2], *vars[JOB_ENV_MAX + 2], text[2 * JOB_PATH_MAX];
    char big[JOB_ENV_BYTES + 16], *big_argv[] = { (char *)"env", big };
    json_t *json = json_object();
    struct oerr e = { "" };

    (void)state;
    names[0] = strdup("after");
    for (int i = 1; i < JOB_AFTER_MAX + 2; i++)
        assert_true(asprintf(&names[i], "%d", i) > 0);
    assert_int_equal(set_words(json, JOB_AFTER_MAX + 1, names, &e), 0);
    assert_int_equal(set_words(json, JOB_AFTER_MAX + 2, names, &e), -EINVAL);
    assert_string_equal(e.text, "after: a job waits for at most 256 others");
    for (int i = 0; i < JOB_AFTER_MAX + 2; i++)
        free(names[i]);

    vars[0] = strdup("env");
    for (int i = 1; i < JOB_ENV_MAX + 2; i++)
        assert_true(asprintf(&vars[i], "V%d=x", i) > 0);
    assert_int_equal(set_words(json, JOB_ENV_MAX + 1, vars, &e), 0);
    assert_int_equal(set_words(json, JOB_ENV_MAX + 2, vars, &e), -EINVAL);
    assert_string_equal(e.text, "env: there are more than 1024 variables");
    for (int i = 0; i < JOB_ENV_MAX + 2; i++)
        free(vars[i]);

    assert_int_equal(set_line(json, "env", &e), 0);
    memset(big, 'x', sizeof big);
    big[1] = '=';
    big[JOB_ENV_BYTES] = '\0';
    assert_int_equal(set_words(json, 2, big_argv, &e), -EINVAL);
    assert_non_null(strstr(e.text, "have more than 262144 bytes: put them into a file"));
    big[JOB_ENV_BYTES - 1] = '\0';
    assert_int_equal(set_words(json, 2, big_argv, &e), 0);

    memset(text, '/', sizeof text);
    memcpy(text, "cwd ", 4);
    text[4 + JOB_PATH_MAX] = '\0';
    assert_int_equal(set_line(json, text, &e), 0);
    text[4 + JOB_PATH_MAX] = '/';
    text[4 + JOB_PATH_MAX + 1] = '\0';
    assert_int_equal(set_line(json, text, &e), -EINVAL);
    assert_non_null(strstr(e.text, "is longer than 4095 bytes"));
    json_decref(json);
}

static void knows_names_of_jobs(void **state)
{
    static const char *const names[] = { "1", "17",       "17.3", "17.0",
                                         "a", "a.b_c-D9", "a.3",  "9223372036854775807" };
    static const char *const none[] = { "",    "0",     "017", "1a",  "-a",   ".",      "a/b",
                                        "a b", "\303a", "_a",  "17.", "17.x", "17.1.2", "0.5" };
    char text[80], *argv[] = { (char *)"after", NULL };
    json_t *json = json_object();
    struct oerr e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        argv[1] = (char *)names[i];
        if (set_words(json, 2, argv, &e) < 0)
            fail_msg("%s", e.text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        argv[1] = (char *)none[i];
        if (set_words(json, 2, argv, &e) != -EINVAL)
            fail_msg("%s is not refused", none[i]);
    }
    argv[1] = text;
    memset(text, 'x', sizeof text);
    text[JOB_NAME_MAX] = '\0';
    assert_int_equal(set_words(json, 2, argv, &e), -EINVAL);
    text[JOB_NAME_MAX - 1] = '\0';
    assert_int_equal(set_words(json, 2, argv, &e), 0);
    json_decref(json);
}

static void a_patch_says_what_changes(void **state)
{
    static const char *const lines[][2] = {
        { "cpus 2", "{\"cpus\": 2}" },
        { "cpus 1", "{\"cpus\": null}" },
        { "memory", "{\"memory\": null}" },
        { "env B=2", "{\"env\": {\"A\": \"1\", \"B\": \"2\"}}" },
        { "env A", "{\"env\": null}" },
        { "pack", "{\"place\": \"pack\"}" },
    };
    json_t *json = json_pack("{s:i, s:{s:s}, s:i}", "schema", 1, "env", "A", "1", "later", 5);
    json_t *patch;
    char *text;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct words w;
        size_t used;

        assert_int_equal(words_split(&w, lines[i][0], strlen(lines[i][0]), &used, NULL), 0);
        assert_int_equal(job_spec_patch(json, w.n, w.v, &patch, NULL), 0);
        text = dump(patch);
        assert_string_equal(text, lines[i][1]);
        free(text);
        words_free(&w);
    }
    assert_int_equal(set_line(json, "cpus 2", NULL), 0);
    text = dump(json);
    assert_string_equal(text,
                        "{\"schema\": 1, \"cpus\": 2, \"env\": {\"A\": \"1\"}, \"later\": 5}");
    free(text);
}

static void tells_its_keys(void **state)
{
    size_t i = 0;

    (void)state;
    for (; job_spec_key(i); i++) {
        assert_true(*job_spec_key(i)->usage);
        assert_true(*job_spec_key(i)->help);
    }
    assert_int_equal(i, 13);
    assert_string_equal(job_spec_key(0)->name, "cpus");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_each_key),
        cmocka_unit_test(fills_the_struct),
        cmocka_unit_test(refuses_with_words),
        cmocka_unit_test(sets_keys_one_by_one),
        cmocka_unit_test(a_refused_set_changes_nothing),
        cmocka_unit_test(has_bounds),
        cmocka_unit_test(knows_names_of_jobs),
        cmocka_unit_test(a_patch_says_what_changes),
        cmocka_unit_test(tells_its_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

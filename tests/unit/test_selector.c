/*
 * test_selector.c - which machines a selector takes, and the phrase for those it does not.
 */
#include "base/cleanup.h"
#include "sched/selector.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* Machine A, where the job was submitted; another is called B. */
static const char *const labels[][2] = {
    { "cores", "2" },     { "memory", "4294967296" },
    { "arch", "x86_64" }, { "os", "Linux" },
    { "zone", "attic" },  { "gpus", "1" },
    { "ssd", "" },        { "B", "" },
    { "load", "0.75" },   { "room", "the lab" },
    { "disk", "2TiB" },   { "odd", "many" },
    { "size", "1024" },
};

static const char *label(void *arg, const char *key)
{
    (void)arg;
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
        if (strcmp(labels[i][0], key) == 0)
            return labels[i][1];
    return NULL;
}

static bool is_id(void *arg, const char *id)
{
    (void)arg;
    return strcmp(id, "A") == 0 || strcmp(id, "B") == 0;
}

static const struct {
    const char *text, *why; /* why NULL: it holds */
} cases[] = {
    { "A", NULL },
    { "here", NULL },
    { "!here", "is the submitter's machine" },
    { "!A", "is A" },
    { "B", "is not B" },
    { "!B", NULL },
    { "ssd", NULL },
    { "!ssd", "has the label ssd" },
    { "gpu", "has no label gpu" },
    { "!gpu", NULL },
    { "zone", NULL },
    { "zone=attic", NULL },
    { "zone=lab", "zone is attic, not lab" },
    { "zone!=attic", "zone is attic" },
    { "zone!=lab", NULL },
    { "rack=3", "has no label rack" },
    { "rack!=3", NULL },
    { "ssd=1", "ssd is set without a value, not 1" },
    { "room=the lab", NULL },
    { "cores>=2", NULL },
    { "cores>=4", "has 2 cores, 4 are wanted" },
    { "cores>2", "has 2 cores, more than 2 are wanted" },
    { "cores>1.5", NULL },
    { "cores<=2", NULL },
    { "cores<=1", "has 2 cores, at most 1 are wanted" },
    { "cores<2", "has 2 cores, less than 2 are wanted" },
    { "cores<3", NULL },
    { "cores=2", NULL },
    { "load<0.8", NULL },
    { "load<0.75", "has 0.75 load, less than 0.75 are wanted" },
    { "gpus>=1", NULL },
    { "gpus>=2", "has 1 gpus, 2 are wanted" },
    { "tpus>=1", "has no label tpus" },
    { "memory>=4GiB", NULL },
    { "memory>=8GiB", "has 4GiB memory, 8GiB are wanted" },
    { "memory=4GiB", NULL },
    { "memory=4096MiB", NULL },
    { "memory!=4GiB", "memory is 4294967296" },
    { "memory>4294967295", NULL },
    { "disk>=1024GiB", NULL },
    { "disk>=3TiB", "has 2TiB disk, 3TiB are wanted" },
    { "disk>=1", NULL },
    { "odd>=1", "odd is 'many', which is no number" },
    { "odd=many", NULL },
    { "size=1KiB", NULL },
    { "size=1024.0", "size is 1024, not 1024.0" },
    { "A,zone=attic,cores>=2,!gpu", NULL },
    { "A,zone=lab,gpu", "zone is attic, not lab" },
};

static void takes_and_says_why_not(void **state)
{
    const struct selector_facts f = { .id = "A", .here = true, .label = label, .is_id = is_id };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct oerr e = { "" };
        struct selector *sel;
        char why[SELECTOR_WHY] = "";

        if (selector_parse(cases[i].text, &sel, &e) != 0)
            fail_msg("%s: %s", cases[i].text, e.text);
        if (selector_match(sel, &f, why) != !cases[i].why)
            fail_msg("%s: %s", cases[i].text, why);
        assert_string_equal(why, cases[i].why ? cases[i].why : "");
        assert_int_equal(selector_match(sel, &f, NULL), !cases[i].why);
        selector_free(sel);
    }
    assert_true(selector_match(NULL, &f, NULL));
}

static void an_id_wins_over_a_label_of_its_name(void **state)
{
    struct selector_facts f = { .id = "A", .label = label };
    struct selector *sel;
    char why[SELECTOR_WHY];

    (void)state;
    assert_int_equal(selector_parse("B", &sel, NULL), 0);
    assert_true(selector_match(sel, &f, why));
    f.is_id = is_id;
    assert_false(selector_match(sel, &f, why));
    f.id = "B";
    assert_true(selector_match(sel, &f, why));
    selector_free(sel);
    assert_int_equal(selector_parse("here", &sel, NULL), 0);
    assert_false(selector_match(sel, &f, why));
    assert_string_equal(why, "is not the submitter's machine");
    selector_free(sel);
}

#define MALFORMED(term)                                                                            \
    "the term '" term "' of the selector is not well formed: write a machine, a label, !label, "   \
    "key=value, key!=value or a comparison as cores>=4"

static void refuses_with_words(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        { "", "the selector is empty: write a machine or a label behind the @" },
        { ",", "the selector has an empty term: take a comma away" },
        { "a,", "the selector has an empty term: take a comma away" },
        { "!", MALFORMED("!") },
        { "!!a", MALFORMED("!!a") },
        { "!a=b", MALFORMED("!a=b") },
        { "=b", MALFORMED("=b") },
        { "a=", MALFORMED("a=") },
        { "a==b", MALFORMED("a==b") },
        { "a=>3", MALFORMED("a=>3") },
        { "a!b", MALFORMED("a!b") },
        { "a b", MALFORMED("a b") },
        { "a, b", MALFORMED(" b") },
        { "a=b ", MALFORMED("a=b ") },
        { "a\tb", MALFORMED("a?b") },
        { "a=\303\244", MALFORMED("a=\303\244") },
        { "cores>=many", "the term 'cores>=many' of the selector compares with 'many', which is "
                         "neither a number nor a size as 8GiB" },
        { "cores>-1", "the term 'cores>-1' of the selector compares with '-1', which is neither a "
                      "number nor a size as 8GiB" },
        { "memory>8GB", "the term 'memory>8GB' of the selector compares with '8GB', which is "
                        "neither a number nor a size as 8GiB" },
    };
    char text[SELECTOR_MAX + 2];
    struct selector *sel;
    struct oerr e;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (selector_parse(bad[i].text, &sel, &e) != -EINVAL)
            fail_msg("%s is not refused", bad[i].text);
        assert_string_equal(e.text, bad[i].words);
        assert_null(sel);
    }
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(selector_parse(text, &sel, &e), -EINVAL);
    assert_string_equal(e.text, "the selector is longer than 4096 bytes");
    assert_int_equal(selector_parse(text + 1, &sel, &e), 0);
    selector_free(sel);
}

/* However long names and values are, the phrase fits. */
static void the_phrase_has_bounds(void **state)
{
    static const char *const form[] = { "%s", "%s=1", "zone=%s", "cores>=4,%s", "%s>=2" };
    const struct selector_facts f = { .id = "A", .label = label };
    char key[600], text[700], why[SELECTOR_WHY];
    struct selector *sel;

    (void)state;
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(form); i++) {
        size_t at = strcspn(form[i], "%");

        snprintf(text, sizeof text, "%.*s%s%s", (int)at, form[i], key, form[i] + at + 2);
        assert_int_equal(selector_parse(text, &sel, NULL), 0);
        assert_false(selector_match(sel, &f, why));
        assert_true(strlen(why) > 0 && strlen(why) < sizeof why);
        selector_free(sel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_says_why_not),
        cmocka_unit_test(an_id_wins_over_a_label_of_its_name),
        cmocka_unit_test(refuses_with_words),
        cmocka_unit_test(the_phrase_has_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_events.c - the stream of events, and labels.
 */
#include "tree/events.h"
#include "tree/labels.h"

#include "runkit.h"

static struct stream *listen_to(struct events *e)
{
    struct stream *s;

    assert_int_equal(events_open(e, &s), 0);
    return s;
}

static void shut(struct stream *s)
{
    s->ops->close(s, 0);
}

static json_t *numbered(int i)
{
    return json_pack("{s:s, s:i}", "event", "test", "n", i);
}

struct lines {
    struct stream *s;
    char text[8192];
    size_t n;
};

/* The next line as JSON, or NULL at the end. */
static json_t *next_line(struct lines *l)
{
    json_t *j;
    char *nl;

    while (!(nl = memchr(l->text, '\n', l->n))) {
        ssize_t n = rread(l->s, l->text + l->n, sizeof l->text - l->n);

        assert_true(n >= 0);
        if (n == 0)
            return NULL;
        l->n += (size_t)n;
    }
    j = json_loadb(l->text, (size_t)(nl - l->text), 0, NULL);
    assert_non_null(j);
    l->n -= (size_t)(nl + 1 - l->text);
    memmove(l->text, nl + 1, l->n);
    return j;
}

static json_int_t take_int(json_t *j, const char *key)
{
    json_int_t n =
        json_is_integer(json_object_get(j, key)) ? json_integer_value(json_object_get(j, key)) : -1;

    json_decref(j);
    return n;
}

static void every_reader_hears_from_its_open_on(void **state)
{
    struct lines a = { 0 }, b = { 0 };
    struct events *e;
    json_t *j;

    (void)state;
    assert_int_equal(events_create(&e), 0);
    events_tell(e, numbered(0));
    a.s = listen_to(e);
    events_tell(e, numbered(1));
    b.s = listen_to(e);
    events_tell(e, numbered(2));
    j = next_line(&a);
    assert_true(json_is_string(json_object_get(j, "time")));
    assert_int_equal(take_int(j, "n"), 1);
    assert_int_equal(take_int(next_line(&a), "n"), 2);
    assert_int_equal(take_int(next_line(&b), "n"), 2);
    events_destroy(e);
    assert_null(next_line(&a));
    assert_null(next_line(&b));
    shut(a.s);
    shut(b.s);
}

/* What a reader gets and what it is told to have lost make up everything. */
static void who_is_too_slow_is_told_how_much_was_lost(void **state)
{
    enum { ALL = 20000 };
    json_int_t got = 0, lost = 0, last = -1;
    struct lines l = { 0 };
    struct events *e;
    json_t *j;

    (void)state;
    assert_int_equal(events_create(&e), 0);
    l.s = listen_to(e);
    for (int i = 0; i < ALL; i++)
        events_tell(e, numbered(i));
    for (int i = 0; i < 100; i++) {
        last = take_int(next_line(&l), "n");
        assert_int_equal(last, i);
        got++;
    }
    events_tell(e, numbered(ALL)); /* it fits again, behind the note */
    events_destroy(e);
    while ((j = next_line(&l)) != NULL) {
        if (json_object_get(j, "lost")) {
            lost += take_int(j, "lost");
            continue;
        }
        assert_int_equal(json_integer_value(json_object_get(j, "n")), last + 1 + lost);
        last = take_int(j, "n") - lost;
        got++;
    }
    assert_true(lost > 0);
    assert_int_equal(got + lost, ALL + 1);
    shut(l.s);
}

static size_t memory(void)
{
    unsigned long size, resident = 0;
    cleanup_fclose FILE *f = fopen("/proc/self/statm", "re");

    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    return resident * 4096;
}

/* Also while nothing happens. */
static void readers_that_closed_cost_nothing(void **state)
{
    struct events *e;
    size_t before = 0;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they keep what was freed for a while */
#endif
    assert_int_equal(events_create(&e), 0);
    for (int i = 0; i < 40000; i++) {
        if (i == 20000)
            before = memory();
        shut(listen_to(e));
    }
    assert_true(memory() < before + 4 * 1024 * 1024);
    events_destroy(e);
}

/* ---- labels */

static void labels_are_lines(void **state)
{
    static const char text[] = "gpu\n  zone   lab 2  \n\nx y";
    json_t *labels = json_object();
    struct obuf out = { 0 };
    struct oerr e = { "" };

    (void)state;
    assert_int_equal(labels_parse(labels, text, strlen(text), &e), 0);
    assert_int_equal(labels_parse(labels, "cores 99\n", 9, &e), -EINVAL);
    assert_int_equal(labels_assign(labels, "hostname=x", &e), -EINVAL);
    labels_show(labels, &out);
    assert_string_equal(out.p, "gpu\nzone lab 2\nx y\n");
    obuf_free(&out);
    json_decref(labels);
    labels_show(NULL, &out);
    assert_null(out.p);
}

static void bad_labels_are_named(void **state)
{
    static const struct {
        const char *text, *named;
    } bad[] = {
        { "a=b c", "a=b c" },
        { "ok\nk\xc3\xa4", "k\xc3\xa4" },
        { "k a\tb", "k a?b" },
        { "\x01", "'?'" },
    };
    char longer[600];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *labels = json_object();
        struct oerr e = { "" };

        assert_int_equal(labels_parse(labels, bad[i].text, strlen(bad[i].text), &e), -EINVAL);
        if (!strstr(e.text, bad[i].named))
            fail_msg("'%s' does not name '%s'", e.text, bad[i].named);
        json_decref(labels);
    }
    for (size_t key = 256; key <= 257; key++) {
        json_t *labels = json_object();

        memset(longer, 'k', sizeof longer);
        assert_int_equal(labels_parse(labels, longer, key, NULL), key > 256 ? -EINVAL : 0);
        json_decref(labels);
    }
}

static void a_full_set_can_be_changed_but_not_grow(void **state)
{
    json_t *labels = json_object();
    struct oerr e = { "" };
    char line[32];

    (void)state;
    for (int i = 0; i < 64; i++) {
        int n = snprintf(line, sizeof line, "k%d v", i);

        assert_int_equal(labels_parse(labels, line, (size_t)n, &e), 0);
    }
    assert_int_equal(labels_parse(labels, "k5 w", 4, &e), 0);
    assert_string_equal(json_string_value(json_object_get(labels, "k5")), "w");
    assert_int_equal(labels_parse(labels, "more", 4, &e), -EINVAL);
    json_decref(labels);
}

static void labels_survive_their_file(void **state)
{
    struct kit *k = *state;
    json_t *labels, *back;
    struct oerr e = { "" };

    assert_int_equal(labels_load(k->dir, &labels, &e), 0); /* none yet */
    assert_int_equal(json_object_size(labels), 0);
    labels_parse(labels, "gpu\nzone lab 2\n", 15, &e);
    assert_int_equal(labels_store(k->dir, labels, &e), 0);
    assert_int_equal(labels_load(k->dir, &back, &e), 0);
    assert_true(json_equal(labels, back));
    json_decref(labels);
    json_decref(back);
}

static void a_damaged_file_is_named_and_gives_nothing(void **state)
{
    struct kit *k = *state;
    json_t *labels = json_true();
    struct oerr e = { "" };
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/labels", k->dir);
    f = fopen(path, "we");
    fputs("good\nb=d\n", f);
    fclose(f);
    assert_int_equal(labels_load(k->dir, &labels, &e), -EBADMSG);
    assert_null(labels);
    assert_non_null(strstr(e.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_reader_hears_from_its_open_on),
        kit_test(who_is_too_slow_is_told_how_much_was_lost),
        kit_test(readers_that_closed_cost_nothing),
        kit_test(labels_are_lines),
        kit_test(bad_labels_are_named),
        kit_test(a_full_set_can_be_changed_but_not_grow),
        kit_test(labels_survive_their_file),
        kit_test(a_damaged_file_is_named_and_gives_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

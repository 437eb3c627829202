/*
 * test_proc_slots.c - records in slots: found again, freed, used again; damaged ones are left out.
 */
#include "run/proc_slots.h"

#include "runkit.h"

struct found {
    unsigned n;
    char texts[8][SLOT_BYTES];
};

static bool on_found(void *arg, unsigned slot, const char *text)
{
    struct found *f = arg;

    (void)slot;
    if (strcmp(text, "{bad}") == 0)
        return false;
    snprintf(f->texts[f->n++], SLOT_BYTES, "%s", text);
    return true;
}

static struct slots *open_slots(struct kit *k, struct found *f)
{
    struct oerr e = { "" };
    struct slots *s;
    char path[300];

    *f = (struct found){ 0 };
    snprintf(path, sizeof path, "%s/slots", k->dir);
    if (slots_open(&s, path, on_found, f, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

static int put(struct slots *s, int slot, const char *text)
{
    assert_int_equal(slots_write(s, &slot, text, strlen(text)), 0);
    return slot;
}

static void texts_are_found_again(void **state)
{
    struct found f;
    struct slots *s = open_slots(*state, &f);
    int a = put(s, -1, "{\"a\":\"long enough\"}"), b = put(s, -1, "{b}");

    assert_int_not_equal(a, b);
    assert_int_equal(put(s, a, "{a}"), a); /* shorter than before */
    slots_close(s);
    s = open_slots(*state, &f);
    assert_int_equal(f.n, 2);
    assert_string_equal(f.texts[0], "{a}");
    assert_string_equal(f.texts[1], "{b}");
    slots_close(s);
}

static void freed_slots_are_used_again(void **state)
{
    struct found f;
    struct slots *s = open_slots(*state, &f);
    int a = put(s, -1, "{a}"), was = a, b = put(s, -1, "{b}");

    slots_free(s, &a);
    assert_int_equal(a, -1);
    slots_free(s, &a);
    assert_int_equal(put(s, -1, "{c}"), was);
    slots_free(s, &b);
    slots_close(s);
    s = open_slots(*state, &f);
    assert_int_equal(f.n, 1);
    assert_string_equal(f.texts[0], "{c}");
    assert_int_equal(put(s, -1, "{d}"), 1); /* also what an earlier daemon freed */
    slots_close(s);
}

static void what_is_of_no_use_is_free(void **state)
{
    struct found f;
    struct slots *s = open_slots(*state, &f);

    put(s, -1, "{bad}");
    put(s, -1, "{good}");
    slots_close(s);
    s = open_slots(*state, &f);
    assert_int_equal(f.n, 1);
    assert_int_equal(put(s, -1, "{new}"), 0);
    slots_close(s);
}

static void long_texts_are_refused(void **state)
{
    struct found f;
    struct slots *s = open_slots(*state, &f);
    char text[SLOT_BYTES + 1];
    int slot = -1;

    memset(text, 'x', sizeof text);
    text[0] = '{';
    assert_int_equal(slots_write(s, &slot, text, SLOT_BYTES), -E2BIG);
    assert_int_equal(slot, -1);
    assert_int_equal(slots_write(s, &slot, text, SLOT_BYTES - 1), 0);
    slots_close(s);
    s = open_slots(*state, &f);
    assert_int_equal(f.n, 1);
    assert_int_equal(strlen(f.texts[0]), SLOT_BYTES - 1);
    slots_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(texts_are_found_again),
        kit_test(freed_slots_are_used_again),
        kit_test(what_is_of_no_use_is_free),
        kit_test(long_texts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

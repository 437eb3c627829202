/*
 * test_rendezvous_msg.c - the messages' text, exactly, and what a decoder refuses.
 */
#include "run/rendezvous_msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UID "\"home\":\"a\",\"inc\":7,\"serial\":3"
#define REST                                                                                       \
    "\"name\":\"p\",\"holder\":\"b\",\"hinc\":8,\"epoch\":2,\"mode\":\"broadcast\",\"cap\":4096,"  \
    "\"owner\":\"ann\",\"created\":99,\"ver\":5"

#define PIPE_P                                                                                     \
    {                                                                                              \
        .uid = { "a", 7, 3 }, .name = "p", .holder = "b", .holder_incarnation = 8, .epoch = 2,     \
        .mode = FLOW_BROADCAST, .capacity = 4096, .owner = "ann", .created_us = 99, .version = 5   \
    }

static const struct pipe_info pipe_p = PIPE_P;

static const struct {
    struct rv_msg m;
    const char *text;
} golden[] = {
    { { .kind = RV_CLAIM, .u.name = "p q" }, "{\"k\":\"claim\",\"name\":\"p q\"}" },
    { { .kind = RV_UPDATE, .u.update = { false, PIPE_P } },
      "{\"k\":\"update\"," UID ",\"removed\":false," REST "}" },
    { { .kind = RV_UPDATE, .u.update = { true, { .uid = { "a", 7, 3 }, .version = 6 } } },
      "{\"k\":\"update\"," UID ",\"removed\":true,\"ver\":6}" },
    { { .kind = RV_SYNC, .u.sync = { (struct rv_known[]){ { "a", 7, 5 }, { "b", 8, 0 } }, 2 } },
      "{\"k\":\"sync\",\"homes\":[[\"a\",7,5],[\"b\",8,0]]}" },
    { { .kind = RV_PULL, .u.home = "a" }, "{\"k\":\"pull\",\"home\":\"a\"}" },
    { { .kind = RV_OPEN, .u.op = { .uid = { "a", 7, 3 }, .incarnation = 8 } },
      "{\"k\":\"open\"," UID ",\"by\":8}" },
    { { .kind = RV_RELEASE, .u.op = { .uid = { "a", 7, 3 }, .epoch = 2 } },
      "{\"k\":\"release\"," UID ",\"epoch\":2}" },
    { { .kind = RV_REMOVE, .u.op = { .uid = { "a", 7, 3 } } }, "{\"k\":\"remove\"," UID "}" },
    { { .kind = RV_SET, .u.op = { .uid = { "a", 7, 3 }, .mode = -1 } }, "{\"k\":\"set\"," UID "}" },
    { { .kind = RV_SET, .u.op = { .uid = { "a", 7, 3 }, .mode = FLOW_STREAM, .capacity = 8192 } },
      "{\"k\":\"set\"," UID ",\"mode\":\"stream\",\"cap\":8192}" },
    { { .kind = RV_OK }, "{\"k\":\"ok\"}" },
    { { .kind = RV_EXISTS, .u.exists = { "a", 7, 5 } },
      "{\"k\":\"exists\",\"home\":\"a\",\"inc\":7,\"ver\":5}" },
    { { .kind = RV_YIELD }, "{\"k\":\"yield\"}" },
    { { .kind = RV_LIST, .u.list = { { "a", 7, 5 }, (struct pipe_info[]){ PIPE_P }, 1 } },
      "{\"k\":\"list\",\"home\":\"a\",\"inc\":7,\"ver\":5,\"pipes\":[{\"serial\":3," REST "}]}" },
    { { .kind = RV_LIST, .u.list = { { "a", 7, 5 }, NULL, 0 } },
      "{\"k\":\"list\",\"home\":\"a\",\"inc\":7,\"ver\":5,\"pipes\":[]}" },
    { { .kind = RV_PIPE, .u.update.pipe = PIPE_P }, "{\"k\":\"pipe\"," UID "," REST "}" },
    { { .kind = RV_REFUSE, .u.refuse = { -ENOENT, { "there is no pipe p" } } },
      "{\"k\":\"refuse\",\"rc\":-2,\"text\":\"there is no pipe p\"}" },
};

static char *encoded(const struct rv_msg *m)
{
    json_t *j = rv_msg_encode(m);
    char *text;

    assert_non_null(j);
    text = json_dumps(j, JSON_COMPACT);
    assert_non_null(text);
    json_decref(j);
    return text;
}

static int decode(const char *text, struct rv_msg *m, struct oerr *e)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    int rc;

    assert_non_null(j);
    rc = rv_msg_decode(m, j, e);
    json_decref(j);
    return rc;
}

static void every_message_has_its_text_and_comes_back(void **state)
{
    bool seen[RV_KINDS] = { false };

    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        char *text = encoded(&golden[i].m), *again;
        struct rv_msg m;

        assert_string_equal(text, golden[i].text);
        assert_int_equal(decode(text, &m, NULL), 0);
        assert_int_equal(m.kind, golden[i].m.kind);
        again = encoded(&m);
        assert_string_equal(again, text);
        seen[m.kind] = true;
        rv_msg_free(&m);
        free(again);
        free(text);
    }
    for (int k = 0; k < RV_KINDS; k++)
        assert_true(seen[k]);
}

static void fields_arrive(void **state)
{
    struct rv_msg m;

    (void)state;
    assert_int_equal(decode(golden[13].text, &m, NULL), 0);
    assert_int_equal(m.u.list.n, 1);
    assert_string_equal(m.u.list.of.home, "a");
    assert_memory_equal(&m.u.list.v[0].uid, &pipe_p.uid, sizeof pipe_p.uid);
    assert_string_equal(m.u.list.v[0].holder, "b");
    assert_int_equal(m.u.list.v[0].mode, FLOW_BROADCAST);
    assert_int_equal(m.u.list.v[0].created_us, 99);
    rv_msg_free(&m);
    assert_int_equal(m.kind, RV_KINDS);
    assert_int_equal(decode(golden[8].text, &m, NULL), 0);
    assert_int_equal(m.u.op.mode, -1);
    assert_int_equal(m.u.op.capacity, 0);
}

static void bad_messages_are_refused_with_words(void **state)
{
    static const char *const bad[][2] = {
        { "3", "k" },
        { "[]", "k" },
        { "{}", "k" },
        { "{\"k\":3}", "k" },
        { "{\"k\":\"what\"}", "k" },
        { "{\"k\":\"claim\"}", "name" },
        { "{\"k\":\"claim\",\"name\":3}", "name" },
        { "{\"k\":\"claim\",\"name\":\"\"}", "name" },
        { "{\"k\":\"claim\",\"name\":\"../x\"}", "name" },
        { "{\"k\":\"claim\",\"name\":\"ctl\"}", "name" },
        { "{\"k\":\"claim\",\"name\":\"a\\u0000b\"}", "name" },
        { "{\"k\":\"pull\",\"home\":\"\"}", "home" },
        { "{\"k\":\"pull\",\"home\":\"a/b\"}", "home" },
        { "{\"k\":\"remove\",\"home\":\"a\",\"inc\":-1,\"serial\":1}", "inc" },
        { "{\"k\":\"remove\",\"home\":\"a\",\"inc\":1.5,\"serial\":1}", "inc" },
        { "{\"k\":\"remove\",\"home\":\"a\",\"inc\":1,\"serial\":0}", "serial" },
        { "{\"k\":\"remove\",\"home\":\"a\",\"inc\":1}", "serial" },
        { "{\"k\":\"open\"," UID "}", "by" },
        { "{\"k\":\"release\"," UID ",\"epoch\":\"2\"}", "epoch" },
        { "{\"k\":\"set\"," UID ",\"mode\":\"both\"}", "mode" },
        { "{\"k\":\"set\"," UID ",\"mode\":null}", "mode" },
        { "{\"k\":\"set\"," UID ",\"cap\":4095}", "cap" },
        { "{\"k\":\"set\"," UID ",\"cap\":1073741825}", "cap" },
        { "{\"k\":\"update\"," UID "," REST "}", "removed" },
        { "{\"k\":\"update\"," UID ",\"removed\":true}", "ver" },
        { "{\"k\":\"update\"," UID ",\"removed\":true,\"ver\":0}", "ver" },
        { "{\"k\":\"update\"," UID ",\"removed\":false,\"name\":\"p\",\"holder\":\"/\"}",
          "holder" },
        { "{\"k\":\"pipe\"," UID "}", "name" },
        { "{\"k\":\"exists\",\"home\":\"a\",\"inc\":7}", "ver" },
        { "{\"k\":\"refuse\",\"rc\":0,\"text\":\"\"}", "rc" },
        { "{\"k\":\"refuse\",\"rc\":-99999,\"text\":\"\"}", "rc" },
        { "{\"k\":\"refuse\",\"rc\":-2}", "text" },
        { "{\"k\":\"sync\"}", "homes" },
        { "{\"k\":\"sync\",\"homes\":[[\"a\",7,5],[\"a\",7]]}", "homes" },
        { "{\"k\":\"sync\",\"homes\":[[\"a\",7,5,6]]}", "homes" },
        { "{\"k\":\"sync\",\"homes\":[[\"a\",7,-5]]}", "homes" },
        { "{\"k\":\"list\",\"home\":\"a\",\"inc\":7,\"ver\":5,\"pipes\":{}}", "pipes" },
        { "{\"k\":\"list\",\"home\":\"a\",\"inc\":7,\"ver\":5,\"pipes\":[3]}", "serial" },
        { "{\"k\":\"list\",\"home\":\"a\",\"inc\":7,\"ver\":4,\"pipes\":[{\"serial\":3," REST "}]}",
          "ver" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char words[64];
        struct oerr e = { "" };
        struct rv_msg m;

        snprintf(words, sizeof words, "no good \"%s\"", bad[i][1]);
        assert_int_equal(decode(bad[i][0], &m, &e), -EPROTO);
        assert_non_null(strstr(e.text, words));
        assert_int_equal(m.kind, RV_KINDS);
    }
}

static void a_field_too_long_is_refused(void **state)
{
    char id[ID_MAX + 1], name[PIPE_NAME_MAX + 2], text[512];
    struct rv_msg m;

    (void)state;
    memset(id, 'i', sizeof id);
    id[ID_MAX] = '\0';
    snprintf(text, sizeof text, "{\"k\":\"pull\",\"home\":\"%s\"}", id);
    assert_int_equal(decode(text, &m, NULL), -EPROTO);
    snprintf(text, sizeof text, "{\"k\":\"pull\",\"home\":\"%s\"}", id + 1);
    assert_int_equal(decode(text, &m, NULL), 0);
    memset(name, 'n', sizeof name);
    name[PIPE_NAME_MAX + 1] = '\0';
    snprintf(text, sizeof text, "{\"k\":\"claim\",\"name\":\"%s\"}", name);
    assert_int_equal(decode(text, &m, NULL), -EPROTO);
    snprintf(text, sizeof text, "{\"k\":\"claim\",\"name\":\"%s\"}", name + 1);
    assert_int_equal(decode(text, &m, NULL), 0);
}

static void more_than_the_bounds_is_refused(void **state)
{
    struct rv_msg m = { .kind = RV_SYNC };
    json_t *j;
    size_t n = RV_HOMES_MAX + 1;

    (void)state;
    m.u.sync.v = calloc(n, sizeof *m.u.sync.v);
    assert_non_null(m.u.sync.v);
    for (size_t i = 0; i < n; i++)
        strcpy(m.u.sync.v[i].home, "a");
    m.u.sync.n = n;
    j = rv_msg_encode(&m);
    rv_msg_free(&m);
    assert_int_equal(rv_msg_decode(&m, j, NULL), -EPROTO);
    json_decref(j);

    m = (struct rv_msg){ .kind = RV_LIST, .u.list.of = { "a", 7, 5 } };
    n = RV_PIPES_MAX + 1;
    m.u.list.v = calloc(n, sizeof *m.u.list.v);
    assert_non_null(m.u.list.v);
    for (m.u.list.n = 0; m.u.list.n < n; m.u.list.n++)
        m.u.list.v[m.u.list.n] = pipe_p;
    j = rv_msg_encode(&m);
    rv_msg_free(&m);
    assert_int_equal(rv_msg_decode(&m, j, NULL), -EPROTO);
    json_decref(j);
}

static void the_longest_list_fits_into_a_message(void **state)
{
    struct rv_msg m = { .kind = RV_LIST, .u.list.n = RV_PIPES_MAX };
    char *text;

    (void)state;
    memset(m.u.list.of.home, 'h', ID_MAX - 1);
    m.u.list.of.incarnation = m.u.list.of.version = INT64_MAX;
    m.u.list.v = calloc(RV_PIPES_MAX, sizeof *m.u.list.v);
    assert_non_null(m.u.list.v);
    for (size_t i = 0; i < RV_PIPES_MAX; i++) {
        struct pipe_info *p = &m.u.list.v[i];

        memset(p->name, '"', PIPE_NAME_MAX);
        memset(p->holder, 'h', ID_MAX - 1);
        memset(p->owner, '"', PIPE_OWNER_MAX - 1);
        p->uid.serial = p->holder_incarnation = p->epoch = p->created_us = INT64_MAX;
        p->version = INT64_MAX;
        p->mode = FLOW_BROADCAST;
        p->capacity = PIPE_CAPACITY_MAX;
    }
    text = encoded(&m);
    assert_in_range(strlen(text), 1, 4 * 1024 * 1024);
    rv_msg_free(&m);
    free(text);
}

static void numbers_that_json_cannot_carry_are_not_encoded(void **state)
{
    struct rv_msg m = { .kind = RV_EXISTS, .u.exists = { "a", UINT64_MAX, 1 } };

    (void)state;
    assert_null(rv_msg_encode(&m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_its_text_and_comes_back),
        cmocka_unit_test(fields_arrive),
        cmocka_unit_test(bad_messages_are_refused_with_words),
        cmocka_unit_test(a_field_too_long_is_refused),
        cmocka_unit_test(more_than_the_bounds_is_refused),
        cmocka_unit_test(the_longest_list_fits_into_a_message),
        cmocka_unit_test(numbers_that_json_cannot_carry_are_not_encoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

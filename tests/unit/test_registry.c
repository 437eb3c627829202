/*
 * test_registry.c - commands, answers given again, the end of a schema's reach, watches.
 */
#include "registry_kit.h"

static void commands(void **state)
{
    struct kit k;
    char id[40];

    (void)state;
    kit_open(&k);
    assert_value(&k, "_meta", "{\"schema\":1}");
    registry_id(k.r, id);
    assert_string_equal(id, "");
    assert_int_equal(kit_run(&k, "'registry.init','id':'r1','at_us':5"), 0);
    registry_id(k.r, id);
    assert_string_equal(id, "r1");
    assert_int_equal(kit_run(&k, "'registry.init','id':'r2','at_us':6"), -EEXIST);
    assert_int_equal(kit_run(&k, "'kv.set','key':'a','value':{'z':1,'b':[2,3]}"), 0);
    assert_value(&k, "kv/a", "{\"b\":[2,3],\"z\":1}");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 0);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 0);
    assert_int_equal(json_integer_value(k.body), 2);
    assert_int_equal(kit_run(&k, "'kv.del','key':'n'"), 0);
    assert_int_equal(kit_run(&k, "'kv.del','key':'n'"), -ENOENT);
    assert_string_equal(k.words, "ENOENT");
    assert_int_equal(kit_run(&k, "'no.such'"), -ENOSYS);
    assert_string_equal(k.words, "'no.such' is no command of schema 1");
    assert_int_equal(kit_run(&k, "'kv.later','key':'n','value':1"), -ENOSYS);
    assert_int_equal(kit_run(&k, "7"), -ENOSYS);
    assert_int_equal(kit_run(&k, "'kv.set'}}"), -EINVAL);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','key':'m'"), -EINVAL);
    assert_int_equal(registry_index(k.r), k.index);
    assert_int_equal(k.answers, 12);
    kit_close(&k);
}

static void no_commands(void **state)
{
    static const char *const texts[] = { "",          "7",         "[1]",           "{\"v\":1",
                                         "{\"v\":0}", "{}",        "{\"v\":\"1\"}", "\xff\xfe",
                                         "null",      "{\"v\":-1}" };
    struct kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kit_queue(&k, texts[i]);
        assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
        assert_int_equal(k.answers, i + 1);
        assert_int_equal(k.rc, -EINVAL);
        assert_true(k.words[0]);
    }
    kit_close(&k);
}

static void nested(void **state)
{
    char value[300];
    struct kit k;

    (void)state;
    kit_open(&k);
    for (int depth = 96; depth < 130; depth++) {
        memset(value, '[', (size_t)depth);
        memset(value + depth, ']', (size_t)depth);
        value[2 * depth] = '\0';
        assert_int_equal(kit_run(&k, "'kv.set','key':'a','value':%s", value),
                         depth < 100 ? 0 : -EINVAL);
    }
    kit_close(&k);
}

/* A refused command leaves nothing behind, and its result has no body. */
static void refused(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'good','value':1");
    assert_int_equal(kit_run(&k, "'kv.bad'"), -EPERM);
    assert_string_equal(k.words, "never");
    assert_null(k.body);
    assert_value(&k, "kv/good", "1");
    assert_value(&k, "kv/bad", "");
    kit_close(&k);
}

static void old_index_is_ignored(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    k.index = 9;
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 0);
    k.index = 8;
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 1);
    k.index = 3;
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 1);
    assert_value(&k, "kv/n", "1");
    assert_int_equal(registry_index(k.r), 10);
    k.index = 10;
    kit_reopen(&k);
    assert_int_equal(registry_index(k.r), 10);
    k.index = 9;
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 1);
    k.index = 20;
    assert_int_equal(kit_run(&k, "'kv.add','key':'n'"), 0);
    assert_value(&k, "kv/n", "2");
    kit_close(&k);
}

/* ---- asking again */

static void again(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',1,1]"), 0);
    assert_int_equal(kit_run(&k, "'kv.bad','from':['A',2,1]"), -EPERM);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['B',1,1]"), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',1,1]"), 0);
        assert_int_equal(json_integer_value(k.body), 1);
        assert_int_equal(kit_run(&k, "'kv.bad','from':['A',2,1]"), -EPERM);
        assert_string_equal(k.words, "never");
        assert_value(&k, "kv/n", "2");
        kit_reopen(&k);
    }
    kit_close(&k);
}

/* What is below the floor is forgotten; one that still comes changes nothing. */
static void floors(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    for (int i = 1; i <= 20; i++)
        assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',%d,1]", i), 0);
    assert_value(&k, "_done/A/0000000000000003", "[0,\"\",3]");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',21,20]"), 0);
    assert_value(&k, "_done/A/0000000000000013", "");
    assert_value(&k, "_done/A/0000000000000014", "[0,\"\",20]");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',19,1]"), -EALREADY);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',20,1]"), 0);
    assert_int_equal(json_integer_value(k.body), 20);
    assert_value(&k, "kv/n", "21");
    /* Out of order: the floor alone decides. */
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',30,20]"), 0);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':['A',29,20]"), 0);
    assert_value(&k, "kv/n", "23");
    kit_close(&k);
}

static void from_malformed(void **state)
{
    static const char *const from[] = { "7",           "[]",        "['A',1]",    "['',1,1]",
                                        "['A/B',1,1]", "['A',1,2]", "['A',1,-1]", "['A','1',1]",
                                        "['A',1,1,1]", "[1,1,1]",   "null" };
    struct kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++)
        assert_int_equal(kit_run(&k, "'kv.add','key':'n','from':%s", from[i]), -EINVAL);
    assert_value(&k, "kv/n", "");
    kit_close(&k);
}

static size_t keys(struct kit *k, const char *prefix)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    size_t n = 0;

    assert_int_equal(registry_read(k->r, &v), 0);
    while (view_next(v, prefix, key, key, NULL) == 0)
        n++;
    registry_view_end(v);
    return n;
}

/* Those who ask come and go for years; what is kept of them does not grow. */
static void origins(void **state)
{
    char text[200];
    struct kit k;

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.add','key':'n','from':['first',1,1]");
    for (int i = 0; i < 4200; i++) {
        snprintf(text, sizeof text,
                 "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\",\"from\":[\"m%d\",7,7]}", i);
        kit_queue(&k, text);
    }
    kit_queue(&k, text); /* again */
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_value(&k, "kv/n", "4201");
    assert_int_equal(keys(&k, "_from/"), 4096);
    assert_int_equal(keys(&k, "_done/"), 4096);
    assert_value(&k, "_from/first", "");
    assert_value(&k, "_from/m103", "");
    assert_true(*kit_text(&k, "_from/m104"));
    kit_close(&k);
}

/* ---- schema */

static void newer_command(void **state)
{
    const struct registry_command *const *tables = kit_tables;
    struct kit k;

    (void)state;
    kit_open(&k);
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\"}");
    kit_queue(&k, "{\"v\":2,\"cmd\":\"kv.later\",\"key\":\"m\",\"value\":1}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\"}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(registry_flush(k.r, kit_applied, &k), -EPROTONOSUPPORT);
        assert_int_equal(k.answers, 1);
        assert_int_equal(registry_index(k.r), 1);
        assert_non_null(strstr(registry_trouble(k.r), "schema 2"));
    }
    registry_close(k.r);
    /* A newer program takes up from there. */
    assert_int_equal(registry_open_as(&k.r, k.dir, BOOT, tables, 2,
                                      (struct registry_upgrade[]){ { 1, kit_upgrade }, { 0 } },
                                      NULL),
                     0);
    k.index = 1;
    kit_queue(&k, "{\"v\":2,\"cmd\":\"kv.later\",\"key\":\"m\",\"value\":1}");
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.rc, 0);
    assert_null(registry_trouble(k.r));
    assert_value(&k, "kv/m", "1");
    assert_value(&k, "kv/n", "1");
    kit_close(&k);
}

/* ---- watches */

struct seen {
    struct kit *k;
    char text[1000];
    int act; /* what to do from inside, once */
};

static void saw(void *arg, const char *key, const json_t *value)
{
    struct seen *s = arg;
    int act = s->act;
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof s->text - n, "%s=%s ", key ? key : "*", text ? text : "-");
    free(text);
    /* What is told can be read. */
    if (key && !value)
        assert_value(s->k, key, "");
    else if (key)
        assert_true(*kit_text(s->k, key));
    s->act = 0;
    switch (act) {
    case 3:
        registry_unwatch(s->k->r, saw, s);
        break;
    case 2:
        registry_watch(s->k->r, "kv/", saw, s);
        break;
    case 1:
        kit_queue(s->k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"in\",\"value\":1}");
        assert_int_equal(registry_flush(s->k->r, kit_applied, s->k), 0);
        break;
    }
}

static void watches(void **state)
{
    struct kit k;
    struct seen all = { .k = &k }, b = { .k = &k };

    (void)state;
    kit_open(&k);
    registry_watch(k.r, "", saw, &all);
    registry_watch(k.r, "kv/b", saw, &b);
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"b1\",\"value\":1}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"a\",\"value\":1}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"b2\",\"value\":1}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"b1\",\"value\":2}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.del\",\"key\":\"b2\"}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.bad\"}");
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.answers, 6);
    assert_string_equal(all.text, "kv/a=1 kv/b1=2 kv/b2=- ");
    assert_string_equal(b.text, "kv/b1=2 kv/b2=- ");
    /* The same value again is no change. */
    all.text[0] = b.text[0] = '\0';
    kit_run(&k, "'kv.set','key':'a','value':1");
    assert_string_equal(all.text, "");
    registry_unwatch(k.r, saw, &all);
    kit_run(&k, "'kv.set','key':'a','value':2");
    assert_string_equal(all.text, "");
    kit_close(&k);
}

static void watches_change(void **state)
{
    struct kit k;
    struct seen gone = { .k = &k, .act = 3 }, asks = { .k = &k, .act = 1 };
    struct seen more = { .k = &k, .act = 2 };

    (void)state;
    kit_open(&k);
    registry_watch(k.r, "kv/", saw, &gone);
    registry_watch(k.r, "kv/", saw, &gone);
    registry_watch(k.r, "kv/", saw, &asks);
    registry_watch(k.r, "kv/", saw, &more);
    kit_run(&k, "'kv.set','key':'a','value':1");
    assert_string_equal(gone.text, "kv/a=1 ");
    assert_string_equal(asks.text, "kv/a=1 kv/in=1 ");
    assert_string_equal(more.text, "kv/a=1 kv/in=1 kv/in=1 ");
    assert_int_equal(k.answers, 2);
    kit_close(&k);
}

static void wipe_is_told(void **state)
{
    struct kit k;
    struct seen s = { .k = &k };

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'a','value':1");
    registry_watch(k.r, "kv/", saw, &s);
    assert_int_equal(registry_wipe(k.r), 0);
    assert_string_equal(s.text, "*=- ");
    assert_value(&k, "kv/a", "");
    assert_value(&k, "_meta", "{\"schema\":1}");
    assert_int_equal(registry_index(k.r), 0);
    k.index = 0;
    assert_int_equal(kit_run(&k, "'kv.set','key':'b','value':1"), 0);
    assert_int_equal(registry_index(k.r), 1);
    kit_close(&k);
}

/* From inside: what was told of the old state is told no more. */
static void wipe_when_applied(void *arg, uint64_t index, const json_t *cmd,
                              const struct registry_result *result)
{
    struct kit *k = arg;

    (void)cmd;
    (void)result;
    k->answers++;
    if (index == 2)
        assert_int_equal(registry_wipe(k->r), 0);
}

static void wipe_from_inside(void **state)
{
    struct kit k;
    struct seen s = { .k = &k };

    (void)state;
    kit_open(&k);
    registry_watch(k.r, "", saw, &s);
    for (int i = 0; i < 3; i++)
        kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\"}");
    assert_int_equal(registry_flush(k.r, wipe_when_applied, &k), 0);
    assert_int_equal(k.answers, 3);
    assert_string_equal(s.text, "*=- ");
    assert_value(&k, "kv/n", "");
    assert_int_equal(registry_index(k.r), 0);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(no_commands),
        cmocka_unit_test(refused),
        cmocka_unit_test(nested),
        cmocka_unit_test(old_index_is_ignored),
        cmocka_unit_test(again),
        cmocka_unit_test(floors),
        cmocka_unit_test(from_malformed),
        cmocka_unit_test(origins),
        cmocka_unit_test(newer_command),
        cmocka_unit_test(watches),
        cmocka_unit_test(watches_change),
        cmocka_unit_test(wipe_is_told),
        cmocka_unit_test(wipe_from_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_registry_dump.c - snapshots, and states of other schemas.
 *
 * data/registry-schema-1 is a snapshot by the first version. `test_registry_dump FILE` makes one
 * of the present version.
 */
#include "registry_kit.h"

/* ---- snapshots */

static void snapshot(void **state)
{
    struct kit a, b;
    size_t n, m;
    void *p, *q;

    (void)state;
    kit_open(&a);
    kit_open(&b);
    kit_fill(&a, 50);
    kit_run(&a, "'kv.add','key':'n','from':['A',1,1]");
    assert_int_equal(registry_dump(a.r, &p, &n), 0);
    kit_fill(&b, 3);
    kit_run(&b, "'kv.set','key':'other','value':1");
    assert_int_equal(registry_restore(b.r, a.index, p, n), 0);
    b.index = a.index;
    assert_int_equal(registry_index(b.r), a.index);
    assert_value(&b, "kv/other", "");
    assert_value(&b, "kv/n", "1");
    assert_int_equal(registry_dump(b.r, &q, &m), 0);
    assert_int_equal(n, m);
    assert_memory_equal(p, q, n);
    free(q);
    assert_int_equal(kit_run(&b, "'kv.add','key':'n','from':['A',1,1]"), 0);
    assert_value(&b, "kv/n", "1");
    kit_run(&b, "'kv.add','key':'n'");
    /* An older one, or the same: what we have is further. */
    assert_int_equal(registry_restore(b.r, a.index, p, n), 0);
    assert_int_equal(registry_restore(b.r, b.index, p, n), 0);
    assert_value(&b, "kv/n", "2");
    kit_reopen(&b);
    assert_value(&b, "kv/n", "2");
    free(p);
    kit_close(&a);
    kit_close(&b);
}

static void told(void *arg, const char *key, const json_t *value)
{
    assert_null(key);
    assert_null(value);
    ++*(int *)arg;
}

static void damaged_snapshot(void **state)
{
    int calls = 0;
    struct kit a, b;
    size_t n;
    char *p;

    (void)state;
    kit_open(&a);
    kit_open(&b);
    kit_fill(&a, 5);
    kit_run(&b, "'kv.set','key':'other','value':1");
    registry_watch(b.r, "", told, &calls);
    assert_int_equal(registry_dump(a.r, (void **)&p, &n), 0);
    for (size_t i = 0; i < n; i++) {
        p[i] ^= 0x20;
        assert_int_equal(registry_restore(b.r, 100, p, n), -EBADMSG);
        p[i] ^= 0x20;
        assert_int_equal(registry_restore(b.r, 100, p, i), -EBADMSG);
    }
    assert_value(&b, "kv/other", "1");
    assert_int_equal(calls, 0);
    assert_int_equal(registry_restore(b.r, 100, p, n), 0);
    assert_int_equal(calls, 1);
    free(p);
    kit_close(&a);
    kit_close(&b);
}

/* What waits in the queue is partly in the snapshot, partly behind it. */
static void snapshot_over_queue(void **state)
{
    struct kit a, b;
    size_t n;
    void *p;

    (void)state;
    kit_open(&a);
    kit_open(&b);
    for (int i = 0; i < 3; i++)
        kit_run(&a, "'kv.add','key':'n'");
    assert_int_equal(registry_dump(a.r, &p, &n), 0);
    for (int i = 0; i < 5; i++)
        kit_queue(&b, "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\"}");
    assert_int_equal(registry_dump(b.r, &(void *){ NULL }, &(size_t){ 0 }), -EBUSY);
    assert_int_equal(registry_restore(b.r, 3, p, n), 0);
    assert_value(&b, "kv/n", "3");
    assert_int_equal(registry_flush(b.r, kit_applied, &b), 0);
    assert_int_equal(b.answers, 2);
    assert_value(&b, "kv/n", "5");
    assert_int_equal(registry_index(b.r), 5);
    free(p);
    kit_close(&a);
    kit_close(&b);
}

/* ---- schemas */

static const struct registry_upgrade steps[] = { { 1, kit_upgrade }, { 0 } };

static int open_as(struct kit *k, int schema, const struct registry_upgrade *up, struct oerr *e)
{
    e->text[0] = '\0';
    return registry_open_as(&k->r, k->dir, BOOT, kit_tables, schema, up, e);
}

static void upgrade(void **state)
{
    struct oerr e;
    struct kit k;
    size_t n;
    void *p;

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'u1','value':7");
    kit_run(&k, "'kv.set','key':'x','value':7");
    assert_int_equal(registry_dump(k.r, &p, &n), 0);
    registry_close(k.r);
    assert_int_equal(open_as(&k, 2, steps, &e), 0);
    assert_value(&k, "kv/u1", "{\"n\":7}");
    assert_value(&k, "kv/x", "7");
    assert_value(&k, "_meta", "{\"schema\":2}");
    assert_int_equal(registry_index(k.r), 2);
    registry_close(k.r);
    /* Once. */
    assert_int_equal(open_as(&k, 2, steps, &e), 0);
    assert_value(&k, "kv/u1", "{\"n\":7}");
    /* A snapshot of the old schema is upgraded on the way in. */
    assert_int_equal(registry_restore(k.r, 9, p, n), 0);
    assert_value(&k, "kv/u1", "{\"n\":7}");
    free(p);
    /* The new one's is refused by the old one, and leaves it as it is. */
    assert_int_equal(registry_dump(k.r, &p, &n), 0);
    registry_close(k.r);
    assert_int_equal(open_as(&k, 1, steps, &e), -EPROTONOSUPPORT);
    assert_non_null(strstr(e.text, "newer oneosd"));
    tempdir_remove(k.dir);
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'x','value':8");
    assert_int_equal(registry_restore(k.r, 9, p, n), -EPROTONOSUPPORT);
    assert_value(&k, "kv/x", "8");
    assert_non_null(strstr(registry_trouble(k.r), "newer oneosd"));
    free(p);
    kit_close(&k);
}

static int no_step(struct registry_txn *t, struct oerr *e)
{
    txn_put(t, "kv/half", json_true());
    return oerr_set(e, -EINVAL, "this cannot be upgraded");
}

static void failed_upgrade(void **state)
{
    static const struct registry_upgrade bad[] = { { 1, kit_upgrade }, { 2, no_step }, { 0 } };
    struct oerr e;
    struct kit k;

    (void)state;
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'u1','value':7");
    registry_close(k.r);
    assert_int_equal(open_as(&k, 3, bad, &e), -EINVAL);
    assert_string_equal(e.text, "this cannot be upgraded");
    assert_int_equal(open_as(&k, 4, steps, &e), -EPROTONOSUPPORT);
    assert_non_null(strstr(e.text, "no longer upgrade"));
    kit_mark(&k, "schema 1\nboot " BOOT "\n");
    kit_open_boot(&k, BOOT);
    assert_value(&k, "kv/u1", "7");
    assert_value(&k, "kv/half", "");
    kit_close(&k);
}

/* One of everything, in its first form. */
static void everything(struct kit *k)
{
    static const char *const commands[] = {
        "'registry.init','id':'r1','at_us':5,'from':['A',1,1]",
        "'member.put','id':'A','node':'1f','key':'k1','address':'10.0.0.1','at_us':7,"
        "'from':['A',2,1]",
        "'member.put','id':'B','node':'2f','key':'k2','address':'fe80::1','at_us':8,"
        "'from':['A',3,2]",
        "'member.label','id':'A','labels':{'gpu':'','zone':'lab'}",
        "'member.drain','id':'B','on':true",
        "'member.forget','id':'C','from':['A',4,3]",
        "'member.accept','id':'S','key':'zz'",
        "'service.assign','name':'web','machine':'A','epoch':0,'why':'the first','at_us':9,"
        "'from':['B',1,1]",
        "'service.want','name':'web','machine':'B'",
        "'registry.absorb','id':'r0'",
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        kit_run(k, "%s", commands[i]);
}

static void first_version(void **state)
{
    const char *srcdir = getenv("srcdir");
    char path[4096], text[100], id[40];
    struct kit k;
    size_t n;
    char *p;

    (void)state;
    snprintf(path, sizeof path, "%s/tests/unit/data/registry-schema-1", srcdir ? srcdir : ".");
    p = kit_read(path, &n);
    kit_open(&k);
    registry_close(k.r);
    assert_int_equal(registry_open(&k.r, k.dir, BOOT, kit_tables, NULL), 0);
    assert_int_equal(registry_restore(k.r, 10, p, n), 0);
    k.index = 10;
    registry_id(k.r, id);
    assert_string_equal(id, "r1");
    snprintf(text, sizeof text, "\"schema\":%d", REGISTRY_SCHEMA);
    assert_non_null(strstr(kit_text(&k, "_meta"), text));
    assert_non_null(strstr(kit_text(&k, "member/A"), "\"zone\":\"lab\""));
    assert_non_null(strstr(kit_text(&k, "member/B"), "\"draining\":true"));
    assert_non_null(strstr(kit_text(&k, "service/web"), "\"wanted\":\"B\""));
    assert_int_equal(kit_run(&k, "'member.forget','id':'C','from':['A',4,3]"), -ENOENT);
    assert_int_equal(kit_run(&k, "'member.forget','id':'B','from':['A',2,1]"), -EALREADY);
    assert_int_equal(kit_run(&k, "'member.forget','id':'B','from':['A',5,4]"), 0);
    assert_int_equal(kit_run(&k, "'service.assign','name':'web','machine':'A','epoch':1,'at_us':1"),
                     0);
    free(p);
    kit_close(&k);
}

static int make_data(const char *path)
{
    struct kit k;
    size_t n;
    void *p;

    kit_open(&k);
    everything(&k);
    assert_int_equal(registry_dump(k.r, &p, &n), 0);
    kit_write(path, p, n);
    free(p);
    kit_close(&k);
    return 0;
}

static void map_grows_to_restore(void **state)
{
    size_t was = store_first_map, n;
    struct kit a, b;
    void *p;

    (void)state;
    kit_open(&a);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(kit_run(&a, "'kv.set','key':'l%d','value':'%0200d'", i, i), 0);
    assert_int_equal(registry_dump(a.r, &p, &n), 0);
    store_first_map = 64 * 4096;
    kit_open(&b);
    assert_int_equal(registry_restore(b.r, 9, p, n), 0);
    assert_true(*kit_text(&b, "kv/l4999"));
    store_first_map = was;
    free(p);
    kit_close(&a);
    kit_close(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot),
        cmocka_unit_test(damaged_snapshot),
        cmocka_unit_test(snapshot_over_queue),
        cmocka_unit_test(upgrade),
        cmocka_unit_test(failed_upgrade),
        cmocka_unit_test(first_version),
        cmocka_unit_test(map_grows_to_restore),
    };

    if (argc > 1)
        return make_data(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

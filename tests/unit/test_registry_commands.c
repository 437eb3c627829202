/*
 * test_registry_commands.c - the commands that every registry has.
 */
#include "registry_kit.h"

static void start(struct kit *k)
{
    kit_open(k);
    assert_int_equal(kit_run(k, "'registry.init','id':'r1','at_us':5"), 0);
}

/* ---- the registry itself */

static void dissolve(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(kit_run(&k, "'registry.dissolve','into':'r2'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.init','id':'r1','at_us':5"), 0);
    assert_int_equal(kit_run(&k, "'member.put','id':'A','node':'1f','key':'k'"), 0);
    assert_int_equal(kit_run(&k, "'member.label','id':'A','labels':{'gpu':''}"), 0);
    assert_int_equal(kit_run(&k, "'kv.set','key':'a','value':1"), 0);
    assert_true(registry_has_data(k.r));
    assert_int_equal(kit_run(&k, "'registry.dissolve','into':'r2'"), -ENOTEMPTY);
    assert_string_equal(k.words, "the registry has data: kv/a");
    assert_int_equal(kit_run(&k, "'kv.del','key':'a','from':['A',1,1]"), 0);
    assert_false(registry_has_data(k.r));
    assert_int_equal(kit_run(&k, "'registry.dissolve','into':'r1'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.dissolve'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.dissolve','into':'r2'"), 0);
    assert_value(&k, "_meta", "{\"dissolved\":\"r2\",\"id\":\"r1\",\"made_us\":5,\"schema\":1}");
    assert_int_equal(kit_run(&k, "'kv.set','key':'a','value':1"), -ESHUTDOWN);
    assert_int_equal(kit_run(&k, "'registry.dissolve','into':'r2'"), -ESHUTDOWN);
    assert_int_equal(kit_run(&k, "'no.such'"), -ESHUTDOWN);
    /* What was answered before is still answered. */
    assert_int_equal(kit_run(&k, "'kv.del','key':'a','from':['A',1,1]"), 0);
    kit_reopen(&k);
    assert_int_equal(kit_run(&k, "'member.drain','id':'A','on':true"), -ESHUTDOWN);
    assert_int_equal(registry_wipe(k.r), 0);
    k.index = 0;
    assert_int_equal(kit_run(&k, "'registry.init','id':'r3','at_us':5"), 0);
    kit_close(&k);
}

/* In one batch with the command before and behind it. */
static void dissolve_in_a_batch(void **state)
{
    struct kit k;

    (void)state;
    start(&k);
    kit_queue(&k, "{\"v\":1,\"cmd\":\"no.such\"}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"registry.dissolve\",\"into\":\"r2\"}");
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"a\",\"value\":1}");
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.rc, -ESHUTDOWN);
    assert_value(&k, "kv/a", "");
    kit_close(&k);
}

static void absorb(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(kit_run(&k, "'registry.absorb','id':'r9'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.init','id':'r1','at_us':5"), 0);
    assert_int_equal(kit_run(&k, "'registry.absorb','id':'r1'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.absorb','id':'a/b'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'registry.absorb','id':'r9'"), 0);
    assert_value(&k, "ended/r9", "{\"into\":\"r1\"}");
    kit_close(&k);
}

static void init_malformed(void **state)
{
    static const char *const bad[] = { "",
                                       ",'id':'x'",
                                       ",'id':'','at_us':1",
                                       ",'id':'x','at_us':-1",
                                       ",'id':'x','at_us':'1'",
                                       ",'id':'.x','at_us':1",
                                       ",'id':'x\xc3\xa4','at_us':1" };
    struct kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(kit_run(&k, "'registry.init'%s", bad[i]), -EINVAL);
    assert_value(&k, "_meta", "{\"schema\":1}");
    kit_close(&k);
}

/* ---- members */

static void members(void **state)
{
    struct kit k;

    (void)state;
    start(&k);
    assert_int_equal(
        kit_run(&k, "'member.put','id':'A','node':'1f','key':'k1','address':'10.0.0.1','at_us':7"),
        0);
    assert_value(&k, "member/A",
                 "{\"address\":\"10.0.0.1\",\"draining\":false,\"joined_us\":7,\"key\":\"k1\","
                 "\"labels\":{},\"node\":\"1f\"}");
    assert_int_equal(kit_run(&k, "'member.label','id':'A','labels':{'gpu':'','zone':'lab'}"), 0);
    assert_int_equal(kit_run(&k, "'member.drain','id':'A','on':true"), 0);
    assert_int_equal(kit_run(&k, "'member.put','id':'A','node':'1f','key':'k2','at_us':9"), 0);
    assert_value(&k, "member/A",
                 "{\"address\":\"\",\"draining\":true,\"joined_us\":7,\"key\":\"k2\","
                 "\"labels\":{\"gpu\":\"\",\"zone\":\"lab\"},\"node\":\"1f\"}");
    assert_int_equal(kit_run(&k, "'member.label','id':'A','labels':{}"), 0);
    assert_int_equal(kit_run(&k, "'member.drain','id':'A','on':false"), 0);
    assert_non_null(strstr(kit_text(&k, "member/A"), "\"draining\":false"));
    assert_non_null(strstr(kit_text(&k, "member/A"), "\"labels\":{}"));

    /* Its disk was lost. */
    assert_int_equal(kit_run(&k, "'member.put','id':'A','node':'2','key':'k2'"), -EEXIST);
    assert_string_equal(k.words, "machine A was here under another disk; forget it first");
    assert_int_equal(kit_run(&k, "'member.forget','id':'A'"), 0);
    assert_value(&k, "member/A", "");
    assert_int_equal(kit_run(&k, "'member.put','id':'A','node':'2','key':'k2'"), 0);

    assert_int_equal(kit_run(&k, "'member.forget','id':'B'"), -ENOENT);
    assert_string_equal(k.words, "there is no machine B in the registry");
    assert_int_equal(kit_run(&k, "'member.label','id':'B','labels':{}"), -ENOENT);
    assert_int_equal(kit_run(&k, "'member.drain','id':'B','on':true"), -ENOENT);
    kit_close(&k);
}

static void members_malformed(void **state)
{
    static const char *const bad[] = {
        "'member.put'",
        "'member.put','id':'A','node':'1'",
        "'member.put','id':'A','key':'k'",
        "'member.put','id':'A','node':'1G','key':'k'",
        "'member.put','id':'A','node':'11112222333344445','key':'k'",
        "'member.put','id':'A','node':'1','key':'k','address':7",
        "'member.put','id':'../A','node':'1','key':'k'",
        "'member.put','id':7,'node':'1','key':'k'",
        "'member.label','id':'A'",
        "'member.label','id':'A','labels':[1]",
        "'member.label','id':'A','labels':{'':'x'}",
        "'member.label','id':'A','labels':{'x':1}",
        "'member.drain','id':'A'",
        "'member.drain','id':'A','on':1",
        "'member.forget'",
        "'member.accept','id':'A'",
        "'member.accept','key':'A'",
        "'member.reject'",
    };
    struct kit k;

    (void)state;
    start(&k);
    kit_run(&k, "'member.put','id':'A','node':'1f','key':'k1'");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(kit_run(&k, "%s", bad[i]), -EINVAL);
        assert_true(strchr(k.words, ' ') != NULL);
    }
    kit_close(&k);
}

static void many_labels(void **state)
{
    char text[3000] = "";
    struct kit k;

    (void)state;
    start(&k);
    kit_run(&k, "'member.put','id':'A','node':'1f','key':'k1'");
    for (int i = 0; i < 64; i++)
        sprintf(text + strlen(text), "%s'l%d':'v'", i ? "," : "", i);
    assert_int_equal(kit_run(&k, "'member.label','id':'A','labels':{%s}", text), 0);
    assert_int_equal(kit_run(&k, "'member.label','id':'A','labels':{%s,'x':'y'}", text), -EINVAL);
    kit_close(&k);
}

static void accepted(void **state)
{
    struct kit k;

    (void)state;
    start(&k);
    assert_int_equal(kit_run(&k, "'member.accept','id':'S','key':'zz'"), 0);
    assert_value(&k, "accepted/S", "{\"key\":\"zz\"}");
    assert_int_equal(kit_run(&k, "'member.accept','id':'S','key':'yy'"), 0);
    assert_int_equal(kit_run(&k, "'member.reject','id':'S'"), 0);
    assert_value(&k, "accepted/S", "");
    assert_int_equal(kit_run(&k, "'member.reject','id':'S'"), -ENOENT);
    /* Forgetting takes back the acceptance as well. */
    assert_int_equal(kit_run(&k, "'member.accept','id':'S','key':'zz'"), 0);
    assert_int_equal(kit_run(&k, "'member.forget','id':'S'"), 0);
    assert_value(&k, "accepted/S", "");
    for (int i = 0; i < 256; i++)
        assert_int_equal(kit_run(&k, "'member.accept','id':'S%d','key':'zz'", i), 0);
    assert_int_equal(kit_run(&k, "'member.accept','id':'S256','key':'zz'"), -ENOSPC);
    assert_int_equal(kit_run(&k, "'member.accept','id':'S7','key':'xx'"), 0);
    assert_value(&k, "accepted/S7", "{\"key\":\"xx\"}");
    kit_close(&k);
}

/* ---- services */

static void services(void **state)
{
    struct kit k;

    (void)state;
    start(&k);
    kit_run(&k, "'member.put','id':'A','node':'1','key':'k'");
    kit_run(&k, "'member.put','id':'B','node':'2','key':'k'");
    assert_int_equal(kit_run(&k, "'service.assign','name':'web','machine':'C','epoch':0,'at_us':1"),
                     -ENOENT);
    assert_int_equal(kit_run(&k, "'service.assign','name':'web','machine':'A','epoch':1,'at_us':1"),
                     -ESTALE);
    assert_int_equal(
        kit_run(&k, "'service.assign','name':'web','machine':'A','epoch':0,'why':'w','at_us':1"),
        0);
    assert_int_equal(json_integer_value(json_object_get(k.body, "epoch")), 1);
    assert_value(&k, "service/web",
                 "{\"epoch\":1,\"machine\":\"A\",\"since_us\":1,\"wanted\":\"\",\"why\":\"w\"}");
    assert_int_equal(kit_run(&k, "'service.want','name':'web','machine':'B'"), 0);
    assert_value(&k, "service/web",
                 "{\"epoch\":1,\"machine\":\"A\",\"since_us\":1,\"wanted\":\"B\",\"why\":\"w\"}");
    assert_int_equal(kit_run(&k, "'service.want','name':'web','machine':'C'"), -ENOENT);
    assert_int_equal(kit_run(&k, "'service.want','name':'web','machine':''"), 0);
    assert_int_equal(kit_run(&k, "'service.want','name':'web','machine':'B'"), 0);
    assert_int_equal(kit_run(&k, "'service.assign','name':'web','machine':'B','epoch':0,'at_us':2"),
                     -ESTALE);
    assert_string_equal(k.words, "service web is in epoch 1 by now, not 0");
    assert_int_equal(kit_run(&k, "'service.assign','name':'web','machine':'B','epoch':1,'at_us':2"),
                     0);
    assert_value(&k, "service/web",
                 "{\"epoch\":2,\"machine\":\"B\",\"since_us\":2,\"wanted\":\"\",\"why\":\"\"}");
    /* A wish before it runs anywhere. */
    assert_int_equal(kit_run(&k, "'service.want','name':'shell','machine':'A'"), 0);
    assert_int_equal(
        kit_run(&k, "'service.assign','name':'shell','machine':'A','epoch':0,'at_us':2"), 0);
    kit_close(&k);
}

static void services_malformed(void **state)
{
    static const char *const bad[] = {
        "'service.assign'",
        "'service.assign','name':'web','machine':'A','epoch':0",
        "'service.assign','name':'web','machine':'A','at_us':1",
        "'service.assign','name':'web','machine':'','epoch':0,'at_us':1",
        "'service.assign','name':'w/b','machine':'A','epoch':0,'at_us':1",
        "'service.assign','name':'seventeen-letters','machine':'A','epoch':0,'at_us':1",
        "'service.assign','name':'web','machine':'A','epoch':0,'at_us':1,'why':[]",
        "'service.want','name':'web','machine':7",
        "'service.want','machine':'A'",
    };
    struct kit k;

    (void)state;
    start(&k);
    kit_run(&k, "'member.put','id':'A','node':'1','key':'k'");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(kit_run(&k, "%s", bad[i]), -EINVAL);
    assert_value(&k, "service/web", "");
    kit_close(&k);
}

/* Who acts for a service in an old epoch does nothing, whatever the command. */
static void fenced(void **state)
{
    struct kit k;

    (void)state;
    start(&k);
    kit_run(&k, "'member.put','id':'A','node':'1','key':'k'");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':'web','epoch':0"), -ESTALE);
    kit_run(&k, "'service.assign','name':'web','machine':'A','epoch':0,'at_us':1");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':'web','epoch':1"), 0);
    kit_run(&k, "'service.assign','name':'web','machine':'A','epoch':1,'at_us':1");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':'web','epoch':1"), -ESTALE);
    assert_string_equal(k.words, "service web is in epoch 2 by now, not 1");
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':'web','epoch':2"), 0);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':'web','epoch':'2'"), -EINVAL);
    assert_int_equal(kit_run(&k, "'kv.add','key':'n','service':7,'epoch':2"), -EINVAL);
    assert_value(&k, "kv/n", "2");
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dissolve),    cmocka_unit_test(dissolve_in_a_batch),
        cmocka_unit_test(absorb),      cmocka_unit_test(init_malformed),
        cmocka_unit_test(members),     cmocka_unit_test(members_malformed),
        cmocka_unit_test(many_labels), cmocka_unit_test(accepted),
        cmocka_unit_test(services),    cmocka_unit_test(services_malformed),
        cmocka_unit_test(fenced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_registry_model.c - equal commands lead to equal states, whatever happens on the way.
 *
 * Random commands go to three registries: one in batches of any size; one with starts in between,
 * some from a snapshot, and with a part of the log handed in again; one that joins late, from a
 * snapshot. Their dumps are equal byte for byte, and so is every answer.
 */
#include "registry_kit.h"

#define COMMANDS 4000
#define TEXT     512

static unsigned seed;

static unsigned any(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static char *log_of[COMMANDS + 1];
static char *answer_of[COMMANDS + 1];

/* ---- commands */

static void fields(char *p, size_t size)
{
    static const char *const machines[] = { "A", "B", "C", "D", "" };
    static const char *const services[] = { "web", "shell", "none" };
    const char *m = machines[any(5)], *s = services[any(3)];

    switch (any(13)) {
    case 0:
        snprintf(p, size, "'member.put','id':'%s','node':'%x','key':'k%u','at_us':%u", m, any(3),
                 any(3), any(100));
        break;
    case 1:
        snprintf(p, size, "'member.forget','id':'%s'", m);
        break;
    case 2:
        snprintf(p, size, "'member.label','id':'%s','labels':{'b%u':'x','a':'%u'}", m, any(3),
                 any(9));
        break;
    case 3:
        snprintf(p, size, "'member.drain','id':'%s','on':%s", m, any(2) ? "true" : "false");
        break;
    case 4:
        snprintf(p, size, "'member.%s','id':'%s','key':'z%u'", any(2) ? "accept" : "reject", m,
                 any(3));
        break;
    case 5:
        snprintf(p, size,
                 "'service.assign','name':'%s','machine':'%s','epoch':%u,'at_us':%u,'why':'x'", s,
                 m, any(9), any(99));
        break;
    case 6:
        snprintf(p, size, "'service.want','name':'%s','machine':'%s'", s, m);
        break;
    case 7:
        snprintf(p, size, "'kv.add','key':'n','service':'%s','epoch':%u", s, any(9));
        break;
    case 8:
        snprintf(p, size, "'kv.set','key':'k%u','value':{'z':%u,'a':[1.5,null,'%u']}", any(50),
                 any(9), any(9));
        break;
    case 9:
        snprintf(p, size, "'kv.del','key':'k%u'", any(50));
        break;
    case 10:
        snprintf(p, size, "'kv.%s'", any(2) ? "bad" : "unknown");
        break;
    default:
        snprintf(p, size, "'kv.add','key':'k%u'", any(80));
        break;
    }
}

static void make_log(void)
{
    static unsigned serial[6], floor_[6];
    char inside[TEXT - 100], text[TEXT];

    memset(serial, 0, sizeof serial);
    memset(floor_, 0, sizeof floor_);
    for (int i = 1; i <= COMMANDS; i++) {
        unsigned who = any(6), n;

        fields(inside, sizeof inside);
        /* Now and then an old number again, with another command: the first one counts. */
        n = any(5) ? ++serial[who] : serial[who] ? 1 + any(serial[who]) : ++serial[who];
        if (any(4) == 0 && floor_[who] < n)
            floor_[who] += any(n - floor_[who] + 1);
        if (i == 1)
            strcpy(inside, "'registry.init','id':'r1','at_us':1");
        snprintf(text, sizeof text, "{'v':1,'cmd':%s,'from':['m%u',%u,%u]}", inside, who, n,
                 n < floor_[who] ? n : floor_[who]);
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        free(log_of[i]);
        log_of[i] = strdup(text);
        free(answer_of[i]);
        answer_of[i] = NULL;
    }
}

/* ---- three ways */

static void answered(void *arg, uint64_t index, const json_t *cmd,
                     const struct registry_result *result)
{
    char *body = result->body ? json_dumps(result->body, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char text[1000];

    (void)arg;
    (void)cmd;
    snprintf(text, sizeof text, "%d %s %s", result->rc, result->words.text, body ? body : "-");
    free(body);
    if (answer_of[index])
        assert_string_equal(answer_of[index], text);
    else
        answer_of[index] = strdup(text);
}

static void hand_in(struct kit *k, uint64_t index)
{
    assert_int_equal(registry_committed(k->r, index, log_of[index], strlen(log_of[index])), 0);
}

static void flush(struct kit *k)
{
    assert_int_equal(registry_flush(k->r, answered, NULL), 0);
}

static void in_batches(struct kit *k, unsigned batch)
{
    for (uint64_t i = 1; i <= COMMANDS; i++) {
        hand_in(k, i);
        if (any(batch) == 0)
            flush(k);
    }
    flush(k);
}

static void with_starts(struct kit *k)
{
    uint64_t snapshot = 0;
    void *data = NULL;
    size_t len = 0;

    for (uint64_t i = 1; i <= COMMANDS; i++) {
        hand_in(k, i);
        if (any(3) == 0)
            flush(k);
        if (any(200) == 0) {
            flush(k);
            free(data);
            assert_int_equal(registry_dump(k->r, &data, &len), 0);
            snapshot = registry_index(k->r);
        }
        if (any(100) == 0) {
            /* What was queued comes again from the log; half of the time the file is lost. */
            registry_close(k->r);
            kit_open_boot(k, BOOT);
            if (any(2))
                assert_int_equal(registry_wipe(k->r), 0);
            if (snapshot)
                assert_int_equal(registry_restore(k->r, snapshot, data, len), 0);
            i = snapshot;
        }
    }
    flush(k);
    free(data);
}

static void assert_same(struct kit *a, struct kit *b)
{
    size_t n, m;
    void *p, *q;

    assert_int_equal(registry_index(a->r), registry_index(b->r));
    assert_int_equal(registry_dump(a->r, &p, &n), 0);
    assert_int_equal(registry_dump(b->r, &q, &m), 0);
    assert_int_equal(n, m);
    assert_memory_equal(p, q, n);
    free(p);
    free(q);
}

static void late(struct kit *a, struct kit *k)
{
    size_t n;
    void *p;

    assert_int_equal(registry_dump(a->r, &p, &n), 0);
    assert_int_equal(registry_restore(k->r, registry_index(a->r), p, n), 0);
    free(p);
}

static void equal(void **state)
{
    struct kit a, b, c;

    (void)state;
    for (unsigned round = 1; round <= 4; round++) {
        seed = round;
        make_log();
        kit_open(&a);
        kit_open(&b);
        kit_open(&c);
        in_batches(&a, 1 + 30 * round);
        with_starts(&b);
        late(&a, &c);
        assert_same(&a, &b);
        assert_same(&a, &c);
        kit_close(&a);
        kit_close(&b);
        kit_close(&c);
    }
    for (int i = 1; i <= COMMANDS; i++) {
        free(log_of[i]);
        free(answer_of[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

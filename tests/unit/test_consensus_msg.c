/*
 * test_consensus_msg.c - the bytes of messages between servers: as they were, and refused when bad;
 * and a server that hears any of them in any order.
 */
#include "tests/unit/consensus_kit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t conf[] = { 1, 2,   0,   0,   0,   0, 0, 0,   0, 101, 0, 0, 0, 0,
                                0, 0,   0,   'm', '0', 0, 1, 102, 0, 0,   0, 0, 0, 0,
                                0, 'm', '1', 0,   0,   0, 0, 0,   0, 0,   0, 0 };

static const struct consensus_entry entries[] = { { 3, ENTRY_COMMAND, "ab", 2 },
                                                  { 3, ENTRY_BARRIER, "", 0 },
                                                  { 4, ENTRY_CHANGE, conf, 40 } };

/* clang-format off */
#define HEAD(kind) "01" kind "0000000000000065" "0000000000000066" "0000000000000005"
#define CONF "0102000000000000006500000000000000" "6d300001" "6600000000000000" "6d310000" "00000000000000"
static const struct golden {
    struct consensus_msg m;
    const char *hex;
} golden[] = {
    { { .kind = MSG_APPEND, .append = { 7, 2, 6, true, 3, entries, NULL, 0 } },
      HEAD("01") "01" "0000000000000007" "0000000000000002" "0000000000000006" "00000003"
      "0000000000000003" "01" "00000002" "6162" "0000000000000003" "02" "00000000"
      "0000000000000004" "03" "00000028" CONF },
    { { .kind = MSG_APPENDED, .appended = { 9, 8 } },
      HEAD("02") "0000000000000009" "0000000000000008" },
    { { .kind = MSG_VOTE, .vote = { 9, 4, true, true } },
      HEAD("03") "03" "0000000000000009" "0000000000000004" },
    { { .kind = MSG_VOTED, .voted = { true, false } }, HEAD("04") "01" },
    { { .kind = MSG_PART, .part = { 77, 9, 4, 3, conf, 40, 10, 4, "xyz", 3 } },
      HEAD("05") "000000000000004d" "0000000000000009" "0000000000000004" "0000000000000003"
      "00000028" CONF "000000000000000a" "0000000000000004" "00000003" "78797a" },
    { { .kind = MSG_PART_HAVE, .have = { 77, 7 } },
      HEAD("06") "000000000000004d" "0000000000000007" },
    { { .kind = MSG_TIMEOUT_NOW, .timeout_now = { 9, 4 } },
      HEAD("07") "0000000000000009" "0000000000000004" },
    { { .kind = MSG_READ, .read = { 12 } }, HEAD("08") "000000000000000c" },
    { { .kind = MSG_READ_YES, .read = { 12 } }, HEAD("09") "000000000000000c" },
};
/* clang-format on */

static void hex_of(const uint8_t *data, size_t len, char *to)
{
    for (size_t i = 0; i < len; i++)
        sprintf(to + 2 * i, "%02x", data[i]);
}

static void *encoded(const struct golden *g, size_t *len)
{
    struct consensus_msg m = g->m;
    void *data;

    m.from = 101;
    m.to = 102;
    m.term = 5;
    assert_int_equal(consensus_msg_encode(&m, &data, len), 0);
    return data;
}

static void as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct consensus_msg m;
        struct consensus_entry v[8];
        struct oerr e = { "" };
        size_t len, again_len;
        void *data = encoded(&golden[i], &len), *again;
        char hex[1000];

        hex_of(data, len, hex);
        assert_string_equal(hex, golden[i].hex);
        if (consensus_msg_decode(data, len, &m, &e) < 0)
            fail_msg("%s", e.text);
        if (m.kind == MSG_APPEND) {
            consensus_msg_entries(&m, v);
            m.append.entries = v;
        }
        assert_int_equal(consensus_msg_encode(&m, &again, &again_len), 0);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, data, len);
        free(again);
        free(data);
    }
}

/* Cut short, made longer, or of another version: refused with words. */
static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct consensus_msg m;
        struct oerr e;
        size_t len;
        uint8_t *data = encoded(&golden[i], &len);

        for (size_t n = 0; n < len; n++) {
            uint8_t *cut = memcpy(malloc(n + 1), data, n);

            e.text[0] = '\0';
            assert_int_equal(consensus_msg_decode(cut, n, &m, &e), -EPROTO);
            assert_true(e.text[0]);
            free(cut);
        }
        data = realloc(data, len + 1);
        data[len] = 0;
        assert_int_equal(consensus_msg_decode(data, len + 1, &m, &e), -EPROTO);
        data[0] = 2;
        assert_int_equal(consensus_msg_decode(data, len, &m, &e), -EPROTO);
        assert_non_null(strstr(e.text, "version 2"));
        free(data);
    }
}

static int one_entry(struct consensus_entry entry, uint64_t prev, uint64_t prev_term)
{
    struct consensus_msg m = { .kind = MSG_APPEND, .from = 1, .to = 2, .term = 5 };
    struct oerr e;
    void *data;
    size_t len;
    int rc;

    m.append.prev_index = prev;
    m.append.prev_term = prev_term;
    m.append.n = 1;
    m.append.entries = &entry;
    assert_int_equal(consensus_msg_encode(&m, &data, &len), 0);
    rc = consensus_msg_decode(data, len, &m, &e);
    free(data);
    return rc;
}

static void bad_entries(void **state)
{
    uint8_t no_server[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0 }, twice[sizeof conf], role[sizeof conf];

    (void)state;
    memcpy(twice, conf, sizeof conf);
    twice[21] = 101;
    memcpy(role, conf, sizeof conf);
    role[20] = 3;
    assert_int_equal(one_entry((struct consensus_entry){ 5, ENTRY_COMMAND, "", 0 }, 1, 1), 0);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_CHANGE, conf, 40 }, 0, 0), 0);
    assert_int_equal(one_entry((struct consensus_entry){ 6, ENTRY_COMMAND, "", 0 }, 1, 1),
                     -EPROTO); /* of a term to come */
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_COMMAND, "", 0 }, 1, 2),
                     -EPROTO); /* the term falls */
    assert_int_equal(one_entry((struct consensus_entry){ 0, ENTRY_COMMAND, "", 0 }, 0, 0), -EPROTO);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_COMMAND, "", 0 }, 0, 0),
                     -EPROTO); /* the first has to be a list of servers */
    assert_int_equal(one_entry((struct consensus_entry){ 1, 4, "", 0 }, 1, 1), -EPROTO);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_CHANGE, no_server, 9 }, 1, 1),
                     -EPROTO);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_CHANGE, twice, 40 }, 1, 1),
                     -EPROTO);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_CHANGE, role, 40 }, 1, 1),
                     -EPROTO);
    assert_int_equal(one_entry((struct consensus_entry){ 1, ENTRY_CHANGE, conf, 30 }, 1, 1),
                     -EPROTO);
}

/* ---- noise: each message is well formed, what they say together makes no sense */

static uint64_t rng;

static uint64_t below(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (rng >> 33) % n;
}

static void noise_append(struct consensus_msg *m, struct consensus_entry *v, uint8_t bytes[4][512])
{
    uint64_t term = 1 + below(m->term);

    m->append.prev_index = below(25);
    m->append.prev_term = m->append.prev_index ? term : 0;
    m->append.commit = below(4) ? below(10) : below(40);
    m->append.quiet = below(2);
    m->append.n = (uint32_t)below(5);
    m->append.entries = v;
    for (uint32_t i = 0; i < m->append.n; i++) {
        bool change = m->append.prev_index + i == 0 || below(6) == 0;
        enum consensus_role roles[5];

        term += below(2) && term < m->term;
        for (int k = 0; k < 5; k++)
            roles[k] = (enum consensus_role)below(3);
        v[i] = (struct consensus_entry){ term, change ? ENTRY_CHANGE : 1 + (uint8_t)below(2), "x",
                                         below(2) };
        if (change) {
            v[i].data = bytes[i % 4];
            v[i].len = kit_conf(bytes[i % 4], roles, 1 + below(5));
        }
    }
}

static void noise_part(struct consensus_msg *m, uint8_t bytes[512])
{
    enum consensus_role roles[5];

    for (int k = 0; k < 5; k++)
        roles[k] = (enum consensus_role)below(3);
    m->part.transfer = below(4);
    m->part.index = 1 + below(40);
    m->part.index_term = 1 + below(m->term);
    m->part.conf_index = 1 + below(m->part.index);
    m->part.conf = bytes;
    m->part.conf_len = kit_conf(bytes, roles, 1 + below(5));
    m->part.total = 2;
    m->part.offset = below(8) == 0;
    m->part.data = "s;";
    m->part.len = 2 - (size_t)m->part.offset;
}

static void noise(struct kit *k)
{
    static uint8_t bytes[4][512];
    struct consensus_entry v[8];
    struct consensus_msg m = { .kind = (enum consensus_msg_kind)(1 + below(MSG_KINDS - 1)),
                               .from = 102 + below(4),
                               .to = 101 };
    uint64_t now = consensus_term(k->s[0].c);
    char id[8];
    void *data;
    size_t len;

    snprintf(id, sizeof id, "m%u", (unsigned)(m.from - 101));
    m.term = now + below(20) / 18 - (now > 1 && below(20) > 17);
    m.term = m.term ? m.term : 1;
    if (m.kind == MSG_APPEND)
        noise_append(&m, v, bytes);
    else if (m.kind == MSG_PART)
        noise_part(&m, bytes[0]);
    else if (m.kind == MSG_APPENDED)
        m.appended.rejected = below(2) * below(40), m.appended.last_index = below(40);
    else if (m.kind == MSG_VOTE)
        m.vote.last_index = 1 + below(40), m.vote.last_term = 1 + below(m.term),
        m.vote.disrupt = below(2), m.vote.pre = below(2);
    else if (m.kind == MSG_VOTED)
        m.voted.granted = below(4), m.voted.pre = below(2);
    else if (m.kind == MSG_TIMEOUT_NOW)
        m.timeout_now.last_index = 1 + below(40), m.timeout_now.last_term = 1 + below(m.term);
    else
        m.have.transfer = below(4), m.have.have = below(3); /* the round of a read, too */
    assert_int_equal(consensus_msg_encode(&m, &data, &len), 0);
    consensus_receive(k->s[0].c, data, len, id);
    free(data);
}

static void drop_mail(struct kit *k)
{
    while (k->mail) {
        struct kit_mail *m = k->mail;

        k->mail = m->next;
        free(m);
    }
    k->end = &k->mail;
}

static void act(struct kit *k, struct kit_said *said)
{
    struct consensus *c = k->s[0].c;

    switch (below(8)) {
    case 0:
        consensus_propose(c, "x", 1, kit_done, said);
        break;
    case 1:
        consensus_read_index(c, kit_done, said);
        break;
    case 2:
        consensus_assign(c, 101 + below(5), (enum consensus_role)below(3), kit_done, said);
        break;
    case 3:
        consensus_add(c, 101 + below(5), "m3", kit_done, said);
        break;
    case 4:
        consensus_remove(c, 101 + below(5), kit_done, said);
        break;
    case 5:
        consensus_transfer(c, 101 + below(5));
        break;
    default:
        consensus_tick(c);
        k->now += below(60);
    }
}

static void noisy_life(uint64_t seed, unsigned *led)
{
    static const enum consensus_role roles[] = { ROLE_VOTER, ROLE_VOTER, ROLE_VOTER };
    struct kit *k = kit_new();
    struct kit_said said = { 0 };
    struct kit_disk *d = &k->s[0].disk;
    uint8_t *bytes = malloc(512);

    rng = seed;
    k->threshold = 5 + (unsigned)below(20);
    k->trailing = 1 + (unsigned)below(5);
    d->e[1] = (struct consensus_entry){ 1, ENTRY_CHANGE, bytes, kit_conf(bytes, roles, 3) };
    d->n = d->term = 1;
    if (kit_start(k, 0, NULL) < 0)
        abort();
    for (int i = 0; i < 600; i++) {
        noise(k);
        act(k, &said);
        *led += consensus_is_leader(k->s[0].c);
        while (below(3) && kit_end_work(k, 0))
            ;
        drop_mail(k);
        if (consensus_failed(k->s[0].c))
            fail_msg("seed %d: %s", (int)seed, consensus_failed(k->s[0].c));
    }
    kit_free(k);
}

static void any_noise(void **state)
{
    const char *more = getenv("ONEOS_SIM_SEEDS");
    unsigned led = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= (more ? strtoull(more, NULL, 10) : 400); seed++)
        noisy_life(seed, &led);
    assert_true(led > 1000); /* it is a leader now and then, too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_they_were),
        cmocka_unit_test(refused),
        cmocka_unit_test(bad_entries),
        cmocka_unit_test(any_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

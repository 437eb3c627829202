/*
 * fuzz_consensus.c - any bytes as messages of consensus: what decodes must encode to the same
 * again, and a server must survive it.
 *
 * The input is pieces with a length of two bytes before each; one of length 0 lets time go on.
 */
#include "tests/unit/consensus_kit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode_again(const uint8_t *data, size_t len)
{
    struct consensus_msg m;
    struct consensus_entry *v = NULL;
    struct oerr e;
    void *again;
    size_t again_len;

    if (consensus_msg_decode(data, len, &m, &e) < 0) {
        if (!e.text[0])
            abort();
        return;
    }
    if (m.kind == MSG_APPEND) {
        v = calloc(m.append.n + 1, sizeof *v);
        consensus_msg_entries(&m, v);
        m.append.entries = v;
    }
    if (consensus_msg_encode(&m, &again, &again_len) < 0 || again_len != len ||
        memcmp(again, data, len) != 0)
        abort();
    free(again);
    free(v);
}

static void piece(struct kit *k, const uint8_t *data, size_t len)
{
    struct consensus *c = k->s[0].c;

    encode_again(data, len);
    if (len)
        consensus_receive(c, data, len, "m1");
    else
        k->now += 60;
    consensus_tick(c);
    kit_end_work(k, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum consensus_role roles[] = { ROLE_VOTER, ROLE_VOTER, ROLE_VOTER };
    struct kit *k = kit_new();
    struct kit_disk *d = &k->s[0].disk;
    uint8_t *conf = malloc(512);

    k->threshold = 4;
    k->trailing = 2;
    d->e[1] = (struct consensus_entry){ 1, ENTRY_CHANGE, conf, kit_conf(conf, roles, 3) };
    d->n = d->term = 1;
    if (kit_start(k, 0, NULL) < 0)
        abort();
    while (size >= 2) {
        size_t len = (size_t)data[0] << 8 | data[1];

        len = len < size - 2 ? len : size - 2;
        piece(k, data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
    kit_free(k);
    return 0;
}

/*
 * fuzz_raft_disk.c - what the disk of consensus reads: the state record, entries and snapshots.
 *
 * First byte: which form, and whether its checksum is made right first, so that what stands behind
 * it is reached too. What is accepted must give the same bytes when it is written again.
 */
#include "cluster/raft_disk_form.h"

#include <stdlib.h>
#include <string.h>

#define INDEX 77

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_state(struct sums *s, const uint8_t *p, size_t n, bool mend)
{
    uint8_t again[STATE_LEN];
    struct disk_state st;

    if (state_decode(s, p, n, &st) == 0) {
        state_encode(s, &st, again);
        if (n != STATE_LEN || memcmp(p, again, n) != 0)
            abort();
    } else if (mend && n == STATE_LEN) {
        /* all fields are read before the sum is looked at */
        state_encode(s, &st, again);
        if (state_decode(s, again, sizeof again, &st) == 0 &&
            (st.next <= st.snap_index || st.first > st.snap_index + 1 || st.node == 0))
            abort();
    }
}

static void try_entry(struct sums *s, const uint8_t *p, size_t n, bool mend)
{
    struct consensus_entry e;
    uint8_t *again = malloc(n + ENTRY_HEAD);

    if (again && entry_decode(s, INDEX, p, n, &e) == 0) {
        entry_encode(s, INDEX, &e, again);
        if (e.len + ENTRY_HEAD != n || memcmp(p, again, n) != 0)
            abort();
    } else if (again && mend && n >= ENTRY_HEAD) {
        e = (struct consensus_entry){ .term = 5, .kind = p[0], .data = p, .len = n };
        entry_encode(s, INDEX, &e, again);
        if (entry_decode(s, INDEX, again, n + ENTRY_HEAD, &e) < 0 || e.len != n ||
            memcmp(e.data, p, n) != 0 || entry_decode(s, INDEX + 1, again, n + ENTRY_HEAD, &e) == 0)
            abort();
    }
    free(again);
}

static void try_snapshot(struct sums *s, const uint8_t *p, size_t n, bool mend)
{
    struct consensus_snapshot sn;
    uint8_t head[SNAPSHOT_HEAD], again[SNAPSHOT_HEAD];

    if (n < SNAPSHOT_HEAD)
        return;
    memcpy(head, p, sizeof head);
    if (snapshot_decode_head(head, n, &sn) < 0)
        return;
    if (sn.conf_len + sn.len != n - SNAPSHOT_HEAD)
        abort();
    sn.conf = p + SNAPSHOT_HEAD;
    sn.data = (void *)(uintptr_t)(p + SNAPSHOT_HEAD + sn.conf_len);
    snapshot_encode_head(s, &sn, again);
    if (mend)
        memcpy(head, again, sizeof head);
    if (snapshot_check(s, head, &sn) && memcmp(head, again, sizeof head) != 0)
        abort();
    if (mend && !snapshot_check(s, head, &sn))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const tries[])(struct sums *, const uint8_t *, size_t,
                                 bool) = { try_state, try_entry, try_snapshot };
    static struct sums *sums;

    if (!sums)
        sums = sums_create();
    if (sums && n > 0)
        tries[(data[0] & 0x7f) % 3](sums, data + 1, n - 1, data[0] & 0x80);
    return 0;
}

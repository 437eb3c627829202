/*
 * replica_log.c - the log of consensus on this machine's disk, as lines for people.
 *
 *     INDEX TERM KIND TEXT
 *
 * KIND: command (TEXT is its JSON), change (of the seats: who has which role), barrier.
 */
#include "cluster/consensus_msg.h"
#include "cluster/replica_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>

#define TEXT_MAX 4096 /* of one entry; what is longer is cut */

static void put_command(struct obuf *out, const struct consensus_entry *entry)
{
    obuf_put(out, entry->data, entry->len < TEXT_MAX ? entry->len : TEXT_MAX);
    obuf_puts(out, entry->len > TEXT_MAX ? "..." : "");
}

static void put_change(struct obuf *out, const struct consensus_entry *entry)
{
    cleanup_free struct consensus_server *v = NULL;
    struct oerr e = { "" };
    size_t n = 0;

    if (consensus_conf_decode(entry->data, entry->len, &v, &n, &e) < 0)
        obuf_puts(out, e.text);
    for (size_t i = 0; i < n; i++)
        obuf_printf(out, "%s%s %s", i ? ", " : "", v[i].id, consensus_role_name(v[i].role));
}

static const struct {
    const char *name;
    void (*put)(struct obuf *out, const struct consensus_entry *entry);
} kinds[] = {
    [ENTRY_COMMAND] = { "command", put_command },
    [ENTRY_BARRIER] = { "barrier", NULL },
    [ENTRY_CHANGE] = { "change", put_change },
};

static int put_entry(void *arg, uint64_t index, const struct consensus_entry *entry)
{
    struct obuf *out = arg;
    bool known = entry->kind < ARRAY_SIZE(kinds) && kinds[entry->kind].name;

    obuf_printf(out, "%" PRIu64 " %" PRIu64 " %s", index, entry->term,
                known ? kinds[entry->kind].name : "unknown");
    if (known && kinds[entry->kind].put) {
        obuf_puts(out, " ");
        kinds[entry->kind].put(out, entry);
    }
    obuf_puts(out, "\n");
    return out->bad;
}

int replica_log(struct replica *r, struct obuf *out, struct oerr *e)
{
    int rc;

    if (!r->disk)
        return oerr_set(e, -EAGAIN, "the log of the registry is not open: %s", r->trouble);
    rc = raft_disk_list(r->disk, put_entry, out, e);
    return rc < 0 ? rc : obuf_check(out);
}

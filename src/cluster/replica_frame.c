/*
 * replica_frame.c - messages of consensus between replicas, each with the id of its registry.
 *
 *     length of the id (1 byte), id, message of consensus
 *
 * A fresh replica belongs to the first registry whose messages reach it, by the file `<dir>/bound`:
 * two leaders may try to add it at the same time, and their logs must not mix. Only one that has
 * not got anything from it but the first words, and hears no more of it, may choose anew.
 */
#include "cluster/replica_private.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SILENT_MS 5000

static void path_of(const struct replica *r, char path[4300])
{
    snprintf(path, 4300, "%s/bound", r->dir);
}

static const char *own_id(const struct replica *r)
{
    return r->mine.registry[0] ? r->mine.registry : r->bound;
}

void frame_send(struct replica *r, const char *id, const void *message, size_t len)
{
    const char *registry = own_id(r);
    size_t n = strlen(registry);
    uint8_t *frame;

    if (r->closing || n == 0 || !(frame = malloc(1 + n + len)))
        return;
    frame[0] = (uint8_t)n;
    memcpy(frame + 1, registry, n);
    memcpy(frame + 1 + n, message, len);
    cluster_tell(r->cluster, id, frame, 1 + n + len);
    free(frame);
}

static bool bind_to(struct replica *r, const char *registry)
{
    struct oerr e = { "" };
    char path[4300];

    path_of(r, path);
    if (file_replace(path, registry, strlen(registry), &e) < 0) {
        log_error("registry", "%s", e.text);
        return false;
    }
    snprintf(r->bound, sizeof r->bound, "%s", registry);
    log_info("registry", "taken into registry %.8s", registry);
    return true;
}

bool frame_take(struct replica *r, const void *frame, size_t len, const void **message,
                size_t *size)
{
    const uint8_t *p = frame;
    const struct consensus_server *v;
    char registry[REGISTRY_ID];
    uint64_t now = now_ms();

    if (len < 1 || p[0] == 0 || p[0] >= REGISTRY_ID || len < 1u + p[0] || memchr(p + 1, 0, p[0]))
        return false;
    memcpy(registry, p + 1, p[0]);
    registry[p[0]] = '\0';
    *message = p + 1 + p[0];
    *size = len - 1 - p[0];
    if (!own_id(r)[0] && !bind_to(r, registry))
        return false;
    if (strcmp(own_id(r), registry) == 0) {
        r->bound_ms = now;
        return true;
    }
    if (!r->mine.registry[0] && now - r->bound_ms >= SILENT_MS &&
        consensus_servers(r->consensus, &v) == 0)
        r->wipe = true; /* nothing but a term can be on the disk */
    return false;
}

int frame_open(struct replica *r, struct oerr *e)
{
    char path[4300];
    int rc;

    path_of(r, path);
    registry_id(r->registry, r->mine.registry);
    rc = file_read(path, false, r->bound, sizeof r->bound, e);
    r->bound_ms = now_ms();
    return rc == -ENOENT ? 0 : rc;
}

void frame_wiped(struct replica *r)
{
    char path[4300];

    path_of(r, path);
    if (unlink(path) < 0 && errno != ENOENT)
        log_error("registry", "%s cannot be removed: %s", path, strerror(errno));
    r->bound[0] = '\0';
}

/*
 * cluster_join.c - how a machine without the cluster key gets in: by a token, or accepted.
 *
 * A token carries the address and key of the machine that made it. JOIN ({"token", "self"}) is
 * asked there; the answer ({"key"}) travels under CURVE to the asker alone.
 *
 * Whom an operator accepted is kept in `accepted` of the machine's folder, by id and key. Its
 * beacons prove nothing to us, and so when one comes (after a restart of either) it is greeted:
 * only the holder of that key can answer HELLO, and what it says of itself then counts as that of a
 * machine of ours.
 */
#include "cluster/cluster_private.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define JOIN_MS      5000
#define JOIN_TRIES   3
#define GREET_MS     2000
#define GREET_GAP_MS 100

struct joining {
    struct cluster *c;
    int rc;
    struct oerr *e;
};

static int from_hex(const char *hex, uint8_t *out, size_t n)
{
    if (strlen(hex) != 2 * n)
        return -EPROTO;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return -EPROTO;
        out[i] = (uint8_t)byte;
    }
    return 0;
}

static void joined(void *arg, int rc, json_t *body, const char *text)
{
    struct joining *j = arg;
    uint8_t key[CLUSTER_KEY];
    const char *hex;

    if (rc < 0) {
        j->rc = oerr_set(j->e, rc, "the token's machine does not let us in: %s", text);
    } else if (json_unpack(body, "{s:s}", "key", &hex) < 0 || from_hex(hex, key, sizeof key) < 0) {
        j->rc = oerr_set(j->e, -EPROTO, "the token's machine answered nonsense");
    } else {
        j->rc = identity_set_cluster_key(j->c->me, key, j->e);
        explicit_bzero(key, sizeof key);
    }
    loop_stop(j->c->core);
}

int join_by_token(struct cluster *c, const char *text, struct oerr *e)
{
    struct joining j = { .c = c, .e = e };
    char address[64], *colon;
    struct token token;
    json_t *body;
    int rc = token_parse(text, &token, e);

    if (rc < 0)
        return rc;
    snprintf(address, sizeof address, "%s", token.address);
    colon = strrchr(address, ':');
    if (!colon)
        return oerr_set(e, -EINVAL, "the token names no port");
    *colon = '\0';
    for (int i = 0; i < JOIN_TRIES; i++) {
        body = json_pack("{s:s, s:o}", "token", text, "self", peer_info_encode(&c->self));
        rc = bus_ask_stranger(c->bus, address, (uint16_t)atoi(colon + 1), token.curve_public,
                              BUS_JOIN, body, JOIN_MS, joined, &j, NULL);
        if (rc < 0)
            return oerr_set(e, rc, "cannot ask %s: %s", token.address, strerror(-rc));
        loop_run(c->core);
        if (j.rc != -EHOSTUNREACH)
            return j.rc;
    }
    return oerr_set(e, -EHOSTUNREACH, "%s at %s, which made the token, does not answer", token.id,
                    token.address);
}

void join_asked(struct cluster *c, struct bus_ask *ask, const json_t *body)
{
    char hex[2 * CLUSTER_KEY + 1];
    struct oerr e = { "" };
    struct peer_info peer;
    struct token token;
    const char *text;
    int rc;

    if (json_unpack((json_t *)body, "{s:s}", "token", &text) < 0 ||
        peer_info_decode(json_object_get(body, "self"), &peer) < 0) {
        bus_refuse(ask, -EPROTO, "a join needs a token and a description of who asks");
        return;
    }
    rc = token_parse(text, &token, &e);
    if (rc == 0)
        rc = token_check(c->me, &token, wall_us(), &e);
    if (rc < 0) {
        log_warn("cluster", "%s asked to join: %s", peer.id, e.text);
        bus_refuse(ask, rc, "%s", e.text);
        return;
    }
    log_info("cluster", "%s joins by a token", peer.id);
    for (size_t i = 0; i < CLUSTER_KEY; i++)
        sprintf(hex + 2 * i, "%02x", c->me->cluster_key[i]);
    bus_answer(ask, json_pack("{s:s}", "key", hex));
    explicit_bzero(hex, sizeof hex);
}

int cluster_token(struct cluster *c, uint64_t ttl_us, struct obuf *out, struct oerr *e)
{
    char address[64], text[TOKEN_MAX];
    int rc;

    if (strlen(c->self.address) > 50 || !c->self.address[0])
        return oerr_set(e, -EADDRNOTAVAIL,
                        "this machine does not know its own address yet; set one with --listen");
    snprintf(address, sizeof address, "%.50s:%u", c->self.address, c->self.req_port);
    rc = token_make(c->me, address, ttl_us, text, e);
    if (rc == 0)
        obuf_printf(out, "%s\n", text);
    return rc;
}

static void accepted_path(const struct cluster *c, char path[4200])
{
    snprintf(path, 4200, "%s/accepted", c->me->dir);
}

int accepted_load(struct cluster *c, struct oerr *e)
{
    char path[4200], text[65536];
    int rc;

    accepted_path(c, path);
    rc = file_read(path, false, text, sizeof text, e);
    if (rc == -ENOENT) {
        c->accepted = json_object();
        return c->accepted ? 0 : -ENOMEM;
    }
    if (rc < 0)
        return rc;
    c->accepted = json_loads(text, 0, NULL);
    if (!json_is_object(c->accepted))
        return oerr_set(e, -EBADMSG, "%s is damaged: remove it and accept those machines again",
                        path);
    return 0;
}

static bool accepted_has(const struct cluster *c, const char *id, const char *key)
{
    const char *known = json_string_value(json_object_get(c->accepted, id));

    return known && strcmp(known, key) == 0;
}

struct greeting {
    struct cluster *c;
    struct peer_info seen;
};

static void greeted(void *arg, int rc, json_t *body, const char *text)
{
    struct greeting *g = arg;
    struct cluster *c = g->c;
    struct peer_info p;

    if (rc < 0) {
        log_debug("cluster", "%s at %s does not answer: %s", g->seen.id, g->seen.address, text);
    } else if (peer_info_decode(json_object_get(body, "self"), &p) == 0 && !c->leaving &&
               strcmp(p.id, g->seen.id) == 0 && accepted_has(c, p.id, p.curve_public)) {
        strcpy(p.address, g->seen.address);
        member_seen(c->member, now_ms(), &p, true);
        rearm(c);
    }
    free(g);
}

/* Whether a beacon says of one that is trusted what is not known: a restart, or, while it is not
 * heard, another place. */
static bool news(const struct member_view *v, const struct peer_info *p)
{
    bool silent = v->state == MEMBER_SUSPECT || v->state == MEMBER_DEAD;

    return p->incarnation > v->info.incarnation ||
           (silent && p->incarnation == v->info.incarnation &&
            (strcmp(p->address, v->info.address) != 0 || p->req_port != v->info.req_port));
}

void accepted_seen(struct cluster *c, const struct peer_info *p)
{
    const struct member_view *v = member_find(c->member, p->id);
    struct greeting *g;

    if (!v || now_ms() < c->greet_ms || !accepted_has(c, p->id, p->curve_public) ||
        (v->trusted && !news(v, p)) || !(g = malloc(sizeof *g)))
        return;
    c->greet_ms = now_ms() + GREET_GAP_MS;
    *g = (struct greeting){ .c = c, .seen = *p };
    if (bus_ask_stranger(c->bus, p->address, p->req_port, p->curve_public, BUS_HELLO, json_object(),
                         GREET_MS, greeted, g, NULL) < 0)
        free(g);
}

int accepted_set(struct cluster *c, const char *id, const char *key, struct oerr *e)
{
    char path[4200], *text;
    int rc;

    if (key && json_object_size(c->accepted) >= ACCEPTED_MAX)
        return oerr_set(e, -ENOSPC, "%d machines have been accepted already; forget some",
                        ACCEPTED_MAX);
    if (key)
        json_object_set_new(c->accepted, id, json_string(key));
    else if (json_object_del(c->accepted, id) < 0)
        return 0;
    text = json_dumps(c->accepted, JSON_INDENT(1));
    if (!text)
        return -ENOMEM;
    accepted_path(c, path);
    rc = file_replace(path, text, strlen(text), e);
    free(text);
    return rc;
}

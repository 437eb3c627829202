/*
 * cluster_wire.c - peers and member views as JSON: one encode and decode pair each.
 *
 * peer: {"id", "cluster", "inc", "key", "fp", "addr", "req", "pub", "link"}
 * view: the peer's keys and "state", "trusted", "word"
 */
#include "cluster/cluster_private.h"

#include <errno.h>
#include <string.h>

json_t *peer_info_encode(const struct peer_info *p)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:i, s:i}", "id", p->id, "cluster",
                     p->cluster, "inc", (json_int_t)p->incarnation, "key", p->curve_public, "fp",
                     p->fingerprint, "addr", p->address, "req", p->req_port, "pub", p->pub_port,
                     "link", p->link_port);
}

static bool take(char *to, size_t size, const char *from)
{
    if (strlen(from) >= size)
        return false;
    strcpy(to, from);
    return true;
}

int peer_info_decode(const json_t *j, struct peer_info *p)
{
    const char *id, *cluster, *key, *fp, *addr;
    int req, pub, link;
    json_int_t inc;

    memset(p, 0, sizeof *p);
    if (json_unpack((json_t *)j, "{s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:i, s:i}", "id", &id,
                    "cluster", &cluster, "inc", &inc, "key", &key, "fp", &fp, "addr", &addr, "req",
                    &req, "pub", &pub, "link", &link) < 0)
        return -EPROTO;
    if (identity_check_id(id, NULL) < 0 || inc < 0 || strlen(key) != KEY_Z85 - 1 ||
        strlen(fp) != FINGERPRINT - 1 || req < 0 || req > 65535 || pub < 0 || pub > 65535 ||
        link < 0 || link > 65535)
        return -EPROTO;
    if (!take(p->id, sizeof p->id, id) || !take(p->cluster, sizeof p->cluster, cluster) ||
        !take(p->curve_public, sizeof p->curve_public, key) ||
        !take(p->fingerprint, sizeof p->fingerprint, fp) ||
        !take(p->address, sizeof p->address, addr))
        return -EPROTO;
    p->incarnation = (uint64_t)inc;
    p->req_port = (uint16_t)req;
    p->pub_port = (uint16_t)pub;
    p->link_port = (uint16_t)link;
    return 0;
}

json_t *member_view_encode(const struct member_view *v)
{
    json_t *j = peer_info_encode(&v->info);

    json_object_set_new(j, "state", json_string(member_state_name(v->state)));
    json_object_set_new(j, "trusted", json_boolean(v->trusted));
    json_object_set_new(j, "word", json_integer(v->word));
    return j;
}

int member_view_decode(const json_t *j, struct member_view *v)
{
    const char *state;
    json_int_t word;
    int trusted;

    memset(v, 0, sizeof *v);
    if (peer_info_decode(j, &v->info) < 0 ||
        json_unpack((json_t *)j, "{s:s, s:b, s:I}", "state", &state, "trusted", &trusted, "word",
                    &word) < 0 ||
        word < 0 || word > UINT32_MAX)
        return -EPROTO;
    v->trusted = trusted;
    v->word = (uint32_t)word;
    for (int s = MEMBER_PENDING; s <= MEMBER_GONE; s++)
        if (strcmp(state, member_state_name((enum member_state)s)) == 0) {
            v->state = (enum member_state)s;
            return 0;
        }
    return -EPROTO;
}

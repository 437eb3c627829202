/*
 * pipe_stat.c - the counts of pipes/status: every machine tells its part, and shows the sum.
 *
 * Topic "pipes": {"seq": N, "parts": [[UID, readers, writers, in, out, buffered]...]}, always all
 * of a machine's parts; told at most ten times a second, when they changed. A machine that holds
 * the buffer counts its ends, of which one writer each are the channels of other machines'
 * outboxes; an outbox counts its other writers and what waits in it.
 */
#include "run/pipes_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define TELL_MS 100

struct pipe_seq {
    char machine[ID_MAX];
    uint64_t seq;
    UT_hash_handle hh;
};

static json_t *own_parts(struct pipes *p)
{
    json_t *parts = json_array();

    for (struct pipe_flow *pf = p->flows; pf; pf = pf->hh.next) {
        bool holds = pf->epoch != 0;
        unsigned writers;
        struct flow_stat st;

        flow_stat(pf->flow, &st);
        if (!holds) {
            st.bytes_in = pf->in_at;
            st.bytes_out = pf->out_at;
        }
        writers = st.writers - (pf->pump && st.writers) - (pf->guard != NULL);
        json_array_append_new(parts, json_pack("[I, i, i, I, I, I]", (json_int_t)pf->uid,
                                               holds ? (int)st.readers : 0, (int)writers,
                                               (json_int_t)(pf->in + st.bytes_in - pf->in_at),
                                               (json_int_t)(pf->out + st.bytes_out - pf->out_at),
                                               (json_int_t)st.buffered));
    }
    return parts;
}

static json_t *own_all(void *arg)
{
    struct pipes *p = arg;

    return json_pack("{s:I, s:o}", "seq", (json_int_t)p->seq, "parts", own_parts(p));
}

static uint64_t own_seq(void *arg)
{
    return ((struct pipes *)arg)->seq;
}

static void tell(uv_timer_t *timer)
{
    struct pipes *p = container_of(timer, struct pipes, tell);
    json_t *parts = own_parts(p);

    if (json_equal(parts, p->told)) {
        json_decref(parts);
        return;
    }
    json_decref(p->told);
    p->told = parts;
    p->seq++;
    cluster_publish(p->cluster, "pipes", own_all(p));
}

void pipe_stat_changed(struct pipes *p)
{
    if (!p->closing && !uv_is_active((uv_handle_t *)&p->tell))
        uv_timer_start(&p->tell, tell, TELL_MS, 0);
}

static void drop_parts(struct pipes *p, const char *machine)
{
    struct pipe_part *part, *next;

    HASH_ITER (hh, p->parts, part, next)
        if (strcmp(part->key.machine, machine) == 0) {
            HASH_DEL(p->parts, part);
            free(part);
        }
}

void pipe_stat_lost(struct pipes *p, const char *machine)
{
    drop_parts(p, machine);
}

static void key_of(struct part_key *key, const char *machine, uint64_t uid)
{
    *key = (struct part_key){ .uid = uid };
    strncpy(key->machine, machine, sizeof key->machine - 1);
}

bool pipe_stat_writing(const struct pipes *p, const char *machine, uint64_t uid)
{
    struct pipe_part *part;
    struct part_key key;

    key_of(&key, machine, uid);
    HASH_FIND(hh, p->parts, &key, sizeof key, part);
    return part && (part->writers || part->buffered);
}

static struct pipe_seq *seq_of(struct pipes *p, const char *machine)
{
    struct pipe_seq *s;

    HASH_FIND_STR(p->seqs, machine, s);
    return s;
}

static int take_parts(void *arg, const char *from, const json_t *all)
{
    struct pipes *p = arg;
    struct pipe_seq *s = seq_of(p, from);
    json_t *parts, *row;
    json_int_t seq;
    size_t i;

    if (json_unpack((json_t *)all, "{s:I, s:o}", "seq", &seq, "parts", &parts) < 0)
        return -EPROTO;
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return -ENOMEM;
        snprintf(s->machine, sizeof s->machine, "%s", from);
        HASH_ADD_STR(p->seqs, machine, s);
    }
    s->seq = (uint64_t)seq;
    drop_parts(p, from);
    json_array_foreach (parts, i, row) {
        struct pipe_part *part = calloc(1, sizeof *part);
        json_int_t uid;

        if (!part || json_unpack(row, "[I, I, I, I, I, I]", &uid, &part->readers, &part->writers,
                                 &part->in, &part->out, &part->buffered) < 0) {
            free(part);
            return -EPROTO;
        }
        key_of(&part->key, from, (uint64_t)uid);
        HASH_ADD(hh, p->parts, key, sizeof part->key, part);
    }
    return 0;
}

static bool behind(void *arg, const char *from, uint64_t seq)
{
    struct pipe_seq *s = seq_of(arg, from);

    return !s || s->seq != seq;
}

void pipe_stat_init(struct pipes *p)
{
    p->seq = 1;
    p->topic = (struct cluster_topic){ .name = "pipes",
                                       .seq = own_seq,
                                       .all = own_all,
                                       .apply = take_parts,
                                       .replace = take_parts,
                                       .behind = behind,
                                       .arg = p };
}

void pipe_stat_free(struct pipes *p)
{
    struct pipe_part *part, *next;
    struct pipe_seq *s, *next_s;

    HASH_ITER (hh, p->parts, part, next) {
        HASH_DEL(p->parts, part);
        free(part);
    }
    HASH_ITER (hh, p->seqs, s, next_s) {
        HASH_DEL(p->seqs, s);
        free(s);
    }
    json_decref(p->told);
}

static void add_row(struct pipe_part *sum, const json_t *row)
{
    sum->readers += json_integer_value(json_array_get(row, 1));
    sum->writers += json_integer_value(json_array_get(row, 2));
    sum->buffered += json_integer_value(json_array_get(row, 5));
    sum->in += json_integer_value(json_array_get(row, 3));
    sum->out += json_integer_value(json_array_get(row, 4));
}

void pipes_status(struct pipes *p, struct obuf *out)
{
    json_t *own = own_parts(p), *row;
    size_t k;

    obuf_puts(out, "name mode readers writers bytes_in bytes_out buffered machine\n");
    for (size_t i = 0; i < pn_count(p->names); i++) {
        const struct pipe_info *info = pn_at(p->names, i);
        struct pipe_part sum = { 0 };

        json_array_foreach (own, k, row)
            if ((uint64_t)json_integer_value(json_array_get(row, 0)) == info->uid)
                add_row(&sum, row);
        for (struct pipe_part *part = p->parts; part; part = part->hh.next)
            if (part->key.uid == info->uid && cluster_reachable(p->cluster, part->key.machine)) {
                sum.readers += part->readers;
                sum.writers += part->writers;
                sum.buffered += part->buffered;
                sum.in += part->in;
                sum.out += part->out;
            }
        obuf_quote(out, info->name);
        obuf_printf(out, " %s %lld %lld %lld %lld %lld %s\n",
                    info->mode == FLOW_BROADCAST ? "broadcast" : "stream", sum.readers, sum.writers,
                    sum.in, sum.out, sum.buffered, info->holder[0] ? info->holder : "-");
    }
    json_decref(own);
}

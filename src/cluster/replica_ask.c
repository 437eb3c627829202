/*
 * replica_ask.c - commands and barriers under way: ours, and those that other machines bring to us
 * as the leader.
 *
 *   WAIT --leads here--> PROPOSED --+
 *   WAIT --leader is known--> ASKED +--applied here--> ended        (a command)
 *                                   +--index--> INDEX --applied as far--> ended   (a barrier)
 *   any --another leader or term, refused, lost--> WAIT;  any --deadline--> ended, -EAGAIN
 *
 * A command keeps its serial through all attempts, and the registry carries out a serial once. It
 * ends when it comes by among what is applied here, whoever tells us first.
 *
 * BUS_REGISTRY: {"do": "submit", "cmd": TEXT, "later": BOOL} and {"do": "barrier"} are answered
 * {"index": N}. What may come later the leader holds for company (replica_hold.c).
 */
#include "cluster/replica_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS   100  /* a leader that did not take it is asked again */
#define ATTEMPT_MS 1500 /* a leader that does not answer for so long is asked again */

struct attempt {
    struct replica *r;
    uint64_t key, n;
};

static void end(struct replica *r, struct asked *a, int rc, const json_t *body, const char *text)
{
    HASH_DEL(r->asked, a);
    if (a->at == AT_INDEX)
        r->indexed--;
    if (a->done)
        a->done(a->arg, rc, body, text);
    json_decref(a->cmd);
    free(a->text);
    free(a);
}

static struct asked *find(struct replica *r, uint64_t key)
{
    struct asked *a = NULL;

    HASH_FIND(hh, r->asked, &key, sizeof key, a);
    return a;
}

/* Takes the attempt; NULL when another one counts by now. */
static struct asked *attempted(struct attempt *t)
{
    struct asked *a = find(t->r, t->key);

    if (a && a->attempt != t->n)
        a = NULL;
    free(t);
    return a;
}

static void again(struct asked *a)
{
    a->at = AT_WAIT;
    a->retry_ms = now_ms() + RETRY_MS;
}

static void indexed(struct replica *r, struct asked *a, uint64_t index)
{
    if (a->cmd)
        return; /* it ends when it comes by */
    a->index = index;
    a->at = AT_INDEX;
    r->indexed++;
}

static void on_index(void *arg, int rc, uint64_t index)
{
    struct attempt *t = arg;
    struct replica *r = t->r;
    struct asked *a = attempted(t);

    if (!a)
        return;
    if (rc == 0)
        indexed(r, a, index);
    else
        again(a);
}

static void on_answer(void *arg, int rc, json_t *body, const char *text)
{
    struct attempt *t = arg;
    struct replica *r = t->r;
    struct asked *a = attempted(t);
    json_int_t index;

    if (!a)
        return;
    replica_enter(r);
    if (rc == -EPROTONOSUPPORT)
        end(r, a, rc, NULL, text);
    else if (rc == 0 && json_unpack(body, "{s:I}", "index", &index) == 0)
        indexed(r, a, (uint64_t)index);
    else
        again(a);
    replica_settle(r);
}

static int write_down(struct asked *a)
{
    if (a->cmd && !a->text)
        a->text = json_dumps(a->cmd, JSON_COMPACT);
    return a->cmd && !a->text ? -ENOMEM : 0;
}

static int propose_here(struct replica *r, struct asked *a, struct attempt *t)
{
    if (!a->cmd)
        return consensus_read_index(r->consensus, on_index, t);
    return hold_propose(r, a->text, strlen(a->text), a->later, on_index, t);
}

static int ask_leader(struct replica *r, struct asked *a, const char *leader, struct attempt *t)
{
    uint64_t now = now_ms();
    unsigned left = a->deadline > now ? (unsigned)(a->deadline - now) : 1;
    json_t *body;
    int rc;

    if (a->cmd)
        body = json_pack("{s:s, s:s, s:b}", "do", "submit", "cmd", a->text, "later", a->later);
    else
        body = json_pack("{s:s}", "do", "barrier");
    rc = cluster_ask(r->cluster, leader, BUS_REGISTRY, body, left < ATTEMPT_MS ? left : ATTEMPT_MS,
                     on_answer, t, NULL);
    if (rc == 0 && HASH_COUNT(r->asked) == 1)
        cluster_push(r->cluster); /* alone it need not wait for company */
    return rc;
}

static void try(struct replica *r, struct asked *a)
{
    char leader[ID_MAX];
    bool here = consensus_is_leader(r->consensus);
    struct attempt *t;
    int rc;

    if ((!here && consensus_leader(r->consensus, leader) == 0) || !(t = malloc(sizeof *t)))
        return;
    a->attempt = ++r->attempts;
    *t = (struct attempt){ .r = r, .key = a->key, .n = a->attempt };
    a->at = here ? AT_PROPOSED : AT_ASKED;
    rc = write_down(a);
    if (rc == 0)
        rc = here ? propose_here(r, a, t) : ask_leader(r, a, leader, t);
    if (rc < 0) {
        free(t);
        again(a);
    }
}

/* What another leader has may never come; the new one must be asked. */
static void follow_leader(struct replica *r)
{
    char id[ID_MAX];
    uint64_t term = consensus_term(r->consensus), leader = consensus_leader(r->consensus, id);
    struct asked *a, *next;

    if (term == r->seen_term && leader == r->seen_leader)
        return;
    r->seen_term = term;
    r->seen_leader = leader;
    HASH_ITER (hh, r->asked, a, next) {
        if (a->at == AT_PROPOSED || a->at == AT_ASKED) {
            a->at = AT_WAIT;
            a->attempt = 0;
        }
        if (a->at == AT_WAIT)
            a->retry_ms = 0;
    }
    r->waiting = true;
}

static void late(struct replica *r, struct asked *a)
{
    struct replica_health h;
    char text[400];

    replica_health(r, &h);
    if (h.trouble[0])
        snprintf(text, sizeof text, "%s", h.trouble);
    else
        snprintf(
            text, sizeof text,
            "the registry did not answer in time; %s may have been done, look before you ask again",
            a->cmd ? json_string_value(json_object_get(a->cmd, "cmd")) : "nothing");
    end(r, a, -EAGAIN, NULL, text);
}

void asked_settle(struct replica *r)
{
    uint64_t now = now_ms(), applied = replica_applied(r);
    struct asked *a, *next;

    follow_leader(r);
    if (!r->waiting && !r->indexed && now < r->late_ms)
        return;
    r->late_ms = now + RETRY_MS;
    r->waiting = false;
    HASH_ITER (hh, r->asked, a, next) {
        if (a->at == AT_INDEX && a->index <= applied)
            end(r, a, 0, NULL, "");
        else if (now >= a->deadline)
            late(r, a);
        else if (a->at == AT_WAIT && now >= a->retry_ms)
            try(r, a);
    }
}

/* The state came as a whole: what was carried out in it is told when it is asked again. */
void asked_restored(struct replica *r)
{
    struct asked *a, *next;

    HASH_ITER (hh, r->asked, a, next) {
        if (a->at == AT_INDEX)
            r->indexed--;
        a->at = AT_WAIT;
        a->attempt = a->retry_ms = 0;
        if (a->cmd)
            json_array_set_new(json_object_get(a->cmd, "from"), 0, json_string(r->origin));
        advice_drop(a->cmd);
        free(a->text);
        a->text = NULL;
    }
    r->waiting = true;
}

/* What formation and placement look at. */
static void look(struct replica *r, const json_t *cmd)
{
    static const char *const of_interest[] = { "registry.", "member.", "service." };
    const char *name = json_string_value(json_object_get(cmd, "cmd"));

    for (size_t i = 0; name && i < ARRAY_SIZE(of_interest); i++)
        if (strncmp(name, of_interest[i], strlen(of_interest[i])) == 0)
            r->look = r->look_services = true;
}

void asked_applied(void *arg, uint64_t index, const json_t *cmd,
                   const struct registry_result *result)
{
    struct replica *r = arg;
    const json_t *from = json_object_get(cmd, "from");
    const char *origin = json_string_value(json_array_get(from, 0));
    struct asked *a;

    (void)index;
    look(r, cmd);
    advice_told(r, cmd, result);
    if (!origin || strcmp(origin, r->origin) != 0)
        return;
    a = find(r, (uint64_t)json_integer_value(json_array_get(from, 1)));
    if (a && a->cmd)
        end(r, a, result->rc, result->body, result->words.text);
}

void asked_cancel_all(struct replica *r)
{
    while (r->asked)
        end(r, r->asked, -ECANCELED, NULL, "the daemon is stopping");
}

/* ---- asking */

static struct asked *begin(struct replica *r, unsigned deadline_ms, replica_done *done, void *arg)
{
    struct asked *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->key = ++r->last_serial;
    a->deadline = now_ms() + deadline_ms;
    a->done = done;
    a->arg = arg;
    HASH_ADD(hh, r->asked, key, sizeof a->key, a);
    return a;
}

/* Goes out at once, but not from inside an event: the engine is at work then. But while it tells
 * what was applied it takes more, and what comes of that goes out together with the news. */
static void go(struct replica *r, struct asked *a)
{
    if (r->failed || r->wipe || (r->in_event && !r->flushing)) {
        r->waiting = true;
        return;
    }
    if (r->flushing) {
        try(r, a);
        return;
    }
    replica_enter(r);
    try(r, a);
    replica_settle(r);
}

static json_t *stamped(struct replica *r, const char *cmd, json_t *fields)
{
    uint64_t serial = r->last_serial + 1;
    json_int_t floor = (json_int_t)(r->asked ? r->asked->key : serial);

    if (!fields || json_object_set_new(fields, "v", json_integer(REGISTRY_SCHEMA)) < 0 ||
        json_object_set_new(fields, "cmd", json_string(cmd)) < 0 ||
        json_object_set_new(fields, "at_us", json_integer((json_int_t)wall_us())) < 0 ||
        json_object_set_new(fields, "from",
                            json_pack("[s, I, I]", r->origin, (json_int_t)serial, floor)) < 0) {
        json_decref(fields);
        return NULL;
    }
    return fields;
}

static int submit(struct replica *r, const char *cmd, json_t *fields, bool later,
                  unsigned deadline_ms, replica_done *done, void *arg)
{
    struct asked *a;
    char *text;

    fields = stamped(r, cmd, fields);
    text = fields ? advice_text(r, fields) : NULL;
    if (fields && !text)
        text = json_dumps(fields, JSON_COMPACT);
    a = text && strlen(text) <= COMMAND_MAX ? begin(r, deadline_ms, done, arg) : NULL;
    if (!a) {
        int rc = text && strlen(text) > COMMAND_MAX ? -EMSGSIZE : -ENOMEM;

        json_decref(fields);
        free(text);
        return rc;
    }
    a->cmd = fields;
    a->text = text;
    a->later = later;
    go(r, a);
    return 0;
}

int replica_submit(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                   replica_done *done, void *arg)
{
    return submit(r, cmd, fields, false, deadline_ms, done, arg);
}

int replica_submit_later(struct replica *r, const char *cmd, json_t *fields, unsigned deadline_ms,
                         replica_done *done, void *arg)
{
    return submit(r, cmd, fields, true, deadline_ms, done, arg);
}

int replica_barrier(struct replica *r, unsigned deadline_ms, replica_done *done, void *arg)
{
    struct asked *a = begin(r, deadline_ms, done, arg);

    if (!a)
        return -ENOMEM;
    r->waiting = true; /* an only voter would answer at once, from inside this call */
    replica_soon(r);
    return 0;
}

void replica_cancel(struct replica *r, void *arg)
{
    struct asked *a, *next;

    HASH_ITER (hh, r->asked, a, next) {
        if (a->arg == arg)
            a->done = NULL;
    }
}

/* ---- for other machines */

struct served {
    struct replica *r;
    struct bus_ask *ask;
};

static void serve_done(void *arg, int rc, uint64_t index)
{
    struct served *s = arg;

    if (rc == 0)
        bus_answer(s->ask, json_pack("{s:I}", "index", (json_int_t)index));
    else
        bus_refuse(s->ask, -EAGAIN, "%s leads no more", s->r->me->id);
    free(s);
}

/* What is in the log has to be carried out by all: one command of a newer schema would stop every
 * machine that does not know it, this one too. */
static int check_command(const json_t *cmd)
{
    json_int_t schema = json_integer_value(json_object_get(cmd, "v"));

    return schema < 1 ? -EPROTO : schema > REGISTRY_SCHEMA ? -EPROTONOSUPPORT : 0;
}

static int serve_submit(struct replica *r, const json_t *body, struct served *s)
{
    const char *text = json_string_value(json_object_get(body, "cmd"));
    size_t len = json_string_length(json_object_get(body, "cmd"));
    json_t *cmd =
        text && len <= COMMAND_MAX ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    cleanup_free char *advised = NULL;
    int rc = check_command(cmd);

    if (rc == 0 && consensus_is_leader(r->consensus))
        advised = advice_text(r, cmd);
    json_decref(cmd);
    if (rc < 0)
        return rc;
    return hold_propose(r, advised ? advised : text, advised ? strlen(advised) : len,
                        json_is_true(json_object_get(body, "later")), serve_done, s);
}

static int serve_barrier(struct replica *r, const json_t *body, struct served *s)
{
    (void)body;
    return consensus_read_index(r->consensus, serve_done, s);
}

static void refuse(struct replica *r, struct bus_ask *ask, int rc)
{
    if (rc == -EPROTONOSUPPORT)
        bus_refuse(ask, rc,
                   "%s leads the registry and is too old for this command: start a newer oneosd "
                   "there",
                   r->me->id);
    else if (rc == -EPROTO)
        bus_refuse(ask, rc, "a command is a JSON object with `v` and `cmd`");
    else
        bus_refuse(ask, rc, "%s does not lead the registry", r->me->id);
}

void asked_serve(struct replica *r, struct bus_ask *ask, const json_t *body)
{
    static const struct {
        const char *name;
        int (*serve)(struct replica *r, const json_t *body, struct served *s);
    } known[] = { { "submit", serve_submit }, { "barrier", serve_barrier } };
    const char *what = json_string_value(json_object_get(body, "do"));
    struct served *s;
    int rc = -ENOMEM;

    for (size_t i = 0; what && i < ARRAY_SIZE(known); i++) {
        if (strcmp(what, known[i].name) != 0)
            continue;
        s = malloc(sizeof *s);
        if (s) {
            *s = (struct served){ .r = r, .ask = ask };
            rc = known[i].serve(r, body, s);
        }
        if (rc < 0) {
            free(s);
            refuse(r, ask, rc);
        }
        return;
    }
    bus_refuse(ask, -EINVAL, "this version does not know that question about the registry");
}

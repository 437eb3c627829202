/*
 * registry_view.c - reading from any thread: each keeps its readers.
 *
 * A reader of LMDB has a place in its table and costs a system call or two to make, so a thread
 * keeps those that it made and renews them. Who owns what:
 *
 *   the memory of a view    its thread: freed when that ends
 *   its LMDB transaction    the registry or the thread, whichever ends first (under `lock`)
 *   `r` of a view           NULL once the registry was closed; the view then is free for another
 *
 * A view that is open is used by its own thread only. While the map is moved (readers_hold) no view
 * is open: each says `open` first and then looks whether it may.
 */
#include "cluster/registry_private.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#define HOLD_MS 20 /* views last for microseconds */

struct registry_view {
    _Atomic(struct registry *) r;
    MDB_txn *mdb; /* NULL: none yet */
    MDB_dbi dbi;
    atomic_bool open;
    struct registry_view *next_mine; /* of this thread */
    struct registry_view *prev, *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the lists of all registries */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;
static __thread struct registry_view *mine;

static void thread_ends(void *list)
{
    struct registry_view *v = list, *next;
    struct registry *r;

    mine = NULL;
    pthread_mutex_lock(&lock);
    for (; v; v = next) {
        next = v->next_mine;
        r = v->r;
        if (r) {
            mdb_txn_abort(v->mdb);
            DL_DELETE(r->readers.all, v);
        }
        free(v);
    }
    pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
    have_key = pthread_key_create(&key, thread_ends) == 0;
}

int readers_init(struct readers *rs)
{
    rs->all = NULL;
    return -pthread_mutex_init(&rs->hold, NULL);
}

void readers_drop(struct readers *rs)
{
    struct registry_view *v, *tmp;

    pthread_mutex_lock(&lock);
    DL_FOREACH_SAFE(rs->all, v, tmp)
    {
        if (atomic_load(&v->open))
            log_error("registry", "it was closed while somebody read it");
        mdb_txn_abort(v->mdb);
        v->mdb = NULL;
        atomic_store(&v->open, false);
        DL_DELETE(rs->all, v);
        atomic_store(&v->r, NULL);
    }
    pthread_mutex_unlock(&lock);
}

void readers_destroy(struct readers *rs)
{
    readers_drop(rs);
    pthread_mutex_destroy(&rs->hold);
}

static bool any_open(struct readers *rs)
{
    struct registry_view *v;
    bool any = false;

    pthread_mutex_lock(&lock);
    DL_FOREACH(rs->all, v)
    {
        any = any || atomic_load(&v->open);
    }
    pthread_mutex_unlock(&lock);
    return any;
}

int readers_hold(struct readers *rs)
{
    const struct timespec ms = { .tv_nsec = 1000000 };

    pthread_mutex_lock(&rs->hold);
    atomic_store(&rs->held, true);
    for (int i = 0; any_open(rs); i++) {
        if (i == HOLD_MS) {
            readers_go_on(rs);
            return -EBUSY;
        }
        nanosleep(&ms, NULL);
    }
    return 0;
}

void readers_go_on(struct readers *rs)
{
    atomic_store(&rs->held, false);
    pthread_mutex_unlock(&rs->hold);
}

/* A view of this thread that nobody uses; NULL: memory ran out. */
static struct registry_view *view_take(struct registry *r)
{
    struct registry_view *v, *spare = NULL, *placeless = NULL;

    for (v = mine; v; v = v->next_mine) {
        struct registry *of = atomic_load_explicit(&v->r, memory_order_acquire);

        if (!of)
            spare = v;
        else if (of == r && !atomic_load_explicit(&v->open, memory_order_relaxed)) {
            if (v->mdb)
                return v;
            placeless = v; /* the table was full */
        }
    }
    if (placeless)
        return placeless;
    pthread_once(&once, make_key);
    if (!have_key)
        return NULL;
    if (!spare) {
        spare = calloc(1, sizeof *spare);
        if (!spare)
            return NULL;
        spare->next_mine = mine;
        if (pthread_setspecific(key, spare) != 0) {
            free(spare);
            return NULL;
        }
        mine = spare;
    }
    spare->dbi = r->store.dbi;
    pthread_mutex_lock(&lock);
    DL_APPEND(r->readers.all, spare);
    atomic_store(&spare->r, r);
    pthread_mutex_unlock(&lock);
    return spare;
}

/* ---- views */

int registry_read(struct registry *r, struct registry_view **out)
{
    struct registry_view *v = view_take(r);
    int rc;

    if (!v)
        return -ENOMEM;
    for (;;) {
        atomic_store(&v->open, true);
        if (!atomic_load(&r->readers.held))
            break;
        atomic_store(&v->open, false);
        pthread_mutex_lock(&r->readers.hold);
        pthread_mutex_unlock(&r->readers.hold);
    }
    if (v->mdb)
        rc = mdb_txn_renew(v->mdb);
    else
        rc = mdb_txn_begin(r->store.env, NULL, MDB_RDONLY, &v->mdb);
    if (rc != 0) {
        atomic_store(&v->open, false);
        return store_errno(rc);
    }
    *out = v;
    return 0;
}

void registry_view_end(struct registry_view *v)
{
    if (!v)
        return;
    mdb_txn_reset(v->mdb);
    atomic_store_explicit(&v->open, false, memory_order_release);
}

int view_text(struct registry_view *v, const char *k, const char **text, size_t *len)
{
    MDB_val value;
    int rc = store_get(v->mdb, v->dbi, k, &value);

    if (rc != 0)
        return store_errno(rc);
    *text = value.mv_data;
    *len = value.mv_size;
    return 0;
}

int view_get(struct registry_view *v, const char *k, json_t **out)
{
    MDB_val value;
    int rc = store_get(v->mdb, v->dbi, k, &value);

    return rc != 0 ? store_errno(rc) : store_json(&value, out);
}

int view_next(struct registry_view *v, const char *prefix, const char *after,
              char found[REGISTRY_KEY_MAX], json_t **value)
{
    MDB_val text;
    int rc = store_next(v->mdb, v->dbi, prefix, after, found, &text);

    if (rc != 0)
        return store_errno(rc);
    return value ? store_json(&text, value) : 0;
}

uint64_t view_index(const struct registry_view *v)
{
    MDB_val value;
    char text[24];

    if (store_get(v->mdb, v->dbi, KEY_INDEX, &value) != 0 || value.mv_size >= sizeof text)
        return 0;
    memcpy(text, value.mv_data, value.mv_size);
    text[value.mv_size] = '\0';
    return strtoull(text, NULL, 10);
}

void registry_id(struct registry *r, char id[40])
{
    struct registry_view *v;
    json_t *meta = NULL;
    const char *known;

    id[0] = '\0';
    if (registry_read(r, &v) < 0)
        return;
    if (view_get(v, KEY_META, &meta) == 0 &&
        (known = json_string_value(json_object_get(meta, "id"))))
        snprintf(id, 40, "%s", known);
    json_decref(meta);
    registry_view_end(v);
}

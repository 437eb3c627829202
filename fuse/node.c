/*
 * node.c - node ids: a 64-bit hash of the path, so that a restarted daemon gives a file the same
 * id.
 *
 * The table holds the paths of the ids that the kernel knows (it counts its lookups and tells when
 * it forgets). Two paths with one hash: the second gets the next free id, which only costs it the
 * stability. It is the one thing that workers and the core loop share, hence the lock; nothing is
 * called while it is held.
 *
 * Streams that can be written: the kernel lets one write at a time into a node, and who waits for
 * that is deaf to every signal. So while a path is open for writing, each lookup of it gets an id
 * apart. Two that looked up before either opened have one node: the second is told ESTALE, upon
 * which the kernel looks up anew; it is let in when it comes back nevertheless, as it does through
 * /proc/self/fd.
 */
#include "fuse/fuse_private.h"

#include <errno.h>
#include <string.h>
#include <uthash.h>

#define TOLD_MAX 16

struct node {
    uint64_t id, refs;
    unsigned writers;
    UT_hash_handle by_id;
    char path[];
};

/* A path that is open for writing. */
struct written {
    unsigned count;
    UT_hash_handle hh;
    char path[];
};

struct nodes {
    pthread_mutex_t lock;
    struct node *table;
    struct written *written;
    uint64_t apart; /* the last id that was not derived from a path */
    struct told {   /* ESTALE, lately */
        uint64_t id;
        pid_t task;
    } told[TOLD_MAX];
    unsigned next_told;
};

int nodes_create(struct nodes **out)
{
    struct nodes *n = calloc(1, sizeof *n);

    if (!n)
        return -ENOMEM;
    pthread_mutex_init(&n->lock, NULL);
    n->apart = FUSE_ROOT_ID;
    *out = n;
    return 0;
}

void nodes_destroy(struct nodes *n)
{
    struct written *w, *next_w;
    struct node *node, *next;

    if (!n)
        return;
    HASH_ITER (hh, n->written, w, next_w) {
        HASH_DEL(n->written, w);
        free(w);
    }
    HASH_ITER (by_id, n->table, node, next) {
        HASH_DELETE(by_id, n->table, node);
        free(node);
    }
    pthread_mutex_destroy(&n->lock);
    free(n);
}

/* FNV-1a, 64 bits; http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash(const char *path)
{
    uint64_t h = 0xcbf29ce484222325;

    for (; *path; path++)
        h = (h ^ (unsigned char)*path) * 0x100000001b3;
    return h;
}

/* The node of this path, or the free id where it belongs. */
static struct node *find(struct nodes *n, const char *path, uint64_t *id)
{
    struct node *node;

    *id = *path ? hash(path) : FUSE_ROOT_ID;
    for (;; ++*id) {
        if (*id == 0 || (*id == FUSE_ROOT_ID && *path))
            continue;
        HASH_FIND(by_id, n->table, id, sizeof *id, node);
        if (!node || strcmp(node->path, path) == 0)
            return node;
    }
}

/* Adds a node without references; NULL when out of memory. */
static struct node *add(struct nodes *n, const char *path, uint64_t id)
{
    struct node *node = calloc(1, sizeof *node + strlen(path) + 1);

    if (node) {
        node->id = id;
        strcpy(node->path, path);
        HASH_ADD(by_id, n->table, id, sizeof id, node);
    }
    return node;
}

static struct node *add_apart(struct nodes *n, const char *path)
{
    struct node *node;

    do {
        n->apart++;
        HASH_FIND(by_id, n->table, &n->apart, sizeof n->apart, node);
    } while (node);
    return add(n, path, n->apart);
}

uint64_t nodes_stream(struct nodes *n, const char *path)
{
    struct written *w;
    struct node *node;
    uint64_t id;

    pthread_mutex_lock(&n->lock);
    HASH_FIND_STR(n->written, path, w);
    node = w ? NULL : find(n, path, &id);
    if (!node)
        node = w ? add_apart(n, path) : add(n, path, id);
    if (node)
        node->refs++;
    id = node ? node->id : 0;
    pthread_mutex_unlock(&n->lock);
    return id;
}

uint64_t nodes_apart(struct nodes *n, const char *path)
{
    struct node *node;
    uint64_t id;

    pthread_mutex_lock(&n->lock);
    node = add_apart(n, path);
    if (node)
        node->refs++;
    id = node ? node->id : 0;
    pthread_mutex_unlock(&n->lock);
    return id;
}

/* Was this task told already? Else it is from now on. */
static bool was_told(struct nodes *n, uint64_t id, pid_t task)
{
    struct told *last;

    for (size_t i = 0; i < TOLD_MAX; i++)
        if (n->told[i].id == id && n->told[i].task == task) {
            n->told[i].id = 0;
            return true;
        }
    last = &n->told[n->next_told++ % TOLD_MAX];
    *last = (struct told){ id, task };
    return false;
}

int nodes_write(struct nodes *n, uint64_t id, const char *path, pid_t task)
{
    struct written *w;
    struct node *node;
    int rc = 0;

    pthread_mutex_lock(&n->lock);
    HASH_FIND(by_id, n->table, &id, sizeof id, node);
    HASH_FIND_STR(n->written, path, w);
    if (!node || (node->writers && !was_told(n, id, task)))
        rc = -ESTALE;
    else if (!w && !(w = calloc(1, sizeof *w + strlen(path) + 1)))
        rc = -ENOMEM;
    if (rc == 0 && !w->count++) {
        strcpy(w->path, path);
        HASH_ADD_STR(n->written, path, w);
    }
    if (rc == 0)
        node->writers++;
    pthread_mutex_unlock(&n->lock);
    return rc;
}

void nodes_written(struct nodes *n, uint64_t id, const char *path)
{
    struct written *w;
    struct node *node;

    pthread_mutex_lock(&n->lock);
    HASH_FIND(by_id, n->table, &id, sizeof id, node);
    HASH_FIND_STR(n->written, path, w);
    if (node && node->writers)
        node->writers--;
    if (w && --w->count == 0) {
        HASH_DEL(n->written, w);
        free(w);
    }
    pthread_mutex_unlock(&n->lock);
}

uint64_t nodes_id(struct nodes *n, const char *path, bool ref)
{
    struct node *node;
    uint64_t id;

    pthread_mutex_lock(&n->lock);
    node = find(n, path, &id);
    if (ref && !node && !(node = add(n, path, id)))
        id = 0;
    if (ref && node)
        node->refs++;
    pthread_mutex_unlock(&n->lock);
    return id;
}

int nodes_path(struct nodes *n, uint64_t id, char path[TREE_PATH_MAX])
{
    struct node *node;
    int rc = 0;

    if (id == FUSE_ROOT_ID) {
        *path = '\0';
        return 0;
    }
    pthread_mutex_lock(&n->lock);
    HASH_FIND(by_id, n->table, &id, sizeof id, node);
    if (node)
        strcpy(path, node->path);
    else
        rc = -ESTALE;
    pthread_mutex_unlock(&n->lock);
    return rc;
}

void nodes_forget(struct nodes *n, uint64_t id, uint64_t count)
{
    struct node *node;

    pthread_mutex_lock(&n->lock);
    HASH_FIND(by_id, n->table, &id, sizeof id, node);
    if (node && (node->refs -= count < node->refs ? count : node->refs) == 0) {
        HASH_DELETE(by_id, n->table, node);
        free(node);
    }
    pthread_mutex_unlock(&n->lock);
}

bool nodes_known(struct nodes *n, const char *path, uint64_t *id)
{
    bool known;

    pthread_mutex_lock(&n->lock);
    known = find(n, path, id) != NULL || !*path;
    pthread_mutex_unlock(&n->lock);
    return known;
}

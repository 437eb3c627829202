/*
 * lmdb_check.c - walks a file of LMDB (data version 1: every 0.9) with bounds.
 *
 * The file: two meta pages, of which the one with the higher transaction counts; each names two
 * trees, of free pages (keyed by transaction, values are lists of page numbers) and of the items.
 * Leaves hold keys with their values or, for long ones, the number of the first of several overflow
 * pages. Numbers are in the byte order and the word size of the machine.
 *
 * What holds for a sound file: every page is in one place only, tree or list of free pages; keys
 * grow strictly along the leaves and fit the separators above; all leaves are equally deep; the
 * counts of the metas are true. Only the content of values is left to the caller.
 */
#include "cluster/lmdb_check.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        0xBEEFC0DEu
#define DATA_VERSION 1
#define DEPTH_MAX    32
#define KEY_MAX      511
#define NO_PAGE      SIZE_MAX
#define TAIL_PAGES   2048 /* that may be counted though they never were written */

enum { IS_BRANCH = 0x01, IS_LEAF = 0x02, IS_OVERFLOW = 0x04, IS_META = 0x08 };
enum { BIG_VALUE = 0x01 };
enum { TREE_INTEGER_KEYS = 0x08, META_NO_SUBDIR = 0x4000 };

struct page_head {
    size_t number;
    uint16_t pad, flags;
    union {
        struct {
            uint16_t lower, upper;
        };
        uint32_t pages; /* of an overflow page: how many follow each other */
    };
};

struct node_head {
    uint16_t size[2], flags, key_len;
};

struct tree {
    uint32_t pad; /* of the free pages' tree: the size of a page */
    uint16_t flags, depth;
    size_t branches, leaves, overflows, items, root;
};

struct meta {
    uint32_t magic, version;
    void *address;
    size_t map_size;
    struct tree free, main;
    size_t last_page, txn;
};

#define PAGE_HEAD sizeof(struct page_head)
#define NODE_HEAD sizeof(struct node_head)
#define PAGE_MIN  512

struct node {
    size_t at, size, flags;
    size_t end; /* behind the item in its page */
    const uint8_t *key, *value;
    size_t key_len;
};

struct check {
    int fd;
    size_t page_size, file_pages;
    struct oerr *e;
    lmdb_check_item *fn;
    void *arg;

    const struct meta *meta;
    bool newest;
    uint8_t *used; /* a bit for each page */
};

struct walk {
    struct check *c;
    const struct tree *tree;
    struct tree seen;
    bool free;
    uint8_t last[KEY_MAX]; /* the last key, and the separator that the next must not be below */
    size_t last_len;
    bool any, from_separator;
};

#define damaged(c, ...) oerr_set((c)->e, -EBADMSG, __VA_ARGS__)

static int read_at(struct check *c, void *to, size_t n, size_t page)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got =
            pread(c->fd, (uint8_t *)to + done, n - done, (off_t)(page * c->page_size + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return oerr_set(c->e, -errno, "page %zu cannot be read: %s", page, strerror(errno));
        if (got == 0)
            return damaged(c, "it ends within page %zu", page);
        done += (size_t)got;
    }
    return 0;
}

/* Claims pages for the tree or list that is being walked. */
static int claim(struct check *c, size_t page, size_t n, bool in_file)
{
    if (page < 2 || page > c->meta->last_page || n > c->meta->last_page - page + 1)
        return damaged(c, "page %zu does not exist", page);
    if (in_file && page + n > c->file_pages)
        return damaged(c, "it is cut short: page %zu is missing", page + n - 1);
    for (size_t at = page; at < page + n; at++) {
        if (c->used[at / 8] & 1u << at % 8)
            return damaged(c, "page %zu is in two places", at);
        c->used[at / 8] |= (uint8_t)(1u << at % 8);
    }
    return 0;
}

static size_t head_count(const struct page_head *h)
{
    return (h->lower - PAGE_HEAD) / sizeof(uint16_t);
}

static int node_at(struct check *c, const uint8_t *page, size_t i, struct node *out)
{
    const struct page_head *h = (const void *)page;
    struct node_head n;
    uint16_t at;
    bool leaf = h->flags == IS_LEAF;
    size_t inside;

    memcpy(&at, page + PAGE_HEAD + i * sizeof at, sizeof at);
    if (at < h->upper || at > c->page_size - NODE_HEAD || at % 2)
        return damaged(c, "an item of page %zu is outside of it", h->number);
    memcpy(&n, page + at, sizeof n);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    out->size = n.size[0] | (size_t)n.size[1] << 16;
#else
    out->size = n.size[1] | (size_t)n.size[0] << 16;
#endif
    out->flags = n.flags;
    out->key_len = n.key_len;
    out->key = page + at + NODE_HEAD;
    out->value = out->key + n.key_len;
    if (leaf && (n.flags & ~BIG_VALUE))
        return damaged(c, "an item of page %zu is of an unknown kind", h->number);
    inside = !leaf ? 0 : n.flags & BIG_VALUE ? sizeof(size_t) : out->size;
    if (n.key_len > KEY_MAX || n.key_len + inside > c->page_size - NODE_HEAD - at)
        return damaged(c, "an item of page %zu reaches out of it", h->number);
    out->at = at;
    out->end = at + NODE_HEAD + n.key_len + inside;
    out->end += out->end % 2;
    return 0;
}

/* The items lie side by side and fill the page from `upper` on: LMDB moves them by their sizes. */
static int check_nodes(struct check *c, const uint8_t *page)
{
    const struct page_head *h = (const void *)page;
    cleanup_free uint8_t *taken = calloc(1, c->page_size);
    size_t sum = 0;
    struct node n;

    if (!taken)
        return -ENOMEM;
    for (size_t i = 0; i < head_count(h); i++) {
        int rc = node_at(c, page, i, &n);

        if (rc < 0)
            return rc;
        if (n.end > c->page_size || memchr(taken + n.at, 1, n.end - n.at))
            return damaged(c, "two items of page %zu lie upon each other", h->number);
        memset(taken + n.at, 1, n.end - n.at);
        sum += n.end - n.at;
    }
    if (sum != c->page_size - h->upper)
        return damaged(c, "the items of page %zu do not fill it", h->number);
    return 0;
}

static size_t node_child(const struct node *n)
{
    return n->size | (sizeof(size_t) > 4 ? n->flags << (sizeof(size_t) > 4 ? 32 : 0) : 0);
}

static int read_page(struct check *c, size_t number, uint8_t *to)
{
    const struct page_head *h = (const void *)to;
    int rc = claim(c, number, 1, true);

    if (rc == 0)
        rc = read_at(c, to, c->page_size, number);
    if (rc < 0)
        return rc;
    if (h->number != number || (h->flags != IS_BRANCH && h->flags != IS_LEAF))
        return damaged(c, "page %zu is not what it should be", number);
    if (h->lower < PAGE_HEAD || h->lower % 2 || h->lower > h->upper || h->upper > c->page_size)
        return damaged(c, "page %zu is malformed", number);
    if (head_count(h) < (h->flags == IS_BRANCH ? 2 : 1))
        return damaged(c, "page %zu is empty", number);
    return check_nodes(c, to);
}

static int compare_keys(const struct walk *w, const uint8_t *a, size_t an, const uint8_t *b,
                        size_t bn)
{
    int order;

    if (w->free) {
        size_t x, y;

        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return (x > y) - (x < y);
    }
    order = memcmp(a, b, an < bn ? an : bn);
    return order ? order : (an > bn) - (an < bn);
}

/* The next key or separator on the way: above all keys before, and not below a separator. */
static int pass_key(struct walk *w, const struct node *n, bool separator, size_t page)
{
    int order;

    if (n->key_len == 0 || (w->free && n->key_len != sizeof(size_t)))
        return damaged(w->c, "a key of page %zu has a wrong length", page);
    if (w->any) {
        order = compare_keys(w, n->key, n->key_len, w->last, w->last_len);
        if (order < 0 || (order == 0 && !w->from_separator))
            return damaged(w->c, "the keys of page %zu are out of order", page);
    }
    memcpy(w->last, n->key, n->key_len);
    w->last_len = n->key_len;
    w->any = true;
    w->from_separator = separator;
    return 0;
}

static int read_overflow(struct walk *w, const struct node *n, uint8_t **out)
{
    struct check *c = w->c;
    struct page_head h;
    size_t first, need = (PAGE_HEAD - 1 + n->size) / c->page_size + 1;
    int rc;

    memcpy(&first, n->value, sizeof first);
    if (first < 2 || first > c->meta->last_page || first >= c->file_pages)
        return damaged(c, "page %zu does not exist", first);
    rc = read_at(c, &h, sizeof h, first);
    if (rc < 0)
        return rc;
    if (h.number != first || h.flags != IS_OVERFLOW || h.pages < need)
        return damaged(c, "page %zu is not what it should be", first);
    rc = claim(c, first, h.pages, false);
    if (rc < 0)
        return rc;
    if (first + need > c->file_pages)
        return damaged(c, "it is cut short: page %zu is missing", first + need - 1);
    w->seen.overflows += h.pages;
    *out = malloc(PAGE_HEAD + n->size);
    return *out ? read_at(c, *out, PAGE_HEAD + n->size, first) : -ENOMEM;
}

static int take_free_list(struct walk *w, const uint8_t *key, const uint8_t *value, size_t len)
{
    struct check *c = w->c;
    size_t n, page, before = NO_PAGE, txn;
    int rc = 0;

    memcpy(&txn, key, sizeof txn);
    if (txn < 1 || txn > c->meta->txn || len < sizeof n || len % sizeof n)
        return damaged(c, "a list of free pages is malformed");
    memcpy(&n, value, sizeof n);
    if (n > len / sizeof n - 1)
        return damaged(c, "a list of free pages is too long");
    for (size_t i = 1; i <= n && rc == 0; i++) {
        memcpy(&page, value + i * sizeof page, sizeof page);
        if (page >= before)
            return damaged(c, "a list of free pages is out of order");
        before = page;
        rc = claim(c, page, 1, false);
    }
    return rc;
}

static int take_item(struct walk *w, const struct node *n)
{
    struct check *c = w->c;
    cleanup_free uint8_t *big = NULL;
    const uint8_t *value = n->value;
    int rc;

    w->seen.items++;
    if (n->flags & BIG_VALUE) {
        rc = read_overflow(w, n, &big);
        if (rc < 0)
            return rc;
        value = big + PAGE_HEAD;
    }
    if (w->free)
        return take_free_list(w, n->key, value, n->size);
    return c->fn(c->arg, c->meta->txn, c->newest, n->key, n->key_len, value, n->size, c->e);
}

static int walk_page(struct walk *w, size_t number, unsigned depth)
{
    struct check *c = w->c;
    cleanup_free uint8_t *page = malloc(c->page_size);
    const struct page_head *h = (const void *)page;
    bool leaf;
    int rc = page ? read_page(c, number, page) : -ENOMEM;

    if (rc < 0)
        return rc;
    leaf = h->flags == IS_LEAF;
    if (leaf != (depth == w->tree->depth))
        return damaged(c, "page %zu is at a wrong depth", number);
    *(leaf ? &w->seen.leaves : &w->seen.branches) += 1;
    for (size_t i = 0; i < head_count(h) && rc == 0; i++) {
        struct node n = { 0 };

        rc = node_at(c, page, i, &n);
        /* The first separator of a page means nothing. */
        if (rc == 0 && (leaf || i > 0))
            rc = pass_key(w, &n, !leaf, number);
        if (rc == 0)
            rc = leaf ? take_item(w, &n) : walk_page(w, node_child(&n), depth + 1);
    }
    return rc;
}

static int walk_tree(struct check *c, const struct tree *t, bool is_free)
{
    cleanup_free struct walk *w = calloc(1, sizeof *w);
    int rc = 0;

    if (!w)
        return -ENOMEM;
    w->c = c;
    w->tree = t;
    w->free = is_free;
    if (t->root != NO_PAGE) {
        if (t->depth < 1 || t->depth > DEPTH_MAX)
            return damaged(c, "a tree has a wrong depth");
        rc = walk_page(w, t->root, 1);
    } else if (t->depth != 0) {
        return damaged(c, "a tree has no root");
    }
    if (rc == 0 && (w->seen.branches != t->branches || w->seen.leaves != t->leaves ||
                    w->seen.overflows != t->overflows || w->seen.items != t->items))
        return damaged(c, "a tree has not as many pages or items as it should");
    return rc;
}

static int check_state(struct check *c, const struct meta *m, bool newest)
{
    cleanup_free uint8_t *used = NULL;
    int rc;

    if (m->last_page < 1 || m->last_page > c->file_pages + TAIL_PAGES)
        return damaged(c, "it should have %zu pages, and has %zu", m->last_page + 1, c->file_pages);
    used = calloc(1, m->last_page / 8 + 1);
    if (!used)
        return -ENOMEM;
    c->used = used;
    c->meta = m;
    c->newest = newest;
    rc = walk_tree(c, &m->main, false);
    if (rc == 0)
        rc = walk_tree(c, &m->free, true);
    return rc < 0 ? rc : 0;
}

static int read_meta(struct check *c, size_t which, struct meta *m)
{
    struct {
        struct page_head head;
        struct meta meta;
    } page;
    int rc = read_at(c, &page, sizeof page, which);

    if (rc < 0)
        return rc;
    *m = page.meta;
    if (m->magic != MAGIC || page.head.flags != IS_META || page.head.number != which)
        return damaged(c, "it is no file of LMDB");
    if (m->version != DATA_VERSION)
        return damaged(c, "it is a file of another version of LMDB");
    if ((m->free.flags & ~META_NO_SUBDIR) != TREE_INTEGER_KEYS || m->main.flags || m->address ||
        m->free.pad < PAGE_MIN || m->free.pad > 65536 || (m->free.pad & (m->free.pad - 1)) ||
        (which > 0 && m->free.pad != c->page_size))
        return damaged(c, "its page %zu is malformed", which);
    c->page_size = m->free.pad;
    return 0;
}

static int read_metas(struct check *c, struct meta m[2])
{
    struct stat st;

    if (fstat(c->fd, &st) < 0)
        return oerr_set(c->e, -errno, "it cannot be looked at: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return damaged(c, "it is not a regular file");
    if (st.st_size == 0)
        return damaged(c, "it is empty");
    for (size_t i = 0; i < 2; i++) {
        int rc = read_meta(c, i, &m[i]);

        if (rc < 0)
            return rc;
    }
    c->file_pages = (size_t)st.st_size / c->page_size;
    return 0;
}

int lmdb_check(int fd, lmdb_check_item *fn, void *arg, struct oerr *e)
{
    struct check c = { .fd = fd, .page_size = PAGE_MIN, .fn = fn, .arg = arg, .e = e };
    struct meta m[2];
    size_t newest;
    int rc = read_metas(&c, m);

    if (rc < 0)
        return rc;
    newest = m[0].txn < m[1].txn;
    rc = check_state(&c, &m[newest], true);
    return rc < 0 ? rc : check_state(&c, &m[!newest], false);
}

int lmdb_check_before(int fd, lmdb_check_item *fn, void *arg, struct oerr *e)
{
    struct check c = { .fd = fd, .page_size = PAGE_MIN, .fn = fn, .arg = arg, .e = e };
    struct meta m[2];
    int rc = read_metas(&c, m);

    return rc < 0 ? rc : check_state(&c, &m[m[0].txn >= m[1].txn], true);
}

/* Both metas are alike then; LMDB writes its next one into the place of that which was dropped. */
int lmdb_step_back(int fd, struct oerr *e)
{
    struct check c = { .fd = fd, .page_size = PAGE_MIN, .e = e };
    struct meta m[2];
    size_t newest;
    int rc = read_metas(&c, m);

    if (rc < 0)
        return rc;
    newest = m[0].txn < m[1].txn;
    if (pwrite(fd, &m[!newest], sizeof *m, (off_t)(newest * c.page_size + PAGE_HEAD)) !=
            (ssize_t)sizeof *m ||
        fdatasync(fd) < 0)
        return oerr_set(e, errno ? -errno : -EIO, "it cannot be mended: %s", strerror(errno));
    return 0;
}

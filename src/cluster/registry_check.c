/*
 * registry_check.c - whether a file is one that LMDB can walk and write without harm.
 *
 * LMDB 0.9 (data version 1) trusts what it reads: a page that is not what it should be is a crash.
 * Here all pages that the newer of the two meta pages leads to are walked once:
 *
 *     meta 0 and 1 -> tree of free pages: transaction -> list of page numbers, descending
 *                  -> main tree: keys -> values, large ones on pages of their own
 *
 * Every page must lie in the file, be of the kind that its parent says, be used once, and hold
 * nodes that lie in it; keys must ascend; no free page may be in use. What is refused in excess of
 * that (an older form, odd sizes) costs no more than filling the file anew.
 */
#include "cluster/registry_private.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC        0xBEEFC0DE
#define DATA_VERSION 1
#define PAGE_MAX     32768
#define DEPTH_MAX    32
#define NO_PAGE      ((size_t)-1)
#define INTEGERKEY   0x08
#define TREE_FLAGS   0x3f

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8 };
enum { NODE_BIG = 1 };

/* As they are in the file, in the order and size of bytes of this machine. */
struct page {
    size_t number;
    uint16_t pad, flags;
    union {
        struct {
            uint16_t lower, upper; /* the free space between pointers and nodes */
        };
        uint32_t pages; /* of an overflow */
    };
}; /* then the nodes' places, from the page's begin; or an overflow's data */

struct node {
    uint16_t size[2]; /* low, high; of a branch: the page's number, with flags above */
    uint16_t flags, key_len;
    uint8_t key[];
};

struct tree {
    uint32_t pad; /* of the first tree: the size of pages */
    uint16_t flags, depth;
    size_t branches, leaves, overflows, entries, root;
};

struct meta {
    struct page page;
    uint32_t magic, version;
    void *address;
    size_t map;
    struct tree trees[2]; /* free pages, main */
    size_t last, txn;
};

struct check {
    const uint8_t *p;
    size_t page, pages, last;
    uint8_t *used; /* a bit a page */
    bool main;
    size_t entries;            /* of this tree, so far */
    const struct node *before; /* the last key */
    const struct node *bound;  /* the next key is not less, by the branch that led there */
    const char *wrong;
};

static bool wrong(struct check *c, const char *what)
{
    if (!c->wrong)
        c->wrong = what;
    return false;
}

static const struct page *page_at(const struct check *c, size_t number)
{
    return (const void *)(c->p + number * c->page);
}

static const uint16_t *places(const struct page *p)
{
    return (const void *)(p + 1);
}

/* Marks n pages from `number` on as used, once. */
static bool use(struct check *c, size_t number, size_t n)
{
    if (number < 2 || n == 0 || number > c->last || n > c->last + 1 - number)
        return wrong(c, "a page lies outside of it");
    for (size_t i = number; i < number + n; i++) {
        if (c->used[i / 8] & 1 << i % 8)
            return wrong(c, "a page is used twice");
        c->used[i / 8] |= (uint8_t)(1 << i % 8);
    }
    return true;
}

static size_t word_at(const uint8_t *p)
{
    size_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- leaves */

static bool check_list(struct check *c, const uint8_t *data, size_t len)
{
    size_t n = len >= sizeof n ? word_at(data) : NO_PAGE, before = NO_PAGE;

    if (n > len / sizeof n - 1)
        return wrong(c, "a list of free pages is cut short");
    for (size_t i = 1; i <= n; i++) {
        size_t number = word_at(data + i * sizeof n);

        if (number >= before)
            return wrong(c, "a list of free pages is in disorder");
        if (!use(c, number, 1))
            return false;
        before = number;
    }
    return true;
}

static bool key_less(const struct check *c, const struct node *a, const struct node *b)
{
    size_t least = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order;

    if (!c->main)
        return word_at(a->key) < word_at(b->key);
    order = memcmp(a->key, b->key, least);
    return order ? order < 0 : a->key_len < b->key_len;
}

/* A value on pages of its own: its bytes, NULL where they are not sound. */
static const uint8_t *big_value(struct check *c, size_t number, size_t len)
{
    const struct page *p = page_at(c, number);
    size_t need = (sizeof *p - 1 + len) / c->page + 1;

    if (number < 2 || number >= c->pages || need > c->pages - number || p->flags != PAGE_OVERFLOW ||
        p->number != number || p->pages < need) {
        wrong(c, "a large value is damaged");
        return NULL;
    }
    return use(c, number, p->pages) ? (const uint8_t *)(p + 1) : NULL;
}

static bool key_fits(const struct check *c, const struct node *n)
{
    return c->main ? n->key_len > 0 && n->key_len < REGISTRY_KEY_MAX : n->key_len == sizeof(size_t);
}

static bool check_value(struct check *c, const struct node *n)
{
    size_t len = n->size[0] | (size_t)n->size[1] << 16;
    const uint8_t *data = n->key + n->key_len;

    if (!key_fits(c, n))
        return wrong(c, "a key has an impossible length");
    if (c->main && memchr(n->key, '\0', n->key_len))
        return wrong(c, "a key has a NUL");
    if ((c->before && !key_less(c, c->before, n)) || (c->bound && key_less(c, n, c->bound)))
        return wrong(c, "its keys are in disorder");
    c->before = n;
    c->bound = NULL;
    if (n->flags & NODE_BIG)
        data = big_value(c, word_at(data), len);
    c->entries++;
    return data && (c->main || check_list(c, data, len));
}

/* ---- pages */

/* The bytes of a node, 0 where it does not lie in its page. */
static size_t node_len(const struct check *c, const struct page *p, size_t at)
{
    const struct node *n = (const void *)((const uint8_t *)p + at);
    size_t len = sizeof *n, value;

    if (at < p->upper || at % 2 || at + len > c->page)
        return 0;
    len += n->key_len;
    if (p->flags == PAGE_LEAF) {
        value = n->size[0] | (size_t)n->size[1] << 16;
        if (n->flags & ~NODE_BIG)
            return 0;
        len += n->flags ? sizeof(size_t) : value;
    }
    return at + len > c->page ? 0 : len;
}

static bool check_page(struct check *c, size_t number, unsigned depth);

static bool check_node(struct check *c, const struct page *p, size_t i, unsigned depth)
{
    const struct node *n = (const void *)((const uint8_t *)p + places(p)[i]);
    size_t child = n->size[0] | (size_t)n->size[1] << 16;

    if (p->flags == PAGE_LEAF)
        return check_value(c, n);
#if SIZE_MAX > UINT32_MAX
    child |= (size_t)n->flags << 32;
#endif
    /* The first key of a branch means nothing; the others lie between what is left and right. */
    if (i > 0) {
        if (!key_fits(c, n) || !c->before || !key_less(c, c->before, n))
            return wrong(c, "its keys are in disorder");
        c->bound = n;
    }
    return check_page(c, child, depth - 1);
}

/* depth: of the tree from here on; 1 is a leaf. */
static bool check_page(struct check *c, size_t number, unsigned depth)
{
    const struct page *p = page_at(c, number);
    size_t n, total = 0;

    if (number >= c->pages || !use(c, number, 1))
        return wrong(c, "a page lies outside of it");
    if (p->number != number || p->flags != (depth == 1 ? PAGE_LEAF : PAGE_BRANCH) ||
        p->lower < sizeof *p || p->lower % 2 || p->lower > p->upper || p->upper > c->page)
        return wrong(c, "a page is damaged");
    n = (p->lower - sizeof *p) / sizeof(uint16_t);
    if (n < (depth == 1 ? 1 : 2))
        return wrong(c, "a page is empty");
    for (size_t i = 0; i < n; i++) {
        size_t len = node_len(c, p, places(p)[i]);

        if (len == 0)
            return wrong(c, "an entry is damaged");
        total += (len + 1) & ~(size_t)1;
    }
    if (total != c->page - p->upper)
        return wrong(c, "a page is damaged");
    for (size_t i = 0; i < n; i++) {
        if (!check_node(c, p, i, depth))
            return false;
    }
    return true;
}

static bool check_tree(struct check *c, const struct tree *t, bool main)
{
    c->main = main;
    c->entries = 0;
    c->before = c->bound = NULL;
    if ((t->flags & TREE_FLAGS) != (main ? 0 : INTEGERKEY) || t->depth > DEPTH_MAX)
        return wrong(c, "its head is damaged");
    if (t->root == NO_PAGE ? t->depth != 0 : t->depth == 0)
        return wrong(c, "its head is damaged");
    if (t->root != NO_PAGE && !check_page(c, t->root, t->depth))
        return false;
    return t->entries == c->entries || wrong(c, "entries are missing");
}

/* ---- the file */

static bool meta_ok(const struct check *c, size_t number)
{
    const struct meta *m = (const void *)page_at(c, number);

    return m->page.number == number && (m->page.flags & PAGE_META) && m->magic == MAGIC &&
           m->version == DATA_VERSION && m->trees[0].pad == c->page && m->last >= 1 &&
           m->last < 2 * c->pages + 256;
}

static bool check_all(struct check *c)
{
    const struct meta *m[2] = { (const void *)page_at(c, 0), (const void *)page_at(c, 1) };
    const struct meta *newer;

    if (c->pages < 2 || !meta_ok(c, 0) || !meta_ok(c, 1))
        return wrong(c, "its head is damaged");
    newer = m[m[1]->txn > m[0]->txn];
    c->last = newer->last;
    c->used = calloc(1, c->last / 8 + 1);
    if (!c->used)
        return false;
    /* First what is in use: the lists of free pages must name none of it. */
    return check_tree(c, &newer->trees[1], true) && check_tree(c, &newer->trees[0], false);
}

static int check_bytes(const void *p, size_t size, const char *path, struct oerr *e)
{
    struct check c = { .p = p, .page = (size_t)sysconf(_SC_PAGESIZE) };
    bool good;

    if (c.page > PAGE_MAX)
        c.page = PAGE_MAX;
    c.pages = size / c.page;
    good = check_all(&c);
    free(c.used);
    if (good)
        return 0;
    return c.wrong ? oerr_set(e, -EBADMSG, "%s is damaged: %s", path, c.wrong) : -ENOMEM;
}

static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
    uint64_t sum = 0xcbf29ce484222325 ^ n, word = 0;

    for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
        memcpy(&word, p, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15;
        sum ^= sum >> 29;
    }
    return sum;
}

/* The bytes of a file, to be unmapped; NULL for one without any. */
static int map_file(const char *path, void **p, size_t *size, struct oerr *e)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    *p = NULL;
    *size = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return oerr_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return oerr_set(e, -EINVAL, "%s is not a regular file: move it away", path);
    if (st.st_size == 0)
        return 0;
    *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (*p == MAP_FAILED)
        return oerr_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
    *size = (size_t)st.st_size;
    return 0;
}

int store_check(const char *path, struct oerr *e)
{
    size_t size;
    void *p;
    int rc = map_file(path, &p, &size, e);

    if (rc < 0 || !p)
        return rc;
    rc = check_bytes(p, size, path, e);
    munmap(p, size);
    return rc;
}

int store_sum(const char *path, uint64_t *sum)
{
    size_t size;
    void *p;
    int rc = map_file(path, &p, &size, NULL);

    if (rc < 0)
        return rc;
    *sum = sum_bytes(p, size);
    if (p)
        munmap(p, size);
    return 0;
}

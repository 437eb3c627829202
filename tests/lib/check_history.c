/*
 * check_history.c - judges the histories that clients of all machines wrote (soak_client.c,
 * registry_clients.c): is all of it linearizable, and did nothing come from nowhere?
 *
 *   check_history [-l LIST]... FILE...
 *
 * LIST: the names that one machine has in the end, one a line; each is one more look at every name
 * of the history. Says in one line what it judged; what is wrong, operation by operation, on
 * standard error, and exits with 1; with 2 where it could not find out.
 */
#include "tests/lib/linear.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#define WORD       96
#define LISTS_MAX  32
#define CLIENT_END 9999 /* of the looks in the end */

struct name { /* of an operation, a client or a key: a word, and its number */
    char word[WORD];
    size_t i;
    UT_hash_handle hh;
};

static struct {
    struct linear_op *ops;
    size_t n, room, lost;
    struct name *op_names, *clients, *keys;
} all;

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void wrong(const char *file, size_t line, const char *what)
{
    fprintf(stderr, "%s:%zu: %s\n", file, line, what);
    exit(2);
}

static struct name *find(struct name **table, const char *word)
{
    struct name *n;

    HASH_FIND_STR(*table, word, n);
    return n;
}

static size_t number(struct name **table, const char *word)
{
    struct name *n = find(table, word);

    if (!n) {
        n = must(calloc(1, sizeof *n));
        snprintf(n->word, sizeof n->word, "%s", word);
        n->i = HASH_COUNT(*table);
        HASH_ADD_STR(*table, word, n);
    }
    return n->i;
}

static struct linear_op *add(void)
{
    if (all.n == all.room) {
        all.room = all.room ? 2 * all.room : 4096;
        all.ops = must(realloc(all.ops, all.room * sizeof *all.ops));
    }
    return &all.ops[all.n++];
}

/* ---- reading */

static enum linear_kind kind_of(const char *word, const char *file, size_t line)
{
    static const struct {
        const char *word;
        enum linear_kind kind;
    } known[] = {
        { "read", LINEAR_READ },     { "write", LINEAR_WRITE },   { "cas", LINEAR_CAS },
        { "create", LINEAR_CREATE }, { "remove", LINEAR_REMOVE }, { "look", LINEAR_LOOK },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(word, known[i].word) == 0)
            return known[i].kind;
    wrong(file, line, "not an operation");
    return LINEAR_READ;
}

static void take(const char *text, const char *file, size_t line)
{
    char op[WORD], client[WORD], kind[WORD], key[WORD];
    uint64_t at, since;
    int64_t a, b;
    struct name *n;
    int words;

    if (sscanf(text, "call %95s %" SCNu64 " %95s %95s %95s %" SCNd64 " %" SCNd64, op, &at, client,
               kind, key, &a, &b) == 7) {
        if (number(&all.op_names, op) != all.n)
            wrong(file, line, "called twice");
        *add() = (struct linear_op){ .client = (unsigned)number(&all.clients, client),
                                     .call = at,
                                     .ret = LINEAR_NEVER,
                                     .key = (uint32_t)number(&all.keys, key),
                                     .kind = kind_of(kind, file, line),
                                     .a = a,
                                     .b = b };
    } else if ((words = sscanf(text, "ret %95s %" SCNu64 " %" SCNd64 " %" SCNu64, op, &at, &a,
                               &since)) >= 3) {
        n = find(&all.op_names, op);
        if (!n || all.ops[n->i].ret != LINEAR_NEVER)
            wrong(file, line, "an answer to nothing");
        all.ops[n->i].ret = at;
        all.ops[n->i].result = a;
        if (words == 4)
            all.ops[n->i].call = since;
    } else if (strncmp(text, "lost ", 5) != 0) {
        wrong(file, line, "not a line of a history");
    }
}

/* What was being written when a process was killed may lack its end: the last line only. */
static void read_history(const char *file)
{
    FILE *f = fopen(file, "r");
    char *text = NULL;
    size_t size = 0, line = 0;

    if (!f)
        wrong(file, 0, strerror(errno));
    while (getline(&text, &size, f) > 0)
        if (line++, strchr(text, '\n'))
            take(text, file, line);
    free(text);
    fclose(f);
}

/* ---- the end */

/* How many names of the list nobody ever asked for. */
static size_t read_list(const char *file, uint64_t at)
{
    FILE *f = fopen(file, "r");
    char *text = NULL, *there = must(calloc(HASH_COUNT(all.keys) + 1, 1));
    size_t size = 0, strange = 0;
    struct name *n;

    if (!f)
        wrong(file, 0, strerror(errno));
    while (getline(&text, &size, f) > 0) {
        text[strcspn(text, "\n")] = '\0';
        n = find(&all.keys, text);
        if (!n || there[n->i])
            fprintf(stderr, "%s: %s %s\n", file, text, n ? "is there twice" : "came from nowhere");
        strange += !n || there[n->i];
        if (n)
            there[n->i] = 1;
    }
    for (n = all.keys; n; n = n->hh.next)
        *add() = (struct linear_op){ .client = CLIENT_END,
                                     .call = at,
                                     .ret = at + 1,
                                     .key = (uint32_t)n->i,
                                     .kind = LINEAR_LOOK,
                                     .result = there[n->i] ? 0 : -ENOENT };
    free(text);
    free(there);
    fclose(f);
    return strange;
}

static uint64_t last_moment(void)
{
    uint64_t last = 0;

    for (size_t i = 0; i < all.n; i++) {
        const struct linear_op *op = &all.ops[i];
        uint64_t at = op->ret != LINEAR_NEVER ? op->ret : op->call;

        last = at > last ? at : last;
        all.lost += op->ret == LINEAR_NEVER;
    }
    return last;
}

static void print_key(const char *why)
{
    unsigned key;

    if (sscanf(why, "key %u:", &key) == 1)
        for (struct name *n = all.keys; n; n = n->hh.next)
            if (n->i == key)
                fprintf(stderr, "not linearizable: %s\n", n->word);
    fprintf(stderr, "%s", why);
}

int main(int argc, char **argv)
{
    static char why[64 << 10];
    const char *lists[LISTS_MAX];
    size_t n_lists = 0, strange = 0, n;
    enum linear_verdict verdict;
    uint64_t last;
    int i = 1;

    for (; i + 1 < argc && strcmp(argv[i], "-l") == 0 && n_lists < LISTS_MAX; i += 2)
        lists[n_lists++] = argv[i + 1];
    if (i >= argc) {
        fprintf(stderr, "usage: check_history [-l LIST]... FILE...\n");
        return 64;
    }
    for (; i < argc; i++)
        read_history(argv[i]);
    n = all.n;
    last = last_moment();
    for (size_t l = 0; l < n_lists; l++)
        strange += read_list(lists[l], last + 1 + 2 * l);
    verdict = linear_check(all.ops, all.n, 0, why, sizeof why);
    printf("%zu operations on %u names by %u clients, %zu of them never answered\n", n,
           HASH_COUNT(all.keys), HASH_COUNT(all.clients), all.lost);
    if (verdict != LINEAR_YES)
        print_key(why);
    return verdict == LINEAR_NO || strange > 0 ? 1 : verdict == LINEAR_GAVE_UP ? 2 : 0;
}

/*
 * linear.h - is a history of operations linearizable? A checker for tests.
 *
 * A history says when each operation was asked for and when its answer came, on any one clock that
 * never stands still. It is linearizable when every operation can be given one moment in between
 * such that a single copy, used in that order, gives the same answers. Linearizability is local:
 * each key is judged apart.
 *
 * Method: Wing and Gong, "Testing and Verifying Concurrent Objects" (JPDC 17, 1993), with the
 * memory of configurations already seen of Lowe, "Testing for Linearizability" (Concurrency and
 * Computation 29, 2017).
 */
#ifndef ONEOS_TESTS_LINEAR_H
#define ONEOS_TESTS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_NEVER UINT64_MAX

enum linear_kind {
    /* a register: holds a number, 0 at first */
    LINEAR_READ,  /* result: the number */
    LINEAR_WRITE, /* of a; result ignored */
    LINEAR_CAS,   /* from a to b; result: 1 done, 0 it was another number */
    /* a name: not there at first */
    LINEAR_CREATE, /* result: 0 or -EEXIST */
    LINEAR_REMOVE, /* result: 0 or -ENOENT */
    LINEAR_LOOK,   /* result: 0 it is there, or -ENOENT */
};

struct linear_op {
    unsigned client;
    uint64_t call, ret; /* ret LINEAR_NEVER: no answer; it may have happened, or still happen */
    uint32_t key;
    enum linear_kind kind;
    int64_t a, b, result;
};

enum linear_verdict { LINEAR_YES, LINEAR_NO, LINEAR_GAVE_UP };

/* The limit is on configurations looked at for one key; 0: a million. why (may be NULL): what was
 * found for the first key that is not linearizable, operation by operation. */
enum linear_verdict linear_check(const struct linear_op *ops, size_t n, size_t limit, char *why,
                                 size_t why_size);

#endif

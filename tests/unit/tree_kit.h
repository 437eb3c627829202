/*
 * tree_kit.h - a tree over rows of its own, here and on another machine B, and calls on it.
 */
#ifndef ONEOS_TESTS_UNIT_TREE_KIT_H
#define ONEOS_TESTS_UNIT_TREE_KIT_H

#include "base/cleanup.h"
#include "tree/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct tree_world {
    char ran[256]; /* the verbs that ran, each with a blank */
    struct tree_call *later;
    json_t *asked;
    void (*answer)(void *arg, int rc, json_t *reply, const char *text);
    void *arg;
    int ask_rc, learned;
    bool reachable;
};
extern struct tree_world world;

/* How a call ended. */
struct result {
    bool ended;
    int rc;
    char out[256], words[400], made[64];
};

int set_up(void **state);
int tear_down(void **state);
void ended(struct tree_call *call, int rc);
struct tree_call *call_on(struct tree *t, const char *path, const char *user, struct result *r);
int write_n(struct tree *t, const char *path, const char *user, const char *text, size_t n,
            struct result *r);
int write_as(struct tree *t, const char *path, const char *user, const char *text,
             struct result *r);
const char *error_of(struct tree *t, const char *path);
void refuses_n(struct tree *t, const char *text, size_t n, int rc, const char *words);
void refuses(struct tree *t, const char *text, int rc, const char *words);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif

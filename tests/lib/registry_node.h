/*
 * registry_node.h - what the files of registry_node share.
 *
 *   registry_node.c     life, and single commands
 *   registry_kv.c       the commands kv.*: keys and values for tests
 *   registry_load.c     speed
 *   registry_clients.c  clients whose operations are recorded, for check_history
 */
#ifndef ONEOS_TESTS_LIB_REGISTRY_NODE_H
#define ONEOS_TESTS_LIB_REGISTRY_NODE_H

#include "cluster/replica.h"
#include "lines.h"
#include "pace.h"

#define DEADLINE_MS 5000

struct node {
    struct identity *me;
    struct loop *core, *data;
    pthread_t data_thread;
    struct links *links;
    struct cluster *cluster;
    struct replica *replica;
    uv_timer_t settling;
    struct pace *pace;
    char peer[ID_MAX]; /* of `ping` */
};

/* registry_kv.c */
extern const struct registry_command kv_commands[];
void kv_key(char key[REGISTRY_KEY_MAX], const char *name);

/* registry_load.c */
void do_load(void *arg, int n, char **words);
void do_lread(void *arg, int n, char **words);
void do_read(void *arg, int n, char **words);
void do_ping(void *arg, int n, char **words);
void do_failover(void *arg, int n, char **words);

/* registry_clients.c */
void do_clients(void *arg, int n, char **words);
void clients_free(void);

#endif

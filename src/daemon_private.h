/*
 * daemon_private.h - what the files of the daemon share.
 *
 *   daemon.c       starting and stopping the parts
 *   daemon_talk.c  who tells whom what
 *   daemon_members.c  what the registry says of machines
 *   daemon_events.c  what is told of the registry
 */
#ifndef ONEOS_DAEMON_PRIVATE_H
#define ONEOS_DAEMON_PRIVATE_H

#include "daemon.h"
#include "fuse/fusefs.h"
#include "sched/probe.h"
#include "tree/system.h"

#include <pthread.h>

struct daemon {
    struct daemon_options opt;
    struct system sys;
    char owner[TREE_USER_MAX];
    char dir[4096]; /* the mount */
    struct loop *core, *data;
    pthread_t data_thread;
    bool data_runs;
    struct links *links;
    struct tree *tree;
    struct fusefs *fs;
    struct probes *probes;
    char near[ID_MAX]; /* what the scheduler was told last of where data is */
    uv_signal_t term, intr;
    uv_timer_t stopping, trimming, patience, publishing;
    uint64_t trim_all_ms; /* when the heap is trimmed next, come what may */
    bool handles;
    bool labels_told; /* the registry's word about our labels counts */
    bool closing;     /* the parts go, one by one */
    char leader[ID_MAX];
    bool quorum_lost;
    struct {
        char machine[ID_MAX];
        json_int_t epoch;
    } placed[4]; /* as it was told last, by service_names */
    uint64_t kill_ms, give_up_ms, ended_ms;
    bool answering; /* a question of another machine is being looked at */
    json_t *untold; /* what it changed: told to all once its answer is on the way */
    enum { RUNNING, TERMINATING, KILLING, LEAVING, FAREWELL, STOPPED } state;
};

extern const struct cluster_ops daemon_cluster_ops;
extern const struct proctab_ops daemon_proctab_ops;
extern const struct pipes_ops daemon_pipes_ops;
extern const struct link_ops daemon_link_ops;
extern const struct scheduler_ops daemon_scheduler_ops;

/* How the tree reaches other machines; `system` is the daemon's. */
int daemon_tree_ask(void *system, const char *machine, json_t *body, unsigned deadline_ms,
                    bus_done_fn *done, void *arg);
void daemon_tree_made(void *system, const char *machine, const json_t *record);
int daemon_tree_open(void *system, const char *machine, const char *spec, struct stream **out);

void daemon_add_topics(struct daemon *d);

int daemon_watch_registry(struct daemon *d);
int daemon_watch_members(struct daemon *d);
void daemon_members_ready(struct daemon *d); /* once, when the replica is */

#endif

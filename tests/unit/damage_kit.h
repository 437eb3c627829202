/*
 * damage_kit.h - a log with a history, damage to its files, and what a start in a child makes of
 * it.
 */
#ifndef ONEOS_TESTS_UNIT_DAMAGE_KIT_H
#define ONEOS_TESTS_UNIT_DAMAGE_KIT_H

#include "diskkit.h"

#include "cluster/raft_disk_private.h"

enum { KEPT_FROM = 2901, NEXT = 3521 }; /* the entries of make_history() */

void path_to(struct kit *k, const char *name, char path[600]);
void make_history(struct kit *k); /* with long and short entries, free pages and two snapshots */
int check_history(struct raft_disk *d); /* 0, or which part of it is not there */

/* How a start ends in a child: 0, one of these, or what check_history() says. */

enum { REFUSED = 40, UNSAID = 41, REOPEN_FAILED = 42, WRITE_FAILED = 43 };

int open_child(const char *dir); /* in main(), for `PROGRAM open DIR` */
int run_child(const char *what, const char *dir);

void copy_folder(const char *from, const char *to);
void cut_file(struct kit *k, const char *name, off_t size);
void write_file(struct kit *k, const char *name, const void *p, size_t n);
void remove_file(struct kit *k, const char *name);
off_t used_size(struct kit *k); /* of the log */

void assert_refused(struct kit *k, const char *file, int want, const char *says);

#endif

/*
 * kin.c - finds what belongs to a process where there is no cgroup that says so, and kills it.
 *
 * Whoever loses its parent becomes oneos-init's child (it is a subreaper), so that every descendant
 * of a process either hangs below one of its commands or below an orphan among our children. An
 * orphan is a process's if it is in its group or session, or has its ONEOS_PROC in its environment.
 * What is below either is its too. What left the group, lost its parent and cleared its environment
 * cannot be told from others' orphans and is let live.
 *
 * Nothing must be born while it is being killed, nor lose the parent by which it is known: first
 * all are stopped, again and again until a look finds no new one, then killed.
 */
#include "init/init.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS    20           /* of stopping: enough for what does not race with us on purpose */
#define ENV_BYTES (256 * 1024) /* of an environment that are looked at */
#define UNSURE_MS 20 /* how long an orphan without an environment may be about to get one */

struct one {
    pid_t pid, parent, group, session;
    struct proc *owner;
    bool dead, stopped, known; /* known: owner has been found out */
};

struct look {
    struct one *v;
    size_t n, room;
    bool unsure; /* there was an orphan that may be in the middle of an exec */
};

static bool is_mine(const struct proc *p)
{
    return !p->tracked;
}

static bool read_stat(pid_t pid, struct one *o)
{
    char path[32], text[512], state;
    const char *paren;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    paren = strrchr(text, ')');
    *o = (struct one){ .pid = pid };
    if (!paren ||
        sscanf(paren + 1, " %c %d %d %d", &state, &o->parent, &o->group, &o->session) != 4)
        return false;
    o->dead = state == 'Z' || state == 'X';
    return true;
}

/* The ONEOS_PROC of a process, "" when it has none. False when it has no environment at all. */
static bool read_tag(pid_t pid, char *tag, size_t size)
{
    static char text[ENV_BYTES];
    char path[32];
    size_t len = 0;
    ssize_t n;

    *tag = '\0';
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return true;
    while (len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    for (const char *at = text; at < text + len; at += strlen(at) + 1)
        if (strncmp(at, "ONEOS_PROC=", 11) == 0 && strlen(at) < size)
            memcpy(tag, at, strlen(at) + 1);
    return len > 0;
}

/* The number of a group is its own while a member lives, a stranger's when one leads it that is not
 * our command. */
static bool has_group(const struct proc *p, const struct one *o)
{
    if (p->nstages == 0 || (o->group != p->pgid && o->session != p->pgid))
        return false;
    return !p->stages[0].ended || (kill(p->pgid, 0) < 0 && errno == ESRCH);
}

static struct proc *owner_of_orphan(struct init *in, struct look *l, const struct one *o)
{
    char tag[256];
    struct proc *p;

    TAILQ_FOREACH(p, &in->doomed, dying)
    if (is_mine(p) && has_group(p, o))
        return p;
    l->unsure |= !read_tag(o->pid, tag, sizeof tag);
    TAILQ_FOREACH(p, &in->doomed, dying)
    if (is_mine(p) && p->tag && strcmp(p->tag, tag) == 0)
        return p;
    return NULL;
}

static struct proc *owner_of_child(struct init *in, struct look *l, const struct one *o)
{
    const struct stage *s = proc_stage(in, o->pid);

    if (s)
        return s->proc->doomed && is_mine(s->proc) ? s->proc : NULL;
    return o->dead ? NULL : owner_of_orphan(in, l, o);
}

static int by_pid(const void *a, const void *b)
{
    const struct one *x = a, *y = b;

    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct one *find(const struct look *l, pid_t pid)
{
    struct one key = { .pid = pid };

    return l->n ? bsearch(&key, l->v, l->n, sizeof *l->v, by_pid) : NULL;
}

static bool add(struct look *l, const struct one *o)
{
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 1024;
        struct one *v = realloc(l->v, room * sizeof *v);

        if (!v)
            return false;
        l->v = v;
        l->room = room;
    }
    l->v[l->n++] = *o;
    return true;
}

/* Whose each process is: that of the nearest of its forebears that is our child. */
static void find_owners(struct init *in, struct look *l)
{
    pid_t self = getpid();

    for (size_t i = 0; i < l->n; i++) {
        struct one *o = &l->v[i], *up;
        struct proc *owner = NULL;
        size_t steps = 0;

        for (up = o; up && !up->known && up->parent != self && steps <= l->n; steps++)
            up = find(l, up->parent);
        if (up && up->known)
            owner = up->owner;
        else if (up && up->parent == self)
            owner = owner_of_child(in, l, up);
        for (up = o, steps = 0; up && !up->known && steps <= l->n; steps++) {
            up->owner = owner;
            up->known = true;
            up = up->parent == self ? NULL : find(l, up->parent);
        }
    }
}

static int look_at_all(struct init *in, struct look *l)
{
    DIR *d = opendir("/proc");
    bool whole = d;

    l->n = 0;
    l->unsure = false;
    for (struct dirent *at; d && whole && (at = readdir(d));) {
        struct one o;

        if (isdigit((unsigned char)at->d_name[0]) && read_stat(atoi(at->d_name), &o))
            whole = add(l, &o);
    }
    if (d)
        closedir(d);
    if (!whole)
        return -ENOMEM;
    qsort(l->v, l->n, sizeof *l->v, by_pid);
    find_owners(in, l);
    return 0;
}

/* Stops what `before` does not have as stopped; how many there were. */
static size_t stop_new(struct look *l, const struct look *before)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct one *o = &l->v[i];
        const struct one *old = o->owner ? find(before, o->pid) : NULL;

        if (!o->owner || o->dead)
            continue;
        o->stopped = (old && old->stopped) || kill(o->pid, SIGSTOP) == 0;
        n += o->stopped && !(old && old->stopped);
    }
    return n;
}

static void kill_stopped(const struct look *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].stopped && kill(l->v[i].pid, SIGKILL) == 0)
            l->v[i].owner->kin++;
}

/* Our children are all known commands, or orphans of others: then nothing is left of those whose
 * commands have ended. False also when the kernel does not tell. */
static bool nothing_left(struct init *in, struct look *l)
{
    struct proc *p;
    char path[64];
    pid_t pid;

    TAILQ_FOREACH(p, &in->doomed, dying)
    if (is_mine(p) && p->left > 0)
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    cleanup_fclose FILE *f = fopen(path, "re");

    if (!f)
        return false;
    while (fscanf(f, "%d", &pid) == 1) {
        struct one o;

        if (!proc_stage(in, pid) && read_stat(pid, &o) && owner_of_child(in, l, &o))
            return false;
    }
    return true;
}

static void stop_and_kill(struct init *in, struct look *l)
{
    struct look before = { 0 };
    int round = 0, rc;

    while ((rc = look_at_all(in, l)) == 0 && stop_new(l, &before) > 0 && round++ < ROUNDS) {
        struct look swap = before;

        before = *l;
        *l = swap;
    }
    if (rc < 0)
        log_error("init", "what is left of processes cannot be looked for: out of memory");
    else
        kill_stopped(l);
    free(before.v);
}

void kin_kill(struct init *in)
{
    struct look l = { 0 };
    uint64_t now = now_ms();
    unsigned n = 0;
    struct proc *p;

    TAILQ_FOREACH(p, &in->doomed, dying)
    if (is_mine(p)) {
        p->kin = 0;
        n++;
    }
    if (n == 0)
        return;
    if (!nothing_left(in, &l))
        stop_and_kill(in, &l);
    TAILQ_FOREACH(p, &in->doomed, dying)
    if (is_mine(p) && l.unsure && now - p->doomed_ms < UNSURE_MS)
        p->kin++;
    free(l.v);
}

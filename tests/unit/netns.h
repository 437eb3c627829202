/*
 * netns.h - moves this process into a network namespace of its own, with lo up.
 */
#ifndef ONEOS_TESTS_UNIT_NETNS_H
#define ONEOS_TESTS_UNIT_NETNS_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static inline bool netns_up(const char *name)
{
    struct ifreq r = { .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* False where neither root nor a user namespace may do it: then skip. Call before any thread is
 * started. */
static inline bool netns_enter(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    return netns_up("lo");
}

#endif

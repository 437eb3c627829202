/*
 * lease.c - until when leased processes may run.
 *
 * The timer counts on CLOCK_BOOTTIME: while the machine sleeps the others take it for dead, so that
 * the time counts, and on waking the timer is overdue. It is set to a point in time that the client
 * chose when it asked, so that a request that waited in the socket prolongs nothing. Without a
 * daemon it goes on.
 */
#include "init/init.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

bool lease_holds(const struct init *in)
{
    return now_ms() < in->lease_until;
}

static void run_out(struct init *in)
{
    unsigned n = 0;
    struct proc *p;

    TAILQ_FOREACH(p, &in->all, all)
    if (p->leased && p->left > 0 && !p->out_of_lease) {
        p->out_of_lease = true;
        doom(in, p);
        n++;
    }
    if (n > 0)
        log_warn("lease", "the lease has run out; %u processes are killed", n);
}

static void on_timer(struct init *in, struct watch *w, uint32_t events)
{
    uint64_t times;

    (void)events;
    if (read(w->fd, &times, sizeof times) == sizeof times && !lease_holds(in))
        run_out(in);
}

void lease_set(struct init *in, uint64_t until_ms)
{
    struct itimerspec at = { 0 };

    in->lease_until = until_ms;
    at.it_value.tv_sec = (time_t)(until_ms / 1000);
    at.it_value.tv_nsec = (long)(until_ms % 1000) * 1000000;
    if (!lease_holds(in))
        run_out(in);
    else if (timerfd_settime(in->lease.fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        log_error("lease", "the timer cannot be set to %llu", (unsigned long long)until_ms);
}

int lease_open(struct init *in)
{
    in->lease.ready = on_timer;
    in->lease.fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return in->lease.fd < 0 ? -errno : watch_add(in, &in->lease, EPOLLIN);
}

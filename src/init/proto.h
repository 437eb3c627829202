/*
 * proto.h - what oneos-init and its client say to each other.
 *
 * One message is one packet of a SOCK_SEQPACKET socket, little-endian:
 *
 *     magic[4] version[1] type[1] zero[2] length[4] id[4]  fields of the type, in table order
 *
 * version is the sender's highest, length that of the whole packet. HELLO and REFUSED keep their
 * form in every version. A later version adds fields at the tail, which an older reader leaves
 * alone and a newer reader of an older message has as 0; a new type needs a new version. A
 * conversation:
 *
 *     HELLO        ->  WELCOME, a PROC for each process known, READY; or REFUSED
 *     SPAWN + memfd -> STARTED (rc 0 with descriptors, or -errno with words), later ENDED
 *     SIGNAL, NICE, CLOSED, TAKEN, LEASE, KILL ->  nothing
 *     STOP         ->  STOPPED
 *
 * REPLACED is the last thing a client hears when a newer one has come. Version 2 brought LEASE,
 * KILL, the field `lease`, and the second part of a spawn request.
 */
#ifndef ONEOS_INIT_PROTO_H
#define ONEOS_INIT_PROTO_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct obuf;

#define IM_VERSION_MIN 1
#define IM_VERSION_MAX 2
#define IM_BYTES       1024 /* more than any message has */
#define IM_FDS         3
#define IM_PIDS        16 /* stages of a pipeline whose figures a client can see */

#define ISPEC_BYTES  (16u << 20) /* more than any exec can take */
#define ISPEC_STAGES 256

enum imsg_type {
    IM_HELLO = 1,
    IM_WELCOME,
    IM_REFUSED,
    IM_PROC,
    IM_READY,
    IM_SPAWN,
    IM_STARTED,
    IM_ENDED,
    IM_SIGNAL,
    IM_NICE,
    IM_CLOSED,
    IM_TAKEN,
    IM_STOP,
    IM_STOPPED,
    IM_REPLACED,
    IM_LEASE, /* until_ms */
    IM_KILL,  /* all of a process, whatever became of it */
};

/* Bits of `fds`: which of the stdio descriptors travel with the message, in this order. With
 * IM_PTY one descriptor is both input and output. CLOSED says with them what can be let go. */
enum { IM_IN = 1, IM_OUT = 2, IM_ERR = 4, IM_PTY = 8 };

/* The fields of all messages; proto.c lists which of them a type carries. */
struct imsg {
    uint8_t type;
    uint32_t id;
    uint16_t version_min, version_max; /* HELLO, REFUSED: the range spoken */
    uint16_t version;                  /* WELCOME: the one chosen */
    uint32_t number;
    int32_t pid; /* leader and process group; WELCOME, REFUSED: of oneos-init */
    int32_t rc;
    int32_t value; /* the signal, or the nice value */
    uint8_t fds;
    uint8_t running;
    uint8_t oom;
    uint8_t lease; /* killed because the lease ran out */
    uint8_t npids;
    int32_t pids[IM_PIDS];
    int32_t exit, signal;
    uint32_t grace_ms;
    uint64_t until_ms; /* on CLOCK_BOOTTIME, which both read */
    uint64_t started_us, ended_us, cpu_us, memory_peak;
    char text[sizeof((struct oerr *)0)->text]; /* words; WELCOME: the folder of the cgroups;
                                                * PROC: the user, "": as oneos-init runs */
};

/* Writes it to buf; the length. */
size_t imsg_encode(const struct imsg *m, void *buf);

/* -EPROTO when it is not a whole message of ours; -EOPNOTSUPP (with m->type and m->id set) when
 * its type is unknown. m is zeroed first. */
int imsg_decode(struct imsg *m, const void *data, size_t n);

/* Sends with n descriptors, MSG_DONTWAIT. 0, -EAGAIN, or another -errno. */
int imsg_send(int sock, const struct imsg *m, const int *fds, unsigned n);

/* Receives one, MSG_DONTWAIT. fds gets what came, the rest -1; descriptors of a message that is
 * refused are closed. 0; -EAGAIN; -ENODATA at the end; as imsg_decode; -EMFILE when descriptors
 * were lost on the way in (m is valid, fds all -1). */
int imsg_recv(int sock, struct imsg *m, int fds[IM_FDS]);

/* What a stage has for itself; NULL: nothing. */
struct istage {
    const char *in, *out, *err; /* files instead of its stdio */
    char **env;                 /* goes over that of the request; never NULL after decoding */
    bool append, err_append;
};

/* A spawn request, which travels in a sealed memfd. */
struct ispec {
    uint32_t number;
    uint8_t pty;
    uint16_t rows, cols;
    int32_t nice;
    const char *cwd, *user; /* user "": none given */
    char **env;             /* NULL-ended */
    unsigned nstages;
    char ***argv; /* nstages lists, each NULL-ended and not empty */
    bool more;    /* the rest is there, which only version 2 can read */
    bool leased, reap_all;
    uint64_t memory;
    uint32_t cpu_milli;
    struct istage *stages; /* nstages of them, or NULL */
    void *mem;             /* holds the lists */
};

/* Appends it; s->mem is not read. */
void ispec_encode(struct obuf *b, const struct ispec *s);

/* The strings stay in data, which must outlive s. Free it with ispec_free, also after failure. */
int ispec_decode(struct ispec *s, const void *data, size_t n, struct oerr *e);
void ispec_free(struct ispec *s);

#endif

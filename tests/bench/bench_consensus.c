/*
 * bench_consensus.c - what agreeing costs, without disk and network: three servers in one process.
 *
 * Commands of 128 bytes; so many outstanding, each asked for when another ends. Prints, per
 * command, the processor time of all three together, the messages, and the writes of the leader's
 * disk.
 */
#include "tests/bench/timing.h"
#include "tests/unit/consensus_kit.h"

#include <stdio.h>

enum { COMMANDS = 200000, SIZE = 128 };

struct load {
    struct kit *k;
    unsigned left;
};

static void propose(struct load *l);

static void done(void *arg, int rc, uint64_t index)
{
    struct load *l = arg;

    (void)index;
    if (rc < 0)
        abort();
    if (l->left)
        propose(l);
}

static void propose(struct load *l)
{
    static const char command[SIZE];

    l->left--;
    if (consensus_propose(l->k->s[0].c, command, sizeof command, done, l) < 0)
        abort();
}

static void run(unsigned outstanding)
{
    struct kit *k = kit_new();
    struct load l = { k, COMMANDS };
    unsigned sent, appends;
    double began;

    k->threshold = 500;
    k->trailing = 100;
    for (unsigned i = 0; i < 3; i++)
        k->s[i].forget = true;
    kit_three(k);
    sent = k->sent;
    appends = k->s[0].appends;
    began = seconds();
    for (unsigned i = 0; i < outstanding; i++)
        propose(&l);
    kit_deliver(k);
    began = seconds() - began;
    printf("%4u outstanding: %.2f us, %.2f messages, %.3f writes a command\n", outstanding,
           began * 1e6 / COMMANDS, (double)(k->sent - sent) / COMMANDS,
           (double)(k->s[0].appends - appends) / COMMANDS);
    kit_free(k);
}

int main(void)
{
    run(1);
    run(64);
    run(256);
    return 0;
}

#!/usr/bin/env bash
# Lanes between daemons: where a firewall lets none through, all goes over ZeroMQ; where it does, they stand, and again
# after a daemon was killed.
. "$(dirname "$0")/../lib/cluster.sh"

PORT=7000 LANES=7003 # of A: the ports behind the first are its publications, links, lanes

forbid() { on "$1" ip rule add dport $LANES ipproto tcp prohibit; }
permit() { on "$1" ip rule del dport $LANES ipproto tcp prohibit; }
# How many lanes others have made to A.
lanes() { on A ss -Htn state established "( sport = :$LANES )" | wc -l; }
all_alive()
{
    local on id
    for on in A B C; do
        for id in A B C; do
            on "$on" grep -qx alive "/oneos/machines/$id/state" || return 1
        done
    done
}
# Commands of the registry, questions and processes, from each machine to A.
all_works()
{
    local id
    for id in B C; do
        [ "$(on "$id" timeout 20 oneos run -c "@A echo from $id | @$id cat")" = "from $id" ] || return 1
        on "$id" timeout 20 bash -c "touch /oneos/pipes/p.$id && rm /oneos/pipes/p.$id" || return 1
    done
}

machines A B C
forbid B
forbid C
start A --listen "$(address A):$PORT"
start B
start C
expect 'three machines, of which B and C may make no lane to A' eventually 20 all_alive
expect 'all works without' eventually 20 all_works
expect 'and there was none' same 0 "$(lanes)"
permit B
permit C
expect 'they stand, once they can' eventually 60 'same 2 "$(lanes)"'
expect 'all works with them' all_works
kill9 A
start A --listen "$(address A):$PORT"
expect 'and again after A was killed' eventually 30 'same 2 "$(lanes)" && all_alive'
expect 'all works again' eventually 20 all_works
finish

#!/usr/bin/env bash
# Who closes what he wrote to another machine waits until it has arrived there: while the cable is drawn, and no longer.
# He can be interrupted; one that exits does not wait; what stays on this machine is not waited for.
. "$(dirname "$0")/../lib/cluster.sh"

state_is() { on "$1" "grep -qx $3 /oneos/machines/$2/state"; }
# A process on B that runs this; prints its name.
runs_on_B()
{
    on A "exec 3<>/oneos/machines/B/procs/clone && read -r name <&3 && echo 'exec $1' >&3 && echo \$name"
}
# The other machine is there, and a link to it.
linked()
{
    eventually 10 "state_is A B alive && state_is B A alive" && on A timeout 5 oneos run -l B -- true
}

machines A B
start A
start B
expect 'they see each other' linked

one=$(runs_on_B cat) two=$(runs_on_B cat) three=$(runs_on_B 'sleep 1000')
expect 'a write arrives' on A "echo hello | call write /oneos/procs/$one/stdin && grep -qx hello /oneos/procs/$one/stdout"

unplug B
in_bg writer A "echo late | call write /oneos/procs/$two/stdin"
in_bg impatient A "echo never | exec call write /oneos/procs/$three/stdin"
expect 'with the cable drawn the close waits' always 1 '! ended writer && ! ended impatient'
signal impatient INT
expect 'Ctrl-C ends that at once' eval 'eventually 1 ended impatient'
plug B
expect 'once it has arrived the close returns, with 0' eval 'result 20 writer | grep -qx 0 && err writer | grep -qx ok'
expect 'and it is there' eventually 5 on A "timeout 2 grep -qx late /oneos/procs/$two/stdout"

expect 'they are linked again' linked
in_bg full A "exec cat /dev/zero >/oneos/procs/$three/stdin"
written() { on A "grep wchar /proc/$(pid_in_bg full)/io"; }
stuck() { local was && was=$(written) && always 1 'same "$was" "$(written)" >/dev/null'; }
expect 'a writer to somebody who does not read waits' eventually 20 stuck
signal full KILL
expect 'killed, it is gone at once: its close waits for nobody' eval 'eventually 2 ended full'

expect 'what no reader has asked for stays here: its writer need not wait' \
    within 1000 on A 'touch /oneos/pipes/p && echo here | call write /oneos/pipes/p'
in_bg keeper A 'exec sleep 1000 >/oneos/pipes/p'
expect 'another writer keeps the pipe open' eventually 5 on A 'awk "\$1 == \"p\" && \$4 == 1 { ok = 1 } END { exit !ok }" /oneos/pipes/status'
in_bg reader B 'exec cat /oneos/pipes/p'
expect 'a reader on B gets it' eventually 5 'out reader | grep -qx here'
unplug B
in_bg writer A 'echo there | call write /oneos/pipes/p'
expect 'by a pipe it is the same: the close waits' always 1 '! ended writer'
plug B
expect 'until it has arrived' eval 'result 20 writer | grep -qx 0 && err writer | grep -qx ok'
expect 'and the reader has it' eventually 5 'out reader | grep -qx there'
signal keeper TERM
expect 'then comes the end' eval 'result 10 reader | grep -qx 0'
finish

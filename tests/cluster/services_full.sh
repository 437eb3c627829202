#!/usr/bin/env bash
# The disk of the machine that leads the registry and runs all core services gets full: another one leads, the services
# run on those that have room, and queued jobs go on. With room again the machine is one of them as before.
LIMIT=400
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machine_of() { on "$1" "readlink /oneos/services/$2/machine" | sed 's|.*/||'; }
epoch_of() { on "$1" "sed -n 's/^epoch //p' /oneos/services/$2/status"; }
runs_elsewhere()
{
    local s
    for s in filesystem scheduler shell web; do
        on A "cat /oneos/services/$s/status && grep -qx 'state running' /oneos/services/$s/status" &&
            ! same C "$(machine_of A $s)" >/dev/null || return 1
    done
}

machines A B C
mkdir -p "$HOME/.oneos" "$T/small"
on C "mount -t tmpfs -o size=24m tmpfs $T/small"
start C --state "$T/small" --cluster-key "$HOME/.oneos/cluster.key"
start A
start B
expect 'C leads, three vote' eventually 20 'same "C 3" "$(leader_of A) $(figure A voters)"'
expect 'C gets all services' eventually 10 on A 'for s in /oneos/services/*/; do echo move C >$s/ctl || exit 1; done'
expect 'they run there' eventually 10 on A 'for s in /oneos/services/*/; do grep -qx "state running" $s/status && grep -qx "machine C" $s/status || exit 1; done'
epoch=$(epoch_of A scheduler)
expect 'jobs are done' came "$(submit A -- '@A true')" 'exit 0'
many=$(submit A 'array 1-100' -- '@B sleep 0.3')

on C "dd if=/dev/zero of=$T/small/filler bs=4k 2>/dev/null; true"
in_bg churn A 'for k in $(seq 20); do echo "k$k $(head -c 180 /dev/urandom | base64 -w 0)"; done >/tmp/labels
    for i in $(seq 100000); do sed "s/^k1 .*/k1 $i/" /tmp/labels >/oneos/machines/A/labels; done 2>/dev/null; true'
expect 'C says that there is no room' eventually 60 "figure C trouble | grep -q 'the disk is full'"
expect 'another one leads' eventually 30 'case $(leader_of A) in A | B) ;; *) false ;; esac'
expect 'all services run elsewhere' eventually 60 runs_elsewhere
expect '... under a higher epoch' eval '[ "$(epoch_of A scheduler)" -gt "$epoch" ]'
expect 'for that reason' eval 'grep -h "goes to [AB]: its machine cannot write the registry" "$T"/[AB]/log'
expect 'C stopped its own, though it cannot see where they are' eventually 10 'grep "scheduler of epoch $epoch stops here" "$T/C/log"'
signal churn TERM
expect 'what is submitted now is done' came "$(submit A -- '@A true')" 'exit 0' 60
expect 'what was queued before is done' came "$many" 'exit 0' 100
other=A
[ "$(machine_of A scheduler)" != A ] || other=B
expect 'an operator may still move it' eventually 10 "on A 'echo move $other >/oneos/services/scheduler/ctl' && same $other \"\$(machine_of A scheduler)\""
expect 'C has not fallen' running C

on C rm "$T/small/filler"
expect 'with room again C has what all have' eventually 30 same_registry A B C
expect '... and nothing is wrong' eventually 10 "same '' \"\$(figure C trouble)\""
epoch=$(epoch_of A scheduler)
expect 'it runs jobs' came "$(submit C -- '@C true')" 'exit 0' 60
expect 'nothing came back by itself' eval 'same "$epoch" "$(epoch_of A scheduler)" && same "$other" "$(machine_of C scheduler)"'
expect 'well again it takes services' eventually 30 "on A 'echo move C >/oneos/services/scheduler/ctl' && on A grep -qx 'state running' /oneos/services/scheduler/status"
expect '... and they work' came "$(submit A -- '@A true')" 'exit 0' 60
expect '... and stay' same C "$(machine_of A scheduler)"
stop C
on C umount "$T/small"
finish

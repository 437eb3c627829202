#!/usr/bin/env bash
# A machine whose disk is full can begin no job: it gives back what it got, and the others run it; what can run only there
# waits, and says for what. And output of which the beginning is kept no more does not look whole.
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B
# The folder of processes has a disk of its own here: the registry's stays writable.
procs=$HOME/.oneos/B/procs
on B "mkdir -p $procs && mount -t tmpfs -o size=200m full $procs"
start A
start B
expect 'two machines, one registry' eventually 20 'same_registry A B'
expect 'the scheduler is on A, which has room' eventually 10 "on A 'echo move A >/oneos/services/scheduler/ctl'"
expect 'B runs jobs' came "$(submit A -- '@B true')" 'exit 0'
on B "dd if=/dev/zero of=$procs/filler bs=4k" 2>/dev/null
many=$(submit A 'array 1-12' -- 'sh -c true')
expect 'what may run anywhere is done' came "$many" 'exit 0' 60
job=$(submit A -- '@B true')
expect 'what may run only there waits, and says for what' eventually 20 "on A grep -q 'No space left' $J/$job/why && in_state $job pending"
on B "rm $procs/filler"
expect 'with room on the disk it runs' came "$job" 'exit 0' 30

job=$(submit A -- '@B seq 1 12000000')
expect 'one writes 98 MB, and nobody reads' came "$job" 'exit 0' 60
expect 'who comes late gets the last of it' on A "{ cat $J/$job/stdout 2>/dev/null; true; } | tail -n 1 | grep -qx 12000000"
expect '... and is told that it is not all' on A "cat $J/$job/stdout 2>&1 >/dev/null | grep -q 'Input/output error'"
expect 'of a short one all is there' on A "cat $J/$(submit A -- '@B seq 1 100')/stdout | tail -n 1 | grep -qx 100"

on B "dd if=/dev/zero of=$procs/filler bs=4k" 2>/dev/null
on B "truncate -s -2M $procs/filler"
job=$(submit A -- '@B seq 1 4000000')
expect 'one that writes more than there is room for says why it stands still' eventually 20 "on A grep 'it stands still.* on B: No space left' $J/$job/why"
on B "rm $procs/filler"
expect 'with room it goes on' came "$job" 'exit 0' 30
expect '... and all is there' on A "tail -n 1 $J/$job/stdout | grep -qx 4000000"
stop B
on B umount "$procs"
finish

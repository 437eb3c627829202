#!/usr/bin/env bash
# A daemon is killed, or makes room for another, under running jobs: they go on, the same jobs, their output without a gap.
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B C
for id in A B C; do
    start $id
done
expect 'three machines, one registry' eventually 20 'same_registry A B C'

counting="sh -c 'i=0; while [ ! -e $T/stop ]; do i=\$((i + 1)); echo \$i; sleep 0.01; done; echo end'"
job=$(submit A -- "@B $counting")
pipeline=$(submit A -- "@B $counting | cat")
expect 'a job runs on B' eventually 10 "in_state $job running && on A timeout 5 head -n 20 $J/$job/stdout | grep -qx 20"
procs=$(on A ls "$J/$job/procs")
kill9 B
start B
expect 'the daemon of B is back' eventually 20 'same_registry A B C'
expect 'the job goes on there' eval "in_state $job running && same '$procs' \"\$(on A ls $J/$job/procs)\""
expect '... not begun anew' eventually 10 "same 0 \"\$(of_job $job restarts)\""
on B "kill -TERM $(pid_of B)" # asked to stop, it ends its jobs
eventually 20 '! running B' >/dev/null
unset 'daemon[B]'
expect 'a daemon that stops for good ends its jobs: lost' came "$job" 'lost B' 40
expect '... both of them' came "$pipeline" 'lost B' 40

start B
job=$(submit A -- "@B $counting")
expect 'another runs' eventually 10 "on A timeout 5 head -n 20 $J/$job/stdout | grep -qx 20"
kill9 B
start B
expect 'the daemon of B is back' eventually 20 'same_registry A B C'
: >"$T/stop"
expect 'the job ends well' came "$job" 'exit 0' 20
whole() { on A timeout 20 cat "$J/$job/stdout" >"$T/got"; tail -n 1 "$T/got" | grep -qx end && seq "$(($(wc -l <"$T/got") - 1))" | cmp - <(head -n -1 "$T/got"); }
expect 'its output is whole, nothing missing, nothing twice' whole

# The machine that schedules is killed: what runs goes on, what is submitted meanwhile runs.
rm "$T/stop"
job=$(submit A -- "@B $counting")
expect 'one more runs' eventually 10 in_state "$job" running
expect 'all three vote: one of them can be missed' eventually 20 on A grep -qx 'voters 3' /oneos/status
scheduler=$(on A "basename \$(readlink /oneos/services/scheduler/machine)")
from=$([ "$scheduler" = A ] && echo C || echo A)
kill9 "$scheduler"
next=$(on "$from" bash -c 'for i in $(seq 100); do echo "run @B echo done" >/oneos/jobs/ctl && break; sleep 0.1; done; basename $(readlink /oneos/jobs/last)' 2>/dev/null)
expect 'what is submitted while there is no scheduler runs soon' eval "same 'exit 0' \"\$(verdict $from $next 20)\""
start "$scheduler"
: >"$T/stop"
expect 'what ran ends well' eval "same 'exit 0' \"\$(verdict $from $job 30)\""
finish

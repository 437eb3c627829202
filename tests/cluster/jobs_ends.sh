#!/usr/bin/env bash
# However a job ends, its status is true, and nothing of it is left running.
LIMIT=300
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B
start A
start B --output-limit 1MiB
expect 'two machines, one registry' eventually 20 'same_registry A B'

# Every exit status, and every signal that ends a process: many jobs at a time.
on A 'for i in $(seq 0 255); do echo "run sh -c '"'exit \$i'"'"; done' >"$T/lines"
expect '256 jobs in one write' on A "cat $T/lines >$J/ctl"
last=$(on A "basename \$(readlink $J/last)")
statuses() { local i; for i in $(seq 0 255); do same "exit $i" "$(verdict A $((last - 255 + i)))" || return 1; done; }
expect 'exit 0 to 255' statuses
signals=$(bash -c 'kill -l' | tr -s '\t ' '\n\n' | sed -n 's/^SIG//p' | grep -vxE 'CHLD|CONT|STOP|TSTP|TTIN|TTOU|URG|WINCH|STKFLT|IO|POLL|RTM.*')
by_signal()
{
    local name job
    for name in $signals; do
        job=$(submit A -- "sh -c 'ulimit -c 0; kill -$(kill -l "$name") \$\$; sleep 5'")
        same "signal $name" "$(verdict A "$job")" || return 1
        in_state "$job" failed || return 1
    done
}
expect 'each signal' by_signal

# idle ID PATTERN: no process there has it in its command line.
idle() { ! on "$1" "ps -ww -eo pid,args | grep -v grep | grep -e '$2'"; }

job=$(submit A -- "@B sh -c 'trap \"\" TERM; echo ready; sleep 7001; sleep 7002'")
expect 'one that ignores TERM runs' eval "on A timeout 10 head -n 1 $J/$job/stdout | grep -qx ready"
on A "echo cancel >$J/$job/ctl"
expect 'cancel makes an end of it with KILL' came "$job" cancelled 20
expect '... and nothing is left' eventually 5 idle B 'sleep 700[12]'

job=$(submit A -- "@B sh -c '(setsid sh -c \"sleep 7003; true\" &) ; (setsid sleep 7004 >/dev/null 2>&1 &); exit 3'")
expect 'one that forks away ends with its own status' came "$job" 'exit 3' 10
expect '... and nothing is left' eventually 5 idle B 'sleep 700[34]'

job=$(submit A -- "@B sh -c 'exec <&- >&- 2>&-; sleep 0.5; exit 4'")
expect 'one that closes its stdio' came "$job" 'exit 4' 10

job=$(submit A 'timeout 1s' -- '@B sleep 7005')
expect 'one that takes too long' came "$job" 'timeout' 20
expect '... has failed, and says why' eval "in_state $job failed && on A grep -q 'time' $J/$job/why"
expect '... and nothing is left' eventually 5 idle B 'sleep 7005'

sanitized || {
    job=$(submit A -- "@B sh -c 'head -c 5000000000 /dev/zero >&2; echo the end >&2'")
    expect '5 GB to stderr' came "$job" 'exit 0' 120
    expect '... what is kept is its end' eval "on A 'timeout 60 cat $J/$job/stderr 2>/dev/null | tail -c 8' | grep -qx 'the end'"
    expect '... and who reads it is told that its beginning is gone' on A "call read $J/$job/stderr 2>&1 >/dev/null | grep -qx EIO"
    expect '... it is capped' on A "[ \$(timeout 60 cat $J/$job/stderr | wc -c) -le 2000000 ]"
    expect '... and marked' on A "grep -E 'stderr_dropped_bytes [1-9]' $J/$job/procs/*/status"
}

job=$(submit A -- "@B bash -c 'for i in {1..10000}; do sleep 7006 & done 2>/dev/null; exit 5'")
expect 'one that makes 10,000 children' came "$job" 'exit 5' 100
expect '... and nothing is left' eventually 20 idle B 'sleep 7006'

job=$(submit A 'memory 64MiB' -- "@B sh -c 'x=\$(head -c 300000000 /dev/zero | tr \"\\0\" x); echo \${#x}'")
expect 'one that takes more memory than it may ends' eval "verdict A $job 30 | grep -vx 'exit 0'"
expect '... has failed, and says so' eval "in_state $job failed && on A cat $J/$job/why"

job=$(submit A 'retries 2' -- "sh -c 'exit 9'")
expect 'one that fails is tried again twice' eval "came $job 'exit 9' 20 && same 2 \"\$(of_job $job restarts)\""
finish

#!/usr/bin/env bash
# Reads and writes that wait: Ctrl-C ends them at once, ten thousand of them cost the daemon no thread and little
# memory, and it forgets them when they are killed.
LIMIT=240
. "$(dirname "$0")/../lib/cluster.sh"
machines A B
start A
start B
expect 'A and B see each other' eventually 3 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'

new_on()
{
    on A "exec 3<>/oneos/machines/$1/procs/clone && read -r name <&3 && echo exec sleep 10000 >&3 && echo \$name"
}
a=$(new_on A) b=$(new_on B)
on A touch /oneos/pipes/p /oneos/pipes/full

# ---- Ctrl-C ----

# asleep NAME: its process waits in the kernel.
asleep()
{
    on A grep -q '^State:.*sleeping' "/proc/$(pid_in_bg "$1")/status"
}
interrupted()
{
    signal "$1" INT
    same 130 "$(result 1 "$1")"
}

for what in "cat /oneos/procs/$a/wait" "cat /oneos/procs/$b/wait" 'cat /oneos/events' "cat /oneos/procs/$a/stdout" \
    "cat /oneos/procs/$b/stderr" 'cat /oneos/pipes/p' 'cat /dev/zero >/oneos/pipes/full' "cat /dev/zero >/oneos/procs/$a/stdin" \
    "cat /dev/zero >/oneos/procs/$b/stdin"; do
    in_bg waiting A "exec $what"
    expect "$what waits" always 1 '! ended waiting'
    expect 'asleep' eventually 10 asleep waiting
    expect 'and Ctrl-C ends it at once' within 1000 interrupted waiting
    sed -n 's/^took/# took/p' "$T/output"
done
# The kernel lets one write at a time into a file, so that each must have one of its own to wait in.
for file in pipes/full "procs/$b/stdin"; do
    in_bg first A "exec cat /dev/zero >/oneos/$file"
    in_bg second A "exec cat /dev/zero >/oneos/$file"
    in_bg third A "exec cat /dev/zero >>/oneos/$file"
    expect "three wait to write $file" always 1 '! ended first && ! ended second && ! ended third'
    for writer in second third first; do
        expect "Ctrl-C ends the $writer at once" within 1000 interrupted $writer
    done
done
expect 'nobody has the pipes open any more' eventually 3 \
    'on A awk "NR > 1 && (\$3 || \$4) { bad = 1 } END { exit bad }" /oneos/pipes/status'
expect 'what was interrupted runs on' on A "cat /oneos/procs/$a/status /oneos/procs/$b/status | grep -cx 'state running' | grep -qx 2"

# ---- many readers ----

MANY=${MANY:-10000}
all_read() { grep -qx "reading $MANY" "$T/bg/many.out"; }
# A worker thread comes with a descriptor of its own, and not before it is needed.
POOLS=8
as_few_fds() { [ "$(fds A)" -le $((fds_before + POOLS)) ] && [ "$(fds B)" -le $((fds_there + POOLS)) ]; }
as_few_threads() { [ "$(threads A)" -le $((threads_before + POOLS)) ] && [ "$(threads B)" -le $((threads_there + POOLS)) ]; }

crowd()
{
    in_bg many A "exec readers $MANY $1"
    expect "$MANY readers of $1" eventually 60 all_read
    expect 'all wait' always 1 '! ended many'
    echo "# $1: $(threads A) threads, $(fds A) descriptors, $(rss A) KiB; on B $(threads B) threads, $(rss B) KiB"
    expect 'they cost no thread' as_few_threads
    expect 'nor a descriptor' as_few_fds
    sanitized || expect "and at most $2 KiB of memory each" eval "[ \$((\$(rss A) - rss_before)) -le $(($2 * MANY)) ]"
    expect 'the tree answers meanwhile' within 1000 on A 'ls -lR /oneos/machines >/dev/null && cat /oneos/status >/dev/null'
    signal many KILL
    expect 'they end when killed' same 137 "$(result 30 many)"
    expect 'and the daemon has forgotten them' eventually 10 "$3"
    expect 'their descriptors too' as_few_fds
    echo "# afterwards: $(threads A) threads, $(fds A) descriptors, $(rss A) KiB; on B $(rss B) KiB"
}

nobody_on_p() { on A awk '$1 == "p" && $3 == 0 && $4 == 0 { found = 1 } END { exit !found }' /oneos/pipes/status; }

look_around()
{
    on A 'ls -lR /oneos >/dev/null; cat /oneos/status /oneos/machines/*/* >/dev/null 2>&1'
    fds_before=$(fds A) fds_there=$(fds B) rss_before=$(rss A)
    threads_before=$(threads A) threads_there=$(threads B)
    echo "# before: $threads_before threads, $fds_before descriptors, $rss_before KiB; on B $threads_there threads, $(rss B) KiB"
}
look_around
crowd "/oneos/procs/$a/wait" 8 true
rss_once=$(rss A)
crowd "/oneos/procs/$a/wait" 8 true
sanitized || expect "the second time needs little more memory than the first" eval '[ "$(rss A)" -le $((rss_once + MANY)) ]'
crowd "/oneos/procs/$a/stdout" 8 true
crowd /oneos/pipes/p 8 nobody_on_p
finish

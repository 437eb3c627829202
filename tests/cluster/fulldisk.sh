#!/usr/bin/env bash
# The disk of B's state folder is full: a process that writes much waits, and goes on when there is room again;
# everything else works or says why not; a daemon killed meanwhile loses nothing.
LIMIT=120
. "$(dirname "$0")/../lib/cluster.sh"

SIZE=12M
small() { on B "mount -o remount,size=$1 tmpfs $T/small"; }
written() { on A "sed -n 's/^stdout_bytes //p' /oneos/procs/$1/status"; }
starts() { start B --state $T/small --cluster-key "$HOME/.oneos/cluster.key"; }

machines A B
start A
on B "mkdir -p $T/small && mount -t tmpfs -o size=10m tmpfs $T/small"
starts
expect 'A and B see each other' eventually 5 on A grep -qx alive /oneos/machines/B/state
w=$(on A "oneos run -d -l B -- sh -c '$BUILD/tests/lib/bytes make $SIZE; exit 6'")
expect 'what B logs and what status shows is that there is no room' eventually 10 'grep -q "cannot keep more output: No space left" "$T/B/log" && on A grep -qx "output_error No space left on device" "/oneos/procs/$w/status"'
before=$(written "$w")
expect 'the process waits' always 2 'same "$before" "$(written "$w")" && on A grep -qx "state running" "/oneos/procs/$w/status"'
expect 'it is told once, not again and again' same 1 "$(grep -c 'cannot keep more output' "$T/B/log")"
expect 'what is there can be read' on A "timeout 10 head -c 3M /oneos/procs/$w/stdout | cmp - <(bytes make 3M)"
expect 'quiet commands still run' eval 'on A "timeout 20 oneos run -l B -- sh -c \"exit 3\""; same 3 $?'
q=$(on A "oneos run -d -l B -- sh -c 'exit 4'")
expect 'they have a true end' same 'exit 4' "$(on A "timeout 10 cat /oneos/procs/$q/wait")"
expect 'what cannot be stored is refused, and error says why' on A 'echo gpu | call write /oneos/machines/B/labels 2>&1 | grep -qx EAGAIN && grep -q "the disk is full" /oneos/machines/B/error'
expect 'B has not fallen' running B

kill9 B
expect 'a daemon that has no room to start says so, with 69' on B \
    "timeout 20 oneosd B --foreground --state $T/small --cluster-key '$HOME/.oneos/cluster.key' 2>$T/said; rc=\$?; cat $T/said; [ \$rc = 69 ] && [ \$(wc -l <$T/said) = 1 ] && grep -q 'No space left' $T/said"
small 60m
starts
expect 'with room, the process goes on and ends' eventually 20 eval 'same "exit 6" "$(on A "timeout 2 cat /oneos/procs/$w/wait")"'
expect 'its output is whole, though its daemon was killed' on A "timeout 20 cat /oneos/procs/$w/stdout | bytes check $SIZE"
expect 'so is the end of what ended when nothing could be saved' same 'exit 4' "$(on A "timeout 5 cat /oneos/procs/$q/wait")"

# Once more, without a kill.
on B "head -c 45M /dev/zero >$T/small/filler; true"
v=$(on A "oneos run -d -l B -- $BUILD/tests/lib/bytes make $SIZE")
expect 'full again' eventually 10 on A grep -qx 'output_error No space left on device' "/oneos/procs/$v/status"
on B rm $T/small/filler
expect 'and with room again the process goes on' same 'exit 0' "$(on A "timeout 20 cat /oneos/procs/$v/wait")"
expect 'its output is whole' on A "timeout 20 cat /oneos/procs/$v/stdout | bytes check $SIZE"
expect 'status has no error any more' on A "! grep output_error /oneos/procs/$v/status"
stop B
on B umount $T/small
finish

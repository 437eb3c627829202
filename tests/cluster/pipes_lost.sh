#!/usr/bin/env bash
# A machine or a link that is lost for longer than a link resumes (30 s) is told as an error to all who
# waited for bytes from there: never as an end of file.
LIMIT=300
. "$(dirname "$0")/../lib/cluster.sh"
P=/oneos/pipes

machines A B C
for id in A B C; do
    start $id
done
for id in A B C; do
    for other in A B C; do
        eventually 5 "on $id grep -qx alive /oneos/machines/$other/state" || die "$id does not see $other"
    done
done

# spawn ID CODE: runs it with sh there by way of the tree; prints the number.
spawn()
{
    # shellcheck disable=SC2016
    on "$1" bash -c 'exec 3<>/oneos/machines/$0/procs/clone && read -r n <&3 && printf "exec sh -c \"%s\"\n" "$1" >&3 && echo "${n##*.}"' "$1" "$2"
}
# feed ID NAME: a writer there that says its name and then stays.
feed() { in_bg "feed_$2" "$1" "{ echo $2; sleep 1000; } >$P/$2"; }
# take ID NAME: a reader there whose result is the errno's name.
take() { in_bg "take_$2" "$1" "call read $P/$2 1000000"; }
taken() { [ "$(out "take_$1")" = "$1" ]; }

on C "touch $P/cut $P/late $P/in $P/back $P/off $P/down"
take C cut
feed A cut
take C off
feed B off
feed A late # has written, and nobody reads yet
take A back
feed C back
in_bg writer C "exec 3>$P/down; while echo line >&3; do sleep 0.1; done"
in_bg reader A "cat $P/down"

process=$(spawn C "cat; echo after")
in_bg stdin A "{ echo to stdin; sleep 1000; } >/oneos/procs/C.$process/stdin"
watched=$(spawn A "sleep 1000")
in_bg waiter C "cat /oneos/procs/A.$watched/wait"
in_bg off_watched C "cat /oneos/procs/B.$(spawn B "sleep 1000")/wait"

for name in cut off back; do
    expect "bytes of $name have come" eventually 5 taken $name
done
expect 'bytes have come to the stdin of a process' eventually 5 on C "timeout 0.5 cat /oneos/procs/C.$process/stdout | grep -x 'to stdin'"
expect 'a line has come down' eventually 5 eval 'out reader | grep -q line'
eventually 5 'on C grep -q "^late stream 0 1 " $P/status' || die 'C does not know of the writer of late'

eventually 20 on C grep -qx 'voters 3' /oneos/status || die 'not all of them vote'
cut A
power_off B
began=$(now_ms)
expect 'the machines are dead after a few seconds' eventually 6 on C 'grep -qx dead /oneos/machines/A/state && grep -qx dead /oneos/machines/B/state'
in_bg alone C "call read $P/late 6000"
expect 'nobody is told of an end for 25 s' always $(((began + 25000 - $(now_ms)) / 1000)) \
    '! ended take_cut && ! ended take_off && ! ended take_back && ! ended waiter && ! ended writer'
for name in cut off back; do
    expect "$name: the reader gets EIO after the window" eval "result 15 take_$name && same EIO \"\$(err take_$name)\""
done
echo "# $(($(now_ms) - began)) ms"
expect 'one machine of three cannot begin to hold a pipe' eval 'result 1 alone; same EAGAIN "$(err alone)"'
expect 'a writer whose reader is lost gets EPIPE' eval 'result 15 writer && err writer | grep -q "Broken pipe"'
expect 'wait says that A is lost' eval 'result 15 waiter && same "lost A" "$(out waiter)"'
expect '... and that B is' eval 'result 15 off_watched && same "lost B" "$(out off_watched)"'
expect 'a process whose stdin was written there is killed' same 'lost C' "$(on C timeout 10 cat "/oneos/procs/C.$process/wait")"
expect '... its cause is lost' on C "grep -qx 'cause lost' /oneos/procs/C.$process/status"
expect '... it saw no end of file' on C "! grep after /oneos/procs/C.$process/stdout"

while [ $(($(now_ms) - began)) -lt 40000 ]; do
    nap
done
join A
expect 'A is alive again' eventually 15 on C 'grep -qx alive /oneos/machines/A/state'
expect 'who read on A from C has got EIO as well' eval 'result 15 reader; err reader | grep -q "Input/output error"'
take C late
expect 'what a writer there still holds for a pipe that nobody read comes late, but comes' eventually 10 taken late
for name in cut back off; do
    in_bg again C "timeout 10 cat $P/$name"
    on A "echo again >$P/$name"
    expect "pipe $name can be used again" eval 'same 0 "$(result 12 again)" && same again "$(out again)"'
done
for name in feed_cut feed_late feed_back stdin; do
    signal $name KILL
done
on A "kill \$(pgrep -f 'sleep 1000')" 2>/dev/null
finish

#!/usr/bin/env bash
# The daemon of B is killed. The others say so in time and never hang on what was B's; B's processes
# go on without it, and the next daemon takes them up with all that they wrote meanwhile.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"

# state_is ID OTHER STATE: what ID says of OTHER.
state_is() { on "$1" "grep -qx $3 /oneos/machines/$2/state"; }

# Asks for all that is B's at once; tells each answer with the time it took: `NAME ERRNO MS`. The load is a copy that A
# has: it may be shown until B is known to be dead.
# shellcheck disable=SC2016 # for the shell on that machine
ask_all='
ask()
{
    local began=$EPOCHREALTIME answer
    answer=$(echo resume | call "$1" "$2" 8000 2>&1 >/dev/null)
    echo "$1-${2##*/} $answer $(((${EPOCHREALTIME/./} - ${began/./}) / 1000))"
}
[ "$2" = early ] || ask read /oneos/machines/B/load
for f in status cmdline cwd env stdout; do ask read "/oneos/procs/$1/$f" & done
for f in machines/B/labels machines/B/ctl "procs/$1/ctl"; do ask write "/oneos/$f" & done
wait'

# unreachable COUNT MS: standard input is that many answers, none later, all EHOSTUNREACH.
unreachable() { awk -v n="$1" -v ms="$2" '{ print } $2 != "EHOSTUNREACH" || $3 > ms { bad = 1 } END { exit bad || NR != n }'; }

# Lists the directory of B until told to stop. A machine with two busy cores may stop any program for longer than is
# allowed here, so that a slow answer counts when it is slow three times in a row.
# shellcheck disable=SC2016
list_always='
slow=0 worst=0 n=0
until [ -e "$1" ]; do
    began=$EPOCHREALTIME
    names=(/oneos/machines/B/*)
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    [ ${#names[@]} -ge 5 ] || { echo "there is only: ${names[*]}"; exit 1; }
    if [ $took -ge 50 ]; then slow=$((slow + 1)); else slow=0; fi
    [ $slow -lt 3 ] || { echo "$took ms, three times over 50"; exit 1; }
    [ $took -le $worst ] || worst=$took
    n=$((n + 1))
    read -rt 0.01 _ <>"$2"
done
echo "listed $n times, $worst ms at most"
[ $n -gt 50 ]'

# writer FILE STATUS: a line each 50 ms, numbered, until FILE is there; then `end` and exit STATUS.
writer() { echo "i=0; until [ -e $1 ]; do echo \$i; i=\$((i + 1)); sleep 0.05; done; echo end; exit $2"; }

# complete: standard input is 0, 1, 2 ... and then `end`.
complete() { awk '$0 == "end" { end = 1; next } $0 != NR - 1 || end { print "line " NR " is " $0; exit bad = 1 } END { if (!bad) print NR " lines"; exit bad || !end || NR < 100 }'; }

machines A B C
start A
start B
start C
expect 'they see each other' eventually 5 'state_is A B alive && state_is B C alive && state_is C A alive'

w=$(on A "oneos run -d -l B -- sh -c '$(writer "$T/stop" 7)'")
q=$(on A "oneos run -d -l B -- sh -c 'until [ -e $T/quit ]; do sleep 0.05; done; echo said; exit 9'")
expect 'two processes run on B, seen from A' on A "grep -qx 'state running' /oneos/procs/$w/status && grep -qx 'state running' /oneos/procs/$q/status"
in_bg waits A "cat /oneos/procs/$w/wait"
in_bg reads A "exec cat /oneos/procs/$w/stdout"
in_bg lists A bash -c "$list_always" lists "$T/enough" "$T/never"
expect 'its output reaches a reader on A' eventually 5 'out reads | grep -qx 5'

first=$(on B "cat $T/B/pid")
kill9 B
began=$(now_ms)
in_bg asks C bash -c "$ask_all" asks "$w" early
expect 'A and C say within 4 s that B is dead' eval 'eventually 4 "state_is A B dead && state_is C B dead"'
echo "# dead after $(($(now_ms) - began)) ms"
expect 'what was asked of it before that is EHOSTUNREACH at the deadline of 5 s' eval 'result 30 asks && out asks | unreachable 8 6500'
# shellcheck disable=SC2016
expect 'what is asked afterwards, at once' eval 'on A bash -c "$ask_all" asks "$w" | unreachable 9 2000'
expect 'no process can be started there, and OneOS says why' on A 'said=$(oneos run -l B -- true 2>&1); [ $? = 125 ] && echo "$said" | grep -w B'
expect 'its processes are still listed' on A "[ -d /oneos/procs/$w ] && [ -d /oneos/procs/$q ]"
expect 'nobody says that they ended' eval '! ended waits'
on A touch "$T/quit"
expect 'they go on: one ends while there is no daemon' eventually 5 '! on B pgrep -f "$T/quit"'
expect 'the other one runs' on B pgrep -f "$T/stop"

start B
expect 'the new daemon is another one' eval '[ "$(pid_of B)" != "$first" ]'
expect 'B is alive again' eventually 5 'state_is A B alive && state_is C B alive'
on A touch "$T/enough"
expect 'its directory could be listed throughout' eval 'result 5 lists; out lists; grep -qx 0 "$T/bg/lists.status"'
expect 'its processes are there again' eventually 5 on A "grep -qx 'state running' /oneos/procs/$w/status"
expect 'and the one that ended in between has its exit status' same 'exit 9' "$(on A "timeout 5 cat /oneos/procs/$q/wait")"
expect 'and its output' same said "$(on A "timeout 5 cat /oneos/procs/$q/stdout")"
expect 'it writes on' on A "timeout 30 head -n 100 /oneos/procs/$w/stdout | tail -n 1 | grep -x 99"
on A touch "$T/stop"
expect 'who waited all that while is told the true end' eval 'result 10 waits && same "exit 7" "$(out waits)"'
expect 'no line of its output is missing or doubled' eval 'on C "timeout 10 cat /oneos/procs/$w/stdout" | complete'
expect 'a reader from before was told that its connection broke' eval 'result 40 reads | grep -qx 1 && err reads && ! out reads | grep -x end'
expect 'status agrees' on A "grep -qx 'exit 7' /oneos/procs/$w/status"
expect 'a new process has a new number' eval 'new=$(on A "oneos run -d -l B -- true") && [ "$new" != "$w" ] && [ "$new" != "$q" ]'
finish

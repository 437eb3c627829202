#!/usr/bin/env bash
# The core services: placed, the same seen from everywhere, moved by hand, by the death of their machine and by drain;
# each time under a higher epoch, and never on two machines.
. "$(dirname "$0")/../lib/cluster.sh"

SERVICES='filesystem scheduler shell web'
machine_of() { on "$1" "readlink /oneos/services/$2/machine" | sed 's|.*/||'; }
epoch_of() { on "$1" "sed -n 's/^epoch //p' /oneos/services/$2/status"; }
well() { on "$1" "grep -qx 'state running' /oneos/services/$2/status"; }
all_run() { local s; for s in $SERVICES; do on "$1" "cat /oneos/services/$s/status"; well "$1" "$s" || return 1; done; }
# How many services each machine has: `A:4 `.
spread() { on "$1" 'readlink /oneos/services/*/machine' | sed 's|.*/||' | sort | uniq -c | awk '{ printf "%s:%s ", $2, $1 }'; }
equal() { same "$(on A oneos services --json)" "$(on B oneos services --json)" && same "$(on A oneos services --json)" "$(on C oneos services --json)"; }
# The time of an event that a background reader saw, in ms.
when() { date -d "$(out "$1" | grep "$2" | head -n 1 | sed 's/.*"time": *"\([^"]*\)".*/\1/')" +%s%3N; }

refused()
{
    local got
    got=$(on A "${as[@]}" call write "/oneos/$1" <<<"$2" 2>&1)
    same "$3" "$got" && on A cat "/oneos/${1%/*}/error" >"$T/error" && cat "$T/error" &&
        [ "$(wc -l <"$T/error")" = 1 ] && grep -qE "$4" "$T/error"
}
as=()

machines A B C
start A
expect 'on the first machine all services run' eventually 5 'all_run A && same "A:4 " "$(spread A)"'
start B
start C
expect 'three machines vote' eventually 10 'for id in A B C; do on $id grep -x "voters 3" /oneos/status || return 1; done'
expect 'all see the same' eventually 5 'all_run B && all_run C && equal'
expect 'nothing moved by itself' same 'A:4 ' "$(spread C)"
expect 'a table' on B 'oneos services | tee /dev/stderr | grep -qE "^web +running +A +1 "'
expect 'the link leads to the machine' on C 'grep -qx alive /oneos/services/web/machine/state'

# ---- by hand

in_bg events C 'exec cat /oneos/events'
expect 'move' on A 'echo move B >/oneos/services/web/ctl && readlink /oneos/services/web/machine | grep -qx ../../machines/B'
expect 'under a higher epoch' same 2 "$(epoch_of A web)"
expect 'it runs there, as all see' eventually 2 'well B web && equal && same "A:3 B:1 " "$(spread C)"'
expect 'its events tell' eventually 2 'out events | grep -F "\"event\":\"service\",\"service\":\"web\",\"machine\":\"B\",\"epoch\":2"'
expect 'status says who moved it' on C "grep -qx 'why root moved it' /oneos/services/web/status"
expect 'move to where it is changes nothing' eval 'on C "echo move B >/oneos/services/web/ctl" && same 2 "$(epoch_of C web)"'
expect 'back and forth from two machines at once' eval '
    for i in 1 2 3 4 5; do
        on A "for i in 1 2 3; do echo move A >/oneos/services/web/ctl || exit 1; done" & a=$!
        on C "for i in 1 2 3; do echo move B >/oneos/services/web/ctl || exit 1; done" & c=$!
        wait $a && wait $c || return 1
    done
    on C "echo move B >/oneos/services/web/ctl"'

expect 'an unknown machine: ENOENT' refused services/web/ctl 'move X' ENOENT "no machine 'X'"
expect 'a word is missing: EINVAL' refused services/web/ctl 'move' EINVAL 'a word is missing: move ID'
expect 'a word too much: EINVAL' refused services/web/ctl 'move B C' EINVAL "too many words from 'C'"
expect 'an unknown verb: EINVAL' refused services/web/ctl 'stop' EINVAL "unknown verb 'stop'"
expect 'an unknown service' on A '! cat /oneos/services/nonsense/status'
if on A setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
    as=(setpriv --reuid=65534 --clear-groups)
    expect 'not by everybody: EPERM' refused services/web/ctl 'move A' EPERM root
    as=()
fi

# ---- by death

epoch=$(epoch_of C web) others=$(epoch_of C shell)
expect 'before' same 'A:3 B:1 ' "$(spread C)"
killed=$(now_ms)
kill9 A
expect 'what ran on A runs on the others, by equal shares' eventually 6 'same "B:2 C:2 " "$(spread C)" && all_run C && all_run B'
for s in filesystem scheduler shell; do
    echo "# $s ran elsewhere $(($(when events "\"service\":\"$s\"") - killed)) ms after the kill"
done
expect 'within 4 s' eval 'for s in filesystem scheduler shell; do [ $(($(when events "\"service\":\"$s\"") - killed)) -le 4000 ] || return 1; done'
expect 'under a higher epoch' eval '[ "$(epoch_of B shell)" -gt "$others" ]'
expect 'what ran on B stayed' eval 'same "$epoch" "$(epoch_of C web)" && same B "$(machine_of C web)"'
expect 'move to a machine that is not alive: EHOSTUNREACH' eval 'eventually 3 on B grep -qx dead /oneos/machines/A/state && got=$(on B call write /oneos/services/web/ctl <<<"move A" 2>&1); same EHOSTUNREACH "$got" && on B grep "A is not alive" /oneos/services/web/error'

lines=$(wc -l <"$T/A/log")
start A
expect 'A is back' eventually 5 'on C grep -qx alive /oneos/machines/A/state && [ "$(wc -l <"$T/A/log")" -gt "$lines" ]'
expect 'it runs nothing' always 2 '! tail -n +$((lines + 1)) "$T/A/log" | grep "runs here"'
expect 'and sees what the others see' eventually 2 'equal && all_run A && same "B:2 C:2 " "$(spread A)"'

# ---- by drain

expect 'drain' on A oneos drain B
expect 'its services go' eventually 3 'same "A:2 C:2 " "$(spread B)" && all_run B'
expect 'machines says so' eventually 2 'on C oneos machines | grep -E "^B +draining "'
expect 'info says so' on A 'grep -qx "draining yes" /oneos/machines/B/info'
expect 'move to it: EBUSY' refused services/web/ctl 'move B' EBUSY 'B is draining'
expect 'it takes no processes' on A '! timeout 10 oneos run -l B -- true'
stop B
start B
expect 'it drains on after its restart' eventually 5 'on A "! timeout 10 oneos run -l B -- true 2>&1" | grep -i drain'
expect 'resume' on C oneos resume B
expect 'it can be used again' eval 'on A "timeout 10 oneos run -l B -- true" && on A "echo move B >/oneos/services/web/ctl" && same B "$(machine_of A web)"'
expect 'info says so' eventually 2 on A 'grep -qx "draining no" /oneos/machines/B/info'

# ---- the leader dies

leader=$(on B "sed -n 's/^leader //p' /oneos/status")
other=B
[ "$leader" != B ] || other=C
in_bg elections $other 'exec cat /oneos/events'
sleep 0.2
kill9 "$leader"
expect 'another leads, and the events tell' eventually 5 'out elections | grep "\"event\":\"leader\""'
expect 'a service can be moved at once' eventually 2 on $other "echo move $other >/oneos/services/shell/ctl"
ended elections || signal elections TERM
ended events || signal events TERM
finish

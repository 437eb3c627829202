#!/usr/bin/env bash
# The machine that leads the registry dies while all write: the others write on within a second, and nothing that was
# acknowledged is missing. The same when it cannot be heard, when a link flaps, and when a link works one way only.
LIMIT=240
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C
P=/oneos/pipes

# writes ID NAME: makes pipes NAME.1, NAME.2, ... on that machine until it is told to stop; its output tells of each
# when it was acknowledged, or that it was refused.
writes()
{
    in_bg "$2" "$1" "trap 'exit 0' TERM; i=0
        while i=\$((i + 1)); do
            if call create $P/$2.\$i 2>/tmp/said.$2; then echo ok \$i \${EPOCHREALTIME/[.,]/}
            else echo no \$i \${EPOCHREALTIME/[.,]/} \$(cat /tmp/said.$2); sleep 0.05; fi
        done"
}

# gap NAME: the longest time between two acknowledged writes, in ms.
gap() { out "$1" | awk '$1 == "ok" { if (last && $3 - last > most) most = $3 - last; last = $3 } END { print int(most / 1000) }'; }
count() { out "$1" | grep -c '^ok'; }
growing() { local n; n=$(count "$1"); eventually 5 "[ \$(count $1) -gt $((n + 20)) ]"; }

# all_there NAME ID: each write of NAME that was acknowledged is there on that machine, once; what was refused was
# refused in words that fit.
all_there()
{
    out "$1" | awk -v n="$1" '$1 == "ok" { print n "." $2 }' | sort >"$T/acknowledged"
    on "$2" ls $P | grep "^$1\\." | sort >"$T/there"
    [ -s "$T/acknowledged" ] || return 1
    comm -23 "$T/acknowledged" "$T/there" | sed 's/^/missing: /' | tee "$T/missing"
    [ ! -s "$T/missing" ] && ! uniq -d "$T/there" | grep . && ! out "$1" | grep '^no' | grep -vE ' (EAGAIN|EEXIST|ENOSPC)$'
}

stops()
{
    local name
    for name; do
        signal "$name" TERM
        result 10 "$name" >/dev/null
    done
}

# the_others ID: of A B C.
the_others() { echo A B C | tr ' ' '\n' | grep -vx "$1" | tr '\n' ' '; }

start A
start B
start C
expect 'three vote' eventually 10 "same 3 \"\$(figure A voters)\""

# ---- killed, again and again

for round in 1 2 3; do
    leader=$(leader_of A)
    read -r one two <<<"$(the_others "$leader")"
    writes "$one" "k$round$one"
    writes "$two" "k$round$two"
    expect "two write ($round)" eval "growing k$round$one && growing k$round$two"
    kill9 "$leader"
    expect "both write on after the leader, $leader, was killed" eval "growing k$round$one && growing k$round$two"
    stops "k$round$one" "k$round$two"
    echo "# without a leader: $(gap "k$round$one") and $(gap "k$round$two") ms"
    sanitized ||
        expect '... within a second' eval "[ \$(gap k$round$one) -lt 1000 ] && [ \$(gap k$round$two) -lt 1000 ]"
    start "$leader"
    expect 'it is back' eventually 10 same_registry A B C
    for id in A B C; do
        expect "all that was acknowledged is on $id" eval "all_there k$round$one $id && all_there k$round$two $id"
    done
    on A "rm -f $P/k*"
    expect 'three vote again' eventually 15 "same '3 3' \"\$(figure A voters) \$(figure A voters_alive)\""
done

# ---- one cannot be heard

leader=$(leader_of A)
read -r one two <<<"$(the_others "$leader")"
writes "$leader" alone
writes "$one" pair
expect 'the leader and another write' eval 'growing alone && growing pair'
unplug "$leader"
expect 'the other two agree on a new leader and write on' eventually 10 "[ \"\$(leader_of $one)\" != $leader ] && growing pair"
expect 'the one that is alone says that there is no quorum' eventually 10 "figure $leader trouble | grep -q '^no quorum: 1 of 3 voters'"
expect '... and what it has can be read' within 5000 on "$leader" "ls $P >/dev/null && cat /oneos/services/all.jsonl"
plug "$leader"
expect 'it rejoins with nobody doing anything' eventually 15 "same yes \"\$(figure $leader quorum)\""
expect '... and writes' growing alone
stops alone pair
expect 'all have the same' eventually 15 same_registry A B C
for id in A B C; do
    expect "nothing acknowledged is missing on $id" eval "all_there alone $id && all_there pair $id"
done
on A "rm -f $P/alone.* $P/pair.*"

# ---- a link flaps, a link works one way

read -r one two <<<"$(the_others "$(leader_of A)")"
writes "$one" flap
writes "$two" steady
for i in $(seq 8); do
    unplug "$one"
    read -rt 0.4 -u 9 _
    plug "$one"
    read -rt 0.7 -u 9 _
done
expect 'while a link flaps the others write on' growing steady
expect '... and then the one behind it' growing flap
mute "$one" "$two"
expect 'what one sends to another is lost: both write on' eval 'growing steady && growing flap'
mute "$(leader_of "$two")" "$two"
before=$(($(count steady) + $(count flap)))
expect 'what the leader sends to one is lost, too: somebody writes on' eventually 15 "[ \$((\$(count steady) + \$(count flap))) -gt $((before + 20)) ]"
for a in A B C; do
    for b in A B C; do
        [ $a = $b ] || unmute $a $b 2>/dev/null
    done
done
stops flap steady
expect 'all have the same in the end' eventually 20 same_registry A B C
for id in A B C; do
    expect "nothing acknowledged is missing on $id in the end" eval "all_there flap $id && all_there steady $id"
done
finish

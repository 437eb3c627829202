#!/usr/bin/env bash
# The clock of a machine is set while its daemon runs, back and ahead, by an hour and by a day, of the one that leads
# the registry and of one that follows. Nothing that lasts or waits is timed by it: all write on, nobody is taken for
# dead, nobody is elected, and nothing acknowledged is missing.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"
! sanitized || skip 'nothing can be loaded before a sanitizer'
machines A B C
IDS=(A B C)
P=/oneos/pipes

# What the clients of each machine were told, in lines.
answers() { grep -c '^ret' "$T/history.$1"; }
writes_on() { local n; n=$(answers "$1") && eventually 5 "[ \$(answers $1) -gt $((n + 30)) ]"; }
all_write_on() { writes_on A && writes_on B && writes_on C; }

# Those words of the status are the same on all.
all_say() { local id; for id in "${IDS[@]}"; do same "$2" "$(figure "$id" "$1")" || return 1; done; }
placed() { on A cat /oneos/services/all.jsonl | grep -oE '"(name|machine|epoch)":[^,}]*' | sort; }

for id in "${IDS[@]}"; do
    with_clock "$id"
    launch "$id" "${with_clock[@]}" oneosd "$id"
done
expect 'three vote' eventually 20 'same_registry A B C && all_say voters_alive 3'
expect 'all services run' eventually 10 '[ "$(on A "cat /oneos/services/*/status" | grep -c "^state running")" = 4 ]'
for id in "${IDS[@]}"; do
    in_bg "client$id" "$id" soak_client "$T/history.$id" "$id" $P 8 20
done
expect 'all write' eventually 10 all_write_on
leader=$(leader_of A) term=$(figure A term)
[ "$leader" != A ] && follower=A || follower=B
placed >"$T/placed"
cp "$T/A/log" "$T/log.before"

# jump WHO ID SECONDS
jump()
{
    shift_clock "$2" "$3"
    expect "the clock of $1 is $3 s off: all write on" all_write_on
    expect '... in the same term' all_say term "$term"
    expect '... with everybody there' all_say machines_alive 3
}

jump 'the leader' "$leader" -3600
expect '... and doctor sees it' eventually 5 "on $follower oneos doctor | grep -q 'the clock of $leader is 3[56].. s behind'"
expect '... which runs what another asks for' same hello "$(on "$follower" oneos run -l "$leader" -- echo hello)"
jump 'a follower' "$follower" 3600
expect '... which runs what another asks for' same hello "$(on "$leader" oneos run -l "$follower" -- echo hello)"
jump 'the leader' "$leader" 86400
jump 'a follower' "$follower" -86400
expect 'each has been up for as long as it has been' eval 'for id in A B C; do [ "$(figure $id uptime_seconds)" -lt 150 ] || return 1; done'
jump 'the leader' "$leader" 0
jump 'a follower' "$follower" 0

expect 'the services are where they were' same "$(cat "$T/placed")" "$(placed)"
expect 'nobody was taken for dead' eval '! comm -13 <(sort "$T/log.before") <(sort "$T/A/log") | grep "dead\|left"'
for id in "${IDS[@]}"; do
    signal "client$id" TERM
    result 10 "client$id" >/dev/null
done
expect 'all have the same' eventually 10 same_registry A B C
for id in "${IDS[@]}"; do
    on "$id" ls $P | grep -F . >"$T/list.$id"
done
expect 'nothing is lost, nothing happened twice' check_history -l "$T/list.A" -l "$T/list.B" -l "$T/list.C" "$T"/history.?
sed 's/^/# /' "$T/output"
finish

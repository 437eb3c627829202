#!/usr/bin/env bash
# Two of three machines die: what is there can be read, what must be agreed on says so in time and in words, status and
# doctor say what to do, and all heals when they return. And the registry as people look at it.
. "$(dirname "$0")/../lib/cluster.sh"

status() { on "$1" "sed -n 's/^$2 //p' /oneos/status"; }
is() { same "$3" "$(status "$1" "$2")"; }
doctor() { on "$1" oneos doctor | grep -E '^[a-z]+ +(registry|machines|services) '; }
# Fails with EAGAIN, and with these words.
fails()
{
    on A "$1" >"$T/said" 2>&1 && return 1
    cat "$T/said"
    grep -qE "$2" "$T/said"
}

machines A B C
start A
start B
start C
expect 'three machines vote' eventually 10 'is A voters 3 && is B voters 3 && is C voters 3'
expect 'all say the same of it' eval 'for id in A B C; do is $id quorum yes && is $id voters_alive 3 && is $id role voter && is $id leader "$(status A leader)" || return 1; done'
expect 'nothing is wrong' eval '! on A grep trouble /oneos/status && doctor A && ! doctor A | grep -v ^ok'
expect 'machines tells the roles' on B 'oneos machines | grep -cE " voter " | grep -qx 3'
joined=$(on A "sed -n 's/^joined //p' /oneos/machines/C/info")

# ---- the registry, as it is

expect 'oneos registry dump is the same on all, but for what is under way' eventually 3 '
    for id in A B C; do on $id oneos registry dump | grep -v ^_ >"$T/dump.$id" || return 1; done
    cmp "$T/dump.A" "$T/dump.B" && cmp "$T/dump.A" "$T/dump.C"'
expect 'it has the members and the services' eval 'cat "$T/dump.A" && same 7 "$(grep -cE "^(member/[ABC]|service/[a-z]+) \{.*\}$" "$T/dump.A")"'
expect 'sorted, with what is its own last' on A 'oneos registry dump | cut -d " " -f 1 >'"$T/keys"' && sed "s/^_/~/" '"$T/keys"' | LC_ALL=C sort -c && tail -n 1 '"$T/keys"' | grep ^_'
expect 'of another machine' eventually 2 'same "$(on A oneos registry dump B | grep ^member)" "$(on B oneos registry dump | grep ^member)"'
expect 'the log says how it came to be' on C "oneos registry log A | tee $T/log | grep -E '^[0-9]+ [0-9]+ command \{.*\"registry.init\"'"
expect 'with each change of the seats' grep -E '^[0-9]+ [0-9]+ change (A voter, B voter, C voter|[ABC] voter, [ABC] voter, [ABC] voter)$' "$T/log"
expect 'in order, without a gap' awk '$1 != ++n { exit 1 }' "$T/log"
expect 'as JSON' eval 'on A oneos --json registry log | grep -cF "\"kind\":\"change\"" && on A oneos --json registry dump C | grep -F "{\"schema\":1,\"key\":\"member/C\",\"value\":{"'
if on A setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
    for id in A B; do
        expect "not for everybody ($id)" same EACCES "$(on A setpriv --reuid=65534 --clear-groups call read /oneos/machines/$id/registry 2>&1)"
        expect "nor its log ($id)" same EACCES "$(on A setpriv --reuid=65534 --clear-groups call read /oneos/machines/$id/registry.log 2>&1)"
    done
fi
expect 'joined is when it first came' eval 'stop C && start C && same "$joined" "$(on A "sed -n \"s/^joined //p\" /oneos/machines/C/info")"'
expect 'three vote again' eventually 15 'is A voters 3 && is A voters_alive 3 && is C voters 3'

# ---- two of three

on A 'for s in filesystem scheduler shell; do echo "move A" >/oneos/services/$s/ctl; done; echo "move B" >/oneos/services/web/ctl'
expect 'three services are on A, one on B' eventually 5 'same "A A A B" "$(on A "cd /oneos/services && basename -a \$(readlink */machine) | xargs")"'
expect 'a label' on A 'oneos label A rack=1'
in_bg events A 'exec cat /oneos/events'
kill9 B
kill9 C
expect 'the quorum is lost' eventually 8 'is A quorum no && is A leader none && is A voters_alive 1'
expect 'status says so, and what to do' on A "grep -E '^trouble no quorum: 1 of 3 voters; start oneosd again on (B, C|C, B)' /oneos/status"
expect 'so does the event' eventually 5 'out events | grep "\"event\":\"quorum\",\"state\":\"lost\""'
expect 'what is there can be read' within 2000 on A 'oneos machines && oneos services && oneos registry dump >/dev/null && oneos label A | grep -qx "rack 1" && cat /oneos/services/*/status && ls -lR /oneos/services'
expect 'doctor says so' eval 'doctor A; doctor A | grep -E "^wrong +registry +no quorum: 1 of 3 voters; start oneosd again on"'
expect 'and of whom it is' eval 'doctor A | grep -E "^wrong +machines +B is dead and still a voter" && doctor A | grep -E "^wrong +machines +C is dead and still a voter"'
expect 'a label cannot be set: within 6 s, in words' within 6000 fails 'oneos label A rack=2' 'no quorum: 1 of 3 voters; start oneosd'
expect 'EAGAIN' within 6000 eval 'same EAGAIN "$(on A call write /oneos/machines/A/labels <<<"rack 3" 2>&1)"; on A cat /oneos/machines/A/error'
expect 'nor a machine be drained' within 6000 fails 'oneos drain A' 'no quorum: 1 of 3 voters'
expect 'nor a service be moved' within 6000 fails 'echo move A >/oneos/services/web/ctl; cat /oneos/services/web/error; exit 1' 'no quorum: 1 of 3 voters'
expect 'services tells which wait and which are out of reach' on A 'oneos services && oneos services | grep -cE "^[a-z]+ +waiting +A " | grep -qx 3 && oneos services | grep -E "^web +unreachable +B "'
expect 'and doctor what to do' eval 'doctor A | grep -E "^wrong +services +web is on B, which cannot be reached" && doctor A | grep -E "^note +services +shell waits on A until"'
expect 'nor a machine be forgotten' within 6000 fails 'oneos forget B' 'no quorum: 1 of 3 voters'
expect 'nor by halves' on A 'grep -qx dead /oneos/machines/B/state'
expect 'processes go on to be started' on A 'same=$(oneos run @here echo yes) && [ "$same" = yes ]'

start B
expect 'two of three suffice' eventually 8 'is A quorum yes && is A voters_alive 2 && ! on A grep trouble /oneos/status'
expect 'the events say so' eventually 2 'out events | grep "\"event\":\"quorum\",\"state\":\"back\"" && out events | grep "\"event\":\"leader\""'
expect 'and what was refused was not done behind the back, or once' eval 'on A oneos label A | grep -E "^rack [1-3]$"'
expect 'now it can be done' on A 'oneos label A rack=5 && oneos label A | grep -qx "rack 5"'
expect 'doctor still says that C is dead' eval 'doctor A | grep -E "^wrong +machines +C is dead and still a voter" && ! doctor A | grep -E "^wrong +registry"'
start C
expect 'all heals' eventually 10 'doctor A; is A voters_alive 3 && doctor C && ! doctor A | grep -v ^ok && ! doctor C | grep -v ^ok'
expect 'also on who was away' eventually 3 'on C grep -qx "rack 5" /oneos/machines/A/labels'
signal events TERM
finish

#!/usr/bin/env bash
# A machine of the same network throws garbage at every port of A: random bytes, truncated frames, wrong versions,
# connections that say nothing. A says so in a few lines, does not grow, and the system goes on.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"

BEACON=7946 # the one fixed port
ROUNDS=12

# The bytes of a ZMTP greeting: MAJOR MINOR MECHANISM. Longer than 4 letters, no longer than 19.
greeting() { printf '\xff\0\0\0\0\0\0\0\1\x7f\x%02x\x%02x%s' "$1" "$2" "$3"; head -c $((51 + 1 - ${#3})) /dev/zero; }

# throw PORT: to a TCP port of A, on whatever it is. Each is one connection.
throw()
{
    local to=/dev/tcp/10.79.1.1/$1
    { head -c 1M /dev/urandom >"$to"; } 2>/dev/null
    { head -c 1M /dev/zero >"$to"; } 2>/dev/null
    { head -c 100 /dev/urandom >"$to"; } 2>/dev/null
    { head -c 1M <(yes 'GET / HTTP/1.1') >"$to"; } 2>/dev/null
    { :>"$to"; } 2>/dev/null
    { printf '\1\0' >"$to"; } 2>/dev/null                                          # ZMTP 1
    { greeting 2 0 NULL >"$to"; } 2>/dev/null                                      # an older version
    { greeting 99 0 CURVE | head -c 64 >"$to"; } 2>/dev/null                       # a newer one
    { greeting 3 1 NULL >"$to"; } 2>/dev/null                                      # without keys
    { greeting 3 1 CURVE | head -c 40 >"$to"; } 2>/dev/null                        # truncated
    { (greeting 3 1 CURVE; printf '\4\xc8\5HELLO\1\0') >"$to"; } 2>/dev/null       # a truncated HELLO
    { (greeting 3 1 CURVE; printf '\6\xff\xff\xff\xff\xff\xff\xff\xff'; head -c 1M /dev/urandom) >"$to"; } 2>/dev/null # a frame of 2^64 bytes
    { (greeting 3 1 CURVE; head -c 1M /dev/urandom) >"$to"; } 2>/dev/null
    { printf '\x16\3\1\2\0\1\0\1\xfc\3\3' >"$to"; } 2>/dev/null                    # a truncated hello of TLS
    { (printf '\x16\3\1\x40\0\1\0\x3f\xfc\3\3'; head -c 1M /dev/urandom) >"$to"; } 2>/dev/null
}

throw_beacons()
{
    local to=/dev/udp/10.79.1.1/$BEACON n
    for n in 1 3 4 5 20 100 199 200 201 500 1400; do
        { head -c $n /dev/urandom >"$to"; } 2>/dev/null
    done
    { printf '1OSb\1' >"$to"; } 2>/dev/null
    { (printf '1OSb\x63'; head -c 150 /dev/urandom) >"$to"; } 2>/dev/null
    { (printf '1OSb\1\1Z'; head -c 150 /dev/urandom) >"$to"; } 2>/dev/null
}

storm()
{
    local port
    for ((i = 0; i < ROUNDS; i++)); do
        for port in $ports; do
            throw "$port"
        done
        throw_beacons || true
    done
}

# Memory that was used once stays with the allocator: what counts is that more of the same adds nothing.
settled() { same "$before" "$(fds A)"; }

machines A B C
start A
start B
expect 'A and B see each other' eventually 5 on B grep -qx alive /oneos/machines/A/state
in_bg events B cat /oneos/events
w=$(on B "oneos run -d -l A -- sh -c 'i=0; until [ -e $T/stop ]; do echo \$i; i=\$((i + 1)); sleep 0.05; done; echo end'")
in_bg reads B cat "/oneos/procs/$w/stdout"
expect 'a stream runs from A to B' eventually 5 'out reads | grep -qx 5'
ports=$(on A ss -H -ltn | awk '{ sub(/.*:/, "", $4); print $4 }' | sort -un)
expect 'A listens at four TCP ports and the one for beacons' eval 'on A ss -H -lun | grep -q ":$BEACON " && [ "$(echo "$ports" | wc -l)" = 4 ]'
storm=$(declare -p ports ROUNDS BEACON; declare -f greeting throw throw_beacons storm; echo 'storm; true')

before=$(fds A)
in_bg first C "$storm"
expect 'C throws at all of them' eval '[ "$(result 60 first)" = 0 ]'
lines=$(grep -c . "$T/A/log")
said=$(grep -cE 'warn|error' "$T/A/log")
expect 'A has not fallen' running A
expect 'it says so, in a few lines' eval 'cat "$T/A/log"; [ "$said" -ge 2 ] && [ "$said" -le 20 ]'
expect 'about the beacons, the bus and the links' eval 'grep -q "warn beacon" "$T/A/log" && grep -q "warn bus" "$T/A/log" && grep -q "warn link" "$T/A/log"'
expect 'no descriptor stays' eventually 20 settled
memory=$(rss A)
in_bg again C "$storm"
expect 'C does it again' eval '[ "$(result 60 again)" = 0 ]'
expect 'no descriptor stays' eventually 20 settled
sanitized || expect 'the memory of A does not grow by it' eval 'echo "$memory KiB before, $(rss A) after"; [ "$(rss A)" -lt $((memory + 2048)) ]'
expect 'the log grew by a few lines' eval 'tail -n +$((lines + 1)) "$T/A/log"; [ "$(grep -c . "$T/A/log")" -le $((lines + 20)) ]'

expect 'A and B were alive all the while' eval 'out events | grep machine; ! out events | grep -E "suspect|dead"'
expect 'C is nobody' on A '[ ! -e /oneos/machines/C ] && [ ! -e /oneos/machines/Z ]'
touch "$T/stop"
expect 'the stream is whole' eval '[ "$(result 10 reads)" = 0 ] && out reads | awk "\$0 == \"end\" { end = 1; next } \$0 != NR - 1 { exit bad = 1 } END { exit bad || !end }"'
expect 'commands run there' same A "$(on B 'timeout 10 oneos run -l A -- uname -n')"
start C
expect 'a machine may still join' eventually 5 'on C "grep -qx alive /oneos/machines/A/state && grep -qx alive /oneos/machines/B/state"'
finish

#!/usr/bin/env bash
# Who belongs to a system: C comes with a key of its own, is only seen, is accepted by both sides; rejected, forgotten;
# joins by a token; and by --join from a LAN that multicast does not reach.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"

state_is() { on "$1" "grep -qx $3 /oneos/machines/$2/state"; }
stranger() { start C --state "$T/other" "$@"; }
said() { on "$1" cat /oneos/error; }

# refused ID WORDS ERRNO WANTED: writing these words to ctl fails so, and error says why.
refused()
{
    local got
    got=$(on "$1" "echo '$2' | call write /oneos/ctl 2>&1")
    echo "$got"
    said "$1"
    [ "$got" = "$3" ] && said "$1" | grep -q -- "$4"
}

machines A B C
start A
start B
stranger
expect 'A and B are members' eventually 5 'state_is A B alive && state_is B A alive'
expect 'C is listed as pending, and lists them so' eventually 5 'state_is A C pending && state_is B C pending && state_is C A pending && state_is C B pending'
expect 'status counts it' on A 'grep -qx "machines_alive 2" /oneos/status && grep -qx "machines_pending 1" /oneos/status'
expect 'each has its own cluster' eval '[ "$(on A grep ^cluster /oneos/status)" != "$(on C grep ^cluster /oneos/status)" ]'

p=$(on A 'oneos run -d @here sleep 1000')
expect 'C sees no process of the others' on C '[ -z "$(ls /oneos/procs | grep -v -x -e all.jsonl -e clone -e error)" ]'
expect 'it cannot run anything there' on C 'call read /oneos/machines/A/load 2>&1 | grep -qx EHOSTUNREACH && ! timeout 10 oneos run -l A -- true'
expect 'nor they on it' on A '! timeout 10 oneos run -l C -- true'
expect 'it can set nothing there' on C 'echo "gpu" | call write /oneos/machines/A/labels 2>&1 | grep -qx EHOSTUNREACH'
expect 'nor make it leave' on C 'echo leave | call write /oneos/machines/A/ctl 2>&1 | grep -qx EHOSTUNREACH'
expect 'it stays pending' always 2 'state_is A C pending && state_is C A pending'

expect 'what nobody knows cannot be accepted' refused A 'accept X' ENOENT X
expect 'a member cannot be accepted again' refused A 'accept B' EBUSY B
expect 'nor rejected' refused A 'reject B' EBUSY B
expect 'nor forgotten while it is alive' refused A 'forget B' EBUSY alive
expect 'nor a machine by itself' refused A 'forget A' EINVAL itself
expect 'accept wants an id' refused A 'accept' EINVAL accept

on A 'oneos accept C'
expect 'one side alone is not enough' always 2 '! state_is C A alive && on C "! timeout 1 cat /oneos/machines/A/load"'
on C 'echo accept A >/oneos/ctl'
expect 'accepted by both, it is a member' eventually 10 'state_is A C alive && state_is C A alive'
expect 'also B knows, by what the others say' eventually 10 'state_is B C alive && state_is C B alive'
expect 'it shows what runs there' eventually 5 on C "grep -qx 'state running' /oneos/procs/$p/status"
expect 'commands run there and back' eval 'same A "$(on C "oneos run -l A -- uname -n")" && same C "$(on B "oneos run -l C -- uname -n")"'

stop C
stranger
expect 'it is a member again after its restart' eventually 10 'state_is A C alive && state_is B C alive && state_is C A alive && state_is C B alive'
stop A
start A
expect 'and after that of who accepted it' eventually 10 'state_is A C alive && state_is C A alive'
kill9 C
stranger
expect 'and after a hard one' eventually 10 'state_is A C alive && state_is C A alive'
expect 'commands run there' same C "$(on A 'timeout 10 oneos run -l C -- uname -n')"
expect 'a stranger with its name and another key stays outside' eval \
    'in_bg fake B oneosd C --foreground --no-mount --state "$T/fake" && always 3 "state_is A C alive" && same C "$(on A "timeout 10 oneos run -l C -- uname -n")"'
signal fake TERM
expect 'it ends' result 10 fake

stop C
expect 'it has left' eventually 2 'state_is A C left && state_is B C left'
on A 'oneos forget C'
expect 'forgotten, it is no longer listed, anywhere' eventually 5 'on A "[ ! -e /oneos/machines/C ]" && on B "[ ! -e /oneos/machines/C ]"'
stranger
expect 'it has to ask again' eventually 5 'state_is A C pending'
on A 'echo reject C >/oneos/ctl'
expect 'rejected, it is not even listed' eventually 2 on A '[ ! -e /oneos/machines/C ]'
expect 'nor later' always 3 on A '[ ! -e /oneos/machines/C ]'
stop C

# By token.
token=$(on A 'oneos token')
short=$(on A 'oneos token --ttl 1s')
foreign=$(on A "oneosd X --foreground --state $T/x --mount $T/x/mount --ready-fd 5 5>$T/x.ready & p=\$!; until [ -s $T/x.ready ]; do sleep 0.1; done; oneos --mount $T/x/mount token; kill \$p; wait \$p" 2>/dev/null)
try() { on C "timeout 30 oneosd C --state $T/third --cluster-key $T/third.key --token '$1'" >"$T/said" 2>&1; rc=$?; cat "$T/said"; echo "status $rc"; [ $rc = "$2" ] && grep -q -- "$3" "$T/said" && [ "$(wc -l <"$T/said")" = 1 ]; }
expect 'a token that is garbage: 64' try 'no-token' 64 token
expect 'a token that is cut: 64' try "${token%????????}" 64 token
expect 'a token that was changed: 77' try "$(echo "$token" | sed 's/.\{8\}$/AAAAAAAA/')" 77 token
expect 'a token of another cluster, which is not there: 69' try "$foreign" 69 X
expect 'a token that has expired: 77' eventually 5 try "$short" 77 expired
start C --state "$T/third" --cluster-key "$T/third.key" --token "$token"
expect 'a good one makes it a member' eventually 5 'state_is A C alive && state_is B C alive && state_is C B alive'
expect 'it holds the cluster key now' cmp "$HOME/.oneos/cluster.key" "$T/third.key"
expect 'which nobody else can read' same 600 "$(stat -c %a "$T/third.key")"
# shellcheck disable=SC2016
expect 'who lists the processes does not see the token' on C \
    "! tr '\\0' ' ' </proc/$(pid_of C)/cmdline | grep -qF -- '${token:0:40}' && tr '\\0' ' ' </proc/$(pid_of C)/cmdline | grep -q -- '--token xxxx'"
stop C
start C --state "$T/third" --cluster-key "$T/third.key"
expect 'it needs no token any more' eventually 5 'state_is A C alive && state_is B C alive'

# From another LAN.
machines --lan 2 D
start D
expect 'multicast does not reach D' always 2 '! on D "[ -e /oneos/machines/A ]"'
stop D
start D --join "10.79.1.1"
expect 'with --join it is a member' eventually 5 'state_is A D alive && state_is D A alive && state_is D B alive && state_is B D alive'
expect 'commands run there' same D "$(on B 'timeout 10 oneos run -l D -- uname -n')"
machines --lan 3 E
start E --state "$T/fifth" --token "$(on A 'oneos token')" --join 10.79.1.1
expect 'so is one with a token' eventually 5 'state_is A E alive && state_is E D alive && state_is D E alive'
finish

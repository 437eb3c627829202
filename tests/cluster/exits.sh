#!/usr/bin/env bash
# What oneosd says and with which status it ends when it cannot start, and how it goes to the background, tells that it
# is ready, and stops.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"

# refused STATUS WORDS COMMAND...: on A it ends so, within 20 s, with one line that has these words.
refused()
{
    local status=$1 say=$2 rc
    shift 2
    on A "timeout 20 $*" >"$T/said" 2>&1
    rc=$?
    echo "status $rc:"
    cat "$T/said"
    [ "$rc" = "$status" ] && grep -qi -- "$say" "$T/said" && [ "$(wc -l <"$T/said")" = 1 ]
}

machines A B

expect '64: an unknown option' refused 64 frob oneosd A --frob
expect '64: an id that is none' refused 64 'a/b' oneosd a/b
expect '64: two ids' refused 64 "'Z'" oneosd A Z
expect '64: a port that is none' refused 64 70000 oneosd A --listen :70000
expect '64: an output limit that is none' refused 64 12parsecs oneosd A --output-limit 12parsecs
expect '64: one that is too small' refused 64 64KiB oneosd A --output-limit 1K
expect '64: a level that is none' refused 64 loud oneosd A --log-level loud
expect '64: a descriptor that is none' refused 64 ready-fd oneosd A --ready-fd x
expect '64: a descriptor that is not open' refused 64 ready-fd oneosd A --ready-fd 77
expect '64: a port to join that is none' refused 64 99999 oneosd A --join 10.79.1.2:99999
expect '64: an address that is none' refused 64 10.79.1.999 oneosd A --listen 10.79.1.999
expect '64: a label that is none' refused 64 label oneosd A --label "'=x'"
expect '64: a token that is none' refused 64 token oneosd A --token garbage
expect '64: an id that would be a file of the state folder' refused 64 cluster.key oneosd cluster.key

on A "mkdir -p $T/full && touch $T/full/file"
expect '69: an address of another machine' refused 69 10.79.1.77 oneosd A --listen 10.79.1.77
expect '69: a folder to mount at that is not empty' refused 69 "$T/full" oneosd A --mount "$T/full"
expect '69: a mount that cannot be made' refused 69 /proc/nowhere oneosd A --mount /proc/nowhere
expect '69 or 77: a state folder that cannot be made' eval 'refused 69 /proc/nowhere oneosd A --state /proc/nowhere || refused 77 /proc/nowhere oneosd A --state /proc/nowhere'
in_bg holder A oneosd holder --foreground --no-mount --listen 10.79.1.1:7000 --state "$T/holder"
expect '69: a port that is taken' eventually 5 refused 69 'port 7002' oneosd A --listen 10.79.1.1:7000
signal holder TERM
expect 'who held it ends' result 5 holder
on A "echo secret >$T/open.key; chmod 644 $T/open.key"
expect '77: a key that others can read' refused 77 "$T/open.key" oneosd A --cluster-key "$T/open.key"
on A "chmod 600 $T/open.key"
expect '78: a key that is damaged' refused 78 "$T/open.key" oneosd A --cluster-key "$T/open.key"

on A "mkdir -p ~/.config/oneos; printf '[oneosd]\\nfrobnicate = 1\\n' >~/.config/oneos/oneos.conf"
expect '78: a configuration with an unknown name, and its line is named' refused 78 'oneos.conf:2.*frobnicate' oneosd A
on A "echo 'log-level loud' >~/.config/oneos/oneos.conf"
expect '78: a configuration that is no configuration' refused 78 oneos.conf oneosd A
on A "echo 'log-level = loud' >~/.config/oneos/oneos.conf"
expect '78: a configuration with a bad value' refused 78 loud oneosd A
on A 'rm -r ~/.config/oneos'

# Goes to the background, and is ready when it returns.
expect 'it returns when it is ready' eval 'within 10000 on A "oneosd A" && on A grep -qx "id A" /oneos/status'
expect 'it is in a session of its own, in /, with nothing open of its starter' on A \
    'p=$(cat ~/.oneos/A/lock); [ "$(ps -o sid= -p $p | tr -d " ")" != "$(ps -o sid= -p $$ | tr -d " ")" ] && [ "$(readlink /proc/$p/fd/0 /proc/$p/fd/1 /proc/$p/fd/2 | sort -u)" = /dev/null ] && [ "$(readlink /proc/$p/cwd)" = / ]'
on A 'kill -TERM $(cat ~/.oneos/A/lock)'
expect 'SIGTERM ends it' eventually 5 "on A '! kill -0 \$(cat ~/.oneos/A/lock)'"
expect 'its mount is gone' on A '! grep " /oneos " /proc/mounts'
for f in identity incarnation; do
    on A "cp ~/.oneos/A/$f $T/good; echo garbage >~/.oneos/A/$f"
    expect "78: damaged: $f" refused 78 "A/$f" oneosd A
    on A "cp $T/good ~/.oneos/A/$f"
done
on A "cp ~/.oneos/A/identity $T/good; chmod 644 ~/.oneos/A/identity"
expect '77: an identity that others can read' refused 77 A/identity oneosd A
on A "chmod 600 ~/.oneos/A/identity"

expect 'a line on --ready-fd when it is ready' on A \
    'oneosd A --ready-fd 5 5>~/line && grep -qx "ready A /oneos" ~/line && kill -TERM $(cat ~/.oneos/A/lock)'
expect 'and it ends again' eventually 5 "on A '! kill -0 \$(cat ~/.oneos/A/lock)'"
expect 'SIGTERM in the very beginning ends it, too' on A \
    'oneosd A & for i in 1 2 3 4 5 6 7 8; do sleep 0.0$i; pkill -TERM -x oneosd; done; wait; pkill -TERM -x oneosd; for i in $(seq 100); do pgrep -x oneosd >/dev/null || exit 0; sleep 0.05; done; exit 1'
expect 'and leaves no mount' eventually 3 on A '! grep " /oneos " /proc/mounts'

# Stops: what runs is told to end, and then made to.
start A
start B
expect 'they see each other' eventually 5 on A grep -qx alive /oneos/machines/B/state
kind=$(on A "oneos run -d -l B -- sh -c 'trap \"echo asked; exit 3\" TERM; echo here; while :; do sleep 0.1; done'")
rude=$(on A "oneos run -d -l B -- sh -c 'trap \"\" TERM; echo here; while :; do sleep 0.1; done'")
expect 'two processes run on B' eventually 5 on A "grep -q here /proc/self/cmdline; timeout 1 head -n 1 /oneos/procs/$kind/stdout | grep -x here && timeout 1 head -n 1 /oneos/procs/$rude/stdout | grep -x here"
in_bg kind A "cat /oneos/procs/$kind/wait"
in_bg rude A "cat /oneos/procs/$rude/wait"
on B "kill -TERM $(pid_of B)"
expect 'one ends as it was asked to' eval 'result 5 kind && same "exit 3" "$(out kind)"'
expect 'B still answers while the other one is waited for' on A grep -qx alive /oneos/machines/B/state
expect 'the other is killed after 10 s' eval 'result 13 rude && same "signal KILL" "$(out rude)"'
expect 'then the daemon ends, with 0' eval 'eventually 5 "! running B" && same 0 "$(cat "$T/B/status")"'
unset "daemon[B]"
expect 'A is told at once' eventually 1 on A grep -qx left /oneos/machines/B/state
expect 'nothing of it runs' eventually 3 nothing_runs_on B

start B --handover
expect 'they see each other again' eventually 5 on A grep -qx alive /oneos/machines/B/state
on B "kill -0 $(pid_of B)"
stays=$(on A "oneos run -d -l B -- sh -c 'echo first; until [ -e $T/done ]; do sleep 0.05; done; echo last; exit 4'")
expect 'another process runs' eventually 5 on A "grep -qx 'state running' /oneos/procs/$stays/status"
expect 'with --handover it is left running' eval 'within 5000 stop B && on B pgrep -f "$T/done"'
expect 'A is told at once, also then' eventually 1 on A grep -qx left /oneos/machines/B/state
start B
on B touch "$T/done"
expect 'the next daemon has its end' eventually 8 eval 'same "exit 4" "$(on A "timeout 2 cat /oneos/procs/$stays/wait")"'
expect 'and all of its output' eventually 3 eval 'same "first last" "$(on A "timeout 2 cat /oneos/procs/$stays/stdout" | xargs)"'
finish

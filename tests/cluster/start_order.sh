#!/usr/bin/env bash
# Machines find each other with no option but the id, whatever the order of their start: on a LAN, and as
# three runtimes of one user on one machine.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C M

# fresh: as before the first start of any of them.
fresh()
{
    rm -rf "$HOME/.oneos"
}

# The other two of A B C, on each of them: `alive` in machines/ID/state and in the listing.
all_see_all()
{
    local on
    for on in A B C; do
        # shellcheck disable=SC2016
        on $on 'cd /oneos/machines && [ "$(ls -m)" = "A, B, C, all.jsonl" ] &&
                [ "$(cat A/state B/state C/state)" = "$(printf "alive\nalive\nalive")" ]' || {
            echo "on $on: $(on $on 'cd /oneos/machines && ls -m && head A/state B/state C/state' 2>&1)"
            return 1
        }
    done
}

# in_order DELAY ID...: starts them without waiting for one before the next.
in_order()
{
    local id delay=$1
    shift
    for id in "$@"; do
        [ "$id" = "$1" ] || read -rt "$delay" -u 9 _
        launch "$id" oneosd "$id"
    done
}

for order in '0 A B C' '0 C B A' '0.4 B C A' '1.4 C A B'; do
    fresh
    # shellcheck disable=SC2086 # words
    in_order $order
    expect "started as $order, each lists the others within 3 s" eventually 3 all_see_all
    for id in A B C; do
        stop $id
    done
done

# ---- on one machine, going to the background by themselves ----

runtimes()
{
    # shellcheck disable=SC2016
    on M 'for p in /proc/[0-9]*; do
              read -r name <$p/comm && [ "$name" = oneosd ] && echo "${p#/proc/}"
          done 2>/dev/null'
}

mount_of()
{
    on M "awk '\$1 == \"oneos:$1\" { print \$2 }' /proc/mounts"
}

three_runtimes()
{
    local id n=0 dir
    for id in A B C; do
        dir=$(mount_of $id)
        case $dir in
        /oneos) n=$((n + 1)) ;;
        "$HOME/.oneos/$id/oneos") ;;
        *) echo "$id is mounted at '$dir'" && return 1 ;;
        esac
        [ "$(on M "ls -m $dir/machines")" = "A, B, C, all.jsonl" ] &&
            [ "$(on M "cat $dir/machines/?/state | sort -u")" = alive ] &&
            [ "$(on M "readlink $dir/self")" = machines/$id ] || {
            on M "ls -m $dir/machines; cat $dir/machines/?/state"
            return 1
        }
    done
    [ $n = 1 ] || echo "$n of them are at /oneos"
    [ $n = 1 ]
}

all_ended()
{
    same '' "$(runtimes)"
}

for order in 'A B C' 'C A B'; do
    fresh
    # shellcheck disable=SC2086 # words
    set -- $order
    in_bg runtimes M "oneosd $1 & one=\$!; oneosd $2 & two=\$!; oneosd $3 && wait \$one && wait \$two"
    expect 'three runtimes go to the background when they are ready' same 0 "$(result 10 runtimes)"
    expect "started at once as $order they list each other; one has /oneos" \
        eventually 3 three_runtimes
    expect 'a second of the same id is refused, with the pid of the first' \
        on M "! oneosd A 2>$T/refused && grep -E 'pid [0-9]+|process [0-9]+' $T/refused"
    # The refused one has told its status before it is gone: under LeakSanitizer it looks for leaks meanwhile.
    expect 'three run' eventually 5 'same 3 "$(runtimes | wc -l)"'
    on M "kill -TERM $(runtimes | tr '\n' ' ')"
    expect 'they stop' eventually 10 all_ended
    expect 'and nothing is left' eventually 3 nothing_runs_on M
    expect 'nor mounted' nothing_mounted_on M
done
finish

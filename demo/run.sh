#!/usr/bin/env bash
# run.sh run|demo - what `./bootstrap run` and `./bootstrap demo` do once all is built: a system of one
# machine, or of three, that is gone afterwards.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

# Prints the result of the pipeline on those machines, its busiest cells first, and that it is right.
show()
{
    local result want
    result=$("$here/across.sh" "$@") || return 1
    want=$("$here/pipeline.sh") || return 1
    echo "The busiest cells of Beijing: latitude, longitude, mean speed in km/h, fixes"
    sort -t, -k4,4nr <<<"$result" | head -n 10
    if [ "$result" != "$want" ]; then
        echo "run.sh: the result differs from that of demo/pipeline.sh" >&2
        return 1
    fi
    echo "$(wc -l <<<"$result") cells, byte for byte what the same pipeline gives in plain sh on one machine."
}

# Runtimes of this user on this machine, for want of namespaces: runtimes ID...
runtimes()
{
    local id
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/oneos-demo.XXXXXX") || exit 1
    declare -gA daemon=()
    trap stop_runtimes EXIT
    trap 'exit 143' INT TERM HUP
    for id in "$@"; do
        exec {ready}< <(exec 4>&1 && exec "$top/oneosd" "$id" --state "$scratch" --mount "$scratch/$id/oneos" \
            --listen 127.0.0.1 --foreground --ready-fd 4 >>"$scratch/log" 2>&1)
        daemon[$id]=$!
        if ! read -rt 20 -u "$ready" _; then
            cat "$scratch/log" >&2
            echo "run.sh: oneosd $id did not start" >&2
            exit 1
        fi
        exec {ready}<&-
    done
}

stop_runtimes()
{
    local id
    for id in "${!daemon[@]}"; do
        kill -TERM "${daemon[$id]}" 2>/dev/null
    done
    for id in "${!daemon[@]}"; do
        tail --pid="${daemon[$id]}" -f /dev/null
    done
    rm -rf --one-file-system "$scratch"
}

# Does MOUNT list the machines as alive?
alive()
{
    local mount=$1 id
    shift
    for id in "$@"; do
        grep -qx alive "$mount/machines/$id/state" 2>/dev/null || return 1
    done
}

case ${1:-} in
run)
    runtimes here
    if [ -t 0 ] && [ -t 1 ]; then
        echo "This is a shell with a OneOS of one machine, mounted at $scratch/here/oneos. Try: oneos ps, cat README,"
        echo "oneos run -- uname -a. The system is gone when you leave the shell."
        (cd "$scratch/here/oneos" && PATH=$top:$PATH ONEOS_MOUNT=$PWD exec "${SHELL:-/bin/sh}")
    else
        show "$scratch/here/oneos" here here here
    fi
    ;;
demo)
    "$here/three.sh"
    rc=$?
    [ $rc = 77 ] || exit $rc
    echo "run.sh: so three runtimes on this machine take the place of three machines" >&2
    runtimes A B C
    until alive "$scratch/A/oneos" A B C; do
        [ $SECONDS -lt 15 ] || exit 1
        read -rt 0.1 _ <><(:)
    done
    show "$scratch/A/oneos" A B C
    ;;
show)
    shift
    show "$@"
    ;;
*)
    echo "usage: demo/run.sh run|demo" >&2
    exit 64
    ;;
esac

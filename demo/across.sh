#!/bin/sh
# The demo's work across machines, by file operations only: stage 1 runs on A, stage 2 on B, stage 3 on
# C, joined by two named pipes. Prints what stage 3 says. The machines may be one and the same.
# usage: demo/across.sh MOUNT A B C [FILE]
set -eu
oneos=$1 a=$2 b=$3 c=$4
here=$(cd "$(dirname "$0")" && pwd)
input=${5:-$here/taxi-traces.csv}
moving=moving.$$ central=central.$$

# spawn MACHINE CODE: runs it with sh there; prints the folder of the process. To open `clone` makes a
# process; what is read then is its number, what is written are its verbs.
spawn()
{
    exec 3<>"$oneos/machines/$1/procs/clone"
    if ! read -r number <&3; then
        echo "across.sh: $oneos/machines/$1/procs/clone gave no process" >&2
        return 1
    fi
    printf "exec sh -c '%s'\n" "$2" >&3
    exec 3>&-
    echo "$oneos/machines/$1/procs/${number##*.}"
}

trap 'rm -f "$oneos/pipes/$moving" "$oneos/pipes/$central"' EXIT
: >"$oneos/pipes/$moving"
: >"$oneos/pipes/$central"
third=$(spawn "$c" "exec $here/stage3.sh <\$ONEOS_MOUNT/pipes/$central")
second=$(spawn "$b" "exec $here/stage2.sh <\$ONEOS_MOUNT/pipes/$moving >\$ONEOS_MOUNT/pipes/$central")
first=$(spawn "$a" "exec $here/stage1.sh <$input >\$ONEOS_MOUNT/pipes/$moving")

cat "$third/stdout"
for process in "$first" "$second" "$third"; do
    end=$(cat "$process/wait")
    if [ "$end" != 'exit 0' ]; then
        echo "across.sh: $process ended with: $end" >&2
        cat "$process/stderr" >&2
        exit 1
    fi
done

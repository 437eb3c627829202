#!/usr/bin/env bash
# Thousands of processes, one after the other: nothing of them stays in oneosd, in oneos-init or in the kernel.
LIMIT=400
. "$(dirname "$0")/../lib/cluster.sh"
ulimit -Sn 1024 # as a login gives: what is kept must fit nevertheless
machines A B
start A
start B
expect 'A and B see each other' eventually 3 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'

MANY=${MANY:-5000}

# run COUNT MACHINE: so many there, in a row, from A; every one must say what it should.
run()
{
    # shellcheck disable=SC2016
    on A 'i=0
          while [ $((i += 1)) -le '"$1"' ]; do
              exec 3<>/oneos/machines/'"$2"'/procs/clone && read -r name <&3 && echo "exec sh -c \"echo $i; exit 3\"" >&3 &&
                  read -r said </oneos/procs/$name/stdout && read -r end </oneos/procs/$name/wait &&
                  exec 3>&- && [ "$said $end" = "$i exit 3" ] || { echo "$i: $name said $said, ended with $end"; exit 1; }
          done'
}

# figure ID PROGRAM: descriptors, threads, KiB, zombie children.
figures()
{
    # shellcheck disable=SC2016
    on "$1" 'for p in /proc/[0-9]*; do
                 read -r name 2>/dev/null <$p/comm && [ "$name" = '"$2"' ] || continue
                 echo $(ls $p/fd | wc -l) $(awk "\$1 == \"Threads:\" { t = \$2 } \$1 == \"VmRSS:\" { m = \$2 } END { print t, m }" $p/status) \
                      $(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ") Z ${p#/proc/} ")
             done'
}

# no_more_than BEFORE NOW KIB: descriptors, threads, zombies as before, memory within so much of it.
no_more_than()
{
    # shellcheck disable=SC2086 # words
    set -- $1 $2 "$3"
    echo "# before: $1 descriptors, $2 threads, $3 KiB; now $5, $6, $7 KiB; $8 zombies"
    [ $# = 9 ] && [ "$5" -le "$1" ] && [ "$6" -le "$2" ] && [ "$8" = 0 ] && { sanitized || [ "$7" -le $(($3 + $9)) ]; }
}

settled() { no_more_than "$1" "$(figures "$2" "$3")" "$4"; }

# The newest 500 ended ones are kept to be read: the figures begin beyond them.
expect 'the first 700 of each machine' eval 'run 700 A && run 700 B'
for id in A B; do
    declare "daemon_$id=$(figures $id oneosd)" "init_$id=$(figures $id oneos-init)"
done
expect "$MANY more on A" run "$MANY" A
expect "$((MANY / 5)) on B" run $((MANY / 5)) B
for id in A B; do
    d=daemon_$id i=init_$id
    expect "oneosd on $id is as before" eventually 10 "settled '${!d}' $id oneosd 2048"
    grep -m 1 ^# "$T/attempt"
    expect "so is oneos-init" eventually 10 "settled '${!i}' $id oneos-init 256"
    grep -m 1 ^# "$T/attempt"
    expect "no process is left on $id" same 0 "$(on $id 'cat /proc/[0-9]*/comm | grep -cx sh')"
    expect 'the tree lists the newest only' eval "[ \$(on $id ls /oneos/procs | wc -l) -le 1010 ]"
    expect 'and the folder of state has no more' eval "[ \$(find '$HOME/.oneos/$id' | wc -l) -le 2200 ]"
done
finish

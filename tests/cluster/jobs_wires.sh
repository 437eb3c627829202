#!/usr/bin/env bash
# Pipelines over two machines: what goes in comes out, whole; files of the submitter; stdin, stdout, stderr and signals of
# jobs that run elsewhere; and when a part cannot begin, or takes too long, that is what the whole ends with.
LIMIT=200
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B
start A
start B
expect 'two machines, one registry' eventually 20 'same_registry A B'

# line TITLE VERDICT LINE [SETTING...]: the line ends so.
line()
{
    local title=$1 verdict=$2 text=$3
    shift 3
    expect "$title" came "$(submit A "$@" -- "$text")" "$verdict" 30
}
output() { on "$1" timeout 10 cat "$J/$2/$3"; }

D=$T/d
mkdir "$D"
seq 100000 >"$D/in"

line 'there and back' 'exit 0' "@B cat <$D/in | @A sort -rn | @B head -n 2 | @A tail -n 1 >$D/out"
expect '... with the right result' same 99999 "$(cat "$D/out")"
line 'one that reads no more ends the other' 'exit 0' '@A yes | @B head -n 3'
line 'no command at the beginning' 'exit 127' '@A nosuchcommand | @B cat'
line 'no command at the end' 'exit 127' '@A yes | @B nosuchcommand'
line 'too long at the beginning' 'timeout' '@A sleep 100 | @B cat' 'timeout 1s'
line 'the exit is that of the last' 'exit 3' "@A sh -c 'exit 5' | @B sh -c 'exit 3'"

line 'files of the submitter' 'exit 0' "@B cat <$D/in >$D/copy"
expect '... are copied' cmp "$D/in" "$D/copy"
line 'one that is not there' 'exit 126' "@B cat <$D/nothing"
line 'one that cannot be written' 'exit 126' "@B cat <$D/in >/proc/nothing"
line 'one of which only a part is read' 'exit 0' "@B head -n 1 <$D/in"
line 'errors into a file' 'exit 0' "@B sh -c 'echo bad >&2; echo good' 2>$D/err | @A cat >$D/good"
expect '... apart' same 'bad good' "$(cat "$D/err" "$D/good" | paste -sd ' ')"
mkdir "$D/small"
on A mount -t tmpfs -o size=64k small "$D/small"
line 'one that becomes full' 'exit 126' "@B cat <$D/in >$D/small/out"
on A umount "$D/small"

job=$(submit A -- "@B sh -c 'echo bad 1 >&2; echo good' | @A sh -c 'cat; echo bad 2 >&2'")
expect 'a job with output of both machines' came "$job" 'exit 0' 20
for id in A B; do
    expect "$id reads its output" same good "$(output $id "$job" stdout)"
    expect "$id reads all of its errors" same 'bad 1 bad 2' "$(output $id "$job" stderr | sort | paste -sd ' ')"
done

job=$(submit A -- '@B cat')
on A "echo from A >$J/$job/stdin"
expect 'stdin of a job elsewhere' came "$job" 'exit 0' 20
expect '... reached it' same 'from A' "$(output A "$job" stdout)"
for id in A B; do
    expect "it takes nothing more when it is over, on $id" same EPIPE "$(on $id "echo late | call write $J/$job/stdin 2>&1")"
done

job=$(submit A -- "@B sh -c 'trap \"exit 7\" USR1; echo ready; while :; do sleep 0.05; done'")
expect 'one that waits for a signal' eval "on A timeout 10 head -n 1 $J/$job/stdout | grep -qx ready"
on A "echo signal USR1 >$J/$job/ctl"
expect '... gets it' came "$job" 'exit 7' 20

# A command that is not executed yet, since the open of its file waits.
mkfifo "$D/fifo"
line 'too long in the open of a file' 'timeout' "@A cat <$D/fifo" 'timeout 1s'
job=$(submit A -- "@A cat <$D/fifo | @B cat")
expect 'one that waits for its file' eventually 10 in_state "$job" running
on A "echo cancel >$J/$job/ctl"
expect '... is cancelled' came "$job" 'cancelled' 20

head -c 100000000 /dev/urandom >"$D/big"
line '100 MB' 'exit 0' "@B sha256sum <$D/big >$D/sum"
expect '... unchanged' same "$(sha256sum <"$D/big")" "$(cat "$D/sum")"

# ---- what only carries a file takes no room on the machine of the file ----

job=$(submit A "cpus $(nproc)" -- "@B sleep 1000 > $D/slow")
expect 'a job elsewhere that has a file here' eventually 10 in_state "$job" running
expect '... takes nothing of what is here' on A grep -qx 'allocated_cpus 0' /oneos/machines/A/load
other=$(submit A -- '@A true')
expect '... nor keeps others from beginning' came "$other" 'exit 0' 10
expect '... at once' on A grep -qx 'attempt 1' "$J/$other/status"
on A "echo cancel >$J/$job/ctl"
expect '... until it is cancelled' came "$job" 'cancelled' 20
finish

#!/usr/bin/env bash
# Two users: neither touches or reads the other's jobs, root may; a job runs as the user of its submitter's name.
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

getent passwd daemon bin >/dev/null || skip 'the users daemon and bin are not here'
[ "$(id -u)" = 0 ] || skip 'only root can be other users'
chmod 711 "$T"

# as USER MACHINE CODE: runs it as that user.
as() { on "$2" setpriv --reuid "$1" --regid "$1" --clear-groups env HOME=/ "PATH=$PATH" bash -c "$3"; }

machines A B
start A
start B
expect 'two machines, one registry' eventually 20 'same_registry A B'

expect 'daemon submits on A what runs on B' as daemon A "echo \"run @B sh -c 'id -un; exec sleep 1000'\" >$J/ctl"
job=$(as daemon A "basename \$(readlink $J/last)")
expect 'it runs' eventually 10 in_state "$job" running
expect 'as daemon' eventually 5 eval 'on B "ps -o user= -C sleep" | grep -qx daemon'
expect 'daemon reads what it says' eval "as daemon A 'timeout 5 head -n 1 $J/$job/stdout' | grep -qx daemon"
expect 'its newest job is not that of bin' as bin A "! [ \"\$(readlink $J/last)\" = $job ]"
for m in A B; do
    expect "bin cannot read it on $m" as bin $m "call read $J/$job/stdout 2>&1 >/dev/null | grep -qx EACCES"
    expect "nor write to it on $m" as bin $m "echo x | call write $J/$job/stdin 2>&1 | grep -qx EACCES"
    expect "nor signal it on $m" as bin $m "echo signal KILL | call write $J/$job/ctl 2>&1 | grep -qx EPERM"
    expect "nor cancel it on $m" as bin $m "echo cancel | call write $J/$job/ctl 2>&1 | grep -qx EPERM && ! oneos cancel $job"
    expect "nor hold it on $m" as bin $m "echo hold | call write $J/$job/ctl 2>&1 | grep -qx EPERM"
    expect "nor forget it on $m" as bin $m "! rmdir $J/$job"
    expect "but sees its state on $m" as bin $m "grep -qx 'state running' $J/$job/status"
done
expect 'root signals it from afar' on B "echo signal KILL >$J/$job/ctl"
expect 'it ends by that' came "$job" 'signal KILL' 10
expect 'bin cannot forget it' as bin A "! rmdir $J/$job"
expect 'daemon can' as daemon B "rmdir $J/$job"

expect 'only root goes before others by priority' eval "as daemon A \"mkdir $J/first && printf 'set priority 5\nrun true\n' | call write $J/first/ctl 2>&1\" | grep -qx EPERM && on A grep -q priority $J/first/error"

# A user whom B does not know.
on A "cp /etc/passwd $T/passwd && echo 'only:x:4242:4242::/:/bin/sh' >>$T/passwd && mount --bind $T/passwd /etc/passwd"
job=$(on A setpriv --reuid 4242 --regid 4242 --clear-groups env HOME=/ "PATH=$PATH" bash -c "echo 'run @B true' >$J/ctl && basename \$(readlink $J/last)")
expect 'a user whom that machine does not know is refused there, in words' eventually 10 "on A cat $J/$job/why $J/$job/status | grep -q only"
on A umount /etc/passwd
finish

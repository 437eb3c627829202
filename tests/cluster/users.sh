#!/usr/bin/env bash
# Users: a process belongs to the user of that name on every machine; nobody else may touch it or read what it says. A
# daemon may also be an ordinary user's, who mounts with fusermount3 and runs processes of his own, only.
LIMIT=120
. "$(dirname "$0")/../lib/cluster.sh"

getent passwd daemon bin nobody >/dev/null || skip 'the users daemon, bin and nobody are not here'
[ "$(id -u)" = 0 ] || skip 'only root can be other users'
chmod 711 "$T"

# as USER MACHINE CODE: runs it as that user.
as() { on "$2" setpriv --reuid "$1" --regid "$1" --clear-groups env HOME=/ "PATH=$PATH" bash -c "$3"; }

machines A B
start A
start B
expect 'they see each other' eventually 5 on A grep -qx alive /oneos/machines/B/state

p=$(as daemon A "oneos run -d -l B -- sh -c 'id -un; trap \"\" HUP; exec sleep 1000'")
expect 'what daemon starts on A runs on B as daemon' eventually 5 eval 'on B "ps -o user= -C sleep" | grep -qx daemon'
expect 'it says so' eventually 5 on A "timeout 1 head -n 1 /oneos/procs/$p/stdout | grep -qx daemon"
expect 'status too' on A "grep -qx 'user daemon' /oneos/procs/$p/status"
expect 'its files are of daemon, on both machines' eval 'for m in A B; do on $m "stat -c %U /oneos/procs/$p/ctl /oneos/procs/$p/stdout" | grep -vx daemon && exit 1; done; true'
expect 'daemon reads what it says, also on B' eval 'as daemon A "timeout 2 head -n 1 /oneos/procs/$p/stdout" | grep -qx daemon && as daemon B "timeout 2 head -n 1 /oneos/procs/$p/stdout" | grep -qx daemon'
for m in A B; do
    expect "bin cannot read it on $m" as bin $m "call read /oneos/procs/$p/stdout 2>&1 >/dev/null | grep -qx EACCES"
    expect "nor write to it on $m" as bin $m "echo x | call write /oneos/procs/$p/stdin 2>&1 | grep -qx EACCES"
    expect "nor signal it on $m" as bin $m "echo kill | call write /oneos/procs/$p/ctl 2>&1 | grep -qx EPERM && ! oneos kill $p"
    expect "nor read its environment on $m" as bin $m "call read /oneos/procs/$p/env 2>&1 >/dev/null | grep -qx EACCES"
    expect "nor accept machines on $m" as bin $m 'echo accept X | call write /oneos/ctl 2>&1 | grep -qx EPERM'
    expect "nor make a machine leave on $m" as bin $m 'echo leave | call write /oneos/machines/B/ctl 2>&1 | grep -qx EPERM'
    expect "nor label it on $m" as bin $m 'echo gpu | call write /oneos/machines/B/labels 2>&1 | grep -qx EACCES'
    expect "but sees that it is there on $m" as bin $m "grep -qx 'state running' /oneos/procs/$p/status"
done
expect 'daemon cannot raise its priority' eval 'as daemon A "echo nice -5 | call write /oneos/procs/$p/ctl 2>&1" | grep -qx EPERM'
expect 'but may signal it from where he is' as daemon A "echo signal HUP >/oneos/procs/$p/ctl"
expect 'root reads it from afar' on A "timeout 1 head -n 1 /oneos/procs/$p/stdout | grep -qx daemon"
expect 'and ends it' on A "oneos kill -s KILL $p"
expect 'as all are told' same 'signal KILL' "$(as bin A "timeout 5 cat /oneos/procs/$p/wait")"
stop B

# An ordinary user's daemon, with a state folder and a key of his own, in one system with root's of A.
command -v fusermount3 >/dev/null || skip 'there is no fusermount3'
on B 'setpriv --reuid nobody --clear-groups bash -c ": <>/dev/fuse"' 2>/dev/null ||
    on B "mknod -m 666 $T/fuse c 10 229 && mount --bind $T/fuse /dev/fuse" || skip '/dev/fuse is for root only here'
install -d -o nobody -m 700 "$T/nobody"
install -o nobody -m 600 "$HOME/.oneos/cluster.key" "$T/nobody/cluster.key"
install -d -o nobody "$T/mine"
in_bg his B setpriv --reuid nobody --regid nogroup --clear-groups env "HOME=$T/nobody" "PATH=$PATH" oneosd B --foreground --state "$T/nobody" --mount "$T/mine"
expect "nobody's daemon on B is a member" eventually 10 on A grep -qx alive /oneos/machines/B/state
his() { on B setpriv --reuid nobody --regid nogroup --clear-groups env "HOME=$T/nobody" "PATH=$PATH" bash -c "$1"; }
expect 'it is ready' eventually 10 on B grep "$T/mine" /proc/mounts
expect 'it is mounted for him' his "grep -qx 'id B' $T/mine/status"
expect 'he runs a process there' same nobody "$(his "oneos --mount $T/mine run -l B -- id -un")"
expect 'and one at A, as nobody' same nobody "$(his "oneos --mount $T/mine run -l A -- id -un")"
expect "root of A cannot run one there: EPERM, and it says why" on A 'said=$(oneos run -l B -- true 2>&1); rc=$?; echo "$said"; [ $rc = 125 ] && echo "$said" | grep -q "runs as nobody and cannot run processes of root"'
expect 'the errno is EPERM' on A 'call open /oneos/machines/B/procs/clone 2>&1 | grep -qxE "EPERM|EACCES"; bash -c "exec 5<>/oneos/machines/B/procs/clone" 2>&1 | grep "Operation not permitted"'
signal his TERM
expect 'SIGTERM ends it' eval '[ "$(result 10 his)" = 0 ]'
expect 'its mount is gone' on B "! grep $T/mine /proc/mounts"
on B 'umount /dev/fuse 2>/dev/null'
finish

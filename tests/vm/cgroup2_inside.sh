#!/bin/sh
# cgroup2_inside.sh - the first process of the machine of cgroup2.sh: each case starts a daemon where cgroups are handed down in
# another way, and looks at what its limits do.
# shellcheck disable=SC2016 # what is in quotes is for the shells of jobs
PATH=/bin:/usr/bin
HOME=/tmp
export PATH HOME
if [ $$ = 1 ]; then
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev
    mount -t tmpfs tmp /tmp
    mount -t tmpfs run /run
    mount -t cgroup2 cgroup /sys/fs/cgroup
    chmod 1777 /tmp
    chmod 666 /dev/null
    chown ann /home/ann
    ip link set lo up
    insmod /fuse.ko
    chmod 666 /dev/fuse
fi

# expect WHAT COMMAND...
expect()
{
    what=$1
    shift
    if said=$("$@" 2>&1); then echo "ok - $what"; else
        echo "not ok - $what"
        echo "$said" | sed 's/^/#   /'
    fi
}

# soon SECONDS COMMAND...
soon()
{
    left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || { "$@"; return 1; }
        sleep 0.2
    done
}

begin() { # ID: of a machine that starts here
    mkdir -p $HOME/m
    ONEOS_MOUNT=$HOME/m
    export ONEOS_MOUNT
    oneosd "$1" --mount $HOME/m >$HOME/log 2>&1 &
    expect "$1 runs jobs" soon 30 oneos run -- true
}

end()
{
    kill "$(pidof oneosd)"
    soon 10 sh -c '! pidof oneosd' >/dev/null
}

last() { basename "$(readlink $ONEOS_MOUNT/jobs/last)"; }

# What runs is `sleep N`, which says whose it is.
# shellcheck disable=SC2009 # busybox may have no pgrep
some() { ps -o args | grep -qx "sleep $1"; }
none() { ! some "$1"; }

# Takes more than it may: in each of two sessions of its own, and itself.
eater='s=x; (setsid sleep 1061 &); (setsid sleep 1061 &); while :; do s=$s$s; done'

memory_is_limited()
{
    oneos run --memory 50M -- sh -c "$eater"
    [ $? = 137 ] && oneos why "$(last)" | grep 'more memory than it may have' &&
        grep -x 'cause oom' "$ONEOS_MOUNT/jobs/$(last)/status" && soon 5 none 1061
}

own='d=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); cat'

files_say_so()
{
    [ "$(oneos run --memory 64M --cpus 2 -- sh -c "$own"' $d/memory.max $d/memory.swap.max $d/memory.oom.group $d/cpu.weight' | xargs)" = \
        '67108864 0 1 200' ]
}

nothing_is_left()
{
    oneos run -- sh -c 'setsid sleep 1062 >/dev/null 2>&1 & (setsid sh -c "sleep 1062 >/dev/null 2>&1" &); true' &&
        soon 5 none 1062
}

cancel_takes_all()
{
    oneos run -d -- sh -c 'setsid sleep 1063 & (setsid sh -c "sleep 1063" &); sleep 1063'
    soon 5 some 1063 && oneos cancel "$(last)" && { oneos wait "$(last)"; soon 5 none 1063; }
}

folders_go()
{
    for _ in $(seq 100); do echo 'run true'; done >$ONEOS_MOUNT/jobs/ctl
    oneos wait "$(last)" && soon 20 sh -c "! find /sys/fs/cgroup -name '[0-9]*' -type d | grep ."
}

daemon_may_die()
{
    oneos run -d --memory 50M -- sh -c "sleep 4; $eater"
    job=$(last)
    kill -9 "$(pidof oneosd)"
    oneosd "$1" --mount $HOME/m >$HOME/log 2>&1 &
    soon 20 oneos why "$job"
    oneos wait "$job"
    [ $? = 137 ] && oneos why "$job" | grep 'more memory'
}

all_of_it() # ID
{
    begin "$1"
    expect 'a job that takes more memory than it may is ended as a whole, and why says so' memory_is_limited
    expect 'what it was promised stands in its cgroup' files_say_so
    expect 'what has forked away ends with its job' nothing_is_left
    expect 'a cancelled job ends as a whole' cancel_takes_all
    expect 'ended jobs leave no folders' folders_go
    expect 'limits outlive the daemon' daemon_may_die "$1"
    end
}

without_limits() # ID
{
    begin "$1"
    expect 'what has forked away ends with its job' nothing_is_left
    expect 'memory is limited by rlimit' sh -c '! oneos run --memory 50M -- sh -c "$1" >/dev/null 2>&1' - "$eater"
    end
}

# in_cgroup FOLDER USER CASE ID
in_cgroup()
{
    sh -c 'echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"; exec su "$2" -c "HOME=/home/$2 /init $3 $4"' - "$@" </dev/null
}

hand_down() # FOLDER...
{
    for f in "$@"; do
        for c in memory cpu pids; do echo +$c >"/sys/fs/cgroup/$f/cgroup.subtree_control"; done
    done
}

if [ $$ != 1 ]; then
    "$@"
    exit
fi
echo '# an ordinary user, to whom nothing is given'
su ann -c 'HOME=/home/ann /init without_limits A' </dev/null
rm -rf /home/ann/.oneos
echo '# root, on a machine where nobody hands controllers down'
all_of_it B
echo '# a service of an ordinary user: the folder above it is his'
hand_down .
mkdir -p /sys/fs/cgroup/user/app/oneos
for f in user user/app user/app/oneos; do
    chown ann "/sys/fs/cgroup/$f" "/sys/fs/cgroup/$f/cgroup.procs" "/sys/fs/cgroup/$f/cgroup.subtree_control"
done
hand_down user user/app
in_cgroup user/app/oneos ann all_of_it C
echo '# all was tried'
poweroff -f

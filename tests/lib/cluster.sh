# shellcheck shell=bash
# cluster.sh - machines for tests that read as stories. Source it first:
#
#     . "$(dirname "$0")/../lib/cluster.sh"
#     machines A B
#     start A; start B
#     expect 'A sees B' eventually 3 'on A cat /oneos/machines/B/state | grep -qx alive'
#     finish
#
# Sourcing runs the script again inside namespaces of its own (network, mounts, host name, IPC, processes), which
# are the "building": it holds the switches and dies as a whole when the test ends, however it ends.
# Each machine in it has a network namespace with one cable to the switch, its own processes, host name, and
# file system root: that of this computer with an empty /oneos. All share $HOME, so that
# `oneosd ID` needs no option. A test that cannot run here says why and exits with 77.
#
# A test may set LIMIT (seconds for all of it) before it sources this file. With KEEP=1 in the environment
# the scratch folder stays.

set -u

LIMIT=${LIMIT:-120}
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# One argument is shell code, more are the words of a command.
words()
{
    if [ $# = 1 ]; then
        eval "$1"
    else
        "$@"
    fi
}

now_ms()
{
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

skip()
{
    echo "# skipped: $*"
    finished=1
    exit 77
}

# ---- outside: make the building, wait for the end, show the logs of what failed, clean up ----

outside()
{
    local tool as_root='' scratch building rc
    for tool in unshare nsenter ip setpriv timeout; do
        command -v $tool >/dev/null || skip "there is no $tool on this machine"
    done
    [ "$(id -u)" = 0 ] || as_root=-r
    { : <>/dev/fuse; } 2>/dev/null || skip "/dev/fuse cannot be opened here"
    # shellcheck disable=SC2086 # an option or none
    unshare $as_root -n -m -u -i -p --fork --mount-proc true 2>/dev/null ||
        skip "namespaces cannot be made here"

    scratch=$(mktemp -d "${TMPDIR:-/tmp}/oneos-test.XXXXXX") || exit 99
    trap 'kill -TERM "$building" 2>/dev/null' INT TERM HUP
    # shellcheck disable=SC2086
    ONEOS_TEST_SCRATCH=$scratch setpriv --pdeathsig TERM timeout -k 15 "$LIMIT" \
        unshare $as_root -n -m -u -i -p --fork --kill-child --mount-proc bash "$0" "$@" &
    building=$!
    wait "$building"
    rc=$?
    while kill -0 "$building" 2>/dev/null; do # a signal interrupted the wait
        wait "$building"
        rc=$?
    done

    if [ $rc = 124 ] || [ $rc = 137 ]; then
        echo "not ok - the time limit of $LIMIT s was reached in: $(cat "$scratch/step" 2>/dev/null)"
        rc=1
    fi
    [ $rc = 0 ] || [ $rc = 77 ] || show_logs "$scratch"
    if [ -n "${KEEP:-}" ]; then
        echo "# kept: $scratch"
    else
        rm -rf --one-file-system "$scratch"
    fi
    exit $rc
}

show_logs()
{
    local log
    for log in "$1"/*/log "$1"/bg/*.err "$1"/reports/*; do
        [ -s "$log" ] || continue
        echo "# ---- ${log#"$1/"} (the last 80 lines)"
        tail -n 80 "$log" | sed 's/^/#   /'
    done
}

[ -n "${ONEOS_TEST_SCRATCH:-}" ] || outside "$@"

# ---- inside ----

T=$ONEOS_TEST_SCRATCH
count=0
finished=
declare -A holder=() number=() lan_of=() daemon=() torn=() job_machine=()

# Where the programs are: the folder of ./oneosd when started by hand at the top, else that of make.
BUILD=$PWD
[ ! -L oneosd ] || BUILD=$(dirname "$(readlink -f oneosd)")

inside()
{
    unset ONEOS_TEST_SCRATCH XDG_CONFIG_HOME XDG_RUNTIME_DIR
    export PATH="$BUILD:$BUILD/tests/lib:$PATH:/usr/sbin:/sbin" HOME="$T/home" LC_ALL=C
    mkdir -p "$HOME" "$T/bg"
    mkdir -m 1777 "$T/reports" # of every program and user: those of oneos-init and of clients, too
    ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$T/reports/asan"
    TSAN_OPTIONS="${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$T/reports/tsan"
    export ASAN_OPTIONS TSAN_OPTIONS
    mkfifo "$T/never"
    exec 9<>"$T/never" # nothing is ever written to it: what nap() waits on
    ip link set lo up
    echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward
    trap leave EXIT
    trap 'exit 143' TERM INT
}

leave()
{
    local rc=$?
    if [ $rc = 0 ] && [ -z "$finished" ]; then
        echo "not ok - the script ended before \`finish\`"
        rc=1
    fi
    exit $rc
}

die()
{
    echo "not ok - $*"
    exit 1
}

# A breath between two looks at something.
nap()
{
    read -rt 0.03 -u 9 _ || true
}

# ---- machines ----

# machines [--lan N] ID...: boots machines on the switch of LAN N (1); the LANs are joined by a router
# that passes no multicast. The first machine of LAN N has the address 10.79.N.1.
machines()
{
    local lan=1 id
    if [ "$1" = --lan ]; then
        lan=$2
        shift 2
    fi
    if [ ! -e "/sys/class/net/lan$lan" ] && ! ip link show "lan$lan" >/dev/null 2>&1; then
        ip link add "lan$lan" type bridge mcast_snooping 0 || skip "the kernel has no bridges"
        ip addr add "10.79.$lan.254/24" dev "lan$lan"
        ip link set "lan$lan" up
    fi
    for id in "$@"; do
        number[$id]=$((${#number[@]} + 1))
        lan_of[$id]=$lan
        mkdir -p "$T/$id"
        mkfifo "$T/$id/up" "$T/$id/ready"
        power_on "$id"
    done
}

address()
{
    echo "10.79.${lan_of[$1]}.${number[$1]}"
}

power_on()
{
    local id=$1 port=m${number[$1]}
    unshare -n -m -u -p --fork --kill-child --mount-proc \
        bash "$LIB/machine.sh" "$id" "$T/$id" >>"$T/$id/log" 2>&1 9>&- &
    holder[$id]=$!
    unset "torn[$id]"
    exec 8<>"$T/$id/up"
    until read -rt 0.1 -u 8 _; do
        kill -0 "${holder[$id]}" 2>/dev/null || die "machine $id did not boot"
    done
    exec 8>&-
    ip link del "$port" 2>/dev/null # the kernel takes its time with that of a machine that is off
    ip link add "$port" type veth peer name eth0 netns "${holder[$id]}" || die "machine $id has no network"
    ip link set "$port" master "lan${lan_of[$id]}" up
    on "$id" ip addr add "$(address "$id")/24" dev eth0
    join "$id"
    on "$id" 'cat /proc/mounts' >"$T/$id/mounts"
}

# All of the machine stops at once, as when the power fails.
power_off()
{
    kill -KILL "${holder[$1]}"
    wait "${holder[$1]}" 2>/dev/null
    [ -z "${daemon[$1]:-}" ] || wait "${daemon[$1]}"
    unset "holder[$1]" "daemon[$1]"
}

# into ID: sets the words with which a command goes into a machine.
into()
{
    local pid=${holder[$1]:?there is no such machine}
    into=(nsenter -t "$pid" -n -m -u "--pid=/proc/$pid/ns/pid_for_children" --)
}

# apart STATUS-FILE COMMAND...: runs it in the background; its exit status is in the file when it has ended.
apart()
{
    local file=$1
    shift
    rm -f "$file"
    { # the subshell's own words ("Killed") are not wanted, those of the command are
        exec 7>&2 2>/dev/null
        "$@" 2>&7 7>&- 8>&- 9>&-
        echo $? >"$file"
    } &
}

# on ID COMMAND...: runs it on that machine, in /. One argument is shell code.
on()
{
    local id=$1
    shift
    [ $# != 1 ] || set -- bash -c "$1"
    into "$id"
    "${into[@]}" "$@" 8>&- 9>&-
}

# The network interface of a machine goes down; comes up.
cut()
{
    on "$1" ip link set eth0 down
}

join()
{
    on "$1" ip link set eth0 up && on "$1" ip route replace default via "10.79.${lan_of[$1]}.254"
}

# The cable of a machine is drawn, put in: the machine itself sees only that nothing comes.
unplug()
{
    ip link set "m${number[$1]}" down
}

plug()
{
    ip link set "m${number[$1]}" up
}

# part ID...: those machines and the others no longer hear each other. heal: all are on their switch again.
part()
{
    local id
    ip link show parted >/dev/null 2>&1 ||
        { ip link add parted type bridge mcast_snooping 0 && ip link set parted up; } || die "no second switch"
    for id in "$@"; do
        ip link set "m${number[$id]}" master parted
    done
}

heal()
{
    local id
    for id in "${!number[@]}"; do
        ip link set "m${number[$id]}" master "lan${lan_of[$id]}"
    done
}

# mute A B: what A sends to B is lost, the other way it is not. unmute A B.
mute()
{
    on "$1" ip neigh replace "$(address "$2")" lladdr 02:00:00:00:00:99 dev eth0 nud permanent
}

unmute()
{
    on "$1" ip neigh del "$(address "$2")" dev eth0
}

# ---- the registry ----

# The registry's state on a machine, without what only that machine needs.
registry_of() { on "$1" cat "/oneos/machines/$1/registry"; }

# Those machines have the same registry, with a leader.
same_registry()
{
    local id want
    want=$(registry_of "$1") && [ -n "$want" ] || return 1
    for id in "$@"; do
        on "$id" grep -qx 'quorum yes' /oneos/status && same "$want" "$(registry_of "$id")" || return 1
    done
}

# figure ID KEY: the value of that key in the status of the machine.
figure() { on "$1" sed -n "s/^$2 //p" /oneos/status; }

leader_of() { figure "$1" leader; }

# slow ID DELAY [LOSS]: what the machine sends, e.g. slow A 100ms 5%. Fails where the kernel cannot.
slow()
{
    # shellcheck disable=SC2086 # a word or none
    on "$1" tc qdisc replace dev eth0 root netem delay "$2" ${3:+loss $3} 2>/dev/null
}

# ---- daemons ----

# start ID [OPTION...]: starts `oneosd ID` on the machine ID and returns when it is ready.
start()
{
    local id=$1 until
    shift
    exec 8<>"$T/$id/ready"
    launch "$id" oneosd "$id" "$@"
    until=$(($(now_ms) + 20000))
    until read -rt 0.05 -u 8 _; do
        running "$id" || die "oneosd $id ended with $(cat "$T/$id/status") instead of becoming ready"
        [ "$(now_ms)" -lt "$until" ] || die "oneosd $id was not ready after 20 s"
    done
    exec 8>&-
}

# launch ID COMMAND...: a daemon on that machine that says on descriptor 3 when it is ready.
launch()
{
    local id=$1
    shift
    ! running "$id" || die "oneosd runs on $id already"
    unset "torn[$id]"
    rm -f "$T/$id/pid"
    into "$id"
    # shellcheck disable=SC2016 # for the shell on that machine
    apart "$T/$id/status" "${into[@]}" setsid sh -c 'echo $$ >"$0/pid"; exec "$@" 3<>"$0/ready"' "$T/$id" \
        "$@" --foreground --ready-fd 3 </dev/null >>"$T/$id/log" 2>&1
    daemon[$id]=$!
}

# shift_clock ID SECONDS: the clock (CLOCK_REALTIME) of what with_clock starts on that machine is so much ahead of this
# computer's, or behind where it is negative; at once, also for what runs already.
shift_clock()
{
    printf '%12d\n' "$2" 1<>"$T/$1/clock"
}

# with_clock ID: sets the words with which a command gets the clock of that machine. Nothing can be loaded before a
# sanitizer.
with_clock()
{
    [ -e "$T/$1/clock" ] || shift_clock "$1" 0
    with_clock=(env "LD_PRELOAD=$BUILD/tests/lib/clock_shift.so" "ONEOS_CLOCK_SHIFT=$T/$1/clock")
}

running()
{
    [ -n "${daemon[$1]:-}" ] && [ ! -s "$T/$1/status" ]
}

# The process number of a machine's daemon, as that machine counts.
pid_of()
{
    cat "$T/$1/pid"
}

# stop ID: as an administrator would; must end with 0 within 20 s.
stop()
{
    local id=$1 rc
    running "$id" || die "oneosd $id had ended by itself, with $(cat "$T/$id/status")"
    on "$id" "kill -TERM $(pid_of "$id")"
    eventually 20 "! running $id" || die "oneosd $id did not stop within 20 s of SIGTERM"
    rc=$(cat "$T/$id/status")
    unset "daemon[$id]"
    [ "$rc" = 0 ] || die "oneosd $id ended with $rc instead of 0"
}

kill9()
{
    on "$1" "kill -KILL $(pid_of "$1")"
    wait "${daemon[$1]}"
    unset "daemon[$1]"
    torn[$1]=1 # its mount and its processes may stay: a new daemon has to find them
}

daemon_figure()
{
    on "$1" cat "/proc/$(pid_of "$1")/status" | awk -v key="$2:" '$1 == key { print $2 }'
}

rss() { daemon_figure "$1" VmRSS; }       # KiB
rss_peak() { daemon_figure "$1" VmHWM; }  # KiB, since the last forget_peak
threads() { daemon_figure "$1" Threads; }

forget_peak()
{
    on "$1" "echo 5 >/proc/$(pid_of "$1")/clear_refs"
}

fds()
{
    on "$1" "ls /proc/$(pid_of "$1")/fd | wc -l"
}

# Sanitizers need memory of their own: bounds on it mean nothing then.
sanitized()
{
    [ "${ONEOS_SANITIZER:-no}" != no ]
}

# ---- commands in the background ----

# in_bg NAME ID COMMAND...: runs it on that machine in a session of its own; out, err, signal,
# ended and result take the NAME.
in_bg()
{
    local name=$1 id=$2
    shift 2
    [ $# != 1 ] || set -- bash -c "$1"
    rm -f "$T/bg/$name.pid"
    into "$id"
    # shellcheck disable=SC2016
    apart "$T/bg/$name.status" "${into[@]}" env --default-signal=INT,QUIT setsid sh -c 'echo $$ >"$0.pid"; exec "$@"' "$T/bg/$name" \
        "$@" </dev/null >"$T/bg/$name.out" 2>"$T/bg/$name.err"
    job_machine[$name]=$id
    until [ -s "$T/bg/$name.pid" ] || ended "$name"; do
        nap
    done
}

out() { cat "$T/bg/$1.out"; }
err() { cat "$T/bg/$1.err"; }
pid_in_bg() { cat "$T/bg/$1.pid"; }
ended() { [ -s "$T/bg/$1.status" ]; }

# signal NAME SIGNAL: to its whole process group, as the keys of a terminal do.
signal()
{
    on "${job_machine[$1]}" "kill -s $2 -- -$(pid_in_bg "$1")"
}

# result SECONDS NAME: waits for its end at most that long; prints its exit status.
result()
{
    eventually "$1" ended "$2" && cat "$T/bg/$2.status"
}

# ---- judging ----

# expect TITLE COMMAND...: the command must succeed. The test ends at the first that does not.
expect()
{
    local title=$1
    shift
    count=$((count + 1))
    echo "$title" >"$T/step"
    if words "$@" >"$T/output" 2>&1; then
        echo "ok $count - $title"
    else
        echo "not ok $count - $title"
        printf '%s\n' "$*" | sed 's/^/#   $ /'
        tail -n 60 "$T/output" | sed 's/^/#   /'
        exit 1
    fi
}

# eventually SECONDS COMMAND...: tries again until it succeeds. Shows the last output either way.
eventually()
{
    local seconds=$1 until=$(($(now_ms) + $1 * 1000))
    shift
    until words "$@" >"$T/attempt" 2>&1; do
        if [ "$(now_ms)" -ge "$until" ]; then
            cat "$T/attempt"
            echo "still so after $seconds s: $*"
            return 1
        fi
        nap
    done
    cat "$T/attempt"
}

# always SECONDS COMMAND...: must succeed each time over that while.
always()
{
    local until=$(($(now_ms) + $1 * 1000))
    shift
    while [ "$(now_ms)" -lt "$until" ]; do
        words "$@" || return 1
        nap
    done
}

# within MS COMMAND...: must succeed and take no longer.
within()
{
    local allowed=$1 began took
    shift
    began=$(now_ms)
    words "$@" || return 1
    took=$(($(now_ms) - began))
    echo "took $took ms"
    [ "$took" -le "$allowed" ] || {
        echo "$allowed ms were allowed for: $*"
        return 1
    }
}

# same A B: two texts are equal.
same()
{
    [ "$1" = "$2" ] || {
        printf 'one:   %s\nother: %s\n' "$1" "$2"
        return 1
    }
}

# finish: stops the daemons that run, and judges what they leave behind: nothing.
finish()
{
    local id
    for id in "${!daemon[@]}"; do
        stop "$id"
    done
    for id in "${!holder[@]}"; do
        [ -z "${torn[$id]:-}" ] || continue
        expect "nothing is left running on $id" eventually 3 nothing_runs_on "$id"
        expect "nothing is left mounted on $id" nothing_mounted_on "$id"
    done
    expect "the sanitizers had nothing to say" no_reports
    echo "1..$count"
    finished=1
    exit 0
}

# Mounts of other tests that were inherited may go meanwhile; what counts is what came.
nothing_mounted_on()
{
    ! on "$1" grep -vxFf "$T/$1/mounts" /proc/mounts
}

nothing_runs_on()
{
    # shellcheck disable=SC2016
    on "$1" 'for p in /proc/[2-9]* /proc/1[0-9]*; do
                 if [ "$p" != /proc/$$ ] && name=$(tr "\0" " " <"$p/cmdline"); then
                     echo "${p#/proc/} $name"
                     left=1
                 fi
             done 2>/dev/null
             [ -z "${left:-}" ]'
}

no_reports()
{
    ! cat "$T"/*/log "$T"/reports/* "$HOME"/.oneos/*/init/init.log 2>/dev/null |
        grep -hE -A 25 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|: runtime error: '
}

inside

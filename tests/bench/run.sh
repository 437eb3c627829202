#!/usr/bin/env bash
# run.sh [SECTION...] - the speeds that users feel, each beside what they would use without OneOS.
#
# Three machines in namespaces (tests/lib/cluster.sh), one table. A measure and its baseline take turns within
# one run, and medians are compared: the ratios hold better than the figures. Sections: idle run stream
# neighbours pipe files jobs registry; without one, all. In the environment: MIB (1024), what a stream carries;
# ROUNDS (7) of streams; COMMANDS (60), how often `true` is run; see registry.sh and jobs.sh for their own.
#
# Where others load the machine, `chrt -r 20 make bench` gives nearly the figures of an idle one.
LIMIT=${LIMIT:-3000}
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/told.sh"
. "$(dirname "$0")/registry.sh"
. "$(dirname "$0")/jobs.sh"

MIB=${MIB:-1024} ROUNDS=${ROUNDS:-7} COMMANDS=${COMMANDS:-60} IDLE=${IDLE:-30}
BENCH=$BUILD/tests/bench
PATH=$BENCH:$PATH

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

calc() { awk "BEGIN { print $* }"; }

format='%-46s %14s   %-34s %14s %7s   %s\n'

# row WHAT FIGURE BASELINE ITS-FIGURE SMALLER|LARGER REACH UNIT: the ratio is how many times better we are
# (REACH >= x), or, with REACH <= x, how many times as long we take. REACH -: nothing was set.
row()
{
    local ratio met=''
    case $5 in
    SMALLER) ratio=$(calc "$4 / $2") ;;
    LARGER | TIMES) ratio=$(calc "$2 / $4") ;;
    esac
    [ "$6" = - ] || met=$(calc "($ratio $6) ? \"\" : \"  SHORT\"")
    # shellcheck disable=SC2059
    printf "$format" "$1" "$2 $7" "$3" "$4 $7" "$(printf %.2f "$ratio")" "$6$met"
}

us() { calc "sprintf(\"%.${2:-0}f\", $1 * 1e6)"; }

# ---- idle: what the daemons take while nothing is asked of them ----

cpu_ticks()
{
    on "$1" cat "/proc/$(pid_of "$1")/stat" | awk '{ print $14 + $15 }'
}

bench_idle()
{
    local id before=() cpu=0 memory=0 ticks kib
    sleep 3 # the last words of a start
    for id in A B C; do
        before+=("$(cpu_ticks "$id")")
    done
    sleep "$IDLE"
    for id in A B C; do
        ticks=$(($(cpu_ticks "$id") - before[0])) kib=$(rss "$id")
        before=("${before[@]:1}")
        [ "$ticks" -le "$cpu" ] || cpu=$ticks
        [ "$kib" -le "$memory" ] || memory=$kib
    done
    row "idle daemon, 3 machines, $IDLE s, the worst: CPU" "$(calc "sprintf(\"%.2f\", $cpu / $IDLE)")" \
        '0.3 % of a core' 0.3 TIMES '<= 1' %
    row "  resident memory, the worst" "$(calc "sprintf(\"%.1f\", $memory / 1024)")" "15 MiB" 15 TIMES '<= 1' MiB
}

# ---- ssh: daemons of our own on A and B, with a clean home ----

ssh_ready=
SSH=()

ssh_setup()
{
    local id
    [ -z "$ssh_ready" ] || return 0
    [ "$(id -u)" = 0 ] && command -v sshd ssh-keygen >/dev/null || return 1
    mkdir -p "$T/ssh" "$T/clean"
    ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/host" && ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/user"
    cp "$T/ssh/user.pub" "$T/ssh/authorized"
    cat >"$T/ssh/config" <<END
HostKey $T/ssh/host
AuthorizedKeysFile $T/ssh/authorized
PermitRootLogin yes
StrictModes no
UsePAM no
PrintLastLog no
PrintMotd no
PidFile none
END
    for id in A B; do
        # Its mounts are its own: a run folder and a home without anybody's shell settings.
        # shellcheck disable=SC2016
        in_bg "sshd$id" "$id" unshare -m bash -c 'mount -t tmpfs run /run && mkdir /run/sshd &&
            mount --bind "$0/clean" ~root && exec "$(command -v sshd)" -D -e -f "$0/ssh/config"' "$T"
    done
    SSH=(ssh -F none -i "$T/ssh/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
        -o LogLevel=ERROR -o BatchMode=yes)
    expect_quiet eventually 5 on A "${SSH[@]}" "$(address B)" true
    expect_quiet eventually 5 on C "${SSH[@]}" "$(address A)" true
    on A "${SSH[@]}" -o ControlMaster=yes -o ControlPath="$T/ssh/master" -o ControlPersist=yes \
        -fN "$(address B)"
    ssh_ready=1
}

ssh_end()
{
    [ -n "$ssh_ready" ] || return 0
    on A "${SSH[@]}" -o ControlPath="$T/ssh/master" -O exit "$(address B)" 2>/dev/null
    signal sshdA TERM
    signal sshdB TERM
}

# ---- run: a command on another machine, and its status ----

bench_run()
{
    local result figures
    if ! ssh_setup; then
        echo "(run: needs root and openssh-server)"
        return
    fi
    result=$(on A laps "$COMMANDS" oneos run -l B -- true ::: \
        "${SSH[@]}" -o ControlPath="$T/ssh/master" "$(address B)" true) || die "laps failed"
    mapfile -t figures <<<"$result"
    row 'run `true` on another machine' "$(us "${figures[0]}")" 'ssh, ControlMaster' "$(us "${figures[1]}")" \
        SMALLER '>= 4' us
    result=$(on A laps $((COMMANDS / 6 + 1)) oneos run -l B -- true ::: "${SSH[@]}" "$(address B)" true) ||
        die "laps failed"
    mapfile -t figures <<<"$result"
    row '' "$(us "${figures[0]}")" 'ssh, a fresh connection' "$(us "${figures[1]}")" SMALLER - us
}

# ---- stream: from a process on A to one on B ----

# The reader of each prints MiB/s.
stream_oneos()
{
    local block=$1
    on A touch /oneos/pipes/bulk
    expect_quiet eventually 5 on B test -e /oneos/pipes/bulk
    in_bg take B "stream take $MIB $block </oneos/pipes/bulk"
    on A "stream put $MIB $block >/oneos/pipes/bulk" || die "the writer failed"
    expect_quiet result 60 take
    out take
    on A rm /oneos/pipes/bulk
}

stream_tcp()
{
    in_bg take B stream take "$MIB" 1024 7000
    expect_quiet eventually 5 'err take | grep -q listening'
    on A stream put "$MIB" 1024 "$(address B)" 7000
    expect_quiet result 60 take
    out take
}

SSH_CIPHER=aes128-gcm@openssh.com

# `ssh A put | ssh B take`, asked for on C.
stream_ssh()
{
    on C "${SSH[*]} -c $SSH_CIPHER $(address A) $BENCH/stream put $MIB 1024 |
          ${SSH[*]} -c $SSH_CIPHER $(address B) $BENCH/stream take $MIB 1024"
}

# The best that ssh can: asked for on A, one connection.
stream_ssh_once()
{
    on A "stream put $MIB 1024 | ${SSH[*]} -c $SSH_CIPHER $(address B) $BENCH/stream take $MIB 1024"
}

bench_stream()
{
    local r kind ssh=
    local -A got=()
    ssh_setup && ssh=1
    for ((r = 0; r < ROUNDS; r++)); do
        got[1024]+=$(stream_oneos 1024)$'\n'
        got[128]+=$(stream_oneos 128)$'\n'
        got[tcp]+=$(stream_tcp)$'\n'
        [ -z "$ssh" ] || got[ssh]+=$(stream_ssh)$'\n'
        [ -z "$ssh" ] || got[once]+=$(stream_ssh_once)$'\n'
    done
    for kind in "${!got[@]}"; do
        got[$kind]=$(printf %s "${got[$kind]}" | median)
    done
    for kind in 1024 128; do
        row "$MIB MiB, A to B by pipes/, $kind KiB writes" "${got[$kind]}" 'plain TCP, 1 MiB writes' "${got[tcp]}" \
            LARGER '>= 0.35' MiB/s
        [ -n "$ssh" ] || continue
        row '' "${got[$kind]}" 'ssh A put | ssh B take, aes128-gcm' "${got[ssh]}" LARGER '>= 4' MiB/s
        row '' "${got[$kind]}" 'put | ssh B take, aes128-gcm' "${got[once]}" LARGER - MiB/s
    done
}

# ---- neighbours: writer | reader in one command ----

neighbours_oneos()
{
    # shellcheck disable=SC2016
    on A bash -c 'exec 3<>/oneos/self/procs/clone && read -r name <&3 &&
        echo "exec $0 put $1 64 | $0 take $1 64" >&3 && exec 3>&- &&
        cat "/oneos/procs/$name/stdout" && grep -qx "exit 0" "/oneos/procs/$name/wait"' \
        "$BENCH/stream" "$MIB" || die "a pipeline failed"
}

bench_neighbours()
{
    local r ours='' bash=''
    for ((r = 0; r < ROUNDS; r++)); do
        ours+=$(neighbours_oneos)$'\n'
        bash+=$(on A "stream put $MIB 64 | stream take $MIB 64")$'\n'
    done
    row 'exec writer | reader, 64 KiB writes' "$(printf %s "$ours" | median)" 'the same in bash' \
        "$(printf %s "$bash" | median)" LARGER '>= 1.5' MiB/s
}

# ---- pipe: cat to cat by a named pipe, on one machine ----

bench_pipe()
{
    local result figures
    head -c "${MIB}M" /dev/zero >"$T/big"
    result=$(on A laps "$ROUNDS" bash -c "touch /oneos/pipes/p; cat $T/big >/oneos/pipes/p &
            cat /oneos/pipes/p >/dev/null; wait; rm /oneos/pipes/p" ::: \
        bash -c "cat $T/big | cat >/dev/null") || die "laps failed"
    mapfile -t figures <<<"$result"
    row "cat big >/oneos/pipes/p, cat there, $MIB MiB" "$(calc "sprintf(\"%.0f\", $MIB / ${figures[0]})")" \
        'bash: cat big | cat >/dev/null' "$(calc "sprintf(\"%.0f\", $MIB / ${figures[1]})")" LARGER '>= 0.8' MiB/s
    rm "$T/big"
}

# ---- files: looking at small ones ----

bench_files()
{
    local name result line files stats=() loads=() i
    mkdir "$T/A/pass"
    in_bg pass A passthrough /proc "$T/A/pass" direct
    expect_quiet eventually 5 on A test -e "$T/A/pass/1"
    name=$(on A oneos run -d -l A -- sleep infinity)
    files=(/oneos/status /oneos/machines/A/state /oneos/machines/B/state "/oneos/procs/$name/status")
    result=$(on A looks "$ROUNDS" 2000 "$T/A/pass/1/status" "$T/A/pass/loadavg" "${files[@]}") || die "looks failed"
    while read -r -a line; do
        stats+=("$(us "${line[0]}" 2)")
        loads+=("$(us "${line[1]}" 1)")
    done <<<"$result"
    for i in "${!files[@]}"; do
        row "stat ${files[i]}" "${stats[i + 2]}" '/proc/1/status, FUSE passthrough' "${stats[0]}" TIMES '<= 1.5' us
    done
    for i in "${!files[@]}"; do
        row "open, read, close ${files[i]}" "${loads[i + 2]}" '/proc/1/status, FUSE passthrough' "${loads[0]}" \
            TIMES '<= 1.5' us
    done
    row '' "${loads[2]}" '/proc/loadavg, FUSE passthrough' "${loads[1]}" TIMES - us
    echo '  (passthrough: low-level API, entry and attribute timeouts 1 s, libfuse threads, clone_fd, direct_io,'
    echo '  without which files of /proc read as empty)'
    on A oneos kill "$name"
    signal pass TERM
    expect_quiet result 5 pass
}

# The daemons that all sections but `registry` are about.
daemons_begin()
{
    local id
    machines A B C
    for id in A B C; do
        start "$id"
    done
    for id in A B C; do
        expect_quiet eventually 10 on "$id" 'grep -qx alive /oneos/machines/A/state &&
            grep -qx alive /oneos/machines/B/state && grep -qx alive /oneos/machines/C/state'
    done
}

daemons_end()
{
    local id
    sleep 12 # free blocks are given back after 5 s to 10 s in which nobody needed them
    for id in A B C; do
        echo "# $id afterwards: $(rss "$id") KiB resident, at most $(rss_peak "$id") KiB"
    done
    ssh_end
}

[ $# -gt 0 ] || set -- idle run stream neighbours pipe files jobs registry
[ "$*" = registry ] || daemons_begin
echo "# $(nproc) cores, Linux $(uname -r), load average $(head -c 14 /proc/loadavg), $(chrt -p $$ | sed -n 's/.*policy: //p')"
# shellcheck disable=SC2059
printf "$format" measure OneOS against its ratio reach
for section in "$@"; do
    "bench_$section"
done
[ "$*" = registry ] || daemons_end
finish

# shellcheck shell=bash
# told.sh - programs that are told by lines what to do (lines.h), and a registry of three machines made of such
# (registry_node.c), on the loopback of the building. Source it behind cluster.sh.

declare -A told_in=() told_out=() program=()

# tell_begin NAME COMMAND...: starts it, or starts it again.
tell_begin()
{
    local name=$1 in out
    shift
    if [ -z "${told_in[$name]:-}" ]; then
        mkfifo "$T/$name.in" "$T/$name.out"
        exec {in}<>"$T/$name.in" {out}<>"$T/$name.out"
        told_in[$name]=$in told_out[$name]=$out
    fi
    while read -rt 0.001 -u "${told_out[$name]}" _; do :; done # answers that nobody waited for
    "$@" <"$T/$name.in" >"$T/$name.out" 2>>"$T/$name.log" 8>&- 9>&- &
    program[$name]=$!
    disown # so that nothing is said when it is killed
}

# tell NAME SECONDS WORD...: prints its answer, which must come within that time.
tell()
{
    local name=$1 seconds=$2 line
    shift 2
    echo "$*" >&"${told_in[$name]}"
    read -rt "$seconds" -u "${told_out[$name]}" line || told_nothing "$name" "$*"
    echo "$line"
}

told_nothing()
{
    tail -n 20 "$T/$1.log" | sed 's/^/#   /'
    die "$1 did not answer to: $2"
}

expect_quiet()
{
    "$@" >"$T/output" 2>&1 || die "$* - $(cat "$T/output")"
}

# As tell, where the answer says nothing but that it is done.
await()
{
    local answer
    answer=$(tell "$@") || die "${answer#not ok - }"
}

# tell_end NAME: it is gone, or goes now.
tell_end()
{
    kill -KILL "${program[$1]}" 2>/dev/null
    expect_quiet eventually 10 "! kill -0 ${program[$1]}"
    unset "program[$1]"
}

# The number behind the word KEY of an answer.
figure()
{
    awk -v key="$1" '{ for (i = 1; i < NF; i++) if ($i == key) print $(i + 1) }'
}

# ---- ours: machines A, B, C ----

ours_machines=(A B C)

ours_serve()
{
    tell_begin "$1" "$BUILD/tests/lib/registry_node" "$1" --state "$T/ours" --listen 127.0.0.1
}

ours_begin()
{
    local id
    for id in "${ours_machines[@]}"; do
        ours_serve "$id"
    done
    for id in "${ours_machines[@]}"; do
        await "$id" 30 settled
    done
}

ours_roles()
{
    local id
    leader='' follower=''
    for id in "${ours_machines[@]}"; do
        case $(tell "$id" 5 leads) in
        *yes) leader=$id ;;
        *) follower=$id ;;
        esac
    done
    [ -n "$leader" ] || die "the registry has no leader"
}

ours_kill()
{
    local leader follower
    ours_roles
    killed=$(tell "$follower" 40 failover "${program[$leader]}" | figure failover)
    tell_end "$leader"
    ours_serve "$leader"
    await "$leader" 30 settled
}

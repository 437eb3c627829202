# shellcheck shell=bash
# registry.sh - the section `registry` of run.sh: commands of the registry on three machines beside the same
# puts into etcd on three servers; all on the loopback of one computer, their data on one disk.
#
# A client is one process that talks to one server and keeps so many puts outstanding: 1,000 keys by chance, values
# of 100 bytes. For etcd that is a process of its own (etcd_client.c, gRPC over one connection). Ours is in the
# process of the machine it asks, as all users of the registry are: the daemon itself (tests/lib/registry_node.c).
#
# In the environment: TURNS (5) of loads, each SECONDS_EACH (4) long; KILLS (50).
TURNS=${TURNS:-5} SECONDS_EACH=${SECONDS_EACH:-4} KILLS=${KILLS:-50}

# ---- etcd: servers e1 e2 e3, and a client of each, c1 c2 c3 ----

etcd_port() { echo $((7100 + $1)); }

# etcd_serve N new|existing
etcd_serve()
{
    local client peer=http://127.0.0.1:720
    client=http://127.0.0.1:$(etcd_port "$1")
    etcd --name "e$1" --data-dir "$T/etcd/$1" --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer$1" --initial-advertise-peer-urls "$peer$1" --initial-cluster-state "$2" \
        --initial-cluster "e1=${peer}1,e2=${peer}2,e3=${peer}3" --logger zap </dev/null >>"$T/etcd.log" 2>&1 8>&- 9>&- &
    program["e$1"]=$!
    disown
}

etcd_client_begin()
{
    expect_quiet eventually 10 "{ : <>/dev/tcp/127.0.0.1/$(etcd_port "$1"); } 2>/dev/null"
    tell_begin "c$1" "$BENCH/etcd_client" "$(etcd_port "$1")"
    await "c$1" 30 settled
}

etcd_begin()
{
    local n
    [ -x "$BENCH/etcd_client" ] || { etcd_missing='no libnghttp2-dev' && return 1; }
    command -v etcd >/dev/null || { etcd_missing='no etcd-server' && return 1; }
    mkdir -m 700 "$T/etcd"
    for n in 1 2 3; do
        etcd_serve $n new
    done
    for n in 1 2 3; do
        etcd_client_begin $n
    done
}

# Sets leader and follower to the numbers of such clients.
etcd_roles()
{
    local n
    leader='' follower=''
    for n in 1 2 3; do
        case $(tell c$n 5 leads) in
        *yes) leader=$n ;;
        *) follower=$n ;;
        esac
    done
    [ -n "$leader" ] || die "etcd has no leader"
}

etcd_kill()
{
    local leader follower
    etcd_roles
    killed=$(tell "c$follower" 40 failover "${program[e$leader]}" | figure failover)
    tell_end "e$leader"
    tell_end "c$leader"
    etcd_serve "$leader" existing
    etcd_client_begin "$leader"
}

# ---- the measures ----

# Takes the answer of a program into got: WHO WHAT TELL-ARGUMENTS...
measure()
{
    local who=$1 what=$2 answer key
    shift 2
    answer=$(tell "$@") || exit 1
    for key in rate median_us p99_us; do
        got[$who.$what.$key]+=$(figure "$key" <<<"$answer")$'\n'
    done
    case $answer in
    *errors\ [1-9]* | *missed\ [1-9]*) echo "# $who, $what: $answer" ;;
    esac
}

# One turn of WHO (ours, etcd), whose programs have the prefix (none, c).
turn()
{
    local who=$1 prefix=$2 s=$SECONDS_EACH leader follower
    "${who}_roles"
    measure "$who" load "$prefix$leader" $((s + 20)) load 64 "$s"
    measure "$who" alone "$prefix$leader" $((s + 20)) load 1 "$s"
    measure "$who" follower "$prefix$follower" $((s + 20)) load 1 "$s"
    measure "$who" follower64 "$prefix$follower" $((s + 20)) load 64 "$s"
    measure "$who" lread "$prefix$leader" $((s + 20)) lread 64 "$s"
    [ "$who" = ours ] || return
    measure ours read "$leader" 20 read 1 1
    measure ours two_read "$leader" 20 read 2 1
    measure ours ping "$follower" 20 ping "$leader" 1
    measure ours rare_ping "$follower" 20 ping "$leader" 1 1
}

middle() { printf %s "${got[$1]:-}" | median; }

# of_sorted SHARE FIGURES: the one at that place.
of_sorted() { sort -g <<<"$2" | awk -v share="$1" 'NF { v[++n] = $1 }
    END { i = int(share * n) + 1; if (i > n) i = n; print v[i] }'; }

# Like row, with a sentence where etcd could not be measured.
versus()
{
    if [ -z "$etcd_missing" ]; then
        row "$@"
    else
        # shellcheck disable=SC2059
        printf "$format" "$1" "$2 $7" "$3" '-' '-' "not measured: $etcd_missing"
    fi
}

registry_rows()
{
    local more their_more
    versus 'puts of one client, 64 outstanding' "$(middle ours.load.rate)" 'etcd, its leader' \
        "$(middle etcd.load.rate)" LARGER '>= 1' /s
    versus '  asked of a follower' "$(middle ours.follower64.rate)" 'etcd, a follower' \
        "$(middle etcd.follower64.rate)" LARGER - /s
    versus 'a put alone, median' "$(middle ours.alone.median_us)" 'etcd, its leader' \
        "$(middle etcd.alone.median_us)" SMALLER '>= 1' us
    versus '  p99' "$(middle ours.alone.p99_us)" 'etcd, its leader' "$(middle etcd.alone.p99_us)" SMALLER - us
    versus '  asked of a follower, median' "$(middle ours.follower.median_us)" 'etcd, a follower' \
        "$(middle etcd.follower.median_us)" SMALLER '>= 1' us
    more=$(calc "$(middle ours.follower.median_us) - $(middle ours.alone.median_us)")
    their_more=$(calc "$(middle etcd.follower.median_us) - $(middle etcd.alone.median_us)")
    row '  what the follower adds' "$more" 'a round trip: a put that is refused' "$(middle ours.ping.median_us)" TIMES '<= 1' us
    row '' "$more" 'the same, every millisecond' "$(middle ours.rare_ping.median_us)" TIMES '<= 1' us
    versus '' "$more" 'what a follower adds, etcd' "$their_more" TIMES - us
    versus 'linearizable reads, 64 outstanding' "$(middle ours.lread.rate)" 'etcd, its leader' \
        "$(middle etcd.lread.rate)" LARGER '>= 1' /s
    row 'local reads, one thread' "$(middle ours.read.rate)" '500,000 a second' 500000 LARGER '>= 1' /s
    row '  two threads at once, each' "$(calc "sprintf(\"%.0f\", $(middle ours.two_read.rate) / 2)")" \
        '500,000 a second' 500000 LARGER '>= 1' /s
}

# The time from the leader's kill -9 to the next acknowledged put, KILLS of each, by turns.
failover_rows()
{
    local i share name ours='' theirs=''
    for ((i = 0; i < KILLS; i++)); do
        ours_kill
        ours+=$killed$'\n'
        [ -n "$etcd_missing" ] || etcd_kill
        theirs+=$killed$'\n'
    done
    for share in 0.5 0.9 1; do
        case $share in
        0.5) name="leader killed, next put acknowledged, $KILLS times: median" ;;
        0.9) name='  nine of ten within' ;;
        1) name='  the longest' ;;
        esac
        versus "$name" "$(of_sorted $share "$ours")" 'etcd, default settings' "$(of_sorted $share "$theirs")" \
            SMALLER '>= 1' ms
    done
    row '  of the median, allowed' "$(of_sorted 0.5 "$ours")" '600 ms' 600 TIMES '<= 1' ms
    echo "# ours, ms, sorted: $(sort -g <<<"$ours" | paste -sd' ')"
    [ -n "$etcd_missing" ] || echo "# etcd, ms, sorted: $(sort -g <<<"$theirs" | paste -sd' ')"
}

bench_registry()
{
    local r
    declare -gA got=()
    ours_begin
    etcd_missing=''
    etcd_begin || echo "(etcd is not measured: $etcd_missing)"
    for ((r = 0; r < TURNS; r++)); do
        turn ours ''
        [ -n "$etcd_missing" ] || turn etcd c
    done
    registry_rows
    [ "$KILLS" = 0 ] || failover_rows
    for r in "${!program[@]}"; do
        tell_end "$r"
    done
}

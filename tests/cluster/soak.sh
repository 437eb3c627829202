#!/usr/bin/env bash
# Five machines write while random faults come: daemons are killed (also most of them at once), machines lose their
# power, cables are drawn, the switch falls apart, links work one way or are slow, a disk is full, a daemon is stopped.
# All that the clients did is judged in the end: linearizable, nothing lost, nothing twice; and nothing has grown.
#
# One daemon is spared: it is cut off, slowed and without room like the others, but never ends, so that what it would
# not give back adds up. The clients write enough for the log to be trimmed, again and again, where there is time.
#
# SOAK_SECONDS (60) is how long the faults go on; SOAK_SEED repeats their order.
SOAK_SECONDS=${SOAK_SECONDS:-60}
LIMIT=$((SOAK_SECONDS + 240)) # of them, what comes before and after
. "$(dirname "$0")/../lib/cluster.sh"
SEED=${SOAK_SEED:-$((EPOCHSECONDS % 32768))}
RANDOM=$SEED
echo "# SOAK_SEED=$SEED SOAK_SECONDS=$SOAK_SECONDS"

IDS=(A B C D E)
SPARED=E        # its daemon is never ended
STATE_SIZE=64m  # of each machine's state folder, a disk of its own
KEYS=12         # shared names at a time
PAUSE_MS=60     # of a client between two rounds, on average
AT_ONCE=3       # most faults at a time
P=/oneos/pipes

declare -A is=()      # ID: up, dead, off or stopped
declare -A full=() ends=() undo=() # ID of a full disk; of each fault: when it ends, and how
clients=0 faults=0

# What they pick is in `id`: chosen in this shell, whose RANDOM the seed repeats.
pick() { id=${IDS[RANDOM % ${#IDS[@]}]}; }
pick_mortal() { pick && [ "$id" != $SPARED ]; }

# Waits that many ms: how long a fault is there is what is tested.
pass() { read -rt "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))" -u 9 _ || true; }

write_on()
{
    clients=$((clients + 1))
    in_bg "client$clients" "$1" soak_client "$T/history.$clients" "$1$clients" $P $KEYS $PAUSE_MS
}

# bring_up ID: whatever it was, it runs again.
bring_up()
{
    local id=$1
    empty "$id" # a daemon refuses to start without room, and says so: fulldisk.sh
    case ${is[$id]} in
    up) return ;;
    off) power_on "$id" ;;
    esac
    launch "$id" oneosd "$id"
    eventually 5 "[ -s '$T/$id/pid' ] || ! running $id" >/dev/null # the next fault finds it
    [ "${is[$id]}" != off ] || write_on "$id"
    is[$id]=up
}

# ---- faults: FAULT NAME [WORD...] sets `undo` and fails where it cannot be now

hit() { undo[$1]=$2 ends[$1]=$(($(now_ms) + $3)); echo "# $(elapsed) s: $1, for $3 ms"; }

slay()
{
    local id
    for id; do
        [ "${is[$id]}" = up ] && [ "$id" != $SPARED ] || continue
        kill9 "$id"
        is[$id]=dead
    done
}

fault_kill() { local id; pick_mortal && [ "${is[$id]}" = up ] && slay "$id" && hit "kill $id" "bring_up $id" $((RANDOM % 4000)); }
# The one that leads, as its killers like it; the spared one is only cut off.
fault_leader()
{
    local id leader
    pick
    [ "${is[$id]}" = up ] && leader=$(on "$id" timeout 1 sed -n 's/^leader //p' /oneos/status 2>/dev/null) &&
        [ "${is[$leader]:-}" = up ] || return
    if [ "$leader" = $SPARED ]; then
        unplug "$leader" && hit "unplug the leader $leader" "replug $leader" $((RANDOM % 6000 + 1500))
    else
        slay "$leader" && hit "kill the leader $leader" "bring_up $leader" $((RANDOM % 4000))
    fi
}
fault_most() { local n=$((RANDOM % 2 + 4)); slay "${IDS[@]:5-n}"; hit "kill ${IDS[*]:5-n} but $SPARED" bring_all $((RANDOM % 3000)); }
fault_off()
{
    local id
    pick_mortal && [ "${is[$id]}" != off ] && power_off "$id" && is[$id]=off && hit "power off $id" "bring_up $id" $((RANDOM % 6000))
}
takes_part() { on "$1" timeout 2 bash -c '[ $(wc -c </oneos/status) -gt 0 ]' 2>/dev/null; }
fault_stop()
{
    local id
    pick_mortal && [ "${is[$id]}" = up ] && [ -z "${full[$id]:-}" ] && takes_part "$id" && stop "$id" && is[$id]=stopped && hit "stop $id" "bring_up $id" $((RANDOM % 4000))
}
fault_unplug() { local id; pick; [ "${is[$id]}" != off ] && unplug "$id" && hit "unplug $id" "replug $id" $((RANDOM % 6000 + 200)); }
fault_part()
{
    local id two
    pick
    two=$id
    [ "${is[A]}" != off ] && [ "${is[$two]}" != off ] || return
    part "$two" A
    hit "part A $two" heal_all $((RANDOM % 8000 + 200))
}
fault_mute()
{
    local id from to
    pick
    from=$id
    pick
    to=$id
    [ "$from" != "$to" ] && [ "${is[$from]}" != off ] && mute "$from" "$to" && hit "mute $from $to" "hears $from $to" $((RANDOM % 8000))
}
fault_slow()
{
    local id
    pick
    [ "${is[$id]}" != off ] && slow "$id" $((RANDOM % 200 + 20))ms 3% && hit "slow $id" "fast $id" $((RANDOM % 8000))
}
fault_full()
{
    local id
    pick
    # One that is still starting would refuse to without room.
    [ "${is[$id]}" = up ] && [ -z "${full[$id]:-}" ] && takes_part "$id" || return
    head -c 100M /dev/zero >"$HOME/.oneos/$id/filler" 2>/dev/null
    full[$id]=1
    hit "full $id" "empty $id" $((RANDOM % 8000 + 500))
}

bring_all() { local id; for id in "${IDS[@]}"; do bring_up "$id"; done; }
replug() { [ "${is[$1]}" = off ] || plug "$1"; }
hears() { [ "${is[$1]}" = off ] || unmute "$1" "$2" 2>/dev/null; }
fast() { [ "${is[$1]}" = off ] || on "$1" tc qdisc del dev eth0 root 2>/dev/null; }
empty() { rm -f "$HOME/.oneos/$1/filler"; unset "full[$1]"; }
heal_all() { heal 2>/dev/null; }

FAULTS=(kill kill kill leader leader most off off stop unplug unplug part part mute mute slow full full)

elapsed() { echo $((($(now_ms) - began) / 1000)); }

undo_those_due()
{
    local name
    for name in "${!ends[@]}"; do
        [ "$(now_ms)" -ge "${ends[$name]}" ] || [ -n "${1:-}" ] || continue
        ${undo[$name]}
        unset "ends[$name]" "undo[$name]"
    done
}

all_take_part()
{
    local id
    for id in "${IDS[@]}"; do
        on "$id" grep -qx 'quorum yes' /oneos/status || return 1
    done
}

# A daemon that is to run does.
none_fell()
{
    local id
    for id in "${IDS[@]}"; do
        [ "${is[$id]}" != up ] || running "$id" || {
            echo "oneosd $id ended by itself, with $(cat "$T/$id/status"); its last words: $(tail -n 3 "$T/$id/log")"
            return 1
        }
    done
}

# ---- what must not grow

snapshot_index() { find "$HOME/.oneos/$1/registry/log" -name 'snapshot-*' -printf '%f\n' | awk -F- '$2 + 0 > m { m = $2 } END { print m + 0 }'; }

# A look at all machines, a line each, into the file: SECONDS ID, then KiB of memory of its own and of files mapped
# (which the kernel takes back when it needs it), descriptors, KiB of state, and the last entry in its snapshot.
look()
{
    local id
    for id in "${IDS[@]}"; do
        [ "${is[$id]}" != up ] || echo "$(elapsed) $id $(daemon_figure "$id" RssAnon)" \
            "$(($(daemon_figure "$id" RssFile) + $(daemon_figure "$id" RssShmem))) $(fds "$id")" \
            "$(du -sk --exclude=filler "$HOME/.oneos/$id" | awk "{ print \$1 }") $(snapshot_index "$id")"
    done 2>/dev/null | awk 'NF == 7' >>"$1"
}

# least COLUMN FROM TO: of the spared machine in the looks between those seconds.
least()
{
    awk -v id=$SPARED -v c="$1" -v from="$2" -v to="$3" \
        '$2 == id && $1 >= from && $1 <= to && (!n++ || $c < least) { least = $c } END { print least + 0 }' "$T/looks"
}

# grew_less COLUMN BY: its least in the last third is less than BY above that in the one before. What goes up and down,
# as the log does with each trimming and the heap with each peak, was down in both.
grew_less()
{
    local was is third=$((SOAK_SECONDS / 3))
    was=$(least "$1" $third $((2 * third))) is=$(least "$1" $((2 * third + 1)) $((10 * SOAK_SECONDS)))
    echo "was $was, then $is, $2 more are allowed"
    [ "$was" -gt 0 ] && [ "$is" -le $((was + $2)) ]
}

# How often the log of each machine was trimmed, as far as was seen: of the one with the fewest.
trims()
{
    local id
    for id in "${IDS[@]}"; do
        awk -v id="$id" '$2 == id && $7 > 0 && !seen[$7]++ { n++ } END { print n + 0 }' "$T/looks"
    done | sort -n | head -n 1
}

# ---- the story

for id in "${IDS[@]}"; do
    mkdir -p "$HOME/.oneos/$id"
    mount -t tmpfs -o "size=$STATE_SIZE,mode=700" tmpfs "$HOME/.oneos/$id"
done
machines "${IDS[@]}"
for id in "${IDS[@]}"; do
    start "$id"
    is[$id]=up
done
expect 'five machines, all of which vote' eventually 20 'same_registry A B C D E && same "5 5" "$(figure A voters) $(figure A voters_alive)"'
for id in "${IDS[@]}"; do
    write_on "$id"
done

began=$(now_ms)
look_at=0
while [ "$(elapsed)" -lt "$SOAK_SECONDS" ]; do
    pass $((RANDOM % 1500 + 100))
    none_fell >"$T/fell" || expect "no daemon falls by itself (after $(elapsed) s)" eval "cat '$T/fell'; false"
    undo_those_due
    if [ "${#ends[@]}" -lt $AT_ONCE ]; then
        "fault_${FAULTS[RANDOM % ${#FAULTS[@]}]}" && faults=$((faults + 1))
    fi
    if [ "$(now_ms)" -gt "$look_at" ]; then
        look_at=$(($(now_ms) + SOAK_SECONDS * 1000 / 30))
        look "$T/looks"
    fi
done
undo_those_due all
heal_all
bring_all
echo "# $faults faults"

expect 'all take part, 30 s after the last fault' eventually 30 all_take_part
for ((i = 1; i <= clients; i++)); do
    ended "client$i" || signal "client$i" TERM
    expect "client $i has ended" result 15 "client$i"
done
expect 'all have the same registry, once nobody writes' eventually 10 same_registry "${IDS[@]}"
for id in "${IDS[@]}"; do
    on "$id" ls $P | grep -F . >"$T/list.$id" # not ctl, error, status
    expect "$id has what A has" cmp "$T/list.A" "$T/list.$id"
done
expect 'all that was done can be told as one story: nothing lost, nothing twice' \
    check_history -l "$T/list.A" -l "$T/list.E" "$T"/history.*
sed 's/^/# /' "$T/output"
none_fell >"$T/fell" || cat "$T/fell"
expect 'no daemon fell by itself' none_fell
look "$T/looks"
look "$T/looks.last"
echo '# seconds, machine, KiB of its own, of files, descriptors, KiB of state, last entry in the snapshot:'
sed 's/^/#   /' "$T/looks"
echo "# $(wc -l <"$T/list.A") pipes are left; on each machine the log was trimmed $(trims) times or more"
expect 'each can be measured' same 5 "$(wc -l <"$T/looks.last")"
# The log is in memory, too, and is trimmed every 16,384 entries to the last 4,096: only where it is trimmed often was it
# at its shortest in both. Pipes that clients left when their machine lost its power stay, in memory and on disk.
if [ "$SOAK_SECONDS" -ge 1200 ]; then
    expect 'the log was trimmed twice and more' eval '[ "$(trims)" -ge 2 ]'
    memory=4 disk=2
else
    memory=24 disk=32
fi
sanitized || expect "memory has not grown by more than $memory MiB" grew_less 3 $((memory * 1024))
expect 'no descriptors were left open' grew_less 5 24
expect "the state on disk has not grown by more than $disk MiB" grew_less 6 $((disk * 1024))
finish

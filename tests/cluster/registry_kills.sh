#!/usr/bin/env bash
# Three machines of a registry; clients on all of them read, write and compare-and-set, and all they do is recorded.
# Meanwhile the leader is killed, again and again, and once all are at the same time. What was acknowledged stays,
# nothing happens twice, nobody reads what is old: the record is linearizable.
LIMIT=180
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/told.sh"

ROUNDS=${ROUNDS:-5} ROUND_SECONDS=4

clients_begin()
{
    echo "clients $T/history.$1 4 8 $ROUND_SECONDS" >&"${told_in[$1]}"
}

# The line that the clients of a machine end with.
clients_end()
{
    local line
    read -rt 20 -u "${told_out[$1]}" line && [[ $line == clients\ * ]] || die "the clients of $1 said: ${line:-nothing}"
}

others()
{
    local id
    for id in "${ours_machines[@]}"; do
        [ "$id" = "$1" ] || echo "$id"
    done
}

# Kills the leader under load, and has it come back.
round()
{
    local leader follower id
    ours_roles
    for id in "${ours_machines[@]}"; do
        clients_begin "$id"
    done
    read -rt "0.$((RANDOM % 9 + 1))" -u 9
    killed+=$(tell "$follower" 40 failover "${program[$leader]}" | figure failover)$'\n'
    tell_end "$leader"
    ours_serve "$leader"
    await "$leader" 30 settled
    for id in $(others "$leader"); do
        clients_end "$id"
    done
}

linearizable()
{
    check_history "$T"/history.*
}

middle() { sort -g <<<"$1" | awk 'NF { v[++n] = $1 } END { print int(v[int((n + 1) / 2)]) }'; }

all_at_once()
{
    local id
    for id in "${ours_machines[@]}"; do
        kill -STOP "${program[$id]}" # so that none sees another one die
    done
    for id in "${ours_machines[@]}"; do
        tell_end "$id"
    done
    ours_begin
    for id in "${ours_machines[@]}"; do
        clients_begin "$id"
    done
    for id in "${ours_machines[@]}"; do
        clients_end "$id"
    done
}

ours_begin
killed=''
for ((r = 0; r < ROUNDS; r++)); do
    round
done
echo "# from the kill to the next acknowledged put, ms:" $killed
sanitized || expect 'writes go on within a second of the kill' [ "$(middle "$killed")" -le 1000 ]
expect 'what was done under all that is linearizable' linearizable
cat "$T/output"
all_at_once
expect 'it still is after all were killed at once' linearizable
cat "$T/output"
finish

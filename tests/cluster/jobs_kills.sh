#!/usr/bin/env bash
# Machines die while 2,000 jobs are queued and others run: every job ends; those with retries run elsewhere, the others
# are lost; none runs twice at the same time, none is forgotten. A pipeline that loses a machine is lost as a whole.
LIMIT=500
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B C
for id in A B C; do
    start $id
done
expect 'three machines, one registry' eventually 20 'same_registry A B C'

# A pipeline whose second machine loses its power: no half result.
half=$(submit A -- "@A sh -c 'while echo x; do sleep 0.05; done' | @C cat | @A sh -c 'cat >$T/half; echo end'")
expect 'a pipeline over two machines runs' eventually 10 "[ -s $T/half ]"
power_off C
expect 'one of them loses its power: the whole job is lost' came "$half" 'lost C' 60
expect '... and its last stage did not say that all was there' on A "! timeout 5 grep -q end $J/$half/stdout"
power_on C
start C
expect 'three again' eventually 20 'same_registry A B C'

# A job holds a lock while it runs: who finds it taken runs twice, and says so.
mkdir "$T/noted"
cat >"$T/work" <<'W'
#!/bin/sh
# usage: work DIR SECONDS
n=$ONEOS_JOB
exec 9>"$1/$n.lock"
flock -n 9 || { echo "$n on $ONEOS_ID" >>"$1/twice"; exit 99; }
echo "$ONEOS_ID" >>"$1/$n"
exec sleep "$2"
W
chmod 755 "$T/work"
long=$(submit A 'array 1-25' 'cpus 0.1' 'retries 9' -- "$T/work $T/noted 15")
lone=$(submit A 'array 1-25' 'cpus 0.1' -- "$T/work $T/noted 15")
many=$(submit A 'array 1-1000' 'cpus 0.1' 'retries 9' -- "$T/work $T/noted 0.01")
rest=$(submit A 'array 1-1000' 'cpus 0.1' -- "$T/work $T/noted 0.01")

# in_all STATE: how many elements of the four arrays are in that state.
in_all() { on A "cat $J/all.jsonl" | grep -E "\"id\": ?\"($long|$lone|$many|$rest)\.[0-9]+\"" | grep -cE "\"state\": ?\"$1\""; }
expect '50 run at once' eventually 20 '[ "$(ls "$T/noted" | grep -c lock)" -ge 50 ]'
echo "# $(in_all pending) are queued"
expect '... while many wait' [ "$(in_all pending)" -ge 500 ]

scheduler=$(on A "basename \$(readlink /oneos/services/scheduler/machine)")
others=(A B C)
others=("${others[@]/$scheduler/}")
echo "# the scheduler is on $scheduler"
kill9 "$scheduler"
nap
start "$scheduler" # its jobs go on, or are judged lost
victim=$([ "$scheduler" = C ] && echo B || echo C)
power_off "$victim"
scheduler=$(on A "basename \$(readlink /oneos/services/scheduler/machine)")
[ "$scheduler" = "$victim" ] || [ "$scheduler" = A ] || { kill9 "$scheduler"; start "$scheduler"; }

all_over() { same 0 "$(in_all '(pending|running|new)')"; } # in one look: what is lost goes from one state to another
expect 'all end' eventually 240 all_over
expect 'none is forgotten' same 2050 "$(in_all '[a-z]*')"
expect 'none failed: done or lost' same 2050 "$(in_all '(done|lost)')"
echo "# $(in_all done) done, $(in_all lost) lost"
expect 'those with retries are done' eval "came $long 'exit 0' && came $many 'exit 0'"
expect 'none ran twice at the same time' [ ! -e "$T/noted/twice" ]
# What is done has run, and without retries once.
once()
{
    local job
    for job in $(on A "cat $J/all.jsonl" | grep -E "\"id\": ?\"($lone|$rest)\.[0-9]+\"" | sed 's/.*"id": *"\([^"]*\)".*/\1/'); do
        [ "$(wc -l <"$T/noted/$job")" -le 1 ] || { echo "$job ran $(wc -l <"$T/noted/$job") times"; return 1; }
    done 2>/dev/null
}
expect 'without retries none ran again' once
start_again() { power_on "$victim"; start "$victim"; }
start_again
expect 'the machine comes back and runs jobs' came "$(submit A -- "@$victim true")" 'exit 0' 30
finish

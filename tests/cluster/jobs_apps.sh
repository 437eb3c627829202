#!/usr/bin/env bash
# Four real applications as jobs on three machines, each against plain sh on one; then again while a
# machine that works on them loses its power, with retries: the same bytes.
LIMIT=400
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"
top=$(cd "$(dirname "$0")/../.." && pwd)
demo=$top/demo apps=$top/tests/apps

machines A B C
for id in A B C; do
    start $id
done
expect 'three machines, one registry' eventually 20 'same_registry A B C'

# job ID [SETTING...] -- LINE: submits it; sets `job`.
job() { job=$(submit "$@") && [ -n "$job" ] || die "not submitted: $*"; }

# ---- what plain sh gives
"$demo/pipeline.sh" >"$T/want.demo"
"$apps/clean.sh" <"$apps/trips.senml" >"$T/want.clean"
"$apps/clean.sh" 8 <"$apps/trips.senml" >"$T/want.csv"
for what in hour company distance; do
    awk -f "$apps/by-$what.awk" "$T/want.csv" >"$T/want.$what"
done
(cd "$T" && for what in hour company distance; do cp want.$what $what; done && "$apps/report.sh" hour company distance >want.report)
awk -f "$apps/train.awk" "$T/want.csv" >"$T/want.model"
cat "$T/want.model" "$T/want.csv" | awk -f "$apps/apply.awk" >"$T/want.says"
expect 'plain sh gives something' [ "$(cat "$T"/want.* | wc -l)" -gt 3000 ]

# The nine stages, each where the scheduler or the selector wants it: stages SELECTOR...
stages()
{
    local n=0 text='' stage file
    for file in "$apps"/[1-9]-*.awk; do
        stage="${1:+@$1 }awk -f $file"
        case $file in *7-annotate*) stage="${1:+@$1 }awk -v taxis=$apps/taxis.txt -f $file" ;; esac
        text+="${text:+ | }$stage"
        [ $n != 0 ] || text+=" < $apps/trips.senml"
        n=$((n + 1))
        [ $# -le 1 ] || shift
    done
    echo "$text"
}

job A -- "$demo/stage1.sh < $demo/taxi-traces.csv | $demo/stage2.sh | $demo/stage3.sh"
expect 'the demo as one job' came "$job" 'exit 0'
expect '... gives the bytes of plain sh' eval "on A cat $J/$job/stdout | cmp - $T/want.demo"
job A -- "@A $demo/stage1.sh < $demo/taxi-traces.csv | @B $demo/stage2.sh | @C $demo/stage3.sh > $T/demo"
expect 'the demo, a stage on each machine, into a file of the submitter' came "$job" 'exit 0'
expect '... the same bytes' cmp "$T/demo" "$T/want.demo"

job B -- "$(stages '')"
expect 'nine stages of cleaning, placed by the scheduler' came "$job" 'exit 0'
expect '... the same bytes, read on another machine' eval "on C cat $J/$job/stdout | cmp - $T/want.clean"
job B -- "$(stages A B C A A C B C A) > $T/clean"
expect 'nine stages here and there' came "$job" 'exit 0'
expect '... the same bytes' cmp "$T/clean" "$T/want.clean"

job A -- "$(stages A B C A A C B C | sed 's/ | [^|]*9-senml.awk$//') > $T/csv"
cleaned=$job
ids=''
for what in hour company distance; do
    job A "after $cleaned" -- "awk -f $apps/by-$what.awk < $T/csv > $T/$what"
    ids+=" $job"
done
job A "after$ids" 'cwd '"$T" -- "@here $apps/report.sh hour company distance > $T/report"
expect 'three analyses, and a report that waits for them' came "$job" 'exit 0'
expect '... the same bytes' cmp "$T/report" "$T/want.report"

job A "after $cleaned" -- "awk -f $apps/train.awk < $T/csv > $T/model"
job A "after $job" -- "@here cat $T/model $T/csv | @B awk -f $apps/apply.awk > $T/says"
expect 'a model is fitted, and used by a job that waits for it' came "$job" 'exit 0'
expect '... the same bytes' cmp "$T/says" "$T/want.says"

# ---- a machine loses its power in the middle
for id in B C; do
    on $id "echo 'worker yes' >>/oneos/machines/$id/labels"
done
# They hold the bytes back until they may go on.
slowly="@worker sh -c 'until [ -e $T/go ]; do sleep 0.1; done; exec cat'"
rm -f "$T"/{go,csv,clean,demo,report,model,says,hour,company,distance}

ids=''
job A 'retries 3' -- "$demo/stage1.sh < $demo/taxi-traces.csv | $slowly | $demo/stage2.sh | $demo/stage3.sh > $T/demo"
ids+=" $job"
job A 'retries 3' -- "$(stages '') | $slowly > $T/clean"
ids+=" $job"
job A 'retries 3' -- "$(stages '' | sed 's/ | [^|]*9-senml.awk$//') | $slowly > $T/csv"
cleaned=$job
ids+=" $job"
parts=''
for what in hour company distance; do
    job A "after $cleaned" 'retries 3' -- "@worker awk -f $apps/by-$what.awk < $T/csv > $T/$what"
    parts+=" $job"
done
job A "after$parts" 'retries 3' 'cwd '"$T" -- "@here $apps/report.sh hour company distance > $T/report"
report=$job
job A "after $cleaned" 'retries 3' -- "@worker awk -f $apps/train.awk < $T/csv > $T/model"
job A "after $job" 'retries 3' -- "@here cat $T/model $T/csv | @worker awk -f $apps/apply.awk > $T/says"
ids+="$parts $report $job"

# where: the machines that hold bytes back.
where() { on A "for j in /oneos/jobs/[0-9]*; do ls \$j/procs; done" | sed -n 's/^\([BC]\)\..*/\1/p' | sort -u; }
expect 'the first stages run' eventually 20 '[ -n "$(where)" ]'
victim=$(where | head -n 1)
power_off "$victim"
: >"$T/go"
for job in $ids; do
    expect "job $job ends well without $victim" came "$job" 'exit 0'
done
for what in demo clean report says; do
    expect "... the same bytes: $what" cmp "$T/$what" "$T/want.$what"
done
finish

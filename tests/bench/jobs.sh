# shellcheck shell=bash
# jobs.sh - the section `jobs` of run.sh: what is submitted, placed and waited for. In the environment: JOBS (1000), how
# many `true` are one measure; JOB_ROUNDS (5) of those; COMMANDS as for run.

JOBS=${JOBS:-1000} JOB_ROUNDS=${JOB_ROUNDS:-5}

# Submits that many jobs by one write and waits for each of them; prints jobs a second.
jobs_oneos()
{
    local began took
    began=$(now_ms)
    # shellcheck disable=SC2016 # for the shell on A
    on A bash -c 'yes "run $1" | head -n "$0" | dd bs=1M iflag=fullblock of=/oneos/jobs/ctl status=none && last=$(basename "$(readlink /oneos/jobs/last)") &&
        seq $((last - $0 + 1)) "$last" | xargs oneos wait >/dev/null' "$JOBS" "$1" || die 'jobs failed'
    took=$(($(now_ms) - began))
    calc "sprintf(\"%.0f\", $JOBS * 1000 / $took)"
}

# rate COMMAND...: runs it on A; prints jobs a second.
rate()
{
    local began
    began=$(now_ms)
    on A "$@" >/dev/null || die "$* failed"
    calc "sprintf(\"%.0f\", $JOBS * 1000 / ($(now_ms) - $began))"
}

# A alone, as where there is one machine; the others come back afterwards.
bench_jobs_alone()
{
    local r one='' parallel='' sh='' id
    stop C
    stop B
    expect_quiet eventually 10 on A 'grep -qx "voters 1" /oneos/status'
    jobs_oneos true >/dev/null
    for ((r = 0; r < JOB_ROUNDS; r++)); do
        one+=$(jobs_oneos true)$'\n'
        ! command -v parallel >/dev/null || parallel+=$(rate "seq $JOBS | parallel -j2 -N0 true")$'\n'
        sh+=$(rate "seq $JOBS | xargs -P2 -n1 sh -c true")$'\n'
    done
    one=$(printf %s "$one" | median)
    row "$JOBS jobs \`true\`, submitted and waited for, one machine" "$one" 'the reach' 1000 LARGER '>= 1' /s
    [ -z "$parallel" ] || row '' "$one" 'GNU parallel -j2 (no queue, no record)' "$(printf %s "$parallel" | median)" LARGER - /s
    row '' "$one" 'xargs -P2 (the same)' "$(printf %s "$sh" | median)" LARGER - /s
    for id in B C; do
        start "$id"
        expect_quiet eventually 10 on A "grep -qx alive /oneos/machines/$id/state"
    done
    expect_quiet eventually 10 on A 'grep -qx "voters 3" /oneos/status'
}

bench_jobs_rate()
{
    local r one='' three='' xargs=''
    jobs_oneos true >/dev/null
    for ((r = 0; r < JOB_ROUNDS; r++)); do
        three+=$(jobs_oneos true)$'\n'
        one+=$(jobs_oneos '@A true')$'\n'
        ! ssh_setup || xargs+=$(rate "seq $JOBS | xargs -P6 -I{} ${SSH[*]} -o ControlPath=$T/ssh/master $(address B) true")$'\n'
    done
    one=$(printf %s "$one" | median) three=$(printf %s "$three" | median)
    row '... over three machines (on the same two cores)' "$three" 'the reach' 1000 LARGER '>= 1' /s
    [ -z "$xargs" ] || row '' "$three" 'xargs -P6, ssh ControlMaster, to one' "$(printf %s "$xargs" | median)" LARGER - /s
    row '... all on one of the three, agreed on by them' "$one" 'the reach' 1000 LARGER '>= 1' /s
}

bench_jobs_latency()
{
    local result figures
    result=$(on A laps "$COMMANDS" oneos run -- true) || die 'laps failed'
    row 'submit to end of `true`, idle, scheduled' "$(us "$result")" 'the reach' 5000 SMALLER '>= 1' us
    ssh_setup || return 0
    result=$(on A laps "$COMMANDS" oneos run -- sh -c 'true' ::: \
        "${SSH[@]}" -o ControlPath="$T/ssh/master" "$(address B)" true) || die 'laps failed'
    mapfile -t figures <<<"$result"
    row '' "$(us "${figures[0]}")" 'ssh, ControlMaster, unscheduled' "$(us "${figures[1]}")" SMALLER - us
    # shellcheck disable=SC2016
    result=$(on A laps "$COMMANDS" oneos run -c '@A echo x | @B cat' ::: \
        bash -c 'echo x | "$@" cat' - "${SSH[@]}" -o ControlPath="$T/ssh/master" "$(address B)") || die 'laps failed'
    mapfile -t figures <<<"$result"
    row 'a pipeline over two machines: echo x | cat' "$(us "${figures[0]}")" 'the reach' 6000 SMALLER '>= 1' us
    row '' "$(us "${figures[0]}")" 'echo x | ssh B cat, ControlMaster' "$(us "${figures[1]}")" SMALLER - us
}

bench_jobs()
{
    bench_jobs_latency
    bench_jobs_rate
    bench_jobs_alone
    "$BENCH/bench_sched" speed || true
}

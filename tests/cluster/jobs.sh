#!/usr/bin/env bash
# Jobs that run, on two machines: by the files below jobs/ and by oneos; how they end, what they say, what stops them, and
# whose they are.
# shellcheck disable=SC2016 # code for the machines
LIMIT=180
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"
machines A B
start A
start B --label gpu --label zone=lab
expect 'they see each other' eventually 5 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'
expect 'a scheduler runs' eventually 10 on A grep -qx 'state running' /oneos/services/scheduler/status
expect 'and B is known to have the label' eventually 3 on A grep -qx gpu /oneos/machines/B/labels

# job LINES: makes a job of them on A, and prints its name.
job() { on A bash -c 'printf "%s\n" "$1" | call clone /oneos/jobs/clone 2>/dev/null' bash "$1"; }

# ends NAME: how it ended, within 15 s.
ends() { on A timeout 15 cat "/oneos/jobs/$1/wait"; }

# goes LINES WANTED [STATE]: such a job ends so.
goes()
{
    local name
    name=$(job "$1")
    same "$2" "$(ends "$name")" || { on A cat "/oneos/jobs/$name/status" "/oneos/jobs/$name/why"; return 1; }
    [ -z "${3:-}" ] || on A grep -x "state $3" "/oneos/jobs/$name/status"
}

# ---- how jobs end ----

expect 'true' goes 'run true' 'exit 0' done
expect 'false' goes 'run false' 'exit 1' failed
for n in 2 128 255; do
    expect "exit $n" goes "run sh -c 'exit $n'" "exit $n" failed
done
expect 'a signal' goes "run sh -c 'kill -9 \$\$'" 'signal KILL' failed
expect 'the last of a pipeline counts' goes 'run false | true' 'exit 0' done
expect 'no such command' goes 'run no-such-command' 'exit 127' failed
expect 'it says so' on A 'grep "^words .*no-such-command" /oneos/jobs/last/status && grep no-such-command /oneos/jobs/last/why'
expect 'not executable' goes 'run /etc/passwd' 'exit 126' failed
expect 'no such directory' goes $'set cwd /nowhere\nrun true' 'exit 126' failed
expect 'its time is over' goes $'set timeout 300ms\nrun sleep 1000' timeout failed

# ---- what they say ----

expect 'output' same 'hello' "$(n=$(job 'run echo hello') && ends "$n" >/dev/null && on B timeout 5 cat "/oneos/jobs/$n/stdout")"
expect 'errors' same 'oops' "$(n=$(job "run sh -c 'echo oops >&2'") && ends "$n" >/dev/null && on B timeout 5 cat "/oneos/jobs/$n/stderr")"
expect 'a pipeline across machines' same 'A B' "$(n=$(job "run @A uname -n | @B sh -c 'read x; echo \$x \$(uname -n)'") && ends "$n" >/dev/null &&
    on A timeout 5 cat "/oneos/jobs/$n/stdout")"
expect 'files of the machine where it was made' on A 'echo in >'"$T"'/A/in && n=$(echo "run @B cat < '"$T"'/A/in > '"$T"'/A/out" | call clone /oneos/jobs/clone 2>/dev/null) &&
    timeout 15 grep -x "exit 0" /oneos/jobs/$n/wait && grep -x in '"$T"'/A/out'
expect 'input' on A 'n=$(echo "run @B cat" | call clone /oneos/jobs/clone 2>/dev/null) && echo typed >/oneos/jobs/$n/stdin && timeout 15 cat /oneos/jobs/$n/stdout | grep -x typed &&
    timeout 15 grep -x "exit 0" /oneos/jobs/$n/wait'
# What has no input does not wait for a writer, not even when it is begun again, and takes none.
expect 'no input' goes $'set input none\nrun sh -c "cat && exit 4"' 'exit 4' failed
expect 'no input on another machine' goes $'set input none\nset retries 1\nrun @B sh -c "cat; exit 3"' 'exit 3' failed
expect 'nobody can write to it' on A 'n=$(printf "set input none\nrun sleep 1000\n" | call clone /oneos/jobs/clone 2>/dev/null) && ! call write /oneos/jobs/$n/stdin </dev/null 2>/dev/null && oneos cancel $n'
expect 'run without a word on its input' same '0 0' "$(on A 'oneos run cat </dev/null; a=$?; yes | oneos run -n @gpu cat; echo $a $?')"
expect 'run with its input closed' on A 'oneos run cat <&-'
expect 'detached, it has none' on A 'n=$(yes | oneos run -d @gpu cat) && timeout 10 grep -x "exit 0" /oneos/jobs/$n/wait && [ ! -s /oneos/jobs/$n/stdout ]'
expect 'variables' same 'x y B' "$(n=$(job $'set env V="x y"\nrun @B sh -c \'echo "$V" "$ONEOS_ID"\'') && ends "$n" >/dev/null && on A timeout 5 cat "/oneos/jobs/$n/stdout")"
expect 'an array' eval 'n=$(job $'\''set array 1-3\nrun sh -c "echo i=\\$ONEOS_ARRAY_INDEX"'\'') && ends "$n" && on A grep -x "elements_done 3" /oneos/jobs/$n/status &&
    same "i=1 i=2 i=3" "$(on A "cat /oneos/jobs/$n.{1,2,3}/stdout | xargs")"'

# ---- oneos ----

expect 'run' same 'hi' "$(on A 'echo hi | oneos run cat')"
expect 'run by a label' same B "$(on A oneos run @gpu uname -n)"
expect 'run by what it must have' same B "$(on A oneos run -l 'zone=lab,cores>=1' -- uname -n)"
expect 'its status' eval 'on A oneos run -- sh -c "exit 7"; [ $? = 7 ]'
expect 'its standard error' same 'bad 3' "$(on A 'said=$(oneos run -- sh -c "echo bad >&2; exit 3" 2>&1 >/dev/null); echo $said $?')"
expect 'not found' on A 'said=$(oneos run no-such-command 2>&1); rc=$?; echo "$said"; [ $rc = 127 ] && echo "$said" | grep "^oneos: .*no-such-command"'
expect 'a megabyte there and back' on A 'head -c 1000000 /dev/urandom >'"$T"'/m && oneos run @B cat <'"$T"'/m | cmp - '"$T"'/m'
expect 'detached' on A 'n=$(oneos run -d -- sleep 1000) && timeout 5 sh -c "until grep -qx \"state running\" /oneos/jobs/$n/status; do sleep 0.05; done" &&
    oneos jobs | grep "^$n .*running.*sleep 1000" && oneos kill $n && timeout 10 oneos wait $n; [ $? = 143 ]'
in_bg int A 'exec oneos run -- sleep 1000'
expect 'it runs' eventually 5 on A 'grep -x "state running" /oneos/jobs/last/status'
signal int INT
expect 'Ctrl-C reaches it' same 130 "$(result 5 int)"
in_bg waits A 'exec oneos run --cpus 1 -l gpu,zone=lab -- sh -c "sleep 1000"'
expect 'each' same '--- A: A --- B: B' "$(on A "oneos each '*' -- uname -n" | xargs)"
expect 'each, folded' same '--- A B: x' "$(on A "oneos each '*' -- echo x" | xargs)"
expect 'top' on A 'oneos top | grep -E "^A .*alive" && oneos top | grep "sleep 1000"'
signal waits TERM
expect 'and goes' same 143 "$(result 5 waits)"
expect 'logs' on A 'n=$(oneos run -d @gpu sh -c "echo out; echo err >&2") && oneos wait $n && [ "$(oneos logs $n 2>&1 | sort | xargs)" = "err out" ]'

# ---- held, ordered, cancelled ----

expect 'a held job waits' on A 'n=$(printf "hold\nrun true\n" | call clone /oneos/jobs/clone 2>/dev/null) && sleep 0.3 && grep -x "state held" /oneos/jobs/$n/status &&
    echo release >/oneos/jobs/$n/ctl && timeout 10 grep -x "exit 0" /oneos/jobs/$n/wait'
expect 'one after another' on A 'a=$(oneos run -d -- sh -c "sleep 0.5; echo a >'"$T"'/order") && b=$(printf "set after $a\nrun sh -c \"echo b >>'"$T"'/order\"\n" | call clone /oneos/jobs/clone 2>/dev/null) &&
    timeout 10 grep -x "exit 0" /oneos/jobs/$b/wait && [ "$(xargs <'"$T"'/order)" = "a b" ]'
expect 'cancel ends it' on A 'n=$(oneos run -d -- sleep 1000) && timeout 5 sh -c "until grep -qx \"state running\" /oneos/jobs/$n/status; do sleep 0.05; done" &&
    oneos cancel $n && timeout 15 grep -x cancelled /oneos/jobs/$n/wait && grep -x "cancelled_by root" /oneos/jobs/$n/status'
expect 'a job that is over takes no signal' on A 'echo signal TERM | call write /oneos/jobs/last/ctl 2>&1 | grep -x ESRCH'
expect 'its processes are below it, and lead to it' on A 'n=$(oneos run -d @gpu sleep 1000) && timeout 5 sh -c "until ls /oneos/jobs/$n/procs | grep -q B; do sleep 0.05; done" && p=$(ls /oneos/jobs/$n/procs) &&
    grep -x "state running" /oneos/jobs/$n/procs/$p/status && [ "$(readlink /oneos/procs/$p/job)" = ../../jobs/$n ] && oneos cancel $n'

# ---- users ----

if [ "$(id -u)" = 0 ] && getent passwd daemon bin >/dev/null; then
    as() { on "$2" setpriv --reuid "$1" --regid "$1" --clear-groups env HOME=/ "PATH=$PATH" bash -c "$3"; }
    n=$(as daemon A "oneos run -d @gpu -- sh -c 'id -un; exec sleep 1000'")
    expect 'it runs as its user on the other machine' eventually 5 'on B "ps -o user= -C sleep" | grep -qx daemon'
    expect 'who reads what it says' same daemon "$(as daemon A "timeout 5 head -n 1 /oneos/jobs/$n/stdout")"
    expect 'nobody else does' as bin A "call read /oneos/jobs/$n/stdout 2>&1 >/dev/null | grep -x EACCES"
    expect 'nor signals it' as bin B "echo signal KILL | call write /oneos/jobs/$n/ctl 2>&1 | grep -x EPERM"
    expect 'nor cancels it' as bin B "! oneos cancel $n"
    expect 'root does' on B "oneos cancel $n && timeout 15 grep -x cancelled /oneos/jobs/$n/wait"
fi

# ---- a process for which nobody names a machine ----

# clone_goes MACHINE: a process that A makes is there.
clone_goes()
{
    on A bash -c 'exec 3<>/oneos/procs/clone && read -r name <&3 && echo exec uname -n >&3 && timeout 5 grep -x "$0" /oneos/procs/$name/stdout' "$1"
}

# What others run on this computer may leave B no room either.
goes_or_busy()
{
    clone_goes B || on A 'awk "\$1 == \"cpu_used\" && \$2 > 0.7 { busy = 1 } END { exit !busy }" /oneos/machines/B/load'
}

full=$(submit A "cpus $(on A nproc)" -- '@A sleep 1000')
expect 'the cores of A are promised' eventually 10 'in_state $full running && on A grep -qx "allocated_cpus $(on A nproc)" /oneos/machines/A/load'
expect 'procs/clone goes where there is room' eventually 10 goes_or_busy
on A "echo cancel >$J/$full/ctl"
expect 'and never to a machine that is drained' on A 'oneos drain A'
expect 'but to the other' eventually 10 clone_goes B
expect 'until that is over' on A 'oneos resume A'

# ---- near its data ----

on A "touch /oneos/pipes/data"
in_bg holds B "exec 3</oneos/pipes/data; head -c 1 <&3; exec sleep 1000"
on A "echo xy >/oneos/pipes/data"
expect 'B holds a pipe' eventually 10 'on A grep -E "^data .* B$" /oneos/pipes/status'
expect 'a job near it runs there' same B "$(job=$(submit A 'near /oneos/pipes/data' -- 'uname -n') && on A "timeout 20 cat $J/$job/stdout")"
signal holds KILL

# ---- many ----

t=$(now_ms)
on A 'for i in {1..200}; do echo run true; done | call write /oneos/jobs/ctl'
expect 'two hundred jobs end' eventually 60 on A '! grep -E "\"state\":\"(pending|running)\"" /oneos/jobs/all.jsonl'
echo "# 200 jobs: $(($(now_ms) - t)) ms"
expect 'all of them well' on A '[ "$(grep -F "\"run\":\"true\"" /oneos/jobs/all.jsonl | grep -cF "\"state\":\"done\"")" -ge 200 ]'
expect 'an ended one is forgotten' on A 'n=$(readlink /oneos/jobs/last) && rmdir /oneos/jobs/$n && ! ls /oneos/jobs/$n 2>/dev/null'
finish

#!/usr/bin/env bash
# The files below jobs/, of jobs that do not run: what makes, changes, shows and forgets them, on two machines and for two
# users; and what is refused, in words.
# shellcheck disable=SC2016 # code for the machines
. "$(dirname "$0")/../lib/cluster.sh"
machines A B
start A
start B --label gpu --label zone=lab
expect 'they see each other' eventually 5 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'
expect 'and each other'\''s labels' eventually 3 on A grep -qx gpu /oneos/machines/B/labels

# refuses FILE ERRNO WORDS LINES: one write on A fails so, and `error` beside it says that.
refuses()
{
    local file=/oneos/$1 errno=$2 regex=$3 said
    said=$(on A bash -c 'printf "%b" "$2" | call write "$1" 2>&1' bash "$file" "$4")
    expect "$1 refuses $4" refused
}

refused()
{
    echo "$said: $(on A cat "${file%/*}/error")"
    [ "$said" = "$errno" ] && on A cat "${file%/*}/error" | grep -qE -- "$regex"
}

# ---- made, set, shown ----

expect 'there is nothing at first' same 'all.jsonl clone ctl error' "$(on A 'cd /oneos/jobs && echo *')"
expect 'mkdir makes a job' on A 'mkdir /oneos/jobs/train && grep -qx "state new" /oneos/jobs/train/status'
expect 'once' on A '! mkdir /oneos/jobs/train 2>&1 | grep -v "File exists"'
expect 'B has it' eventually 3 'on B grep -qx "state new" /oneos/jobs/train/status'
expect 'not with every name' on A 'mkdir /oneos/jobs/17 2>&1 | grep -q "Invalid argument" && grep -q 17 /oneos/jobs/error'
expect 'nor anything else' on A 'touch /oneos/jobs/x 2>&1 | grep "not permitted" && mkfifo /oneos/jobs/x 2>&1 | grep "not supported" &&
    mkdir /oneos/jobs/train/x 2>&1 | grep "not permitted" && rm /oneos/jobs/train/ctl 2>&1 | grep "not permitted"'
expect 'it is set up' on A 'printf "%s\n" "hold" "set cpus 1" "set timeout 2h 30min" "set env A=\"x y\"" "set priority 5" >/oneos/jobs/train/ctl'
expect 'from another machine' on B 'echo "run @gpu A=1 ./train \"x | y\" < /oneos/fs/in | tee log" >/oneos/jobs/train/ctl'
expect 'it is held' on B 'grep -qx "state held" /oneos/jobs/train/status'
expect 'on A, too' eventually 3 on A 'grep -qx "state held" /oneos/jobs/train/status'
expect 'status tells by whom and where' on A 'grep -qx "user root" /oneos/jobs/train/status && grep -qx "by A" /oneos/jobs/train/status && grep -q "^created 20" /oneos/jobs/train/status'
expect 'the spec is JSON' on A 'tr -d " \n" </oneos/jobs/train/spec | grep -F "\"priority\":5" | grep -F "\"timeout\":\"2h30min\"" | grep -F "\"env\":{\"A\":\"xy\"}" | grep -F "@gpuA=1./train"'
expect 'why is it there' on A 'grep -i held /oneos/jobs/train/why'
expect 'all.jsonl has it, without variables' on B 'grep -F "\"id\":\"train\"" /oneos/jobs/all.jsonl | grep -F "\"state\":\"held\"" | grep -vF "A=1"'
expect 'oneos jobs lists it' on A 'oneos jobs | grep -E "^train +root +held +- +- +@gpu ./train"'
expect 'ls, find, grep read all of it' on A 'ls -lR /oneos/jobs >/dev/null && timeout 5 find /oneos/jobs -name status | grep -x /oneos/jobs/train/status &&
    timeout 5 grep -l held /oneos/jobs/*/status'

# ---- numbers, clone, last ----

expect 'the spec makes the same job again' on A 'mkdir /oneos/jobs/again && cat /oneos/jobs/train/spec >/oneos/jobs/again/spec &&
    cmp /oneos/jobs/train/spec /oneos/jobs/again/spec && printf "hold\nrun\n" >/oneos/jobs/again/ctl && grep -x "state held" /oneos/jobs/again/status'
expect 'a clone is the next number' on A 'exec 3<>/oneos/jobs/clone && read -r n <&3 && [ "$n" = 1 ] && grep -x "state new" /oneos/jobs/1/status &&
    echo hold >&3 && echo "run true" >&3 && grep -x "state held" /oneos/jobs/1/status'
expect 'it stays when the clone is closed' on A 'grep -x "state held" /oneos/jobs/1/status'
expect 'what was not run does not' on A 'exec 3<>/oneos/jobs/clone && read -r n <&3 && exec 3>&- && [ "$n" = 2 ]'
expect 'as is seen' eventually 3 on A '! ls /oneos/jobs/2 2>/dev/null'
expect 'all in one write' on A '[ "$(printf "set cpus 2\nhold\nrun sleep 1\n" | call clone /oneos/jobs/clone 2>/dev/null)" = 3 ] && grep -x "state held" /oneos/jobs/3/status'
expect 'last is the newest' same 3 "$(on A readlink /oneos/jobs/last)"
expect 'and leads there' on A 'grep -qx "state held" /oneos/jobs/last/status'
expect 'a spec of a file is submitted' on A 'echo "{\"schema\":1,\"run\":\"true\",\"priority\":-1000}" | oneos submit - | grep -x 4'
on A 'echo hold >/oneos/jobs/4/ctl'

# ---- refused, at once ----

refuses jobs/ctl EINVAL 'a word is missing: run LINE' 'run\n'
refuses jobs/ctl EINVAL "unknown verb 'flurb'" 'flurb x\n'
refuses jobs/ctl EINVAL '@nope fits no machine: A has no label nope; B has no label nope' 'run @nope true\n'
refuses jobs/ctl EINVAL 'B: *zone is lab, not attic|zone is lab, not attic' 'run @gpu,zone=attic true\n'
refuses jobs/ctl EINVAL "';'" 'run true ; false\n'
refuses jobs/ctl EINVAL 'quote' "run echo 'x\n"
refuses jobs/ctl EINVAL '\|' 'run true |\n'
refuses jobs/train/ctl EINVAL 'cpus' 'set cpus many\n'
refuses jobs/train/ctl EINVAL '1000 cpus are wanted, and the largest machine that fits, B, has' 'set cpus 1000\n'
refuses jobs/train/ctl EINVAL '900TiB of memory are wanted' 'set memory 900TiB\n'
refuses jobs/train/ctl EINVAL 'colour' 'set colour red\n'
refuses jobs/train/ctl EINVAL 'cwd' 'set cwd tmp\n'
refuses jobs/train/ctl EINVAL 'FLURB' 'signal FLURB\n'
refuses jobs/train/ctl EBUSY 'held' 'run true\n'
for spec in 'colour {"schema":1,"run":"true","colour":1}' 'run {"schema":1,"run":"true |"}' 'JSON {"schema":1,}'; do
    expect "a spec refuses ${spec#* }" on A bash -c 'printf "%s\n" "$2" 2>&1 >/oneos/jobs/train/spec | grep "Invalid argument" && grep "$1" /oneos/jobs/train/error' \
        bash "${spec%% *}" "${spec#* }"
done
expect 'a spec may come line by line' on A bash -c '{ echo "{"; echo "\"schema\": 1,"; echo "\"run\": \"ls\","
    echo "\"priority\": 9"; echo "}"; } >/oneos/jobs/train/spec && grep -F "\"priority\": 9" /oneos/jobs/train/spec'
expect 'half a spec is refused at the close' on A bash -c 'cp /dev/stdin /oneos/jobs/train/spec <<<"{" 2>&1 | grep "Invalid argument" &&
    grep -F "\"priority\": 9" /oneos/jobs/train/spec && grep JSON /oneos/jobs/train/error'
expect 'oneos run says it, too' on A 'said=$(oneos run @nope true 2>&1); [ $? = 125 ] && echo "$said" | grep -F "@nope fits no machine"'
expect 'none of that made a job' same '1 3 4' "$(on A 'cd /oneos/jobs && echo [0-9]*')"
expect 'lines before a bad one have run' on A '! printf "hold\nset priority 7\nset priority x\nset priority 8\n" | call write /oneos/jobs/3/ctl 2>/dev/null &&
    grep -F "\"priority\": 7" /oneos/jobs/3/spec'

# ---- users ----

if [ "$(id -u)" = 0 ] && getent passwd daemon bin >/dev/null; then
    as() { on "$2" setpriv --reuid "$1" --regid "$1" --clear-groups env HOME=/ "PATH=$PATH" bash -c "$3"; }
    expect 'daemon makes a job' same 5 "$(as daemon A 'printf "hold\nrun true\n" | call clone /oneos/jobs/clone 2>/dev/null')"
    expect 'which is his' same daemon "$(on B 'stat -c %U /oneos/jobs/5/ctl')"
    expect 'last is of who looks' same '5 4' "$(as daemon A 'readlink /oneos/jobs/last') $(on A readlink /oneos/jobs/last)"
    expect 'bin has none' as bin A '! readlink /oneos/jobs/last && ls /oneos/jobs | grep -vx last'
    for m in A B; do
        expect "bin cannot cancel it on $m" as bin $m 'echo cancel | call write /oneos/jobs/5/ctl 2>&1 | grep -x EPERM && grep -F "belongs to daemon; bin may not" /oneos/jobs/5/error'
        expect "nor read its spec on $m" as bin $m 'call read /oneos/jobs/5/spec 2>&1 >/dev/null | grep -x EACCES'
        expect "nor what it says on $m" as bin $m 'call read /oneos/jobs/5/stdout 2>&1 >/dev/null | grep -x EACCES'
        expect "nor write to it on $m" as bin $m 'echo | call write /oneos/jobs/5/stdin 2>&1 >/dev/null | grep -x EACCES'
        expect "nor forget it on $m" as bin $m '! rmdir /oneos/jobs/5 2>/dev/null'
        expect "but sees that it is there on $m" as bin $m 'grep -x "state held" /oneos/jobs/5/status && grep held /oneos/jobs/5/why'
    done
    expect 'root may cancel it' on B 'echo cancel >/oneos/jobs/5/ctl && grep -x "cancelled_by root" /oneos/jobs/5/status'
    expect 'its owner forgets it' as daemon A 'rmdir /oneos/jobs/5'
    expect 'a user without a name has no jobs' on A 'setpriv --reuid 4711 --clear-groups env "PATH=$PATH" bash -c "echo run true | call write /oneos/jobs/ctl 2>&1 | grep -x EPERM" && grep "4711 has no name" /oneos/jobs/error'
fi

expect 'waiting for what is not there fails, wherever it stands' on A 'p=$(oneos run -d -l A true) && ! oneos wait nope $p && { oneos wait nope $p; [ $? = 125 ]; } && oneos wait $p'
expect 'what never ends is no spec' on A 'said=$(oneos submit /dev/zero 2>&1); [ $? = 125 ] && grep "1 MiB" <<<"$said"'
expect 'what a machine is cannot be chosen' on A '! oneos label A cores=99 2>/dev/null && oneos label A cores=99 2>&1 | grep "another name"'

# ---- over and forgotten ----

expect 'what is held cannot be forgotten' on A 'rmdir /oneos/jobs/train 2>&1 | grep busy && ls /oneos/jobs/train >/dev/null'
expect 'it is cancelled' on A 'oneos cancel train && grep -x "state cancelled" /oneos/jobs/train/status && grep -x "cancelled_by root" /oneos/jobs/train/status'
expect 'not twice' on A '! oneos cancel train 2>&1 | grep -v cancelled'
expect 'why tells it' on A 'oneos why train | grep -i cancelled'
expect 'B forgets it' eventually 3 on B 'rmdir /oneos/jobs/train'
expect 'it is gone' on B '! ls /oneos/jobs/train 2>/dev/null'
expect 'on A, too' eventually 3 on A '! ls /oneos/jobs/train 2>/dev/null'
expect 'the name is free again' on A 'mkdir /oneos/jobs/train && rmdir /oneos/jobs/train'
expect 'an array has its elements' on A '[ "$(printf "set array 1-3\nhold\nrun true\n" | call clone /oneos/jobs/clone 2>/dev/null)" ] && a=$(readlink /oneos/jobs/last) &&
    a=${a%.*} && grep -x "elements_held 3" /oneos/jobs/$a/status && grep -x "index 2" /oneos/jobs/$a.2/status'
in_bg events A 'exec head -n 1 /oneos/events'
expect 'somebody reads events' eventually 3 eval 'on A "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q oneos/events"'
on A 'mkdir /oneos/jobs/seen'
expect 'events tell it' eventually 3 'out events | grep -F "\"event\":\"job\"" | grep -F "\"job\":\"seen\""'

# ---- many ----

on A 'for i in {1..1000}; do echo "run @gpu,cores>=1 sleep $i"; done' >"$T/lines"
t=$(now_ms)
on A "call write /oneos/jobs/ctl <$T/lines"
echo "# 1,000 lines in one write, and the start of three programs: $(($(now_ms) - t)) ms"
expect 'a thousand lines are a thousand jobs' on A '[ "$(grep -c "@gpu,cores>=1 sleep [0-9]*\"" /oneos/jobs/all.jsonl)" = 1000 ]'
t=$(now_ms)
expect 'a listing of all of them' on A '[ "$(ls /oneos/jobs | grep -c "^[0-9]*$")" -ge 1000 ]'
echo "# ls: $(($(now_ms) - t)) ms"
finish

#!/bin/bash
# test_client.sh - the client `oneos` against trees that are not the daemon's.
#
# The first part is a folder of ordinary files; the second, skipped where FUSE cannot be used, is
# fake_tree with local processes, for `run`. Tests run in the build folder.
set -u
T=$(mktemp -d "${TMPDIR:-/tmp}/oneos-client-XXXXXX")
oneos=$PWD/oneos
failed=0
export HOME=$T XDG_CONFIG_HOME=$T/config LC_ALL=C.UTF-8
unset ONEOS_MOUNT ONEOS_JSON

cleanup() {
    for job in $(jobs -p); do kill -9 "$job"; done 2>/dev/null
    mountpoint -q "$T/mnt" && fusermount3 -uz "$T/mnt"
    rm -rf "$T"
}
trap cleanup EXIT

# check WHAT STATUS WORDS COMMAND...: the exit status, and words (a glob) in what it prints, both
# streams together.
check() {
    local what=$1 status=$2 words=$3 out rc
    shift 3
    out=$(timeout -k 5 20 "$@" 2>&1 </dev/null)
    rc=$?
    # shellcheck disable=SC2053
    if [ $rc -ne "$status" ] || [[ $out != $words ]]; then
        printf 'FAILED: %s\n  %s\n  status %d, wanted %d\n  printed: %s\n  wanted:  %s\n' "$what" "$*" \
            $rc "$status" "$out" "$words"
        failed=1
    else
        echo "ok: $what"
    fi
}

# same WHAT WANTED GOT
same() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
        failed=1
    fi
}

make_files() {
    mkdir -p "$T/tree"/{procs/A.17,procs/A.18,machines/A/procs,machines/B,pipes,services,jobs/17,jobs/A.18,jobs/train}
    cd "$T/tree" || exit 99
    ln -s machines/A self
    ln -s ../../../procs/A.17 machines/A/procs/17
    printf '%s\n' \
        '{"schema":1,"id":"A.17","machine":"A","user":"ann","state":"running","cmdline":"sleep \u001b[31m"}' \
        '{"schema":1,"id":"B.2","machine":"B","user":"jörg","state":"ended","exit":3,"ended":"2026-01-01T00:00:00Z","cmdline":"false"}' >procs/all.jsonl
    printf '%s\n' '{"schema":1,"id":"A","state":"alive","cores":2,"memory_bytes":8589934592}' \
        '{"schema":1,"id":"B","state":"pending"}' >machines/all.jsonl
    printf '%s\n' 'name mode readers writers bytes_in bytes_out buffered machine' \
        'p stream 1 0 1048576 10 99 A' "'a b' broadcast 0 0 0 0 0 -" >pipes/status
    printf '%s\n' 'cluster abc' 'id A' 'machines_alive 1' 'uptime_seconds 007' >status
    printf '%s\n' '{"schema":1,"name":"shell","state":"running","machine":"A","epoch":3,"why":"it ran nowhere"}' \
        '{"schema":1,"name":"web","state":"failed","machine":"B","epoch":12,"trouble":"no port","why":"w"}' \
        '{"schema":1,"name":"scheduler","state":"unplaced","machine":"","epoch":0}' >services/all.jsonl
    printf '%s\n' 'member/A {"node":"1f","labels":{}}' 'service/web {"machine":"B"}' '_meta {"schema":1}' >machines/A/registry
    printf '%s\n' '1 1 change A voter' '2 1 barrier' '3 1 command {"cmd":"member.put","id":"A"}' >machines/A/registry.log
    echo 'service/web {"machine":"A"}' >machines/B/registry
    printf '%s\n' 'gpu' 'zone lab' >machines/A/labels
    printf '%s\n' '{"schema":1,"id":"17","user":"ann","state":"running","machines":["A","B"],"created":"2026-01-02","started":"2026-01-02T00:00:00Z","run":"sort | uniq"}' \
        '{"schema":1,"id":"3","user":"ann","state":"done","exit":0,"created":"2026-01-01","run":"true"}' \
        '{"schema":1,"id":"4","user":"jörg","state":"running","elements":{"done":2,"running":1},"created":"2026-01-03","run":"each"}' \
        '{"schema":1,"id":"4.1","user":"jörg","state":"running","array":"4","created":"2026-01-04","run":"each"}' >jobs/all.jsonl
    for i in {30..41}; do
        echo "{\"schema\":1,\"id\":\"$i\",\"user\":\"ann\",\"state\":\"failed\",\"exit\":1,\"created\":\"2026-02-$i\",\"run\":\"false\"}"
    done >>jobs/all.jsonl
    echo 'exit 4' >jobs/17/wait
    echo timeout >jobs/train/wait
    echo 'it waits for 2 cores: A has 1 free' >jobs/17/why
    echo 'the job said this' >jobs/17/stdout
    : >jobs/17/stderr
    : >jobs/17/ctl
    echo 'exit 3' >procs/A.17/wait
    echo 'signal KILL' >procs/A.18/wait
    echo out >procs/A.17/stdout
    echo err >procs/A.17/stderr
    echo 'a line' >machines/A/log
    : >procs/A.17/ctl >ctl >machines/B/ctl
    : >ctl
    : >machines/B/ctl
    cd "$OLDPWD" || exit 99
}

usage() {
    check 'no command' 64 '*which command*' "$oneos"
    check 'an unknown command' 64 "*no command 'nope'*" "$oneos" nope
    check 'an unknown option' 64 '*no option --nope*' "$oneos" --nope
    check 'an unknown option of a command' 64 '*no option -z*usage: oneos ps*' "$oneos" ps -z
    check 'too many operands' 64 "*'x'*usage: oneos ps*" "$oneos" ps x
    check 'too few operands' 64 '*usage: oneos kill*' "$oneos" kill
    check 'help lists all commands' 0 '*machines*doctor*label*' "$oneos" --help
    check 'help of a command' 0 'Usage: oneos kill *--signal SIG*' "$oneos" kill --help
    check 'version' 0 'oneos [0-9]*' "$oneos" --version
    check 'a signal that is none' 64 "*no signal 'FOO'*" "$oneos" kill -s FOO A.1
    check 'a time that is none' 64 "*'soon' is not a time*" "$oneos" token --ttl soon
    check 'what cannot be a process' 64 "*'a/b' is not*" "$oneos" --mount "$T/tree" kill a/b
    check 'what cannot be a machine' 64 "*'..' is not*" "$oneos" --mount "$T/tree" log ..
    mkdir -p "$T/config/oneos"
    printf 'mount = /a\nnonsense\n' >"$T/config/oneos/oneos.conf"
    check 'a bad configuration file' 78 "*$T/config/oneos/oneos.conf:2: *" "$oneos" ps
    printf 'join = x:1\nmount = %s\n' "$T/tree" >"$T/config/oneos/oneos.conf"
    check 'the mount from a file' 0 '*A.17*' "$oneos" ps
    check 'the environment beats it' 125 '*/nowhere (from ONEOS_MOUNT) cannot be opened*' \
        env ONEOS_MOUNT=/nowhere "$oneos" ps
    check 'a flag beats both' 0 '*A.17*' env ONEOS_MOUNT=/nowhere "$oneos" ps --mount "$T/tree"
    rm "$T/config/oneos/oneos.conf"
    check 'no mount at all' 125 '*no oneosd mounted here: start one with `oneosd`' \
        unshare -rm sh -c 'umount -al -t fuse.oneos; exec "$@"' sh "$oneos" ps
}

tables() {
    check 'ps shows what runs, without control characters' 0 \
        'PROC*A.17  ann *running *sleep ?[[]31m' "$oneos" ps
    check 'ps -a shows what has ended' 0 '*B.2 *jörg *3 *false' "$oneos" ps -a
    check 'ps of one machine' 0 'PROC*COMMAND' "$oneos" ps -l C
    same 'ps --json -a is the lines' 2 "$("$oneos" ps --json -a | grep -c '"schema":1')"
    check 'machines' 0 'MACHINE*A *alive *2 *8GiB*B *pending*' "$oneos" machines
    same 'machines --json is the file' "$(cat "$T/tree/machines/all.jsonl")" "$("$oneos" machines --json)"
    check 'pipes' 0 'PIPE*p *stream *1MiB *10B*a b *broadcast*' "$oneos" pipes
    check 'pipes --json' 0 '{"name":"p",*"bytes_in":1048576,*{"name":"a b",*' "$oneos" --json pipes
    check 'services' 0 'SERVICE*shell *running *A *3 *it ran nowhere*web *failed *B *12 *no port*scheduler *unplaced *-*' "$oneos" services
    same 'services --json is the file' "$(cat "$T/tree/services/all.jsonl")" "$("$oneos" services --json)"
    check 'status' 0 'cluster abc*' "$oneos" status
    check 'status --json' 0 '{"cluster":"abc","id":"A","machines_alive":1,"uptime_seconds":"007"}' \
        "$oneos" status --json
    echo '{"id":' >"$T/tree/procs/all.jsonl"
    check 'a file that is not JSON' 125 '*line 1 of procs/all.jsonl*' "$oneos" ps
    rm "$T/tree/procs/all.jsonl"
    check 'a missing file' 125 "*$T/tree/procs/all.jsonl: there is no such file" "$oneos" ps
    check 'standard output that is full' 125 '*No space left*' sh -c '"$0" status >/dev/full' "$oneos"
}

processes() {
    check 'wait' 3 'A.17 exit 3' "$oneos" wait A.17
    check 'wait for several: the last counts' 137 'A.17 exit 3?procs/A.18 signal KILL' "$oneos" wait A.17 procs/A.18
    check 'wait --json' 137 '*"exit":3}*"signal":"KILL"}' "$oneos" wait --json A.17 procs/A.18
    check 'wait for a job' 4 '17 exit 4' "$oneos" wait 17
    check 'wait for a job that took too long' 124 'train timeout' "$oneos" wait train
    check 'wait --json for that' 124 '*"timeout":true}' "$oneos" wait --json jobs/train
    check 'what is a job and a process' 64 "*'A.18' is a job and a process: say jobs/A.18 or procs/A.18*" "$oneos" wait A.18
    check 'wait for nobody' 125 '*there is no job or process '\''X.1'\'': *oneos ps -a*' "$oneos" wait X.1
    check 'logs' 0 'out?err' "$oneos" logs A.17
    check 'logs -f' 0 '*out*' "$oneos" logs -f A.17
    check 'kill' 0 '' "$oneos" kill A.17
    same 'kill wrote' 'signal TERM' "$(cat "$T/tree/procs/A.17/ctl")"
    : >"$T/tree/procs/A.17/ctl"
    check 'kill -s 9' 0 '' "$oneos" kill -s 9 A.17
    same 'kill -s 9 wrote' 'signal KILL' "$(cat "$T/tree/procs/A.17/ctl")"
    echo 'the process A.18 has ended: nothing to signal' >"$T/tree/procs/A.18/error"
    ln -s /dev/full "$T/tree/procs/A.18/ctl"
    check 'a ctl error has its words from the sibling' 125 'oneos: the process A.18 has ended: nothing to signal' \
        "$oneos" kill procs/A.18
    check 'kill a job' 0 '' "$oneos" kill -s INT 17
    same 'kill of a job wrote' 'signal INT' "$(cat "$T/tree/jobs/17/ctl")"
    check 'logs of what is not there' 125 '*there is no job '\''96'\'': *' "$oneos" logs 96
    check 'logs of a job' 0 'the job said this' "$oneos" logs 17
}

jobs_of_files() {
    check 'jobs: what is not over, and the last ten that are' 0 \
        'JOB *STATE*17 *running *A B *sort | uniq*4 *jörg *2 done 1 running*32 *failed *1 *41 *' "$oneos" jobs
    same 'jobs: how many' 13 "$("$oneos" jobs | wc -l)"
    same 'jobs -a: all' 17 "$("$oneos" jobs -a | wc -l)"
    same 'jobs -a: in the order of their making' '3 17 4 4.1 30' "$("$oneos" jobs -a | awk 'NR > 1 && NR < 7 { print $1 }' | xargs)"
    check 'jobs --json' 0 '*{"schema":1,"id":"17",*' "$oneos" --json jobs
    check 'why' 0 'it waits for 2 cores: A has 1 free' "$oneos" why 17
    check 'why of nobody' 125 '*there is no job '\''99'\'': *oneos jobs -a*' "$oneos" why 99
    check 'why of what is no name' 64 "*'a/b' is not the name of a job*" "$oneos" why a/b
    : >"$T/tree/jobs/17/ctl"
    check 'cancel' 0 '' "$oneos" cancel 17
    same 'cancel wrote' cancel "$(cat "$T/tree/jobs/17/ctl")"
    check 'cancel of nobody' 125 '*there is no job '\''98'\'': *' "$oneos" cancel 98
    check 'submit of what is not there' 125 '*/nowhere cannot be read: No such file*' "$oneos" submit "$T/nowhere"
    echo '{"schema":1,"id":"A.9","job":"17","state":"running"}' >"$T/tree/procs/all.jsonl"
    mkdir "$T/tree/procs/A.9"
    printf '%s\n' 'state running' 'cpu_usec 86400000000000' 'memory_bytes 1048576' >"$T/tree/procs/A.9/status"
    check 'top' 0 'MACHINE*A *alive *2 *8GiB*JOB *USER*17 *ann *[0-9].[0-9][0-9] *1MiB *A B *sort | uniq*' "$oneos" top
    same 'top --json' 4 "$("$oneos" top --json | grep -c '"id":')"
    mv "$T/tree/jobs/all.jsonl" "$T/jobs"
    : >"$T/tree/jobs/all.jsonl"
    check 'top --json, and no job: the machines' 0 '{"schema":1,"id":"A",*}' "$oneos" top --json
    same '... an object a line' 0 "$("$oneos" top --json | grep -vc '^{.*}$')"
    mv "$T/jobs" "$T/tree/jobs/all.jsonl"
}

machines() {
    check 'log' 0 'a line' "$oneos" log
    check 'log of a machine' 0 'a line' "$oneos" log A
    check 'accept' 0 '' "$oneos" accept B
    same 'accept wrote' 'accept B' "$(cat "$T/tree/ctl")"
    check 'drain' 0 '' "$oneos" drain B
    same 'drain wrote' 'drain' "$(cat "$T/tree/machines/B/ctl")"
    check 'label shows' 0 'gpu?zone lab' "$oneos" label A
    check 'label changes' 0 '' "$oneos" label -r gpu A zone=x rack=5 ssd
    same 'label wrote' 'zone x,rack 5,ssd' "$(paste -sd, "$T/tree/machines/A/labels")"
    check 'label with a blank' 64 '*without blanks*' "$oneos" label A 'a b=c'
    check 'token without an answer' 125 '*gave no token' "$oneos" token
    check 'doctor finds the pending machine' 1 '*wrong *B asks to join*' "$oneos" doctor
    check 'doctor --json' 1 '*"check":"machines","verdict":"wrong"*' "$oneos" doctor --json
    check 'doctor finds what the services lack' 1 '*web fails on B: no port; *scheduler runs nowhere*' "$oneos" doctor
    check 'doctor finds that nobody leads' 1 '*wrong  registry *nobody leads*' "$oneos" doctor
}

# says STATUS-LINES MACHINES WHAT WANTED: what doctor makes of such a system.
says() {
    printf '%b' "$1" >"$T/tree/status"
    printf '%b' "$2" >"$T/tree/machines/all.jsonl"
    same "doctor: $3" "$4" "$("$oneos" doctor | grep -E '^[a-z]+ +(registry|machines|services) ' | sed -E 's/ +/ /g; s/ 360[0-9] s / 3600 s /')"
}

# one ID STATE [MORE]: a line of machines/all.jsonl
one() { printf '{"schema":1,"id":"%s","state":"%s"%s}\\n' "$1" "$2" "${3:+,$3}"; }

doctor_of_trees() {
    local now=$EPOCHSECONDS fine=$'\nok services 4 services have their machines' name ids
    local quorum='leader A\nquorum yes\nvoters 3\nvoters_alive 3\nmachines_alive 3\n'
    for name in filesystem scheduler shell web; do
        echo "{\"schema\":1,\"name\":\"$name\",\"state\":\"running\",\"machine\":\"A\",\"epoch\":1}"
    done >"$T/tree/services/all.jsonl"
    ids=$(one A alive)$(one B alive)
    says "$quorum" "$ids$(one C alive "\"clock_us\":${now}000000")" 'all is well' \
        $'ok registry it has a leader, and 3 of 3 voters\nok machines 3 of 3 machines are alive'"$fine"
    says "trouble no quorum: 1 of 3 voters; start it\n" "$(one A alive)" 'trouble is said as it is' \
        $'wrong registry no quorum: 1 of 3 voters; start it\nok machines 1 of 1 machines are alive'"$fine"
    says 'leader A\nquorum yes\nvoters 1\nvoters_alive 1\nmachines_alive 2\n' "$ids" 'one voter of two machines' \
        "note registry one machine votes: nothing can be changed while it is down; with a third machine any one may be down
ok machines 2 of 2 machines are alive$fine"
    says "$quorum" "$ids$(one C dead '"role":"voter"')" 'a dead voter' \
        "ok registry it has a leader, and 3 of 3 voters
wrong machines C is dead and still a voter, so that fewer others may fail: start oneosd there, or take it off the list with \`oneos forget\`$fine"
    says "$quorum" "$ids$(one C dead '"role":"learner"')" 'a dead machine' \
        "ok registry it has a leader, and 3 of 3 voters
wrong machines C is dead: start oneosd there, or take it off the list with \`oneos forget\`$fine"
    says "$quorum" "$ids$(one C left '"role":"learner"')" 'one that has left' \
        $'ok registry it has a leader, and 3 of 3 voters\nok machines 2 of 3 machines are alive'"$fine"
    says "$quorum" "$ids$(one C alive "\"clock_us\":$((now - 3600))000000")" 'a clock that is an hour behind' \
        "ok registry it has a leader, and 3 of 3 voters
wrong machines the clock of C is 3600 s behind this one: set them, or start a time service (chrony) on both$fine"
    echo '{"schema":1,"name":"web","state":"unreachable","machine":"C","epoch":1}' >"$T/tree/services/all.jsonl"
    says "$quorum" "$ids" 'a service that cannot be reached' "ok registry it has a leader, and 3 of 3 voters
ok machines 2 of 2 machines are alive
wrong services web is on C, which cannot be reached: it moves within seconds while the registry has a leader; else start oneosd on C"
    printf '%s\n' '{"schema":1,"id":"A","state":"alive","role":"voter","draining":true}' >"$T/tree/machines/all.jsonl"
    check 'machines shows roles and what drains' 0 'MACHINE*STATE*ROLE*A *draining *voter*' "$oneos" machines
}

registry() {
    check 'registry dump' 0 'member/A {*}?service/web {*}?_meta {*}' "$oneos" registry dump
    check 'registry dump of a machine' 0 'service/web {"machine":"A"}' "$oneos" registry dump B
    check 'registry log' 0 '1 1 change A voter?2 1 barrier?3 1 command {*}' "$oneos" registry log
    check 'registry dump --json' 0 '{"schema":1,"key":"member/A","value":{"node":"1f","labels":{}}}?*' "$oneos" --json registry dump
    check 'registry log --json' 0 \
        '*"kind":"change","value":"A voter"}?{"schema":1,"index":2,"term":1,"kind":"barrier","value":""}?*"value":{"cmd":"member.put","id":"A"}}' \
        "$oneos" registry log --json
    check 'registry: what else' 64 "*'flush' is neither dump nor log*usage: oneos registry dump|log*" "$oneos" registry flush
    check 'registry of nothing' 64 '*usage: oneos registry*' "$oneos" registry
    check 'registry of what is no machine' 64 "*'..' is not*" "$oneos" registry dump ..
    check 'registry of a machine that is not there' 125 '*there is no machine '\''C'\'': *' "$oneos" registry dump C
    check 'registry dump into a full disk' 125 '*standard output cannot be written: No space*' sh -c '"$0" registry dump >/dev/full' "$oneos"
    echo 'not a line' >"$T/tree/machines/A/registry.log"
    check 'a log that is not one' 125 '*cannot be understood: not a line' "$oneos" registry log --json
}

keys_of_doctor() {
    mkdir -p "$T/.oneos"
    touch "$T/.oneos/cluster.key"
    chmod 644 "$T/.oneos/cluster.key"
    check 'doctor finds a key that others can read' 1 '*chmod 600*' "$oneos" doctor
}

# $1: the type of system call, as strace has it; none of the network's may occur.
only_files() {
    command -v strace >/dev/null || return
    strace -f -e trace=network -o "$T/strace" "$oneos" ps -a >/dev/null 2>&1 </dev/null
    same 'ps makes no call of the network' '' "$(grep -v '^[0-9]* *+++' "$T/strace")"
}

run_commands() {
    check 'run true' 0 '' "$oneos" run true
    check 'run passes the status and standard error' 7 'err' "$oneos" run -- sh -c 'echo err >&2; exit 7'
    check 'run passes standard output alone' 7 'out' \
        sh -c '"$0" run -- sh -c "echo out; echo err >&2; exit 7" 2>/dev/null' "$oneos"
    check 'run: not found' 127 'oneos: nonsense: *' "$oneos" run nonsense
    check 'run: not executable' 126 'oneos: /etc/passwd: *' "$oneos" run /etc/passwd
    check 'run on a machine: not found' 127 'oneos: nonsense: *' "$oneos" run @A nonsense
    check 'run: killed' 137 '' "$oneos" run -- sh -c 'kill -9 $$'
    check 'run: lost' 125 '*partial*job * was lost with machine A*' "$oneos" run lose
    check 'run on a machine: lost' 125 '*partial*A.* was lost with machine A*not known*' "$oneos" run @A lose
    check 'run: its time was over' 124 '*job * took longer than its timeout' "$oneos" run late
    check 'run on a machine, with a variable' 0 'a  b' "$oneos" run @A FOO='a  b' sh -c 'echo "$FOO"'
    check 'run a job, with a variable' 0 'a  b' "$oneos" run FOO='a  b' sh -c 'echo "$FOO"'
    check 'run -l' 0 'x' "$oneos" run -l A -- echo x
    check 'run where the scheduler finds none' 125 'oneos: @nope fits no machine*' "$oneos" run @nope true
    check 'run: a script of several lines' 0 'a?b  c' "$oneos" run sh -c 'echo a
echo "b  c"'
    check 'run by a selector, with what it needs' 0 "it's" "$oneos" run -l 'gpu=1,cores>=2' --cpus 2 --memory 1GiB -- echo "it's"
    same 'the lines that were written' "set cpus 2;set memory 1GiB;set input none;run @'gpu=1,cores>=2' echo 'it'\\''s'" \
        "$(grep -A20 '^set cpus' "$T/mnt/jobs/1/lines" | grep -v '^set env' | head -4 | paste -sd';')"
    check 'a command that looks like a selector' 127 'oneos: @x: *' "$oneos" run -- A=1 @x
    check 'run --cpus none' 64 "*'many' is not a number of cpus*" "$oneos" run --cpus many true
    check 'run: a line that is too long' 126 '*too long*' \
        bash -c '"$0" run -- $(seq 1 100000)' "$oneos"
    check 'run -d' 0 '[0-9]*' "$oneos" run -d true
    check 'run -d on a machine' 0 'A.[0-9]*' "$oneos" run -d @A true
    check 'run -t needs a machine' 125 '*a terminal needs a machine*' "$oneos" run -t @gpu true
    check 'run passes only what a login has' 0 '' \
        env ONEOS_SECRET=1 SECRET=1 "$oneos" run -- sh -c 'env | grep SECRET; true'
}

each_of_machines() {
    check 'each: what is equal is printed once' 0 '--- A D:?x' "$oneos" each gpu -- echo x
    check 'each by id' 0 '--- D:?x  y' "$oneos" each D echo 'x  y'
    check 'each: the worst status' 7 '--- A D (exit 7):?bad' "$oneos" each @gpu -- sh -c 'echo bad >&2; exit 7'
    check 'each: what is not equal' 0 '--- A:?[12]?--- D:?[12]' "$oneos" each gpu -- sh -c 'mkdir "$0" 2>&- && echo 1 || echo 2' "$T/one"
    check 'each: who is dead is said' 125 'oneos: B is dead: it was left out?--- A D:?x' "$oneos" each '*' -- echo x
    check 'each: nobody' 125 "*no machine fits 'nope'*" "$oneos" each nope -- true
    check 'each: no selector' 64 '*' "$oneos" each 'a b,,' -- true
    check 'each: no command' 64 '*each needs a command*' "$oneos" each gpu --
    check 'each --json' 0 '{"schema":1,"machine":"A","exit":0,"output":"x\\n"}?*"D"*' "$oneos" --json each gpu echo x
}

run_streams() {
    same 'run -- cat </dev/null' 0 "$(timeout 20 "$oneos" run -- cat </dev/null; echo $?)"
    same 'run -- cat' 'hello' "$(echo hello | timeout 20 "$oneos" run -- cat)"
    same 'standard input closed' 0 "$(timeout 20 "$oneos" run -- cat <&-; echo $?)"
    same 'run -n' 0 "$(yes | timeout 20 "$oneos" run -n -- cat; echo $?)"
    same 'yes | run -- head -1' 'y' "$(yes | timeout 20 "$oneos" run -- head -1)"
    same 'run -- yes | head -1' '141 0' \
        "$(timeout 20 "$oneos" run -- yes </dev/null | head -1 >/dev/null; echo "${PIPESTATUS[@]}")"
    same 'a writer that does not mind SIGPIPE is ended' '143 0' \
        "$(timeout 20 "$oneos" run -- sh -c 'trap "" PIPE; while :; do echo y 2>&-; done' </dev/null |
            head -1 >/dev/null; echo "${PIPESTATUS[@]}")"
    mkfifo "$T/never"
    exec 8<>"$T/never"
    same 'input that never ends does not hold the end' 'x' "$(timeout 20 "$oneos" run -- echo x <"$T/never")"
    exec 8>&-
    check 'output that cannot be written' 125 '*stdout of [0-9]* cannot be written here: No space*' \
        sh -c '"$0" run -- echo x >/dev/full' "$oneos"
    head -c 30000000 /dev/urandom >"$T/data"
    same '30 MB there and back' "$(sha256sum <"$T/data")" "$(timeout 60 "$oneos" run -- cat <"$T/data" | sha256sum)"
}

# Starts the client, waits until the process says that it is ready, runs `$2` with $pid.
signalled() {
    local what=$1 script=$2 act=$3 wanted=$4 got pid since=$SECONDS
    mkfifo "$T/ready"
    # A background job of a script has SIGINT ignored.
    env --default-signal=INT,QUIT "$oneos" run -- sh -c "$script" >"$T/ready" 2>/dev/null </dev/null &
    pid=$!
    exec 9<"$T/ready"
    rm "$T/ready"
    read -r -t 20 <&9
    eval "$act"
    wait $pid
    got=$?
    exec 9<&-
    same "$what" "$wanted" "$got"
}

run_signals() {
    # TSan holds a signal back until the program's next call, which may never come: these tests
    # are about the moment at which handlers run.
    ldd "$oneos" | grep -q libtsan && return
    signalled 'SIGINT reaches the process' 'echo; exec sleep 1000' 'kill -INT $pid' 130
    signalled 'SIGTERM may be caught' 'trap "exit 9" TERM; echo; while :; do sleep 0.05; done' 'kill $pid' 9
    signalled 'SIGUSR1 may be caught' 'trap "exit 8" USR1; echo; while :; do sleep 0.05; done' 'kill -USR1 $pid' 8
    signalled 'SIGTSTP stops both, SIGCONT lets both go on' \
        'trap "exit 5" USR2; echo; while :; do sleep 0.05; done' \
        'kill -TSTP $pid
         until grep -qs "State:.*stopped" /proc/$pid/status; do [ $SECONDS -lt $((since + 20)) ] || break; done
         kill -CONT $pid; kill -USR2 $pid' 5
    same 'the lines that were written' 1 "$(grep -c '^signal STOP$' "$T/mnt/jobs/1/lines")"
    "$oneos" run pend >/dev/null 2>&1 </dev/null &
    pid=$!
    until grep -qx 'run pend' "$T/mnt/jobs/1/lines"; do sleep 0.02; done
    until grep -qs 'SigCgt:.*[4-7c-f]...$' "/proc/$pid/status"; do sleep 0.02; done
    kill $pid
    wait $pid
    same 'what ends a job that waits cancels it' '143 1' "$? $(grep -cx cancel "$T/mnt/jobs/1/lines")"
}

run_terminal() {
    command -v script >/dev/null || return
    same 'run -t asks for a terminal of this size' 'tty 33 77' \
        "$(script -qec "stty rows 33 cols 77; '$oneos' run -t true" /dev/null </dev/null >/dev/null 2>&1
           grep '^tty 33' "$T/mnt/jobs/1/lines")"
    same 'the terminal is as before' 'icanon' \
        "$(script -qec "'$oneos' run -t true; stty -a" /dev/null </dev/null | grep -ow '[-]*icanon')"
}

make_files
usage
export ONEOS_MOUNT=$T/tree
tables
processes
jobs_of_files
machines
doctor_of_trees
registry
keys_of_doctor
only_files
if [ -w /dev/fuse ] && mkdir "$T/mnt" && env --default-signal=HUP,INT,QUIT tests/unit/fake_tree "$T/mnt" 2>/dev/null; then
    export ONEOS_MOUNT=$T/mnt
    run_commands
    each_of_machines
    run_streams
    run_signals
    run_terminal
else
    echo 'skipped: run, since FUSE cannot be used here'
fi
exit $failed

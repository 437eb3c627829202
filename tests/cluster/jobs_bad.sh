#!/usr/bin/env bash
# What cannot be done is said at once, in words: refused with an errno, or the job has failed with 126 or 127. Nothing
# waits for ever without a `why`.
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B
start A
start B
expect 'two machines, one registry' eventually 20 'same_registry A B'

# ---- refused: the write fails
expect 'no command' refused_with EINVAL 'word is missing' A 'run'
expect 'a quote that is not closed' refused_with EINVAL 'quote' A "run echo 'x"
expect 'a pipe to nothing' refused_with EINVAL 'command is missing' A 'run echo x |'
expect 'a redirection to nothing' refused_with EINVAL 'file' A 'run echo x >'
expect 'what only sh knows' refused_with EINVAL 'sh -c' A 'run echo x && echo y'
expect 'a label that nobody has' refused_with EINVAL 'gpu' A 'run @gpu true'
expect 'a machine that nobody knows' refused_with EINVAL 'Z' A 'run @Z true'
expect 'more cores than any machine has' refused_with EINVAL 'cores' A 'run @cores>=4000 true'
expect 'a selector that is none' refused_with EINVAL 'selector' A 'run @cores>= true'
expect 'an unknown verb' refused_with EINVAL 'frob' A 'frob x'

# setting VALUE... WORDS: refused by a new job's ctl.
job=settings
on A mkdir "$J/$job"
setting()
{
    local got
    got=$(on A bash -c "echo 'set $1' | call write $J/$job/ctl 2>&1")
    echo "$got"
    on A cat "$J/$job/error"
    [ "$got" = EINVAL ] && on A grep -qi -- "$2" "$J/$job/error"
}
expect 'an unknown key' setting 'frob 1' frob
expect 'cpus: no number' setting 'cpus x' cpus
expect 'memory: no size' setting 'memory 12parsecs' memory
expect 'timeout: no time' setting 'timeout soon' timeout
expect 'restart: no policy' setting 'restart sometimes' sometimes
expect 'array: backwards' setting 'array 9-1' array
expect 'env: no assignment' setting 'env =x' 'NAME'
expect 'cwd: not absolute' setting 'cwd x' absolute
expect 'retries: negative' setting 'retries -1' retries
expect 'after: no such job' eval "on A bash -c \"printf 'set after 4711\nrun true\n' | call write $J/$job/ctl 2>&1\" | grep -qx EINVAL && on A grep -q 4711 $J/$job/error"
expect 'more memory than any machine has' eval "on A bash -c \"printf 'set after\nset memory 900TiB\nrun true\n' | call write $J/$job/ctl 2>&1\" | grep -qx EINVAL && on A grep -q memory $J/$job/error"

expect 'spread takes no value' setting 'spread yes' '^spread: '

# ---- failed: 126 and 127
# fails EXIT WORDS [SETTING...] -- LINE
fails()
{
    local exit=$1 words=$2
    shift 2
    job=$(submit A "$@") || return 1
    came "$job" "exit $exit" 10 && in_state "$job" failed && on A "cat $J/$job/why $J/$job/status" | tee /dev/stderr | grep -qi -- "$words"
}
expect 'no such command' fails 127 'no-such-command' -- 'no-such-command x'
expect 'no such file' fails 127 '/no/such/file' -- '/no/such/file'
expect 'not executable' fails 126 '/etc/passwd' -- '/etc/passwd'
expect 'a folder' fails 126 '/etc' -- '/etc'
printf '#!/no/interpreter\n' >"$T/script"
head -c 64 /bin/sh >"$T/foreign"
printf '\267' | dd of="$T/foreign" bs=1 seek=18 conv=notrunc 2>/dev/null # aarch64
chmod 755 "$T/script" "$T/foreign"
expect 'an interpreter that is missing' fails 127 '/no/interpreter' -- "$T/script"
expect 'a program for machines of another kind' fails 126 'aarch64' -- "$T/foreign"
expect 'in the middle of a pipeline, on another machine' fails 127 'no-such-command' -- '@A echo x | @B no-such-command | @A cat'
expect 'a cwd that is missing' fails 126 '/no/such/dir' 'cwd /no/such/dir' -- 'true'
expect 'an input that cannot be read' fails 126 '/no/such/input' -- 'cat < /no/such/input'
expect '... from another machine' fails 126 '/no/such/input' -- '@B cat < /no/such/input'
expect 'an output that cannot be written' fails 126 '/proc/nowhere' -- 'echo x > /proc/nowhere'
expect '... from another machine' fails 126 '/proc/nowhere' -- '@B echo x > /proc/nowhere'
ln -s /dev/full "$T/full"
expect 'an output that fails in the middle, on another machine' fails 126 "it failed, exit 126: .* was not written to its end: see stderr" -- "@B seq 1 1000000 > $T/full"
expect '... and stderr says why' on A "grep 'No space left' $J/$job/stderr"
expect 'no such pipe to read' fails 126 'pipes/none' -- 'cat < /oneos/pipes/none'

# ---- pending, and it says for what
job=$(submit A -- '@B sleep 1000')
expect 'one runs on B' eventually 5 in_state "$job" running
two=$(submit A "after $job" -- 'true')
expect 'one that waits for another says so' eval "in_state $two pending && on A grep -q '$job' $J/$two/why"
cores=$(on A nproc)
three=$(submit A "cpus $cores" -- '@B true')
expect 'one that waits for cores says so' eventually 5 "in_state $three pending && on A grep -q cores $J/$three/why"
stop B
expect 'the job of a machine that left is lost' came "$job" 'lost B' 40
expect 'who depends on it fails, and says so' eventually 20 "in_state $two failed && on A grep -q '$job' $J/$two/why"
expect 'who can run only there waits, and says so' eventually 10 "in_state $three pending && on A grep -q 'B.*left' $J/$three/why"
on A "echo cancel >$J/$three/ctl"
expect 'and can be cancelled' came "$three" cancelled 5
finish

#!/usr/bin/env bash
# The conventions of the tree: what ordinary tools meet when they read and write its files.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B
start A
start B
expect 'A and B see each other' eventually 3 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'
PYTHON=$(PATH=/usr/bin:/bin command -v python3) || PYTHON=

new_on()
{
    on A "exec 3<>/oneos/machines/$1/procs/clone && read -r name <&3 && printf '%s\n' '$2' >&3 && echo \$name"
}
a=$(new_on A 'exec sh -c "echo one; echo two; exec sleep 1000"') b=$(new_on B 'exec sleep 1000')

# ---- one reading is one picture ----

# shellcheck disable=SC2016
expect 'byte by byte a status is what it was at open' on A '
    exec 4</oneos/procs/'"$a"'/status && IFS= read -r line <&4 && [ "$line" = "state running" ] || exit 1
    echo stop >/oneos/procs/'"$a"'/ctl
    while read -r key value; do case $key in state) exit 1 ;; user) seen=1 ;; esac; done <&4
    [ "$seen" ] && grep -x "state stopped" /oneos/procs/'"$a"'/status'
on A "echo cont >/oneos/procs/$a/ctl"
expect 'status, info and load are lines of key and value' on A \
    "! grep -vE '^[a-z_]+ [^ ].*\$' /oneos/status /oneos/machines/*/info /oneos/machines/*/load /oneos/procs/*/status"
expect 'every file of text ends with a newline' on A '
    for f in /oneos/README /oneos/status /oneos/machines/*/{info,load,state} /oneos/procs/*/{cmdline,status} /oneos/*/all.jsonl /oneos/pipes/status; do
        [ -z "$(tail -c 1 "$f")" ] || { echo "$f"; exit 1; }
    done'
if [ "$PYTHON" ]; then
    expect 'every line of all.jsonl is an object of schema 1' on A "$PYTHON -c '
import glob, json
lines = [json.loads(l) for f in glob.glob(\"/oneos/*/all.jsonl\") for l in open(f)]
assert len(lines) == 8 and all(l[\"schema\"] == 1 for l in lines), lines'"
fi

# ---- tools ----

expect 'size 0, as in procfs' same 0 "$(on A "stat -c %s /oneos/README /oneos/status /oneos/procs/$a/status | sort -u")"
readme=$(on A cat /oneos/README)
expect 'cp' same "$readme" "$(on A "cp /oneos/README $T/copy && cat $T/copy")"
expect 'dd of bytes' same "$readme" "$(on A 'dd if=/oneos/README bs=7 status=none')"
expect 'wc' same "$(wc -l <<<"$readme")" "$(on A 'wc -l </oneos/README')"
expect 'head' same "$(head -n 2 <<<"$readme")" "$(on A 'head -n 2 /oneos/README')"
expect 'tail' same "$(tail -n 2 <<<"$readme")" "$(on A 'tail -n 2 /oneos/README')"
expect 'grep' on A "grep -q '^state running' /oneos/procs/$b/status"
[ -z "$PYTHON" ] || expect 'open().read()' same "$readme" "$(on A "$PYTHON -c 'print(open(\"/oneos/README\").read(), end=\"\")'")"
in_bg follow A 'exec tail -n 2 -f /oneos/README'
expect 'tail -f shows the end and stays' eventually 3 'same "$(tail -n 2 <<<"$readme")" "$(out follow)" && ! ended follow'
signal follow INT
expect 'until Ctrl-C' same 130 "$(result 1 follow)"
expect 'an editor saves labels' on A 'printf "gpu\nzone lab\n" >/oneos/self/labels && sed "s/lab/hall/" /oneos/self/labels >'"$T/l"' &&
    cat '"$T/l"' >/oneos/self/labels && [ "$(cat /oneos/self/labels)" = "$(printf "gpu\nzone hall")" ]'
expect 'and on B' eventually 3 "on B grep -x 'zone hall' /oneos/machines/A/labels"
expect 'appends to it, from B' on B 'echo fast >>/oneos/machines/A/labels && grep -x "zone hall" /oneos/machines/A/labels'
expect 'where all is seen' eventually 3 'same "$(printf "gpu\nzone hall\nfast")" "$(on A cat /oneos/self/labels)"'
expect 'self is the machine whose mount it is' same 'machines/A machines/B' "$(on A readlink /oneos/self) $(on B readlink /oneos/self)"
expect 'df answers' on A 'timeout 2 df /oneos >/dev/null'

# ---- times, owners, ids ----

# shellcheck disable=SC2016
expect 'the time of a status is that of its last change' on A '
    before=$(stat -c %.6Y /oneos/procs/'"$a"'/status) && echo stop >/oneos/procs/'"$a"'/ctl &&
    sleep 1.1 && after=$(stat -c %.6Y /oneos/procs/'"$a"'/status) && echo cont >/oneos/procs/'"$a"'/ctl &&
    echo "$before $after" && [ "$before" != "$after" ] && sleep 1.1 && cat /oneos/procs/'"$a"'/status >/dev/null &&
    one=$(stat -c %.6Y /oneos/procs/'"$a"'/status) && sleep 0.2 && [ "$one" = "$(stat -c %.6Y /oneos/procs/'"$a"'/status)" ]'
expect 'a process belongs to who made it' same root "$(on A stat -c %U "/oneos/procs/$b/status")"
ids() { on "$1" "stat -c '%i %n' /oneos/README /oneos/machines/B/state /oneos/procs/$a /oneos/procs/$b/status"; }
expect 'the ids of files come from what they are, so they are the same everywhere' same "$(ids A)" "$(ids B)"
stop B
start B
expect 'and after a restart' eventually 3 'same "$(on A "stat -c %i /oneos/README /oneos/machines/B/state")" "$(on B "stat -c %i /oneos/README /oneos/machines/B/state")"'

# ---- clone ----

# shellcheck disable=SC2016
expect 'clone: one descriptor to make, to name and to start a process' on A '
    exec 3<>/oneos/procs/clone && read -r name <&3 && echo exec echo hello >&3 && cat /oneos/procs/$name/stdout | grep -x hello'
# shellcheck disable=SC2016
expect 'what was never started goes with its handle' on A '
    exec 3<>/oneos/procs/clone && read -r name <&3 && [ -d /oneos/procs/$name ] && exec 3>&- &&
    for i in 1 2 3 4 5 6 7 8 9 10; do [ -d /oneos/procs/$name ] || exit 0; sleep 0.2; done; exit 1'
for id in A B; do
    name=$(echo 'exec echo hello' | on A call clone /oneos/machines/$id/procs/clone 2>/dev/null)
    expect "clone on $id with O_NONBLOCK: the first write makes a process and starts it" \
        on A "grep -qx 'exit 0' /oneos/procs/$name/wait && grep -qx hello /oneos/procs/$name/stdout"
    before=$(on A ls /oneos/procs)
    expect 'without a write it makes nothing' on A call clone /oneos/machines/$id/procs/clone </dev/null
    expect 'nothing at all' same "$before" "$(on A ls /oneos/procs)"
    failed=$(echo 'exec /no/such' | on A call clone /oneos/machines/$id/procs/clone 2>&1)
    expect 'what cannot be started is named all the same' eval '[[ $failed = $id.*ENOENT* ]]'
    expect 'and goes with its handle' eventually 3 "! on A ls /oneos/procs | grep -qxF '${failed%%$'\n'*}'"
    expect 'an unknown verb is refused' \
        same EINVAL "$(echo 'frob' | on A call clone /oneos/machines/$id/procs/clone 2>&1 >/dev/null)"
done
for flag in '<' '>'; do
    expect "clone opened with $flag only makes nothing" on A "! (: $flag/oneos/procs/clone) 2>/dev/null"
done

# ---- what cannot be made ----

refused()
{
    local got
    got=$(on A "$2" 2>&1) && return 1
    echo "$got"
    grep -q "$1" <<<"$got"
}
expect 'a FIFO is refused' same EOPNOTSUPP "$(on A call mkfifo /oneos/pipes/fifo 2>&1)"
for dir in . machines machines/A procs "procs/$a" pipes; do
    expect "no directory in $dir" refused 'not permitted' "mkdir /oneos/$dir/new"
    expect "no link in $dir" refused 'not permitted' "ln -s x /oneos/$dir/new"
    [ $dir = pipes ] || expect "no file in $dir" same EPERM "$(on A call create /oneos/$dir/new 2>&1)"
done
expect 'no hard link' refused 'not permitted' 'ln /oneos/README /oneos/other'
expect 'no renaming' refused 'not permitted' "mv /oneos/procs/$a /oneos/procs/other"
expect 'no removing' refused 'not permitted' 'rm -f /oneos/README'
expect 'no removing of a process' refused 'not permitted' "rm -rf /oneos/procs/$a"
expect 'no other owner' refused 'not permitted' "chown daemon /oneos/procs/$a/status"
expect 'no other mode' refused 'not permitted' "chmod 777 /oneos/status"
expect 'what is only read cannot be written' same EACCES "$(on A call write /oneos/status </dev/null 2>&1)"

# ---- poll ----

if [ "$PYTHON" ]; then
    cat >"$T/poll.py" <<'END'
# poll.py PATH MODE yes|no|unknown COMMAND yes|no: poll and select say whether the file can be read or written, and wake
# up when a command changes that.
import os, select, subprocess, sys
path, mode, before, command, after = sys.argv[1:]
fd = os.open(path, {'r': os.O_RDONLY, 'w': os.O_WRONLY}[mode] | os.O_NONBLOCK)
bit = {'r': select.POLLIN, 'w': select.POLLOUT}[mode]
p = select.poll()
p.register(fd, bit)
if mode == 'w' and before == 'no':
    try:
        for i in range(1000):
            os.write(fd, b'x' * 65536)
        sys.exit('never full')
    except BlockingIOError:
        pass
def ready(ms):
    return any(f == fd and e & (bit | select.POLLHUP | select.POLLERR) for f, e in p.poll(ms))
def selected():
    r, w, _ = select.select([fd] if mode == 'r' else [], [fd] if mode == 'w' else [], [], 0)
    return bool(r or w)
if before != 'unknown':
    assert ready(200) == (before == 'yes'), 'before'
    assert selected() == (before == 'yes'), 'select before'
if before == 'no':
    try:
        os.read(fd, 1) if mode == 'r' else os.write(fd, b'x')
        sys.exit('did not block')
    except BlockingIOError:
        pass
if command:
    child = subprocess.Popen(['sh', '-c', 'sleep 0.2; ' + command])
    assert ready(5000) == (after == 'yes'), 'after'
    assert selected() == (after == 'yes'), 'select after'
    child.wait()
if mode == 'r' and (before == 'yes' or after == 'yes'):
    print(os.read(fd, 65536).decode(), end='')
END
    polls() { on A "$PYTHON" "$T/poll.py" "$@"; }
    b=$(new_on B 'exec sh -c "read x; echo \$x; exec sleep 1000"')
    on A touch /oneos/pipes/p
    expect 'poll on stdout of a process elsewhere' same hello "$(polls "/oneos/procs/$b/stdout" r no "echo hello >/oneos/procs/$b/stdin" yes)"
    expect 'on its stdin' polls "/oneos/procs/$b/stdin" w yes '' ''
    expect 'on its wait' same 'signal KILL' "$(polls "/oneos/procs/$b/wait" r no "echo kill >/oneos/procs/$b/ctl" yes)"
    expect 'on wait when it has ended' same 'signal KILL' "$(polls "/oneos/procs/$b/wait" r yes '' '')"
    expect 'on stdout here' same "$(printf 'one\ntwo')" "$(polls "/oneos/procs/$a/stdout" r yes '' '')"
    expect 'on events' eval 'polls /oneos/events r unknown "touch /oneos/pipes/q" yes | grep "\"pipe\":\"q\""'
    expect 'on a pipe that somebody writes' same abc "$(polls /oneos/pipes/p r no 'printf abc >/oneos/pipes/p' yes)"
    on A touch /oneos/pipes/full
    expect 'on a full pipe, until somebody reads' polls /oneos/pipes/full w no 'head -c 1000000 /oneos/pipes/full >/dev/null' yes
else
    echo '# no python3: poll is not tested here'
fi
finish

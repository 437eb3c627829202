#!/usr/bin/env bash
# Whoever looks at all of the tree - ls -lR, find, cat, grep -r, cp -r - changes nothing in it, gets no error
# but a refusal or a read that waits, and leaves nothing behind in the daemons.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B
start A
start B
expect 'A and B see each other' eventually 3 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'

# Something to look at: on each machine a process that runs, one that has ended, and one that was never started; a pipe.
for id in A B; do
    on A "exec 3<>/oneos/machines/$id/procs/clone && echo 'exec sh -c \"echo out; echo err >&2; exec sleep 1000\"' >&3"
    on A "exec 3<>/oneos/machines/$id/procs/clone && echo 'exec sh -c \"echo out; exit 3\"' >&3"
done
placed() { on "$1" 'cat /oneos/services/*/machine/state' && [ "$(on "$1" 'cat /oneos/services/*/machine/state' | grep -c alive)" = 4 ]; }
expect 'the services have been placed' eventually 5 'placed A && placed B'
in_bg never-started A 'exec 3<>/oneos/machines/B/procs/clone && read -r name <&3 && exec sleep infinity'
on A touch /oneos/pipes/p
states()
{
    on "$1" cat /oneos/procs/all.jsonl | sed 's/.*"state":"\([a-z]*\)".*/\1/' | sort | uniq -c | xargs
}
for id in A B; do
    expect "so it is on $id" eventually 3 'same "2 ended 1 new 2 running" "$(states $id)"'
done

# What there is and how it is, but for what changes by itself.
picture()
{
    # shellcheck disable=SC2016
    on "$1" 'cd /oneos && cat procs/all.jsonl pipes/status && ls -lR . &&
             for f in procs/*.*/status machines/*/labels machines/*/state; do
                 echo "$f" && grep -v -e ^cpu_usec -e ^memory "$f"
             done'
}

# Everybody looks, at each file for at most a second: what it said, or the name of its error.
look()
{
    on "$1" "cd /oneos && ls -lR . >/dev/null && find . -ls >/dev/null || exit 1
             find . -type f | xargs -P 8 -I{} sh -c 'word=\$(call read {} 1000 2>&1 >/dev/null); echo \"\$word {}\"'" >"$T/looked" || return 1
    on "$1" "cd /oneos && find . -type f | xargs -P 8 -n 1 timeout -s INT 1 grep -e no-such-text" >"$T/grep" 2>&1
    on "$1" "timeout 10 cp -r /oneos/machines $T/copy 2>&1; rm -rf $T/copy" >"$T/cp"
    on "$1" "setpriv --reuid=65534 --clear-groups find /oneos -type f -exec timeout 1 head -c 1 {} + >/dev/null 2>&1"
    return 0
}

expected_words()
{
    cat "$T/looked"
    ! grep -v -e '^ok ' -e '^EACCES .*/\(clone\|stdin\)$' -e '^blocked .*/\(wait\|stdout\|stderr\|events\|p\)$' "$T/looked"
}

for id in A B; do
    picture $id >"$T/before-$id"
done
unchanged()
{
    picture "$1" | diff "$T/before-$1" -
}
expect 'everything is looked at' look A
expect 'the only errors are EACCES of clone and stdin; only live files wait' expected_words
expect 'what waits are the ends of running ones, the events and the pipe' same 11 "$(grep -c ^blocked "$T/looked")"
expect 'grep -r finds nothing and is refused nothing else' \
    eval '! grep -v "/\(clone\|stdin\): Permission denied$" "$T/grep"'
expect 'cp -r copies all of machines/ but the clones' \
    eval '! grep -v "cannot open .*/clone. for reading: Permission denied$" "$T/cp"'
expect 'nothing has changed' unchanged A

figures()
{
    echo "$1: $(threads "$1") threads, $(fds "$1") descriptors, $(rss "$1") KiB"
}

# The second look is the first that may cost nothing.
look A
fds_before=$(fds A) rss_before=$(rss A) threads_before=$(threads A) fds_there=$(fds B)
figures A
for i in 1 2 3; do
    look A
done
figures A
# Threads of a pool come when they are needed, each with a descriptor of its own; a leak would be one for each of
# the 200 files that were looked at.
POOLS=8
expect 'no descriptor is left' eventually 3 '[ "$(fds A)" -le $((fds_before + POOLS)) ] && [ "$(fds B)" -le $((fds_there + POOLS)) ]'
expect 'no thread' eval '[ "$(threads A)" -le $((threads_before + POOLS)) ]'
sanitized || expect 'no memory' eval '[ "$(rss A)" -le $((rss_before + 512)) ]'
expect 'nothing has changed' unchanged A
expect 'nor on B' unchanged B
signal never-started TERM
finish

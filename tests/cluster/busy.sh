#!/usr/bin/env bash
# The daemon of B is killed while its mount is in use: the next one mounts again at the same place. A second daemon
# with the same id is refused. SIGTERM takes the mount away even from those who use it.
LIMIT=120
. "$(dirname "$0")/../lib/cluster.sh"

# use NAME: a shell on B whose working directory is in the tree, with a file open there, and a reader that waits.
use()
{
    in_bg "$1" B 'cd /oneos/procs && exec 5</oneos/README 6</oneos/events && cat /oneos/events'
    expect 'the mount is used: a folder, files, a reader' eventually 5 on B "ls -l /proc/$(pid_in_bg "$1")/fd | grep -q /oneos/events"
}

mounts() { on B 'grep -c " /oneos " /proc/mounts'; }

machines A B
start A
start B
expect 'they see each other' eventually 5 on B grep -qx alive /oneos/machines/A/state
use user
kill9 B
expect 'its mount is dead' on B '! cat /oneos/status'
start B
expect 'the next daemon has mounted at the same place' on B grep -qx 'id B' /oneos/status
expect 'there is one mount, not two' same 1 "$(mounts)"
expect 'it works' eventually 5 on B grep -qx alive /oneos/machines/A/state
expect 'the reader from before was let go' eventually 5 ended user

use again
for _ in 1 2 3; do
    kill9 B
    start B
done
expect 'again and again' eval 'on B grep -qx "id B" /oneos/status && same 1 "$(mounts)"'

expect 'a second daemon of the same id is refused with 69' eval \
    'on B "oneosd B --foreground 2>$T/refused"; rc=$?; cat "$T/refused"; [ $rc = 69 ]'
expect 'and told the process number of the first' grep -qw "$(pid_of B)" "$T/refused"
expect 'in one line' same 1 "$(wc -l <"$T/refused")"
expect 'also one that would go to the background' eval 'on B "oneosd B 2>&1" | tee "$T/refused"; [ "${PIPESTATUS[0]}" = 69 ] && grep -qw "$(pid_of B)" "$T/refused"'
expect 'the first was not troubled' on B grep -qx 'id B' /oneos/status

name=$(on B oneos run -d @here true)
expect 'A hears what this daemon publishes' eventually 5 on A test -e "/oneos/procs/$name"
use last
expect 'SIGTERM ends it although the mount is used' within 5000 stop B
expect 'the mount is gone' same 0 "$(mounts)"
expect 'the other machine is told at once' eventually 1 on A grep -qx left /oneos/machines/B/state
expect 'its user was let go' eventually 5 ended last
finish

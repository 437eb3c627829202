#!/usr/bin/env bash
# Somebody removes what cannot be removed: the fixed files of the tree, the whole tree, as its owner and as another
# user. Only pipes go, and the daemon stays.
. "$(dirname "$0")/../lib/cluster.sh"
machines A
start A

for file in pipes/ctl pipes/status pipes/error status ctl machines/A/ctl machines/all.jsonl self; do
    expect "$file cannot be removed" on A "! rm -f /oneos/$file && [ -e /oneos/$file ]"
done
expect 'nor a directory' on A '! rmdir /oneos/pipes && ! rmdir /oneos/machines/A && ! rmdir /oneos/procs'
p=$(on A 'oneos run -d @here sleep 1000')
on A 'touch /oneos/pipes/one /oneos/pipes/two'
if on A setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
    on A setpriv --reuid=65534 --clear-groups touch /oneos/pipes/own
    on A setpriv --reuid=65534 --clear-groups rm -rf /oneos 2>/dev/null || true
    expect 'of all that nobody removes, the own pipe is gone' on A \
        '[ ! -e /oneos/pipes/own ] && [ -e /oneos/pipes/one ] && [ -e /oneos/pipes/two ]'
fi
on A rm -rf /oneos 2>/dev/null || true
expect 'of all that the owner removes, the pipes are gone' on A '[ ! -e /oneos/pipes/one ] && [ ! -e /oneos/pipes/two ]'
on A find /oneos -delete 2>/dev/null || true
expect 'the daemon runs' running A
expect 'and the process' on A "grep -qx 'state running' /oneos/procs/$p/status"
expect 'all else is there' on A 'cat /oneos/README /oneos/status /oneos/pipes/status /oneos/machines/A/info && oneos run @here true'
finish

#!/usr/bin/env bash
# Much through one pipe from A to C: the same sha256, the daemons stay small, a slow reader slows the
# writer. ONEOS_TEST_GIB (1) sets the size in GiB; 10 is what was promised.
LIMIT=1800
. "$(dirname "$0")/../lib/cluster.sh"
P=/oneos/pipes
gib=${ONEOS_TEST_GIB:-1}

# small ID: the daemon's memory never was 64 MiB since forget_peak.
small() { local peak; peak=$(rss_peak "$1"); echo "$peak KiB"; sanitized || [ "$peak" -lt 65536 ]; }

machines A C
for id in A C; do
    start $id
done
eventually 5 'on A grep -qx alive /oneos/machines/C/state && on C grep -qx alive /oneos/machines/A/state' || die 'A and C do not see each other'
on A "touch $P/big"
for id in A C; do
    forget_peak $id
done

want=$(bytes make "${gib}G" | sha256sum)
in_bg reader C "sha256sum <$P/big"
began=$(now_ms)
in_bg writer A "bytes make ${gib}G >$P/big"
expect "$gib GiB from A to C arrive" eval 'same 0 "$(result 1500 reader)" || { err reader; false; }'
expect '... as they were' same "$want" "$(out reader)"
took=$(($(now_ms) - began))
expect 'the writer has ended well' same 0 "$(result 5 writer)"
echo "# $((gib * 1024 * 1000 / took)) MiB/s"
for id in A C; do
    expect "oneosd on $id stayed below 64 MiB" small $id
    echo "# $id: $(rss_peak $id) KiB at most"
    forget_peak $id
done

# What is under way between the two ends: both buffers, and what the link has in flight.
in_bg reader C "exec 3<$P/big; head -c 1M <&3 >/dev/null 2>&1; until [ -e $P/go ]; do sleep 0.05; done; cat <&3 | wc -c"
in_bg writer A "for i in \$(seq 256); do head -c 1M /dev/zero; echo \$i >>$T/written; done >$P/big"
written() { tail -n 1 "$T/written"; }
expect 'a reader that pauses stops the writer' eventually 20 eval 'n=$(written); [ -n "$n" ] && sleep 1 && [ "$n" = "$(written)" ]'
expect '... after a few MiB' eval 'echo "$(written) MiB"; [ "$(written)" -le 24 ]'
for id in A C; do
    expect "... and oneosd on $id is small" small $id
done
on A "touch $P/go"
expect 'it goes on when the reader does' same 0 "$(result 60 writer)"
expect '... to the end' same 0 "$(result 60 reader)"
expect '... with every byte' same $((255 * 1024 * 1024)) "$(out reader)"
finish

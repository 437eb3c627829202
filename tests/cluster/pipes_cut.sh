#!/usr/bin/env bash
# A link that is cut in mid-stream, again and again: no byte is lost or doubled, the stream goes on.
# ONEOS_TEST_CUT_S (10) is for how long, ONEOS_TEST_CUTS (3) how often.
LIMIT=300
. "$(dirname "$0")/../lib/cluster.sh"
P=/oneos/pipes
seconds=${ONEOS_TEST_CUT_S:-10}

machines A B C
for id in A B C; do
    start $id
done
for id in A B; do
    eventually 5 "on $id grep -qx alive /oneos/machines/C/state && on C grep -qx alive /oneos/machines/$id/state" || die "$id and C do not see each other"
done
on B "touch $P/p $P/q"

# Both directions at once, at about 40 MiB/s each, so that it is under way when the link is cut.
# shellcheck disable=SC2016
slowly='bytes make 300M $0 | for i in $(seq 300); do dd bs=64k count=16 iflag=fullblock status=none; sleep 0.02; done'
moved() { on B "awk '\$1 == \"$1\" { print \$6 }' $P/status"; }
more() { [ "$(moved p)" -gt "$1" ] && [ "$(moved q)" -gt "$2" ]; }
in_bg p_reader C "bytes check 300M 1 <$P/p"
in_bg q_reader A "bytes check 300M 2 <$P/q"
in_bg p_writer A "bash -c '$slowly' 1 >$P/p"
in_bg q_writer C "bash -c '$slowly' 2 >$P/q"
expect 'bytes flow both ways' eventually 20 more 1000000 1000000

for round in $(seq "${ONEOS_TEST_CUTS:-3}"); do
    cut A
    sleep "$seconds" # the length of the cut is what is tested
    expect "cut $round: nobody was told of an end" eval '! ended p_reader && ! ended q_reader && ! ended p_writer && ! ended q_writer'
    p=$(moved p) q=$(moved q)
    join A
    expect "cut $round: after $seconds s the streams go on" eventually 20 more $((p + 8000000)) $((q + 8000000))
done
for name in p_reader q_reader p_writer q_writer; do
    expect "$name has ended well: no byte lost or doubled" eval "same 0 \"\$(result 120 $name)\" || { err $name; false; }"
done
finish

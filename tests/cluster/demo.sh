#!/usr/bin/env bash
# The pipeline of demo/ across three machines, three ways: each gives the bytes of demo/pipeline.sh,
# which is plain sh on one machine.
LIMIT=300
. "$(dirname "$0")/../lib/cluster.sh"
demo=$(cd "$(dirname "$0")/../../demo" && pwd)
P=/oneos/pipes

machines A B C
for id in A B C; do
    start $id
done
for id in A B C; do
    for other in A B C; do
        eventually 5 "on $id grep -qx alive /oneos/machines/$other/state" || die "$id does not see $other"
    done
done
"$demo/pipeline.sh" >"$T/want"
expect 'plain sh finds cells' [ "$(wc -l <"$T/want")" -gt 500 ]

expect '(a) exec through machines/ID/procs/clone, stages joined by pipes' \
    on A "'$demo/across.sh' /oneos A B C >'$T/got'"
expect '... gives the same bytes' cmp "$T/want" "$T/got"
expect '... and leaves no pipe' same '' "$(on B "ls $P" | grep -vxE 'ctl|error|status')"

# all_well NAME...: each has ended with 0.
all_well() { local n; for n in "$@"; do same 0 "$(result 60 "$n")" || { err "$n"; return 1; }; done; }
on A "touch $P/moving $P/central"
in_bg three C "'$demo/stage3.sh' <$P/central >'$T/three'"
in_bg two B "'$demo/stage2.sh' <$P/moving >$P/central"
in_bg one A "'$demo/stage1.sh' <'$demo/taxi-traces.csv' >$P/moving"
expect '(b) three terminals on three machines' all_well one two three
expect '... the same bytes' cmp "$T/want" "$T/three"
in_bg one A "'$demo/stage1.sh' <'$demo/taxi-traces.csv' >$P/moving"
in_bg two B "'$demo/stage2.sh' <$P/moving >$P/central"
in_bg three C "'$demo/stage3.sh' <$P/central >'$T/three'"
expect '... in the other order too, with the same pipes' all_well one two three
expect '... the same bytes' cmp "$T/want" "$T/three"

for _ in $(seq 20); do
    cat "$demo/taxi-traces.csv"
done >"$T/input"
expect '1.5 million lines' same 1500000 "$(wc -l <"$T/input")"
began=$(now_ms)
"$demo/pipeline.sh" "$T/input" >"$T/want"
plain=$(($(now_ms) - began))
began=$(now_ms)
expect '(c) the input repeated 20 times' on A "'$demo/across.sh' /oneos A B C '$T/input' >'$T/got'"
echo "# plain sh $plain ms, across three machines $(($(now_ms) - began)) ms"
expect '... gives the same bytes' cmp "$T/want" "$T/got"
finish

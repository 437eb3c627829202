#!/usr/bin/env bash
# What the registry holds outlives its machines: all at once without power, the clock set back, a majority gone.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C
P=/oneos/pipes

start A
start B
start C
expect 'three vote' eventually 10 "same 3 \"\$(figure A voters)\""

# ---- the power fails

in_bg makes A "for i in \$(seq 40); do touch $P/a\$i; done"
on B "for i in \$(seq 40); do touch $P/b\$i; done"
expect 'two machines make pipes at the same time' same 0 "$(result 10 makes)"
on C "echo gpu >/oneos/machines/C/labels"
expect 'all have the same' eventually 5 same_registry A B C
registry_of A >"$T/before"
for id in A B C; do
    power_off $id
done
for id in A B C; do
    power_on $id
done
for id in B C A; do
    launch $id oneosd $id
done
expect 'the registry is back without anybody doing anything' eventually 15 same_registry A B C
kept() { grep -E '^(_meta|pipe/|member/|accepted/)' "$1" | sed 's/"index": *[0-9]*//'; }
registry_of B >"$T/after"
expect '... the same as before' same "$(kept "$T/before")" "$(kept "$T/after")"
expect '... with all that was made' same 80 "$(on C ls $P | grep -c '^[ab][0-9]')"

# ---- the clock is set back by an hour

stop C
if sanitized; then
    launch C oneosd C # nothing can be loaded before a sanitizer
else
    shift_clock C -3600
    with_clock C
    launch C "${with_clock[@]}" oneosd C
fi
expect 'a machine whose clock is an hour behind takes part' eventually 10 same_registry A B C
expect '... and can write' on C "touch $P/from-the-past"
expect '... that others see' on A "[ -e $P/from-the-past ]"
power_off A
expect '... also without the first' eventually 10 "on C touch $P/later"
power_on A
launch A oneosd A
expect '... which comes back' eventually 10 same_registry A B C

# ---- all are stopped, and the one that was the last does not come back

expect 'three vote again' eventually 15 "same '3 3' \"\$(figure A voters) \$(figure A voters_alive)\""
stop A
stop B
stop C
launch A oneosd A
launch B oneosd B
expect 'whoever knows who voted last names it' eventually 10 "figure B trouble | grep -q '^no quorum: 0 of 1 voters; start oneosd again on C'"
expect 'whoever does not says that its list may be old' eventually 20 "figure A trouble | grep -q '^no leader, though 2 of 3 voters .* start every machine'"
launch C oneosd C
expect 'with it all is well' eventually 20 same_registry A B C
finish

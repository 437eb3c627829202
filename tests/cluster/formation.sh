#!/usr/bin/env bash
# Machines come to share one registry: one after the other, apart and then together, with a disk that was replaced.
LIMIT=180
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C D
P=/oneos/pipes

fresh()
{
    local id
    for id in A B C D; do
        ! running "$id" || stop "$id"
    done
    rm -rf "$HOME/.oneos"
}

# How many machines the registry of that one counts.
members() { registry_of "$1" | grep -c '^member/'; }

# ---- one that has data, then others

start A
on A "touch $P/early && echo gpu >/oneos/machines/A/labels"
start B
start C
expect 'those that come later join the one that is there' eventually 5 same_registry A B C
expect '... all three are in it' same 3 "$(members C)"
expect '... with what was there before' on C "[ -e $P/early ] && grep -qx gpu /oneos/machines/A/labels"
expect 'all three vote' eventually 10 "same 3 \"\$(figure A voters)\""
start D
expect 'a fourth learns' eventually 5 "same 'learner 4' \"\$(figure D role) \$(members D)\""
kill9 B
expect '... and takes the seat of one that is dead' eventually 25 "same voter \"\$(figure D role)\""
start B
expect 'the one that comes back learns' eventually 10 "same 'learner 3' \"\$(figure B role) \$(figure B voters)\""
expect '... and has the same registry' eventually 5 same_registry A B C D

# ---- two that formed apart, both without data

fresh
part C D
for id in A B C D; do
    launch "$id" oneosd "$id"
done
both_formed() { same_registry A B && same_registry C D && ! same "$(registry_of A | grep '^_meta')" "$(registry_of C | grep '^_meta')"; }
expect 'two halves form a registry each' eventually 15 both_formed
heal
expect 'when they meet they become one' eventually 40 same_registry A B C D
expect '... of all four' eventually 5 "same 4 \"\$(members A)\""
expect 'nothing is wrong' eventually 5 "[ -z \"\$(figure A trouble)\$(figure D trouble)\" ]"

# ---- one half has data

fresh
part C D
for id in A B C D; do
    launch "$id" oneosd "$id"
done
expect 'two halves again' eventually 15 both_formed
on C "touch $P/precious"
heal
expect 'the half without data gives way' eventually 40 same_registry A B C D
expect '... and what the other has is there for all' on A "[ -e $P/precious ]"

# ---- both have

fresh
part C D
for id in A B C D; do
    launch "$id" oneosd "$id"
done
expect 'two halves once more' eventually 15 both_formed
on A "touch $P/ours"
on D "touch $P/theirs"
heal
expect 'both have data: split is said on each machine' eventually 15 \
    '[ "$(for id in A B C D; do figure $id trouble; done | grep -c "^split: ")" = 4 ]'
expect '... by doctor too' eval 'on B oneos doctor | grep -q split'
expect 'nothing was destroyed' eval "on B ls $P | grep -qx ours && on C ls $P | grep -qx theirs"
expect '... and both go on' on A "touch $P/more"

# ---- a disk is replaced

fresh
start A
start B
start C
expect 'three again' eventually 10 "same 3 \"\$(figure A voters)\""
kill9 C
rm -rf "$HOME/.oneos/C/registry"
start C
expect 'a machine whose disk was replaced is refused, in words' eventually 15 "figure C trouble | grep -q forget"
expect '... that the others say too' eval 'on A oneos doctor | grep -q "forget C"'
on A 'echo "forget C" >/oneos/ctl'
expect 'once it is forgotten it joins as a new one' eventually 20 same_registry A B C
expect '... and votes' eventually 15 "same voter \"\$(figure C role)\""

# ---- one is forgotten while it is away, and comes back with its disk

kill9 C
expect 'C is dead' eventually 10 on A grep -qx dead /oneos/machines/C/state
on A "oneos forget C && touch $P/meanwhile"
expect 'once it is forgotten two are left' eventually 5 "same 2 \"\$(members A)\""
start C
expect 'it joins again' eventually 20 same_registry A B C
expect '... and votes' eventually 15 "same 'voter 3' \"\$(figure C role) \$(members C)\""
finish

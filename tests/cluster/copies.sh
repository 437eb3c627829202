#!/usr/bin/env bash
# A registry that is put back to an older state, and a copy of a state folder that runs on another machine.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C D
P=/oneos/pipes
start A
start B
start C
expect 'three vote' eventually 15 "same 3 \"\$(figure A voters)\""
on A "for i in \$(seq 10); do touch $P/a\$i; done"
expect 'all have the same' eventually 10 same_registry A B C
follower=B
[ "$(leader_of A)" != B ] || follower=C

# ---- put back, as with a backup or a snapshot of a virtual machine

kill9 $follower
cp -a "$HOME/.oneos/$follower/registry" "$T/backup"
start $follower
on A "for i in \$(seq 30); do touch $P/b\$i; done"
expect 'it has all' eventually 10 same_registry A B C
kill9 $follower
rm -rf "$HOME/.oneos/$follower/registry"
cp -a "$T/backup" "$HOME/.oneos/$follower/registry"
start $follower
expect 'put back, it gets what it lacks' eventually 10 same_registry A B C
expect '... though the same machine leads, whose log tells of it' eval 'grep -q "its state folder was put back" "$T/$(leader_of A)/log"'

# ---- copied

kill9 C
mkdir "$T/copy"
cp -a "$HOME/.oneos/C" "$T/copy/C"
start C
expect 'nothing is wrong' eventually 10 "same '' \"\$(figure C trouble)\""
launch D oneosd C --state "$T/copy" --cluster-key "$HOME/.oneos/cluster.key"
expect 'whoever has a twin says so' eventually 10 "figure C trouble | grep -q '^another oneosd with the id C runs at '"
expect '... the twin too' eventually 15 "figure D trouble | grep -q '^another oneosd with the id C runs at '"
expect 'doctor says so' on C 'oneos doctor | grep -q "^wrong .*another oneosd with the id C"'
expect 'the others write on' on A "touch $P/more"
stop D
stop C
start C
expect 'with one of them all is well again' eventually 20 same_registry A B C
expect '... and nothing is wrong' eventually 10 "same '' \"\$(figure C trouble)\""
finish

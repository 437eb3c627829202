#!/usr/bin/env bash
# The disk of a machine is full while the others change the registry: it stays alive and answers, says what is wrong,
# and goes on when there is room again.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C
mkdir -p "$HOME/.oneos" "$T/small"
on C "mount -t tmpfs -o size=24m tmpfs $T/small"
start A
start B
start C --state "$T/small" --cluster-key "$HOME/.oneos/cluster.key"
expect 'three vote' eventually 20 "same 3 \"\$(figure A voters)\""
on C "dd if=/dev/zero of=$T/small/filler bs=4k 2>/dev/null; true"
on A 'for k in $(seq 20); do echo "k$k $(head -c 180 /dev/urandom | base64 -w 0)"; done >/tmp/labels
      for i in $(seq 250); do sed "s/^k1 .*/k1 $i/" /tmp/labels >/oneos/machines/A/labels || exit 1; done'
expect 'C says that there is no room' eventually 10 "figure C trouble | grep -q 'the disk is full'"
answers() { within 1500 on C cat /oneos/status >/dev/null && on A grep -qE '^(alive|suspect)$' /oneos/machines/C/state; }
expect '... and works otherwise' always 6 answers
on C rm "$T/small/filler"
expect 'with room again it has what all have' eventually 15 same_registry A B C
expect '... and nothing is wrong' eventually 5 "same '' \"\$(figure C trouble)\""
stop C
on C umount "$T/small"
finish

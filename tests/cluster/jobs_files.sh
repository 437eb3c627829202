#!/usr/bin/env bash
# A job writes a file of the machine it was submitted on, and runs elsewhere. That machine dies, and nothing of the job but its file
# was there: it is lost all the same, or waits for the file's machine to be back where it may be begun again.
LIMIT=240
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"

machines A B C
for id in A B C; do start $id; done
expect 'three machines, one registry' eventually 20 'same_registry A B C'
expect '... in which all vote' eventually 20 "on A grep -qx 'voters 3' /oneos/status"
lost=$(submit A -- "@B sh -c 'sleep 3; echo x' > $T/lost")
again=$(submit A 'retries 3' -- "@B sh -c 'sleep 3; echo x' > $T/again")
expect 'both run on B' eventually 10 "in_state $lost running && in_state $again running"
power_off A
expect 'B says what it is about' eventually 20 "on B grep -q 'A is dead' $J/$lost/why"
expect 'the one is lost with the machine of its file' eventually 60 "on B timeout 2 cat $J/$lost/wait | grep -qx 'lost A'"
expect 'the other may be begun again, and says what it waits for' eventually 30 "on B grep -v 'it runs' $J/$again/why | grep -w A"
power_on A
start A
expect '... which is when that machine is back' eventually 60 "on B timeout 2 cat $J/$again/wait | grep -qx 'exit 0'"
expect 'its file is whole' same x "$(cat "$T/again")"
finish

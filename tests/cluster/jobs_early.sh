#!/usr/bin/env bash
# A job that can begin at once is made and placed by one command, where the scheduler is beside the registry's leader; else
# by two. Either way it runs.
LIMIT=120
. "$(dirname "$0")/../lib/cluster.sh"
. "$LIB/jobs.sh"
machines A B C
for id in A B C; do start "$id"; done

scheduler_of() { on "$1" "basename \$(readlink /oneos/services/scheduler/machine)"; }
runs() { on "$1" grep -qx 'state running' /oneos/services/scheduler/status; }

# commands JOB: what the log has about the job besides its end: `made`, `placed`, `made and placed`.
commands()
{
    on A oneos registry log | awk -v name="$1" '
        /"cmd":"job.make"/ && /"start":true/ { made[++n] = /"advice":/ ? "made and placed" : "made" }
        /"cmd":"job.place"/ && $0 ~ "\"name\":\"" name "\"" { placed = ", placed" }
        END { print made[n] placed }'
}

# goes ID WANTED: a job of that machine is done, and came to be so.
goes()
{
    local name
    name=$(on "$1" oneos run -d -- true) && came "$name" 'exit 0' && same "$2" "$(commands "$name")"
}

for id in A B C; do
    expect "a job of $id runs" eventually 20 "on $id oneos run -- true"
done
leader=$(leader_of A)
expect 'the scheduler is beside the leader' same "$leader" "$(scheduler_of A)"
# The first that is made anew finds all machines known; one whose machine was asked in that moment is placed afterwards.
for id in A B C; do
    expect "one command for a job of $id" eventually 20 "goes $id 'made and placed'"
done
expect 'and for a pipeline over two machines' eventually 20 "on $leader 'oneos run -c \"@A echo x | @B cat\" | grep -qx x' &&
    same 'made and placed' \"\$(commands \"\$(on A 'cat /oneos/jobs/last/status | sed -n \"s/^id //p\"')\")\""

# ---- the scheduler elsewhere ----

[ "$leader" = A ] && other=B || other=A
expect 'the scheduler can be elsewhere' eventually 10 "on A 'echo move $other >/oneos/services/scheduler/ctl' && same $other \"\$(scheduler_of A)\" && runs A"
for id in A B C; do
    [ "$id" = "$other" ] || expect "two commands for a job of $id" eventually 20 "goes $id 'made, placed'"
done
expect "one for a job of its own machine" eventually 20 "goes $other 'made and placed'"

# ---- another leader ----

expect 'it comes back' eventually 10 "on A 'echo move $leader >/oneos/services/scheduler/ctl' && same $leader \"\$(scheduler_of A)\" && runs A"
expect 'all three vote: one of them can be missed' eventually 20 on A grep -qx 'voters 3' /oneos/status
kill9 "$leader"
[ "$leader" = A ] && from=B || from=A
expect 'another machine leads' eventually 10 "same 1 \"\$(leader_of $from | grep -vc $leader)\""
expect 'and has the scheduler soon' eventually 15 "runs $from && same \"\$(leader_of $from)\" \"\$(scheduler_of $from)\""
start "$leader"
expect 'one command again' eventually 20 "goes $from 'made and placed'"
finish

#!/usr/bin/env bash
# B loses its power. After the time in which a link can resume, who waits for its processes is told `lost B`, who reads
# their output gets EIO, and never an end of file.
LIMIT=150
. "$(dirname "$0")/../lib/cluster.sh"

state_is() { on "$1" "grep -qx $3 /oneos/machines/$2/state"; }

machines A B C
start A
start B
start C
expect 'they see each other' eventually 5 'state_is A B alive && state_is C B alive'
p=$(on A "oneos run -d -l B -- sh -c 'echo first; exec sleep 1000'")
done=$(on A "oneos run -d -l B -- sh -c 'echo all; exit 5'")
expect 'one process runs on B, one has ended' eventually 5 on A "timeout 1 head -n 1 /oneos/procs/$p/stdout | grep -qx first && timeout 1 grep -qx 'exit 5' /oneos/procs/$done/wait"
in_bg waits A "exec cat /oneos/procs/$p/wait"
in_bg also C "exec cat /oneos/procs/$p/wait"
in_bg reads A "exec cat /oneos/procs/$p/stdout"
in_bg writes A "exec cat /dev/zero >/oneos/procs/$p/stdin"
in_bg runs A "exec oneos run -l B -- sh -c 'echo here; exec sleep 1000'"
in_bg verb A "exec oneos wait $p"
expect 'all of them are at it' eventually 5 'out reads | grep -qx first && out runs | grep -qx here'

takes=$(on A "exec 3<>/oneos/machines/B/procs/clone && read -r name <&3 && echo exec cat >&3 && echo \$name")
unplug B
in_bg closes A "echo lost | call write /oneos/procs/$takes/stdin"
expect 'who has written to it waits for it to arrive' always 1 '! ended closes'

began=$(now_ms)
power_off B
torn[B]=1
expect 'B is dead' eventually 4 'state_is A B dead && state_is C B dead'
plug B # what its kernel still has to say, such as a heartbeat that nobody had acknowledged, would keep the cable
expect 'nobody gives its processes up at once' always 20 '! ended waits && ! ended also && ! ended reads && ! ended runs'
expect 'after the resume window it is lost' eval 'result 30 waits && same "lost B" "$(out waits)"'
echo "# lost after $(($(now_ms) - began)) ms"
expect 'also C says so' eval 'result 5 also && same "lost B" "$(out also)"'
expect 'the reader got an error, not an end' eval 'result 10 reads | grep -qx 1 && err reads && err reads | grep -q "Input/output error"'
expect 'it has what was written before' same first "$(out reads)"
expect 'the writer got an error' eval 'result 10 writes | grep -qx 1 && err writes'
expect 'the close of who had written says so, too' eval 'result 10 closes | grep -qx 1 && err closes | grep -qx EIO'
expect 'oneos run says 125 and why' eval 'result 10 runs | grep -qx 125 && err runs && err runs | grep -qw B'
expect 'oneos wait says 125 and why' eval 'result 10 verb | grep -qx 125; cat "$T/bg/verb.status"; err verb; grep -qx 125 "$T/bg/verb.status" && { out verb; err verb; } | grep -w B'
expect 'who asks later is told at once' within 1000 on A "timeout 5 cat /oneos/procs/$p/wait | grep -qx 'lost B'"
expect 'what had ended before keeps its end' same 'exit 5' "$(on A "timeout 5 cat /oneos/procs/$done/wait")"
expect 'it is still listed' on A "[ -d /oneos/procs/$p ] && oneos ps --json | grep -q '\"$p\"'"

power_on B
start B
expect 'B comes back' eventually 5 'state_is A B alive && state_is C B alive'
expect 'its processes were lost with it' eventually 5 on A "timeout 2 cat /oneos/procs/$p/wait | grep -qx 'lost B' && grep -qx 'cause lost' /oneos/procs/$p/status"
expect 'what they had written is there' same first "$(on A "timeout 5 cat /oneos/procs/$p/stdout")"
expect 'a new one has a new number' eval 'new=$(on A "oneos run -d -l B -- true") && [ "$new" != "$p" ] && [ "$new" != "$done" ]'
finish

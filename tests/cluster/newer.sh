#!/usr/bin/env bash
# A machine whose program is newer brings a command that those here do not know: it is refused, and nothing stops.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B C
P=/oneos/pipes
start A
start B
expect 'A leads' eventually 10 "same A \"\$(leader_of B)\" && same 2 \"\$(registry_of B | grep -c ^member/)\""
mkfifo "$T/asks"
in_bg node C "exec registry_node C --state $HOME/.oneos <$T/asks"
exec 7>"$T/asks"
said() { echo "$1" >&7; eventually 10 "out node | tail -n 1 | grep -q \"$2\" || { echo '$1' >&7; false; }"; }
expect 'a command of the next schema is refused' said 'raw A {"v":99,"cmd":"pipe.make"}' 'raw EPROTONOSUPPORT A leads the registry and is too old'
expect 'what is no command is refused' said 'raw A [[[' 'raw EPROTO '
expect 'one that has no name is carried out as a failure' said 'raw A {"v":1}' 'raw ok'
expect 'the registry goes on' on A "touch $P/more"
expect '... on all' eventually 5 on B "[ -e $P/more ]"
expect 'nothing is wrong' eval '! on A grep trouble /oneos/status && ! on B grep trouble /oneos/status'
exec 7>&-
expect 'the newer one ends' same 0 "$(result 10 node)"
finish

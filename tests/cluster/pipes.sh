#!/usr/bin/env bash
# Each sentence of "Pipes, exactly": three machines, ends of one pipe on all of them. Mostly A makes
# it, while B writes and C reads.
LIMIT=240
. "$(dirname "$0")/../lib/cluster.sh"
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

# make_on ID NAME: a pipe that everybody then knows.
make_on() { on "$1" "touch '$P/$2'"; }
# says ERRNO COMMAND...: that word of tests/lib/call.
says() { local want=$1; shift; [ "$("$@" 2>&1 >/dev/null | tail -n 1)" = "$want" ]; }
# column ID NAME N: of pipes/status as that machine shows it.
column() { on "$1" "awk -v n='$2' -v c=$3 '\$1 == n { print \$c }' $P/status"; }
# counts ID NAME: readers writers buffered
counts() { on "$1" "awk -v n='$2' '\$1 == n { print \$3, \$4, \$7 }' $P/status"; }
# reading ID NAME N: so many read it, as that machine shows.
reading() { [ "$(column "$1" "$2" 3)" = "$3" ]; }
writing() { [ "$(column "$1" "$2" 4)" = "$3" ]; }

expect 'mkfifo is refused with EOPNOTSUPP' says EOPNOTSUPP on A call mkfifo $P/fifo
expect 'touch makes a pipe' on A "touch $P/one"
expect '... > too' on A ": >$P/two"
expect 'both are known everywhere at once' on C "ls $P/one $P/two"
expect 'O_EXCL of one that exists elsewhere: EEXIST' says EEXIST on C call create $P/one
expect 'opening one that does not exist: ENOENT' says ENOENT on C call open $P/none
expect 'open to read does not block' within 1000 on C call open $P/one
expect 'what made it is no writer: a read blocks' says blocked on C call read $P/one 700
expect '... also where it was made' says blocked on A call read $P/two 700
expect 'a read elsewhere that gave up leaves no reader' eventually 3 'same "0 0 0" "$(counts B one)"'

in_bg reader C cat $P/one
expect 'the first reader makes its machine the holder' eventually 3 'same C "$(column A one 8)"'
on B "echo hello >$P/one"
expect 'a reader on C gets what a writer on B wrote, and end of file' same 0 "$(result 5 reader)"
expect '... exactly' same hello "$(out reader)"
expect 'nobody holds it afterwards' eventually 3 'same - "$(column A one 8)"'

in_bg reader C cat $P/one
eventually 3 reading C one 1
on B ": >$P/one"
expect 'a writer that writes nothing ends the wait for it' same 0 "$(result 5 reader)"
on B ": >$P/one"
expect '... also when it came before the reader' same 0 "$(on C "timeout 5 cat $P/one"; echo $?)"

on A "echo early >$P/one"
expect 'a write before any reader waits for one' same early "$(on C "timeout 5 cat $P/one")"

in_bg writer B "{ echo first; until [ -e $P/go ]; do sleep 0.05; done; } >$P/one"
in_bg reader C "cat $P/one; echo end"
eventually 3 '[ "$(out reader)" = first ]'
on A "echo second >$P/one"
eventually 3 '[ "$(out reader | wc -l)" = 2 ]'
expect 'no end of file while one of two writers is there' always 1 '! ended reader'
make_on A go
expect 'end of file when both have closed' same 0 "$(result 10 reader)"
expect '... exactly' same 'first second end' "$(out reader | tr '\n' ' ' | sed 's/ $//')"

for round in 1 2 3 4 5; do
    on A "echo a$round >$P/one"
    on B "echo b$round >$P/one"
    on C "timeout 10 cat $P/one" | sort
done >"$T/rounds"
expect 'end of file only after the bytes of all who wrote before, on whatever machine' \
    same "$(printf 'a%d\nb%d\n' 1 1 2 2 3 3 4 4 5 5)" "$(cat "$T/rounds")"

# ---- capacity, EAGAIN, EPIPE

make_on A cap
on A "echo 'capacity cap 65536' >$P/ctl"
expect 'a writer with no reader fills its own capacity and no more' \
    says 'short 65536' on B "head -c 1000000 /dev/zero | call writenb $P/cap"
expect '... then O_NONBLOCK says EAGAIN' says EAGAIN on B "head -c 8192 /dev/zero | call writenb $P/cap"
expect 'the bytes are counted as buffered' eventually 3 'same 65536 "$(column C cap 7)"'
in_bg writer B "head -c 8192 /dev/zero >$P/cap"
expect 'a blocking write waits' always 1 '! ended writer'
expect 'a reader takes all of it' same 73728 "$(on C "timeout 5 cat $P/cap | wc -c")"
expect 'the writer goes on' same 0 "$(result 5 writer)"
expect 'an empty pipe: O_NONBLOCK reads say EAGAIN' says EAGAIN on C "call readnb $P/cap"
expect 'it says how to give a capacity' eval "! on A \"echo 'capacity cap 10' >$P/ctl\" && on A grep -q 4096 $P/error"
expect 'default capacity 1 MiB' eval "make_on A mib; says 'short 1048576' on B 'head -c 3000000 /dev/zero | call writenb $P/mib'"
on B "rm $P/mib"

in_bg writer B "exec yes >$P/one"
expect 'head on C gets its line' same y "$(on C "timeout 5 head -n 1 $P/one 2>/dev/null")"
expect 'once all readers have closed the writer on B gets EPIPE' eval 'same 1 "$(result 5 writer)" && err writer | grep -q "Broken pipe"'
expect 'nobody holds it afterwards, nothing is left in it' eventually 3 'same "0 0 0" "$(counts A one)" && same - "$(column A one 8)"'
on B "echo new >$P/one"
expect 'the next pair starts afresh' same new "$(on C "timeout 5 cat $P/one")"

# ---- who gets what

make_on A torn
# shellcheck disable=SC2016
record='for i in $(seq 300); do printf "%s%04d%4089s.\n" $0 $i ""; done'
for id in A B C; do
    in_bg "w$id" $id "exec bash -c '$record' $id >$P/torn"
    in_bg "v$id" $id "exec bash -c '$record' $(tr ABC abc <<<$id) >$P/torn"
done
expect 'six writers are counted' eventually 5 writing C torn 6
on C "timeout 60 cat $P/torn" >"$T/torn"
# in_order WRITER...: each has all of its records, in order.
in_order() { local w; for w in "$@"; do same "$(seq -f "$w%04g" 300)" "$(grep -o "^$w...." "$T/torn")" || return 1; done; }
expect 'writes of 4096 bytes by six writers on three machines are never torn' \
    same 0 "$(grep -cvE '^[A-Ca-c][0-9]{4} {4089}\.$' "$T/torn")"
expect '... and all are there, each writer in order' in_order A B C a b c

make_on A many
in_bg r1 B cat $P/many
in_bg r2 C cat $P/many
eventually 3 reading A many 2
on A "seq 300000 >$P/many"
expect 'stream: two readers on two machines end' eval '[ "$(result 20 r1)" = 0 ] && [ "$(result 20 r2)" = 0 ]'
expect '... and together have each byte once' same "$(seq 300000 | wc -c)" "$(($(out r1 | wc -c) + $(out r2 | wc -c)))"
expect '... each has some' eval '[ "$(out r1 | wc -c)" -gt 0 ] && [ "$(out r2 | wc -c)" -gt 0 ]'

make_on A cast
on A "echo 'mode cast broadcast' >$P/ctl"
expect 'the mode is seen everywhere' same broadcast "$(column C cast 2)"
in_bg r1 B "cat $P/cast | sha256sum"
in_bg r2 C "cat $P/cast | sha256sum"
in_bg r3 C "dd bs=64k status=none <$P/cast | while IFS= read -rN 4000000 x; do echo; sleep 0.3; done | wc -l"
eventually 3 reading A cast 3
expect 'the mode cannot change while it is used: EBUSY' says EBUSY on A "echo 'mode cast stream' | call write $P/ctl"
began=$(now_ms)
on A "seq 3000000 >$P/cast"
took=$(($(now_ms) - began))
want=$(seq 3000000 | sha256sum)
result 30 r1 >/dev/null && result 30 r2 >/dev/null && result 30 r3 >/dev/null
expect 'broadcast: every reader gets every byte from its open' eval 'same "$want" "$(out r1)" && same "$want" "$(out r2)"'
expect '... at the pace of the slowest' eval 'echo "took $took ms"; [ "$took" -ge 800 ]'

# ---- the way of the bytes, counts, names

net() { on A 'cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/tx_bytes' | paste -sd+ | bc; }
make_on A way
in_bg reader C "cat $P/way | wc -c"
eventually 3 reading A way 1
before=$(net)
on B "head -c 64M /dev/zero >$P/way"
result 30 reader >/dev/null
after=$(net)
expect 'bytes go straight from B to C, not through A, where the pipe was made' \
    eval 'same 67108864 "$(out reader)" && echo "$((after - before)) bytes on the cable of A" && [ $((after - before)) -lt 1000000 ]'
for id in A B C; do
    expect "bytes in and out are counted on $id" eventually 3 "same '67108864 67108864' \"\$(column $id way 5) \$(column $id way 6)\""
    expect "no reader or writer is counted on $id any more" eventually 3 "same '0 0 0' \"\$(counts $id way)\""
done
expect 'status is a table with a head' on B "grep -q '^name mode readers writers bytes_in bytes_out buffered machine$' $P/status"

for i in $(seq 25); do
    on B "seq $i 200 >$P/way" &
    on C "timeout 10 cat $P/way"
    wait $!
done >"$T/again"
expect 'a pipe is used again and again' same "$(for i in $(seq 25); do seq "$i" 200; done | sha256sum)" "$(sha256sum <"$T/again")"
expect '... and its counts come back to nothing' eventually 3 'same "0 0 0" "$(counts A way)"'

name='two words, ünï & "quotes"'
expect 'a name of spaces and UTF-8' on A "touch '$P/$name' && ls $P" 
in_bg reader C cat "$P/$name"
on B "echo through >'$P/$name'"
expect '... carries bytes' eval 'same 0 "$(result 5 reader)" && same through "$(out reader)"'
expect '... and is quoted in status' on B "grep -F 'two words' $P/status | grep -q \"^'\""
expect '... is removed from elsewhere' on C "rm '$P/$name'"
expect '... then nobody has it' on A "! ls '$P/$name' 2>/dev/null"
expect 'a name of 255 bytes, not of 256' eval "on A 'touch $P/$(printf %0255d 0)' && ! on A 'touch $P/$(printf %0256d 0)'"
on B "rm $P/$(printf %0255d 0)"

make_on A gone
in_bg reader C cat $P/gone
eventually 3 reading A gone 1
in_bg writer B "exec 3>$P/gone; echo before >&3; while [ -e $P/gone ]; do sleep 0.05; done; echo after >&3"
eventually 3 '[ "$(out reader)" = before ]'
on A "rm $P/gone"
expect 'rm while it is open: its ends go on' same 0 "$(result 5 reader)"
expect '... to the last byte' same 'before after' "$(out reader | paste -sd' ')"
expect '... a new pipe of that name is another' eval "make_on B gone; on A 'echo x >$P/gone'; same x \"\$(on C timeout 5 cat $P/gone)\""

for i in 1 2 3 4 5; do
    in_bg m1 A call create "$P/same$i"
    in_bg m2 B call create "$P/same$i"
    result 6 m1 >/dev/null
    result 6 m2 >/dev/null
    printf '%s\n' "$(err m1) $(err m2)"
done >"$T/same"
expect 'two machines make the same name at once: one does' same 5 "$(grep -cE '^(ok EEXIST|EEXIST ok)$' "$T/same")"
expect '... and there is one' same 5 "$(on C "ls -d $P/same* | wc -l")"
in_bg reader A cat $P/same1
in_bg writer B "echo one >$P/same1"
expect '... that joins both' eval 'same 0 "$(result 5 reader)" && same one "$(out reader)"'

in_bg makers A "for i in \$(seq 200); do : >$P/bulk\$i; done"
expect '200 pipes' same 0 "$(result 60 makers)"
expect '... are known everywhere' same 200 "$(on C "ls -d $P/bulk* | wc -l")"
in_bg readers C "for i in \$(seq 200); do cat $P/bulk\$i >/dev/shm/bulk.$$.\$i & done; wait; cat /dev/shm/bulk.$$.*; rm /dev/shm/bulk.$$.*"
in_bg writers B "for i in \$(seq 200); do seq \$i \$((i + 500)) >$P/bulk\$i & done; wait"
expect '... all used at once' eval 'same 0 "$(result 60 writers)" && same 0 "$(result 60 readers)"'
expect '... each carries its own' same "$(for i in $(seq 200); do seq "$i" $((i + 500)); done | sort | sha256sum)" "$(out readers | sort | sha256sum)"
expect '... all are removed' on B "rm $P/bulk* && ! ls $P/bulk* 2>/dev/null"

# ---- permissions

expect 'a pipe has the mode of its making' eval "on A 'umask 027; touch $P/mine'; same 640 \"\$(on A stat -c %a $P/mine)\""
expect '... on every machine' eventually 3 'same 640 "$(on C stat -c %a $P/mine)"'
expect 'its owner can change it' on C "chmod 600 $P/mine"
expect '... for all' eventually 3 'same 600 "$(on A stat -c %a $P/mine)"'
expect '... but not its owner' eval '! on A "chown nobody $P/mine" 2>/dev/null'
as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if [ "$(id -u)" = 0 ] && on A "${as[@]}" true 2>/dev/null; then
    expect 'another user may not open it' eval "on C \"\${as[@]}\" bash -c ': <$P/mine' 2>&1 | grep -q 'Permission denied'"
    expect '... nor change it' eval "! on C \"\${as[@]}\" chmod 666 $P/mine 2>/dev/null"
fi

# ---- who made it is gone

make_on A orphan
eventually 20 on C grep -qx 'voters 3' /oneos/status || die 'not all of them vote'
kill9 A
for id in B C; do
    eventually 6 "on $id grep -qx dead /oneos/machines/A/state" || die "A is not dead for $id"
done
in_bg reader C cat $P/orphan
on B "echo still >$P/orphan"
expect 'its maker dead: the pipe carries bytes' eval 'same 0 "$(result 10 reader)" && same still "$(out reader)"'
expect '... and can be removed' on B "rm $P/orphan && ! ls $P/orphan 2>/dev/null"
expect 'others can be made' on C "touch $P/after"

kill9 B
eventually 6 "on C grep -qx dead /oneos/machines/B/state" || die "B is not dead for C"
expect 'without a quorum: what exists opens' on C "touch $P/after"
in_bg writer C "echo x >$P/after"
expect '... and can be written' same 0 "$(result 5 writer)"
expect '... a new name: EAGAIN within 5 s' within 6000 says EAGAIN on C call create $P/new
expect '... so does a first reader' within 6000 says EAGAIN on C call read $P/after 6000
expect 'the names are still listed' on C "ls $P/after"
on A 'umount -l /oneos' # so that the new daemons find none
on B 'umount -l /oneos'
start A
start B
expect 'after a restart of most: the names are there' eventually 10 on A "ls $P/after"
expect '... and what was written before' eventually 10 'same x "$(on C timeout 5 cat $P/after)"'
finish

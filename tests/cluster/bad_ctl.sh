#!/usr/bin/env bash
# Bad input at every ctl: the errno that the contract names, and one plain sentence in the sibling `error`.
. "$(dirname "$0")/../lib/cluster.sh"
machines A B
start A
start B
expect 'A and B see each other' eventually 3 'on A grep -qx alive /oneos/machines/B/state && on B grep -qx alive /oneos/machines/A/state'

# answers FILE ERRNO WORDS COMMAND...: what the command prints, written on A in one piece, gives that errno,
# and `error` beside it says so in one sentence with those words (an extended regular expression).
answers()
{
    local file=/oneos/$1 errno=$2 words=$3 got
    shift 3
    "$@" >"$T/input"
    got=$(on A "${as[@]}" call write "$file" <"$T/input" 2>&1)
    same "$errno" "$got" || return 1
    on A cat "${file%/*}/error" >"$T/error"
    head -c 300 "$T/error"
    [ "$(wc -l <"$T/error")" = 1 ] && grep -qE "$words" "$T/error"
}
as=()

# refuses FILE ERRNO WORDS TEXT
refuses()
{
    expect "$1 takes no '${4:0:40}': $2" answers "$1" "$2" "$3" printf '%b' "$4"
}

a_mebibyte() { printf 'env A=' && head -c $((1 << 20)) /dev/zero | tr '\0' x; }
long_value() { printf 'A ' && head -c 70000 /dev/zero | tr '\0' x; }
nul_bytes() { printf 'env A=\0\0\n'; }
million_words() { head -c 1000000 /dev/zero | tr '\0' ' ' | sed 's/  / x/g'; }

new_on()
{
    # shellcheck disable=SC2016
    on A "exec 3<>/oneos/machines/$1/procs/clone && read -r name <&3 && printf '%s\n' '$2' >&3 && echo \$name"
}
a_mebibyte >"$T/mebibyte"
a=$(new_on A 'exec sleep 1000')
b=$(new_on B 'exec sleep 1000')
dead_a=$(new_on A 'exec true')
dead_b=$(new_on B 'exec true')
expect 'two run, two have ended' on A "cat /oneos/procs/$dead_a/wait /oneos/procs/$dead_b/wait | uniq -c | grep '2 exit 0'"
on A touch /oneos/pipes/p

for file in ctl machines/A/ctl machines/B/ctl "procs/$a/ctl" "procs/$b/ctl" pipes/ctl; do
    refuses $file EINVAL "unknown verb 'flurb'" 'flurb now\n'
    refuses $file EINVAL quote '"flurb\n'
    refuses $file EINVAL quote "it's\n"
    expect "$file takes no NUL bytes" answers $file EINVAL 'NUL byte at offset 6' nul_bytes
    expect "$file takes no line of 1 MiB" answers $file EINVAL 'bytes|long|words' a_mebibyte
    expect "$file takes no half a million words" answers $file EINVAL 'bytes|long|words' million_words
    refuses $file EINVAL "unknown verb '\\?\\?'|must be UTF-8" '\xff\xfe\n'
done
refuses ctl EINVAL 'a word is missing: accept ID' 'accept\n'
refuses ctl EINVAL "too many words from 'B'" 'accept A B\n'
refuses ctl EINVAL 'flurb' 'token flurb\n'
refuses ctl ENOENT 'nobody' 'accept nobody\n'
refuses ctl EINVAL "takes no '.'" 'accept |\n'
refuses ctl ENOENT 'nobody' 'forget nobody\n'
refuses machines/A/ctl EINVAL 'too many words' 'drain now\n'
refuses machines/B/ctl EINVAL 'too many words' 'drain now\n'
refuses pipes/ctl EINVAL 'a word is missing: mode NAME' 'mode p\n'
refuses pipes/ctl EINVAL "'flurb'" 'mode p flurb\n'
refuses pipes/ctl ENOENT "'q'" 'mode q stream\n'
refuses pipes/ctl EINVAL 'much' 'capacity p much\n'
refuses pipes/ctl EINVAL 'cannot be 0' 'capacity p 0\n'

for p in "$a" "$b"; do
    refuses "procs/$p/ctl" EINVAL 'a word is missing: signal NAME' 'signal\n'
    refuses "procs/$p/ctl" EINVAL FLURB 'signal FLURB\n'
    refuses "procs/$p/ctl" EINVAL 99 'signal 99\n'
    refuses "procs/$p/ctl" EINVAL 'many' 'nice many\n'
    refuses "procs/$p/ctl" EINVAL '20' 'nice 20\n'
    refuses "procs/$p/ctl" EBUSY "$p|runs|started" 'exec true\n'
    refuses "procs/$p/ctl" EBUSY "$p|runs|started" 'env A=B\n'
    refuses "procs/$p/ctl" EINVAL 'a word is missing: exec' 'exec\n'
done
for p in "$dead_a" "$dead_b"; do
    refuses "procs/$p/ctl" ESRCH "$p|ended" 'signal TERM\n'
    refuses "procs/$p/ctl" ESRCH "$p|ended" 'kill\n'
    refuses "procs/$p/ctl" EBUSY "$p|ended|started" 'exec true\n'
done

# What is kept for a process has bounds: 17 times 63 KiB is more than 1 MiB.
# shellcheck disable=SC2016
on A 'a_value() { printf "env A%s=" $1; head -c 64512 /dev/zero | tr "\0" x; }
    exec 3<>/oneos/procs/clone && read -r name <&3 && for i in {1..17}; do a_value $i | call write /oneos/procs/$name/ctl; done
    cat /oneos/procs/$name/error' >"$T/bounds" 2>&1
expect 'an environment of more than 1 MiB is refused' eval 'cat "$T/bounds"; [ "$(grep -cx ok "$T/bounds")" = 16 ] &&
    grep -qx E2BIG "$T/bounds" && grep -q "more than 1048576 bytes" "$T/bounds"'

# The lines of one write run in order up to the first that fails.
# shellcheck disable=SC2016
in_bg lines A 'exec 3<>/oneos/procs/clone && read -r name <&3 && echo "$name" && exec sleep infinity'
eventually 5 '[ -n "$(out lines)" ]'
new=procs/$(out lines)
refuses "$new/ctl" EINVAL "NAME=VALUE|'B'" 'env A=1\nenv B\nenv C=3\n'
expect 'the lines before the bad one have run, those behind it not' same A=1 "$(on A cat "/oneos/$new/env")"
signal lines TERM
on A "echo cont >/oneos/procs/$a/ctl"
expect 'a write that succeeds empties error' same '' "$(on A cat "/oneos/procs/$a/error")"

# labels: not a ctl, but written like one.
for id in A B; do
    refuses machines/$id/labels EINVAL 'label' 'zone=lab x\n'
    expect "labels of $id take no NUL bytes" answers machines/$id/labels EINVAL NUL nul_bytes
    expect "labels of $id take no long value" answers machines/$id/labels EINVAL 'at most' long_value
    expect "labels of $id take no value of 1 MiB" eval '! on A call write "/oneos/machines/$id/labels" <"$T/mebibyte"'
    expect "the labels of $id are as before" same '' "$(on A cat /oneos/machines/$id/labels)"
done

# What cannot be started says why.
for id in A B; do
    for try in 'no-such-command|exec no-such-command\n' '/etc/passwd|exec /etc/passwd\n' '/nowhere|cwd /nowhere\nexec true\n'; do
        # shellcheck disable=SC2016
        expect "on $id, ${try#*|} fails and says why" on A bash -c 'exec 3<>/oneos/machines/'$id'/procs/clone &&
            read -r name <&3 && ! printf "%b" "$2" 2>/dev/null >&3 && cat /oneos/procs/$name/error &&
            grep -qF -- "$1" /oneos/procs/$name/error' bash "${try%%|*}" "${try#*|}"
    done
done

# Whose it is not may not: EPERM, in words.
if on A setpriv --reuid=65534 --clear-groups true 2>/dev/null; then
    as=(setpriv --reuid=65534 --clear-groups)
    for file in ctl machines/A/ctl machines/B/ctl "procs/$a/ctl" "procs/$b/ctl"; do
        refuses "$file" EPERM 'root.*nobody|nobody.*root' 'kill\n'
    done
    refuses pipes/ctl EPERM 'belongs to root' 'mode p broadcast\n'
    on A "${as[@]}" touch /oneos/pipes/q
    refuses pipes/ctl EPERM '16MiB.*root' 'capacity q 17MiB\n'
    # shellcheck disable=SC2016
    expect 'one user cannot take all places for pipes' on A "${as[@]}" bash -c 'i=0; while [ $i -lt 4096 ] && : >/oneos/pipes/of-nobody-$i; do i=$((i + 1)); done
        rm /oneos/pipes/of-nobody-*; [ $i -gt 1000 ] && [ $i -lt 4000 ]'
    expect 'what an ordinary user may set' on A "${as[@]}" sh -c 'echo capacity q 16MiB >/oneos/pipes/ctl && rm /oneos/pipes/q'
    for id in A B; do
        mine=$(on A "${as[@]}" bash -c "exec 3<>/oneos/machines/$id/procs/clone && read -r name <&3 && echo exec sleep 1000 >&3 && echo \$name")
        expect "a process of nobody on $id is nobody's" same nobody "$(on A stat -c %U "/oneos/procs/$mine/ctl")"
        expect 'who may signal it' on A "${as[@]}" sh -c "echo kill >/oneos/procs/$mine/ctl"
        expect 'and it ends' same 'signal KILL' "$(on A cat "/oneos/procs/$mine/wait")"
    done
    as=()
fi
expect 'after all that both run' on A "cat /oneos/procs/$a/status /oneos/procs/$b/status | uniq | grep -cx 'state running' | grep -qx 2"
finish

#!/usr/bin/env bash
# The harness itself: what it must give to the other tests, and that it fails when they should. Each
# story below is a test of its own; in place of oneosd it has the stand-in of this file.
set -u
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

cat >"$scratch/oneosd" <<'END'
#!/usr/bin/env bash
# Says that it is ready, mounts something on /oneos, and goes away when told to. What it does wrong on request is in $FAULT.
[ "${FAULT:-}" != start ] || { echo "cannot start: no reason" >&2; exit 69; }
mount -t tmpfs fake /oneos
echo "I am $(uname -n)" >/oneos/status
trap '[ "${FAULT:-}" = mount ] || umount /oneos; exit "${CODE:-0}"' TERM
[ "${FAULT:-}" != child ] || setsid sleep infinity &
echo ready >&3
exec 3>&-
rm -f "$0.$$"
mkfifo "$0.$$"
exec 4<>"$0.$$"
while :; do read -rt 1 -u 4 _; done
END
chmod +x "$scratch/oneosd"

# story TITLE WANTED-STATUS WANTED-WORDS [NAME=VALUE...]: the script on stdin must end so, and say so.
story()
{
    local title=$1 status=$2 say=$3 rc
    shift 3
    { echo ". '$here/../lib/cluster.sh'" && echo "PATH='$scratch':\$PATH" && cat; } >"$scratch/story.sh"
    env "TMPDIR=$scratch" "$@" bash "$scratch/story.sh" >"$scratch/output" 2>&1
    rc=$?
    if [ $rc = 77 ] && [ "$status" != 77 ]; then
        cat "$scratch/output"
        exit 77
    fi
    if [ $rc = "$status" ] && grep -qF -- "$say" "$scratch/output" && ! ls -d "$scratch"/oneos-test.* 2>/dev/null; then
        echo "ok - $title"
    else
        echo "not ok - $title: ended with $rc, and said:"
        sed 's/^/#   /' "$scratch/output"
        failed=1
    fi
}

story 'machines have names, roots and addresses of their own, and hear each other' 0 '1..' <<'END'
machines A B
# The other's address answers: a port that nobody listens on is refused.
refused() { on "$1" "timeout 0.3 bash -c 'exec 3<>/dev/tcp/$(address "$2")/9' 2>&1 | grep refused"; }
expect 'a name' same A "$(on A uname -n)"
expect 'an empty /oneos' on B '[ -d /oneos ] && [ -z "$(ls -A /oneos)" ]'
expect 'no process but its own' nothing_runs_on A
expect 'B is reached' refused A B
cut A
expect 'not when the interface is down' eval '! refused A B'
join A
expect 'again when it is up' eventually 3 'refused A B'
unplug B
expect 'not when the cable is drawn' eval '! refused A B'
plug B
expect 'again when it is in' eventually 3 'refused A B'
finish
END

story 'machines on two LANs reach each other through the router' 0 '1..' <<'END'
machines A
machines --lan 2 B
expect 'B is reached' eventually 3 on A "timeout 0.3 bash -c 'exec 3<>/dev/tcp/$(address B)/9' 2>&1 | grep refused"
finish
END

story 'a daemon starts, is asked, killed, started again, and stops' 0 '1..' <<'END'
machines A
start A
expect 'it runs on A' on A 'grep -x "I am A" /oneos/status'
expect 'it has memory, threads, descriptors' eval '[ "$(rss A)" -gt 100 ] && [ "$(threads A)" = 1 ] && [ "$(fds A)" -ge 3 ]'
kill9 A
expect 'its mount stays' on A 'grep -q /oneos /proc/mounts'
on A umount /oneos
start A
finish
END

story 'a machine loses its power and gets it back' 0 '1..' <<'END'
machines A B
start A
in_bg job A sleep infinity
power_off A
expect 'all of it has ended' eventually 2 ended job
power_on A
start A
expect 'it runs on A' on A 'grep -x "I am A" /oneos/status'
finish
END

story 'a command in the background takes Ctrl-C and has a result' 0 '1..' <<'END'
machines A
in_bg cat A cat /dev/zero
in_bg seven A 'echo here; exit 7'
expect 'a result' same 7 "$(result 3 seven)"
expect 'an output' same here "$(out seven)"
expect 'it runs' eval '! ended cat'
signal cat INT
expect 'interrupted' same 130 "$(result 3 cat)"
finish
END

story 'what fails, fails, with the words and the logs' 1 'I am the log' <<'END'
machines A
echo 'I am the log' >"$T/A/log"
expect 'the impossible' false
finish
END
story 'eventually gives up' 1 'still so after 1 s: on A' <<'END'
machines A
expect 'the impossible' eventually 1 on A false
finish
END
story 'within is strict' 1 '5 ms were allowed' <<'END'
machines A
expect 'fast' within 5 'nap; nap' # takes 60
finish
END
story 'a daemon that does not start' 1 'ended with 69 instead of becoming ready' FAULT=start <<'END'
machines A
start A
finish
END
story 'a daemon that ends badly' 1 'ended with 3 instead of 0' CODE=3 <<'END'
machines A
start A
finish
END
story 'a mount that is left' 1 'not ok 2 - nothing is left mounted on A' FAULT=mount <<'END'
machines A
start A
stop A
finish
END
story 'a process that is left' 1 'not ok 1 - nothing is left running on A' FAULT=child <<'END'
machines A
start A
stop A
finish
END
story 'a sanitizer that reports' 1 'not ok 3 - the sanitizers' <<'END'
machines A
echo '==1==ERROR: AddressSanitizer: whatever' >>"$T/A/log"
finish
END
story 'a script without finish' 1 'the script ended before' <<'END'
machines A
END
story 'a script that hangs' 1 'the time limit of 2 s was reached in: a long one' LIMIT=2 <<'END'
machines A
expect 'a long one' on A sleep infinity
finish
END
story 'a test that does not apply' 77 'skipped: no moon' <<'END'
skip no moon
END

exit $failed

# shellcheck shell=bash
# jobs.sh - what the stories of jobs share; behind cluster.sh.

J=/oneos/jobs

# submit ID [SETTING...] -- LINE: submits on that machine, and prints the job's name.
submit()
{
    local id=$1 verbs=''
    shift
    while [ "$1" != -- ]; do
        verbs+="set $1"$'\n'
        shift
    done
    # shellcheck disable=SC2016 # for the shell on that machine
    on "$id" bash -c 'exec 3<>/oneos/jobs/clone && read -r name <&3 && printf %s "$0" >&3 && echo "$name"' \
        "${verbs}run $2"$'\n'
}

# verdict ID JOB [SECONDS]: the line of its wait, once it is over.
verdict() { on "$1" timeout "${3:-60}" cat "$J/$2/wait"; }

# came JOB LINE [SECONDS]: it ends, with that line; else what is known of it is shown.
came()
{
    local got
    got=$(verdict A "$1" "${3:-60}")
    [ "$got" = "$2" ] || {
        echo "job $1 ended with '$got' instead of '$2'"
        on A "cat $J/$1/status $J/$1/why; timeout 3 cat $J/$1/stderr"
        return 1
    }
}

# of_job JOB KEY: the value of that key in its status.
of_job() { on A sed -n "s/^$2 //p" "$J/$1/status"; }

# in_state JOB STATE
in_state() { same "$2" "$(of_job "$1" state)"; }

# refused_with ERRNO WORDS ID LINE: a write to jobs/ctl fails so, and jobs/error has these words.
refused_with()
{
    local got
    got=$(on "$3" bash -c 'printf "%s\n" "$0" | call write /oneos/jobs/ctl 2>&1' "$4")
    echo "$got"
    on "$3" cat "$J/error"
    [ "$got" = "$1" ] && on "$3" grep -qi -- "$2" "$J/error"
}

#!/usr/bin/env bash
# The demo on three machines, each in namespaces of its own: address, host name, /oneos. 77: not here.
. "$(dirname "$0")/../tests/lib/cluster.sh"
here=$(cd "$(dirname "$0")" && pwd)
machines A B C
for id in A B C; do
    start $id
done
for id in B C; do
    eventually 5 "on A grep -qx alive /oneos/machines/$id/state" || die "A does not see $id"
done
on A cat /oneos/status
on A "$here/run.sh" show /oneos A B C || die "the pipeline failed"
for id in A B C; do
    stop $id
done
# shellcheck disable=SC2034 # for the harness: the end was meant
finished=1

#!/usr/bin/env bash
# machine.sh ID FOLDER - the first process of a test machine (see cluster.sh), already in its
# namespaces: gives it a name and a root with an empty /oneos, says so on FOLDER/up, and stays.
set -eu
id=$1 folder=$2 root=$2/root

hostname "$id"
for key in accept_dad dad_transmits; do # addresses are of use at once
    echo 0 2>/dev/null >"/proc/sys/net/ipv6/conf/default/$key" || true
done
ip link set lo up

# The root of this computer, entry by entry, but for /oneos.
mkdir -p "$root"
mount -t tmpfs -o mode=755 machine "$root"
mkdir "$root/oneos" "$root/.old"
for entry in /*; do
    case $entry in
    /oneos) continue ;;
    esac
    if [ -L "$entry" ]; then
        cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then
        mkdir "$root$entry"
        mount --rbind "$entry" "$root$entry"
    else
        touch "$root$entry"
        mount --bind "$entry" "$root$entry"
    fi
done
cd "$root"
pivot_root . .old
cd /
umount -l /.old
rmdir /.old
umount -l "$root" # what the recursion took along of the new root itself

# Children that lost their parent are reaped by the kernel, since SIGCHLD is ignored here.
exec sh -c 'trap "" CHLD; echo up >"$0"; exec env --ignore-signal=CHLD sleep infinity' "$folder/up"

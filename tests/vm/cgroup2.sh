#!/usr/bin/env bash
# cgroup2.sh - limits under cgroup v2, for computers that have v1: in a virtual machine, by hand with `make check-cgroup2`.
#
# A kernel of Debian's with the built programs as its initramfs, once for each way in which a machine may offer cgroups
# (the cases of cgroup2_inside.sh, which says what must hold). It needs apt, qemu-system-x86_64, a static busybox and cpio, but not
# KVM: emulated, it takes half a minute. KERNEL names another folder with boot/vmlinuz* and lib/modules.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$PWD
T=$(mktemp -d "${TMPDIR:-/tmp}/oneos-vm.XXXXXX")
trap 'rm -rf "$T"' EXIT

for tool in qemu-system-x86_64 busybox cpio; do
    command -v $tool >/dev/null || { echo "$tool is not installed" && exit 77; }
done

# The newest kernel that the distribution has, unpacked and not installed.
kernel=${KERNEL:-}
if [ -z "$kernel" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
    (cd "$T" && apt-get download -q "$package" >apt.log 2>&1) || { cat "$T/apt.log" && exit 77; }
    kernel=$T/kernel
    dpkg -x "$T/$package"_*.deb "$kernel"
fi

# add FILE...: into the root, with the libraries that it is linked with, where they are here.
root=$T/root
add()
{
    local file library
    for file in "$@"; do
        mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"
        for library in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname "$library")" && cp -Ln "$library" "$root$library"
        done
    done
}

mkdir -p "$root"/{bin,proc,sys,dev,tmp,run,etc,oneos,usr/bin,var/lib,home/ann}
cp "$(command -v busybox)" "$root/bin/busybox"
busybox --list | while read -r applet; do [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"; done
for program in oneosd oneos-init oneos oneos-client; do
    [ -e "$build/$program" ] || continue
    add "$build/$program"
    ln -s "$build/$program" "$root/usr/bin/$program"
done
add "$(command -v fusermount3)"
chmod 4755 "$root$(command -v fusermount3)"
cp "$(find "$kernel" -name 'fuse.ko')" "$root/fuse.ko"
cp "$here/cgroup2_inside.sh" "$root/init"
chmod 755 "$root/init"
ln -s /proc/mounts "$root/etc/mtab"
echo user_allow_other >"$root/etc/fuse.conf"
printf 'root:x:0:0::/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nann:x:1000:\n' >"$root/etc/group"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null) | gzip -1 >"$T/initramfs"

timeout 300 qemu-system-x86_64 -machine q35,accel=tcg -cpu max -smp 2 -m 2048 -nographic -no-reboot \
    -kernel "$(echo "$kernel"/boot/vmlinuz*)" -initrd "$T/initramfs" -append 'console=ttyS0 quiet panic=-1 rdinit=/init' \
    </dev/null 2>&1 | tr -d '\r' | tee "$T/console" | grep --line-buffered -E '^(ok|not ok|#)' || true
grep -q '^# all was tried' "$T/console" || { tail -n 20 "$T/console" && echo 'not ok - the machine went before its time' && exit 1; }
! grep -q '^not ok' "$T/console"

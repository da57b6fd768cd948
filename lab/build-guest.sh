#!/bin/bash
# Makes lab/cache/: template.qcow2 (a bootable disk with a real Debian kernel and our guest) and the prober.
# Nothing is installed and no root is needed. A second call with the same inputs does nothing. Prints what it made.
#
# build-guest.sh database: makes lab/cache/database.qcow2 instead, the same guest with Debian's PostgreSQL on an ext4
# partition, trusting everybody on the lab's LAN. Needs root, because PostgreSQL's initdb runs in a chroot.
set -euo pipefail
trap 'echo "build-guest: line $LINENO failed: $BASH_COMMAND" >&2' ERR
export LC_ALL=C

lab=$(cd "$(dirname "$0")" && pwd)
cache=$lab/cache
mbr=/usr/lib/SYSLINUX/mbr.bin
# shellcheck source=apt-root.sh
source "$lab/apt-root.sh"

# Modules in an order that loads; the names are files in the kernel package.
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover
         virtio_net virtio_blk virtio_balloon evdev button"
# Quick boot under TCG: no self-tests, no probing of what QEMU does not have. panic=-1: reset at once.
# pti=on is no tuning: TCG before QEMU 9.0 loses dirty pages where guest memory is a multiple of 256 KiB, and the moved
# guest panics. Page-table isolation flushes the TLB at every kernel entry and hides nearly all of it (without it 3 of 3
# moves under load died); guest memory of another size cures it. Whoever starts this guest chooses the size.
cmdline="console=ttyS0 quiet panic=-1 pti=on nokaslr tsc=reliable no_timer_check audit=0 nowatchdog
         cryptomgr.notests rcupdate.rcu_expedited=1 i8042.noaux i8042.nopnp apparmor=0 random.trust_cpu=on"

die() { echo "build-guest: $*" >&2; exit 1; }

need() {
    local missing=()
    for pair in gcc:gcc mcopy:mtools mkfs.fat:dosfstools syslinux:syslinux cpio:cpio qemu-img:qemu-utils \
        dpkg-deb:dpkg apt-get:apt mke2fs:e2fsprogs; do
        PATH=$PATH:/sbin:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ -e "$mbr" ] || missing+=(syslinux)
    [ -e /usr/lib/x86_64-linux-gnu/libc.a ] || missing+=(libc6-dev)
    [ -n "$(busybox_path)" ] || missing+=(busybox-static)
    [ ${#missing[@]} -eq 0 ] || die "missing here: ${missing[*]}. Install them: apt-get install ${missing[*]}"
}

# The one of Debian's two busybox packages that needs no libraries.
busybox_path() {
    local path
    path=$(command -v busybox || true)
    if [ -n "$path" ] && dpkg-query -W -f '${Status}' busybox-static 2>/dev/null | grep -q 'ok installed'; then
        echo "$path"
    fi
}

kernel_package() {
    local name
    name=$(apt-cache depends --no-recommends --no-suggests linux-image-cloud-amd64 2>/dev/null |
        awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$name" ] || die "apt does not know linux-image-cloud-amd64. Update its lists first: apt-get update"
    echo "$name=$(apt-cache policy "$name" | awk '/Candidate:/ { print $2 }')"
}

# apt-get download, and once more with fresh lists where that may help: old lists name files the mirror has dropped.
download() {
    (cd "$work" && apt-get download "$1" >apt.log 2>&1) && return
    [ "$(id -u)" = 0 ] || return
    (cd "$work" && apt-get update >update.log 2>&1 && apt-get download "$(kernel_package)" >apt.log 2>&1)
}

# The package file, from the cache where it is. Any kernel already fetched is good enough when offline.
fetch_kernel() {
    local package=$1 file=$cache/kernel/${1//[:\/]/_}.deb
    mkdir -p "$cache/kernel"
    if [ ! -e "$file" ]; then
        if download "$package"; then
            mv "$work"/linux-image-*.deb "$file"
        else
            local older
            older=$(ls -t "$cache"/kernel/*.deb 2>/dev/null | head -n1 || true)
            [ -n "$older" ] || die "could not download $package: $(grep -m1 ^E: "$work/apt.log" || echo offline?)" \
                "Connect this machine once, or copy the package to $file"
            echo "build-guest: could not download $package, using $(basename "$older")" >&2
            file=$older
        fi
    fi
    echo "$file"
}

build_initramfs() {
    local root=$work/root
    mkdir -p "$root/bin" "$root/modules"
    gcc -static -O2 -Wall -Wextra -std=gnu17 -pthread -o "$root/init" "$lab"/guest/*.c
    cp "$(busybox_path)" "$root/bin/busybox"
    local name file
    for name in $modules; do
        file=$(find "$work/kernel" -name "$name.ko" -print -quit)
        [ -n "$file" ] || die "the kernel package has no module $name"
        cp "$file" "$root/modules/"
        echo "/modules/$name.ko" >>"$root/modules/order"
    done
    find "$root" -exec touch -h -d @0 {} +
    (cd "$root" && find . | sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$work/initrd"
}

# MBR, one active FAT partition from 1 MiB to 64 MiB, then the raw region of the ring: 64 MiB to 128 MiB. $1: the image.
# $2, where given: a file system for a second partition, from 128 MiB on.
build_disk() {
    local fat=$work/fat.raw disk=$work/disk.raw
    truncate -s 63M "$fat"
    PATH=$PATH:/sbin:/usr/sbin mkfs.fat --invariant -F 16 -h 2048 -n GODWIT "$fat" >/dev/null
    printf 'DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\n LINUX /vmlinuz\n INITRD /initrd\n APPEND %s\n' \
        "$(echo $cmdline)" >"$work/syslinux.cfg"
    mcopy -i "$fat" "$work/syslinux.cfg" ::/syslinux.cfg
    mcopy -i "$fat" "$(ls "$work"/kernel/boot/vmlinuz-*)" ::/vmlinuz
    mcopy -i "$fat" "$work/initrd" ::/initrd
    syslinux --install "$fat"

    truncate -s 128M "$disk"
    dd if="$mbr" of="$disk" conv=notrunc status=none
    # The partition entry: active, type 0e (FAT16, LBA), from sector 2048 on, 129024 sectors.
    printf '\x80\x20\x21\x00\x0e\xfe\xff\xff\x00\x08\x00\x00\x00\xf8\x01\x00' |
        dd of="$disk" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
    dd if="$fat" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
    if [ -n "${2:-}" ]; then
        # Type 83, from sector 262144 on, 1048576 sectors.
        printf '\x00\xfe\xff\xff\x83\xfe\xff\xff\x00\x00\x04\x00\x00\x00\x10\x00' |
            dd of="$disk" bs=1 seek=462 conv=notrunc status=none
        dd if="$2" of="$disk" bs=1M seek=128 conv=notrunc,sparse status=none
        truncate -s 640M "$disk"
    fi
    qemu-img convert -f raw -O qcow2 "$disk" "$1"
}

# Debian's PostgreSQL and its libraries, without what a server that compiles nothing and asks nothing does not need.
build_database_root() {
    local root=$work/database package version
    fetch_packages bookworm "$work" postgresql-15
    mkdir -p "$root"/{bin,dev,proc,run,tmp,etc}
    for package in "$work"/apt/archives/*.deb; do
        case ${package##*/} in
            libllvm* | perl* | libperl* | locales* | debconf* | tzdata* | libc-l10n* | adduser* | libdb* | python*) ;;
            *) dpkg-deb -x "$package" "$root" ;;
        esac
    done
    rm -rf "$root"/usr/share/{doc,man,locale,info,lintian,bug} "$root"/usr/lib/postgresql/*/lib/bitcode
    [ -e "$root/bin/sh" ] || cp "$(busybox_path)" "$root/bin/sh" # initdb starts the server by a shell
    echo 'postgres:x:70:70::/data:/bin/sh' >"$root/etc/passwd"
    echo 'postgres:x:70:' >"$root/etc/group"
    version=$(ls "$root/usr/lib/postgresql")
    ln -s "/usr/lib/postgresql/$version/bin/postgres" "$root/bin/postgres"
    install -d -o 70 -g 70 -m 700 "$root/data"
    chmod 1777 "$root/tmp" "$root/run"
    unshare --mount sh -ec 'mount --bind /dev "$1/dev"; exec chroot --userspec=70:70 --groups= "$1" \
        "/usr/lib/postgresql/$2/bin/initdb" --no-locale --encoding=UTF8 --auth=trust --no-sync -D /data' \
        sh "$root" "$version" >"$work/initdb.log" 2>&1 || die "initdb: $(tail -n 3 "$work/initdb.log")"
    echo 'host all all 10.77.0.0/16 trust' >>"$root/data/pg_hba.conf"
    # fsync, full_page_writes and synchronous_commit stay on: an acknowledged commit is on the disk.
    cat >>"$root/data/postgresql.conf" <<'CONF'
listen_addresses = '0.0.0.0'
unix_socket_directories = '/run'
max_connections = 20
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
max_wal_size = 64MB
min_wal_size = 32MB
jit = off
CONF
}

build_database() {
    local package key deb
    [ "$(id -u)" = 0 ] || die "the guest with a database is built by root only (initdb in a chroot)"
    package=$(kernel_package)
    key=$({ echo "$package" && cat "$0" "$lab/apt-root.sh" "$lab"/guest/* "$(busybox_path)" "$mbr"; } | sha256sum | cut -c1-64)
    if [ "$(cat "$cache/database.key" 2>/dev/null)" != "$key" ] || [ ! -e "$cache/database.qcow2" ]; then
        deb=$(fetch_kernel "$package")
        dpkg-deb -x "$deb" "$work/kernel"
        build_initramfs
        build_database_root
        PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext4 -L database -d "$work/database" "$work/database.raw" 512M >/dev/null
        rm -f "$cache/database.key"
        build_disk "$work/database.qcow2" "$work/database.raw"
        mv "$work/database.qcow2" "$cache/database.qcow2"
        echo "$key" >"$cache/database.key"
    fi
    echo "$cache/database.qcow2"
}

build_template() {
    local package key
    package=$(kernel_package)
    key=$({ echo "$package" && cat "$0" "$lab"/guest/* "$(busybox_path)" "$mbr" && gcc --version; } |
        sha256sum | cut -c1-64)
    if [ "$(cat "$cache/template.key" 2>/dev/null)" != "$key" ] || [ ! -e "$cache/template.qcow2" ]; then
        local deb
        deb=$(fetch_kernel "$package")
        dpkg-deb -x "$deb" "$work/kernel"
        build_initramfs
        build_disk "$work/template.qcow2"
        rm -f "$cache/template.key"
        mv "$work/template.qcow2" "$cache/template.qcow2"
        [[ "$deb" != *"${package//[:\/]/_}"* ]] || echo "$key" >"$cache/template.key"
    fi
    echo "$cache/template.qcow2"
}

build_prober() {
    local key
    key=$({ cat "$lab"/prober.c "$lab"/guest/wire.h && gcc --version; } | sha256sum | cut -c1-64)
    if [ "$(cat "$cache/prober.key" 2>/dev/null)" != "$key" ] || [ ! -x "$cache/prober" ]; then
        gcc -O2 -Wall -Wextra -std=gnu17 -I "$lab/guest" -o "$work/prober" "$lab/prober.c"
        rm -f "$cache/prober.key"
        mv "$work/prober" "$cache/prober"
        echo "$key" >"$cache/prober.key"
    fi
    echo "$cache/prober"
}

need
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # A second caller waits and then finds everything made.
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" = database ]; then
    build_database
else
    build_template
    [ ! -e "$lab/prober.c" ] || build_prober
fi

#!/bin/bash
# Makes lab/cache/qemu10/: a newer QEMU beside the machine's own, for moves between versions. Nothing is installed: the
# packages are resolved by apt in a root of its own (its lists, its empty idea of what is installed), unpacked, and run
# with their own loader and libraries. No root needed. Prints the path of the wrapper.
set -euo pipefail
trap 'echo "fetch-qemu10: line $LINENO failed: $BASH_COMMAND" >&2' ERR
export LC_ALL=C
lab=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=apt-root.sh
source "$lab/apt-root.sh"
cache=$lab/cache
suite=trixie
made=$cache/qemu10/bin/qemu-system-x86_64

die() { echo "fetch-qemu10: $*" >&2; exit 1; }

unpack() {
    local package
    mkdir -p "$work/qemu10/root" "$work/qemu10/bin"
    for package in "$work"/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$work/qemu10/root"
    done
    # Its own loader, so that the machine's older libc plays no part; -L: firmware of its own version.
    # shellcheck disable=SC2043 # One today.
    for name in qemu-system-x86_64; do
        cat >"$work/qemu10/bin/$name" <<'WRAPPER'
#!/bin/sh
here=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
lib=$here/root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$lib/qemu"
exec "$here/root/usr/lib64/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$lib" \
    "$here/root/usr/bin/qemu-system-x86_64" -L "$here/root/usr/share/qemu" -L "$here/root/usr/share/seabios" "$@"
WRAPPER
        chmod 755 "$work/qemu10/bin/$name"
    done
    rm -rf "$work"/qemu10/root/usr/share/{doc,man,locale,info,lintian}
}

command -v apt-get dpkg-deb >/dev/null || die "needs apt-get and dpkg-deb: this is for Debian machines"
mkdir -p "$cache"
exec 9>"$cache/.qemu10.lock"
flock 9
key=$(cat "$0" "$lab/apt-root.sh" | sha256sum | cut -c1-64)
if [ "$(cat "$cache/qemu10/key" 2>/dev/null)" != "$key" ]; then
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    fetch_packages "$suite" "$work" qemu-system-x86 qemu-system-data seabios
    unpack
    echo "$key" >"$work/qemu10/key"
    "$work/qemu10/bin/qemu-system-x86_64" --version >/dev/null || die "the unpacked QEMU does not run"
    rm -rf "$cache/qemu10"
    mv "$work/qemu10" "$cache/qemu10"
fi
echo "$made"

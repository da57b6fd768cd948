# What ./godwit and ./test share: the SDK, root, and the Debian packages a lab needs. Sourced, never run.
# shellcheck shell=bash

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
export DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 MSBUILDTERMINALLOGGER=off
export DOTNET_CLI_HOME="${DOTNET_CLI_HOME:-${HOME:-/tmp}}"

# Packages of a lab: QEMU, namespaces, and what the lab's own guest is built from.
lab_packages=(
    qemu-system-x86 qemu-utils iproute2 nftables busybox-static syslinux syslinux-common
    mtools dosfstools cpio gcc libc6-dev util-linux kmod xz-utils strace
)
# What the lab tests need beside them: the model checker of docs/design/handover.pml, the client of the guest's database,
# clocks that jump, the browser that looks at the console, checkers of what is given away, and machines to install it on.
# shellcheck disable=SC2034 # ./test adds them.
test_packages=(spin postgresql-client e2fsprogs libfaketime chromium lintian shellcheck
    systemd-container mmdebstrap)

die() {
    printf 'godwit: %s\n' "$*" >&2
    exit 1
}

# Looks at directories instead of asking `dotnet`, which takes longer than most commands do.
need_sdk() {
    local command base sdks
    for command in "${DOTNET_ROOT:+$DOTNET_ROOT/dotnet}" "$(type -P dotnet || true)" /usr/share/dotnet/dotnet \
        /usr/lib/dotnet/dotnet "${HOME:+$HOME/.dotnet/dotnet}"; do
        [[ -n $command && -x $command ]] || continue
        base=$(dirname -- "$(readlink -f -- "$command")")
        sdks=("$base"/sdk/10.0.*)
        [[ -d ${sdks[0]} ]] || continue
        export DOTNET_ROOT=$base PATH="$base:$PATH"
        return
    done
    die 'the .NET 10 SDK is not on this machine: install it from https://dot.net/download (or the package' \
        'dotnet-sdk-10.0), then run this command again.'
}

# $1: what needs it, as the beginning of a sentence.
need_root() {
    ((EUID == 0)) || die "$1 needs root (network namespaces, bridges and QEMU): run it again with sudo."
}

# Installs those of lab_packages that are missing; silent where none is. $1: log file.
install_lab_packages() {
    local log=$1 package missing=()
    type -P dpkg-query apt-get >/dev/null ||
        die "a lab needs a Debian or Ubuntu machine; here, install these by hand: ${lab_packages[*]}."
    local installed
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${lab_packages[@]}" 2>/dev/null || true)
    for package in "${lab_packages[@]}"; do
        [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    printf 'Installing %s ...\n' "${missing[*]}" >&2
    mkdir -p -- "$(dirname -- "$log")"
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
    {
        "${apt[@]}" update &&
            DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null ||
        die "installing ${missing[*]} failed: see $log, install them by hand, then run this command again."
}

# Prometheus' own checker, out of Debian's package, which itself would bring along and start a server. $1: directory it is put into.
fetch_promtool() {
    [[ ! -x $1/promtool ]] && ! type -P promtool >/dev/null || return 0
    local work
    work=$(mktemp -d)
    (
        cd -- "$work" && { apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }; } &&
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool &&
            install -D -m 755 usr/bin/promtool "$1/promtool"
    ) >"$work/log" 2>&1 </dev/null || die "promtool was not fetched ($(tail -n 1 -- "$work/log")): its package is 'prometheus'."
    rm -rf -- "$work"
}

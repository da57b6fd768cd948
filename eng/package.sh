#!/usr/bin/env bash
# Builds a Debian package that needs no .NET on the machine: artifacts/packages/godwit_VERSION_amd64.deb. Its path is the last line.
#   eng/package.sh            as it is given away
#   eng/package.sh --quick    for tests: the same without code compiled ahead, in a quarter of the time, as VERSION~quick
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=eng/prerequisites.sh
source "$root/eng/prerequisites.sh"
type -P dpkg-deb >/dev/null || die 'dpkg-deb is missing: build packages on a Debian or Ubuntu machine.'

version=$(sed -n 's:.*<VersionPrefix>\(.*\)</VersionPrefix>.*:\1:p' "$root/Directory.Build.props")
maintainer='Godwit contributors <godwit@localhost>'
out=$root/artifacts/packages
mkdir -p -- "$out"
work=$(mktemp -d -- "$out/.work-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
chmod 755 -- "$work"

ready_to_run=true
case ${1-} in
    '') ;;
    --quick) ready_to_run=false version+='~quick' ;; # Debian sorts it before the version itself.
    *) die "unknown option $1; known: --quick." ;;
esac

need_sdk
publish=$work/publish
# In locked mode as ./godwit: the runtime itself is no part of the lock files.
dotnet publish "$root/src/Godwit.Cli/Godwit.Cli.csproj" --configuration Release --output "$publish" --verbosity quiet \
    --self-contained true -p:PublishReadyToRun="$ready_to_run" -p:RestoreLockedMode=true -p:DebugType=none \
    -p:RunAnalyzers=false -p:ArtifactsPath="$root/artifacts/package-build" >"$out/build.log" 2>&1 </dev/null ||
    { grep -E '(error|warning) ' "$out/build.log" | sort -u | head -n 20 >&2; die "the build failed: see $out/build.log."; }
[[ -x $publish/godwit && -f $publish/libcoreclr.so ]] || die "$publish holds no self-contained godwit."

tree=$work/tree
install -d -- "$tree/DEBIAN" "$tree/usr/lib/godwit" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/usr/share/doc/godwit" \
    "$tree/usr/share/godwit"
cp -r -- "$publish/." "$tree/usr/lib/godwit/"
find "$tree/usr/lib/godwit" -name '*.pdb' -delete
find "$tree/usr/lib/godwit" -type f -exec chmod 644 {} +
chmod 755 -- "$tree/usr/lib/godwit/godwit"
if type -P strip >/dev/null; then strip --strip-unneeded -- "$tree/usr/lib/godwit/libe_sqlite3.so"; fi
ln -s ../lib/godwit/godwit "$tree/usr/bin/godwit"
install -m 644 -- "$root"/deploy/systemd/*.service "$tree/lib/systemd/system/"
install -m 644 -- "$root/deploy/debian/copyright" "$tree/usr/share/doc/godwit/copyright"
# As of the commit, not of the building: the same commit gives the same file.
written=$(git -C "$root" log -1 --format=%aD 2>/dev/null) || written=$(date -R -r "$root/LICENSE")
printf 'godwit (%s) unstable; urgency=medium\n\n  * What changed is in the history of the repository.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$written" | gzip -9n >"$tree/usr/share/doc/godwit/changelog.gz"
# What others wrote and pages bring along, under its own licences.
others=$root/src/Godwit.WebConsole/Vendor
install -D -m 644 -t "$tree/usr/share/doc/godwit/xterm" -- "$others"/xterm/LICENSE*
install -D -m 644 -t "$tree/usr/share/doc/godwit/novnc" -- "$others"/novnc/LICENSE*
install -m 644 -- "$others/novnc/vendor/pako/LICENSE" "$tree/usr/share/doc/godwit/novnc/LICENSE-pako"
install -D -m 644 -- "$root/deploy/completion/godwit.bash" "$tree/usr/share/bash-completion/completions/godwit"
install -D -m 644 -- "$root/deploy/completion/godwit.fish" "$tree/usr/share/fish/vendor_completions.d/godwit.fish"
install -d -- "$tree/usr/share/man/man1"
"$publish/godwit" man | gzip -9n >"$tree/usr/share/man/man1/godwit.1.gz"
cp -r -- "$root/deploy/grafana" "$root/deploy/prometheus" "$tree/usr/share/godwit/"
install -m 755 -- "$root"/deploy/debian/{postinst,prerm,postrm} "$tree/DEBIAN/"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: godwit
Version: $version
Architecture: amd64
Maintainer: $maintainer
Section: admin
Priority: optional
Installed-Size: $(du -sk -- "$tree" | cut -f1)
Depends: libc6, libgcc-s1, libstdc++6, libssl3 | libssl1.1, zlib1g, iproute2
Recommends: qemu-system-x86, qemu-utils
Description: moves running virtual machines between hosts
 Server, agent and command line of Godwit in one executable. A running guest
 moves to another host without a stop anyone notices, and is never lost or run
 twice. QEMU is needed on hosts; a machine with only the server needs none.
CONTROL
deb=$out/godwit_${version}_amd64.deb
dpkg-deb --root-owner-group -Zxz -z1 --build "$tree" "$deb" >/dev/null
printf '%s\n' "$deb"

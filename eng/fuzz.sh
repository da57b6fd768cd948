#!/usr/bin/env bash
# Coverage-guided fuzzing of everything that reads strangers' bytes: SharpFuzz and AFL++ where they can be had, else our
# own damage by seed. What breaks a promise is kept under tests/Godwit.Fuzz/Found and is a test from then on.
#   eng/fuzz.sh [SECONDS [TARGET...]]     SECONDS in all, shared by the targets; called by ./test --fuzz
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=eng/prerequisites.sh
source "$root/eng/prerequisites.sh"
need_sdk

seconds=${1:-120}
[[ $seconds =~ ^[0-9]{1,6}$ ]] || die "'$seconds' is no number of seconds."
shift || true

work=$root/artifacts/fuzz
bin=$work/bin
rm -rf -- "$work"
mkdir -p -- "$work"
printf 'Building ...\n'
dotnet publish "$root/tests/Godwit.Fuzz/Godwit.Fuzz.csproj" --configuration Release --output "$bin" --verbosity quiet \
    >"$work/build.log" 2>&1 </dev/null || die "the build failed: see $work/build.log."
fuzz() { dotnet "$bin/Godwit.Fuzz.dll" "$@"; }

# All of this before any code is instrumented: instrumented code runs under afl-fuzz only.
fuzz list >"$work/targets"
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(cut -d' ' -f1 "$work/targets")
for target in "${targets[@]}"; do fuzz seeds "$target" "$work/$target/in"; done
each=$((seconds / ${#targets[@]}))
((each > 0)) || each=1

# Says why not, or nothing: all is there, and the code to watch is instrumented.
prepare_afl() {
    type -P afl-fuzz >/dev/null || { printf 'afl-fuzz is missing (apt-get install afl++)'; return; }
    (cd -- "$root" && dotnet tool restore) >"$work/tool.log" 2>&1 || { printf 'SharpFuzz cannot be restored (%s)' "$work/tool.log"; return; }
    local assembly prefix done=' '
    while read -r _ assembly prefix; do
        [[ $done != *" $assembly "* ]] || continue
        (cd -- "$root" && DOTNET_ROLL_FORWARD=LatestMajor dotnet tool run sharpfuzz "$bin/$assembly" "$prefix") >>"$work/tool.log" 2>&1 ||
            { printf '%s cannot be instrumented (%s)' "$assembly" "$work/tool.log"; return; }
        done+="$assembly "
    done <"$work/targets"
}

why=$(prepare_afl)
[[ -z $why ]] || printf 'Without coverage: %s.\n' "$why"

broken=0
for target in "${targets[@]}"; do
    found=$root/tests/Godwit.Fuzz/Found/$target
    if [[ -n $why ]]; then
        fuzz loop "$target" "$each" "$found" || broken=1
        continue
    fi
    AFL_SKIP_BIN_CHECK=1 AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 \
        afl-fuzz -i "$work/$target/in" -o "$work/$target/out" -t 10000 -m none -V "$each" -- \
        dotnet "$bin/Godwit.Fuzz.dll" afl "$target" >"$work/$target/afl.log" 2>&1 </dev/null ||
        { tail -n 5 -- "$work/$target/afl.log"; die "afl-fuzz failed on $target: see $work/$target/afl.log."; }
    stats=$work/$target/out/default/fuzzer_stats
    number() { sed -n "s/^$1 *: *//p" "$stats"; }
    printf '%s: %s inputs tried, %s ways through the code, %s crashes, %s hangs\n' "$target" "$(number execs_done)" \
        "$(number corpus_count)" "$(number saved_crashes)" "$(number saved_hangs)"
    for file in "$work/$target"/out/default/{crashes,hangs}/id*; do
        [[ -f $file ]] || continue
        mkdir -p -- "$found"
        cp -- "$file" "$found/$(sha256sum <"$file" | cut -c1-16)"
        broken=1
    done
done
((broken == 0)) || { printf 'Something broke a promise: see tests/Godwit.Fuzz/Found.\n'; exit 1; }

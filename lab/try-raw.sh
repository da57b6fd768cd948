#!/bin/bash
# Proves the lab without Godwit: two namespace hosts, raw QEMU on each, live moves there and back over TCP, and what
# the prober saw. Also the yardstick: what QEMU alone does on this machine. Root needed; cleans up after itself.
#   CPU=Nehalem-v1 MACHINE=pc-q35-7.2 MEMORY=512 LOAD="64 10" DOWNTIME=20 BANDWIDTH=120000000 RATE=1gbit ROUNDS=4 VERBOSE= SETTLE=1 lab/try-raw.sh
set -euo pipefail
trap 'echo "try-raw: line $LINENO failed: $BASH_COMMAND" >&2' ERR
export LC_ALL=C
lab=$(cd "$(dirname "$0")" && pwd)
machine=${MACHINE:-pc-q35-7.2} memory=${MEMORY:-512} load=${LOAD:-64 10} downtime=${DOWNTIME:-20}
bandwidth=${BANDWIDTH:-0} rounds=${ROUNDS:-4} rate=${RATE:-1gbit} guest=10.77.11.12
# shellcheck disable=SC2206 # Words, if it says several.
qemus=(${QEMU:-qemu-system-x86_64} ${QEMU2:-${QEMU:-qemu-system-x86_64}}) # one for each side

[ "$(id -u)" = 0 ] || { echo "try-raw: namespaces need root: sudo $0" >&2; exit 1; }
"$lab/build-guest.sh" >/dev/null
work=/var/tmp/gwraw

clean() {
    local space
    for space in gwraw-lan gwraw-a gwraw-b; do
        ip netns pids $space 2>/dev/null | xargs -r kill -9 || true
        ip netns del $space 2>/dev/null || true
    done
    rm -rf $work
}

host() { # host NAME NUMBER
    local ns=gwraw-$1
    ip netns add $ns
    ip link add $1-lan netns gwraw-lan type veth peer name lan0 netns $ns
    ip link add $1-mig netns gwraw-lan type veth peer name mig0 netns $ns
    ip -n gwraw-lan link set $1-lan master lan up
    ip -n gwraw-lan link set $1-mig master mig up
    ip -n $ns link add br0 type bridge
    ip -n $ns link set lan0 master br0 up
    ip -n $ns link set br0 up
    ip -n $ns addr add 10.78.0.$2/24 dev mig0
    ip -n $ns link set mig0 up
    [ "$rate" = none ] || ip netns exec $ns tc qdisc add dev mig0 root tbf rate "$rate" burst 512kb latency 50ms
    ip -n $ns tuntap add tap0 mode tap
    ip -n $ns link set tap0 master br0 up
}

network() {
    ip netns add gwraw-lan
    ip -n gwraw-lan link add lan type bridge
    ip -n gwraw-lan link add mig type bridge
    ip -n gwraw-lan addr add 10.77.255.254/16 dev lan
    ip -n gwraw-lan link set lan up
    ip -n gwraw-lan link set mig up
    host a 1
    host b 2
}

# 8 KiB more memory than asked for: with whole 256 KiB, TCG before QEMU 9.0 loses dirty pages and the guest panics.
qemu() { # qemu SIDE OPTION…
    exec ip netns exec gwraw-$1 "${qemus[$([ $1 = a ] && echo 0 || echo 1)]}" -nodefaults -display none \
        -machine $machine,accel=tcg -cpu ${CPU:-Nehalem-v1} -m size=$((memory * 1048576 + 8192))B -smp 1 \
        -drive if=none,id=d0,file=$work/disk.qcow2,format=qcow2,cache=none -device virtio-blk-pci,drive=d0 \
        -netdev tap,id=n0,ifname=tap0,script=no,downscript=no \
        -device virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:0a:0b:0c \
        -serial file:$work/console-$1 -qmp stdio "${@:2}" 2>$work/error-$1
}

talk_to() { # talk_to COMMAND…: started in the background; $in and $out are its ends, $pid its process
    rm -f $work/in $work/out
    mkfifo $work/in $work/out
    "$@" <$work/in >$work/out &
    pid=$!
    exec {in}>$work/in {out}<$work/out
}
say() { echo "$2" >&"$1"; }                                   # say FD JSON
capabilities() { # one to switch on beside events
    echo '{"execute":"migrate-set-capabilities","arguments":{"capabilities":[{"capability":"events","state":true},' \
        '{"capability":"'$1'","state":true}]}}'
}
expect() { # expect FD REGEX: reads lines until one matches, leaves it in $line
    while IFS= read -r -t 120 -u "$1" line; do [[ $line =~ $2 ]] && return 0; done
    echo "try-raw: no $2 from QEMU; its last words: $(cat $work/error-*)" >&2
    exit 1
}
micros() {
    [[ $line =~ \"seconds\":\ ([0-9]+),\ \"microseconds\":\ ([0-9]+) ]] &&
        echo $((BASH_REMATCH[1] * 1000000 + BASH_REMATCH[2]))
}
ask_prober() { # ask_prober ORDER WORD: sends it and reads until a line with the word
    say $prober_in "$1"
    expect $prober_out "\"$2\""
}
field() { [[ $line =~ \"$1\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}"; }

trap clean EXIT
clean 2>/dev/null
network
mkdir -p $work
qemu-img create -q -f qcow2 -b "$lab/cache/template.qcow2" -F qcow2 $work/disk.qcow2
talk_to ip netns exec gwraw-lan "$lab/cache/prober" listen
prober_in=$in prober_out=$out
talk_to qemu a
source_pid=$pid
say $in '{"execute":"qmp_capabilities"}'
for ((tries = 0; tries < 12; tries++)); do # each waits 5 s: a busy machine boots slowly
    ip netns exec gwraw-lan "$lab/cache/prober" send $guest load $load >/dev/null 2>&1 && break
done
until ip netns exec gwraw-lan "$lab/cache/prober" send $guest ping | grep -q "ready_mib=${load% *} "; do sleep 0.2; done

side=b number=2
for ((round = 1; round <= rounds; round++)); do
    sin=$in sout=$out
    talk_to qemu $side -S -incoming defer
    target_pid=$pid tin=$in tout=$out in=$sin out=$sout
    say $tin '{"execute":"qmp_capabilities"}'
    say $tin "$(capabilities late-block-activate)"
    say $tin '{"execute":"migrate-incoming","arguments":{"uri":"tcp:10.78.0.'$number':4444"},"id":"in"}'
    expect $tout '"id": "in"'
    sleep 0.5 # let the guest's beats settle, so that this move's gap is the move's
    ask_prober "mark move" mark
    say $in "$(capabilities events)"
    say $in '{"execute":"migrate-set-parameters",
        "arguments":{"downtime-limit":'$downtime',"max-bandwidth":'$bandwidth'}}'
    began=$(date +%s%N)
    say $in '{"execute":"migrate","arguments":{"uri":"tcp:10.78.0.'$number':4444"}}'
    expect $out '"event": "STOP"'; stop=$(micros)
    expect $out '"status": "completed"'; completed=$(micros)
    say $tin '{"execute":"cont"}'
    expect $tout '"event": "RESUME"'; resume=$(micros)
    ended=$(date +%s%N)
    say $in '{"execute":"query-migrate","id":"q"}'
    expect $out '"id": "q"'
    [[ $line =~ \"transferred\":\ ([0-9]+) ]] && bytes=${BASH_REMATCH[1]}
    say $in '{"execute":"quit"}'
    wait "$source_pid" 2>/dev/null || true
    sleep ${SETTLE:-1}
    ask_prober "report move" report
    [ -z "${VERBOSE:-}" ] || echo "$line"
    printf '%s move %d to %s: wall %d ms, STOP->completed %d us, STOP->RESUME %d us, client gap %d us, %d MiB, ' \
        $machine $round $side $(((ended - began) / 1000000)) $((completed - stop)) $((resume - stop)) \
        "$(field gap_max_us)" $((bytes >> 20))
    printf 'lost %d, duplicates %d, past %d, boots %d, memory errors %d\n' "$(field lost)" "$(field duplicates)" \
        "$(field past)" "$(field boots)" "$(field memory_errors)"
    [ -z "${VERBOSE:-}" ] || tail -n 60 $work/console-$side
    exec {in}>&- {out}<&-
    source_pid=$target_pid in=$tin out=$tout
    [ $side = a ] && side=b number=2 || { side=a number=1; }
done

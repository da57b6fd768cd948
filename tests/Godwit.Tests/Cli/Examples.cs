using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;

namespace Godwit.Tests.Cli;

/// <summary>A small cluster as the server would describe it.</summary>
internal static class Examples
{
    public static HostView Host(string name, HostState state = HostState.Ready, long freeMiB = 12_000) => new(
        new HostId(name), "10.77.0.2:7443", state, state == HostState.Unreachable ? null : Facts(freeMiB), Vms: 2,
        MemoryAssignedBytes: 1536L << 20, MemoryOfferedBytes: 15L << 30,
        new Dictionary<string, IReadOnlyList<HostId>> { ["default"] = [new HostId("host2")] });

    private static HostFacts Facts(long freeMiB) => new()
    {
        AgentVersion = "0.1.0", KernelVersion = "6.1.0-18-cloud-amd64", Cpus = 8,
        CpuModelName = "Intel Xeon Gold 6254", CpuFlags = ["sse2"], Accelerator = Accelerator.Kvm,
        AcceleratorReason = "vmx in /proc/cpuinfo",
        Qemus = [new("/usr/bin/qemu-system-x86_64", "7.2.9", ["pc-q35-7.2"], ["Nehalem-v1"])],
        MemoryBytes = 16L << 30, MemoryAvailableBytes = freeMiB << 20, RamFileSpaceBytes = freeMiB << 20,
        Bridges = ["br0"], Pools = [new("default", "/var/lib/godwit/pool", 100L << 30, 80L << 30, true)],
        Links = [new("mig0", "10.77.1.2", 1_000_000_000, 1500)], Clock = GodwitRun.Now,
    };

    public static VmView Vm(string name, string host = "host1", VmState state = VmState.Running) => new(
        Spec(name), new HostId(host), new Epoch(1), state, SavedFile: null, GodwitRun.Now.AddHours(-3), HostState.Ready,
        Operation: null);

    private static VmSpec Spec(string name) => new()
    {
        Id = new VmId("vm-0123456789ab"), Name = name, Uuid = "4d3c1c6e-6d0f-4f0e-9b5c-1d2e3f405162", Cpus = 2,
        MemoryBytes = 512L << 20, MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Kvm,
        Disks = [new("default", "vm-0123456789ab-0.qcow2", "qcow2", 10L << 30, "lab.qcow2")],
        Nics = [new("br0", "52:54:00:0a:0b:0c")], Uid = 60_001, Template = "lab",
    };

    public static Migration Move(Phase phase = Phase.Queued) => new()
    {
        Id = new MoveId("mv-0123456789ab"), Vm = new VmId("vm-0123456789ab"), VmName = "web1", Source = new HostId("host1"),
        Target = new HostId("host2"), Mode = MoveMode.Live, Limits = new MoveLimits(), Epoch = new Epoch(1), Phase = phase,
        CreatedAt = GodwitRun.Now.AddSeconds(-12),
    };

    public static MoveProgress Progress(double? etaSeconds = 1.4) => new()
    {
        Pass = 3, RemainingBytes = 212L << 20, TotalBytes = 512L << 20, SentBytes = 301L << 20,
        BytesPerSecond = 118L << 20, DirtyBytesPerSecond = 12L << 20, ExpectedPauseMs = 24.3, EtaSeconds = etaSeconds,
    };

    public static Migration Done() => Move(Phase.Cleaning) with
    {
        End = MoveEnd.Done, EndedAt = GodwitRun.Now,
        Receipt = new Receipt
    {
        TotalMs = 1424, PauseMs = 12.43, WireBytes = 152L << 20, Passes = 3, NormalPages = 38_912, ZeroPages = 92_160,
        Accelerator = Accelerator.Tcg, Transport = "TLS 1.3, TLS_AES_128_GCM_SHA256, peer host2",
        PhaseMs = new Dictionary<Phase, double>
        {
            [Phase.Checking] = 41, [Phase.Preparing] = 212.4, [Phase.Disks] = 0.2, [Phase.Memory] = 1120,
            [Phase.Switching] = 13.1, [Phase.Verifying] = 8, [Phase.Cleaning] = 30.2,
        },
    },
    };

    public static Migration Refused() => Move(Phase.Checking) with
    {
        End = MoveEnd.RolledBack, Reason = "the checks said no", EndedAt = GodwitRun.Now,
        Refusals =
        [
            new("cpu-features-missing", "host2 lacks avx2 and fma, which web1 was started with", "choose a host of the same baseline"),
            new("bridge-missing", "host2 has no bridge br0", "create br0 on host2"),
        ],
    };

    public static Migration Stuck() => Move(Phase.Switching) with
    {
        End = MoveEnd.NeedsOperator, Reason = "the token left host1 and host2 does not answer", EndedAt = GodwitRun.Now,
    };
}

using Godwit.Agent;
using Godwit.Agent.Facts;
using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Identity;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.LabTests.Moves;

/// <summary>
/// Two agents in this process, real QEMU and real TLS between them, no server: the hand-over must not need one.
/// Their VM has no network, so no namespaces are needed either.
/// </summary>
public sealed class TwoAgents : IAsyncDisposable
{
    private const string Qemu = "/usr/bin/qemu-system-x86_64";
    private static int counter;

    private readonly CancellationTokenSource stop = new();
    private readonly string run = $"/dev/shm/gw-two-{Environment.ProcessId}-{Interlocked.Increment(ref counter)}";
    private readonly string state = Directory.CreateTempSubdirectory("godwit-two-").FullName;
    private readonly List<VmId> made = [];

    public required HostAgent Source { get; init; }
    public required HostAgent Target { get; init; }

    public static async Task<TwoAgents> StartAsync(string? sourceFailPoints = null, string? targetFailPoints = null)
    {
        var randomness = new RealRandomness();
        var two = new TwoAgents { Source = null!, Target = null! };
        var ca = await ClusterCa.OpenOrCreateAsync(two.state, new RealDisk(), randomness, TimeProvider.System, default);
        Directory.CreateDirectory(Path.Combine(two.state, "pool"));
        File.SetUnixFileMode(two.state, (UnixFileMode)0b111_001_001);
        File.SetUnixFileMode(Path.Combine(two.state, "pool"), (UnixFileMode)0b111_101_101);
        return new TwoAgents(two)
        {
            Source = await two.AgentAsync(ca, "a", sourceFailPoints), Target = await two.AgentAsync(ca, "b", targetFailPoints),
        };
    }

    public TwoAgents() { }

    private TwoAgents(TwoAgents other) => (stop, run, state) = (other.stop, other.run, other.state);

    private async Task<HostAgent> AgentAsync(ClusterCa ca, string name, string? failPoints)
    {
        using var key = new HostKey();
        var bundle = IdentityBundle.Parse(key.Complete(ca.SignHost(new HostId(name), key.Request), ca.CertificatePem), name);
        var layout = new HostLayout
        {
            RunDirectory = Path.Combine(run, name), StateDirectory = Path.Combine(state, name), QemuPaths = [Qemu],
            Pools = new Dictionary<string, PoolPlace> { ["shared"] = new(Path.Combine(state, "pool"), true) },
        };
        var ports = new AgentPorts(new RealDisk(), new RealProcesses(),
            new RealNetwork(() => bundle, NullLogger<RealNetwork>.Instance), TimeProvider.System, new RealRandomness(),
            path => new PoolSpace(1L << 40, 1L << 40, true, true));
        var agent = new HostAgent(ports, layout, "127.0.0.1:0", failPoints, NullLoggerFactory.Instance);
        var notes = await new HostPreparation(ports.Processes, ports.Disk, layout).PrepareAsync(stop.Token);
        await agent.StartAsync(notes, stop.Token);
        return agent;
    }

    /// <summary>A VM that boots into SeaBIOS and looks for a disk to boot: its vCPU runs, which is all that is needed.</summary>
    public async Task<VmSpec> StartVmAsync(long memoryBytes = 64L << 20)
    {
        var id = new VmId($"vm-{new RealRandomness().NextHex(6)}");
        var disk = new DiskSpec("shared", $"{id}-0.qcow2", "qcow2", 16L << 20);
        var spec = new VmSpec
        {
            Id = id, Name = "two", Uuid = Guid.NewGuid().ToString(), Cpus = 1, MemoryBytes = memoryBytes, MachineType = "pc-q35-7.2",
            CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg, Disks = [disk], Nics = [], Uid = 612_345,
        };
        await Source.CreateDiskAsync(disk, spec.Uid, default);
        await Source.StartVmAsync(new StartVm(spec, new Epoch(1)), default);
        made.Add(id);
        return spec;
    }

    /// <summary>One move as the server would order it, to where both agents rest.</summary>
    public async Task<(MoveStatus Source, MoveStatus Target)> MoveAsync(VmSpec spec, MoveMode mode, bool stayPaused = false)
    {
        var id = await BeginAsync(spec, mode, stayPaused: stayPaused);
        await RestAsync(id);
        await Source.CleanMoveAsync(id, default); // As the server does: a released copy is buried when it returns.
        return (await Source.QueryMoveAsync(id, default), await Target.QueryMoveAsync(id, default));
    }

    /// <summary>Until neither side has anything left to do by itself.</summary>
    public async Task RestAsync(MoveId id)
    {
        await foreach (var _ in Source.WatchMoveAsync(id, default)) { }
        await foreach (var _ in Target.WatchMoveAsync(id, default)) { }
    }

    public string InPool(string file) => Path.Combine(state, "pool", file);

    public async Task<MoveId> BeginAsync(VmSpec spec, MoveMode mode, MoveLimits? limits = null, bool stayPaused = false)
    {
        var id = new MoveId($"mv-{new RealRandomness().NextHex(6)}");
        var ready = await Target.PrepareIncomingAsync(new IncomingOrder(id, spec, new Epoch(2), new HostId("a"), stayPaused), default);
        await Source.StartOutgoingAsync(
            new OutgoingOrder(id, spec.Id, new Epoch(1), new HostId("b"), mode, limits ?? new MoveLimits(), ready), default);
        return id;
    }

    public static async Task<VmState> StateAsync(HostAgent agent, VmId vm) =>
        (await agent.ListVmsAsync(default)).SingleOrDefault(r => r.Spec.Id == vm && r.IsOwner)?.State ?? VmState.Unknown;

    public async ValueTask DisposeAsync()
    {
        foreach (var agent in new[] { Source, Target })
            for (var tries = 0; tries < 50; tries++) // A released source tells first and buries its copy after.
            {
                try
                {
                    foreach (var vm in (await agent.ListVmsAsync(default)).Where(v => v.IsOwner))
                        await agent.StopVmAsync(vm.Spec.Id, vm.Epoch, force: true, default);
                    if ((await agent.ListVmsAsync(default)).All(v => v.QemuPid is null)) break;
                }
                catch (RefusedException) { }
                await Task.Delay(100);
            }
        await stop.CancelAsync();
        foreach (var name in new[] { "a", "b" })
            System.Diagnostics.Process.Start("umount", ["-q", Path.Combine(run, name, "vms")]).WaitForExit();
        Directory.Delete(run, recursive: true);
        Directory.Delete(state, recursive: true);
        stop.Dispose();
    }
}

using Godwit.Agent;
using Godwit.Agent.Facts;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>The shipped agent of one host, as a process that can be killed; the service manager starts it again.</summary>
public sealed class SimAgent
{
    private static readonly TimeSpan StartMin = TimeSpan.FromMilliseconds(30), StartMax = TimeSpan.FromMilliseconds(300);
    private readonly SimPrograms _programs;
    private readonly SafetyRules _rules;
    private readonly TimeSpan? _watchdogTimeout;
    private int _starts;
    private TimeSpan _changedAt;

    internal SimAgent(SimHost host, SimPrograms programs, WorldKnobs knobs)
    {
        (Host, _programs, RestartAfter, _rules) = (
            host, programs, knobs.AgentRestart, knobs.Without is { } rule ? SafetyRules.AllBut(rule) : SafetyRules.All);
        _watchdogTimeout = knobs.WatchdogTimeout;
        host.Watchdog.Booted = Start;
    }

    public static HostLayout Layout { get; } = new()
    {
        RunDirectory = "/run/godwit", StateDirectory = "/var/lib/godwit", QemuPaths = ["/usr/bin/qemu-system-x86_64"],
        Pools = new Dictionary<string, PoolPlace> { ["shared"] = new(SimStorage.Directory, DirectIo: true) },
    };

    public SimHost Host { get; }
    public SimProcess? Process { get; private set; }
    /// <summary>Null until it takes orders, and once its process is gone.</summary>
    public HostAgent? Serving { get; private set; }
    /// <summary>When it last ended or came back, or its process last stood still or went on.</summary>
    public TimeSpan TroubledAt => Process is { } process && process.StalledAt > _changedAt ? process.StalledAt : _changedAt;
    public bool IsTroubled => Serving is null || Process is { IsStalled: true };
    /// <summary>Zero: it stays down when it ends.</summary>
    public TimeSpan RestartAfter { get; set; }
    /// <summary>Named places in moves to hold at ("outgoing.after-token=hang"), from the next start on.</summary>
    public string? FailPoints { get; set; }

    public void Start()
    {
        if (!Host.IsUp || Process is { HasExited: false }) return;
        Process = Host.Start("agent");
        Process.OnExit = _ => Ended();
        _ = RunAsync(Process);
    }

    public void Kill() => Process?.Exit(ProcessEnd.Injected);

    private async Task RunAsync(SimProcess process)
    {
        await Host.Loop.SleepAsync(Host.Random.NextTime(StartMin, StartMax));
        while (Host.Disk.HoldsTheDead) // The lock in its run directory: the one before is not gone yet.
        {
            await Host.Loop.SleepAsync(TimeSpan.FromSeconds(1));
            if (process.HasExited) return;
        }
        try
        {
            var agent = await process.Context.CallAsync(async () =>
            {
                var composed = Compose(process);
                await composed.StartAsync([], CancellationToken.None);
                return composed;
            });
            if (process.HasExited) return;
            (Serving, _changedAt) = (agent, Host.Loop.Now);
            Host.Loop.Trace(Host.Name, $"agent {process.Pid} serves");
        }
        catch (Exception reason)
        {
            SimRpc.FailIfBug(Host.Loop, reason);
            Host.Loop.Trace(Host.Name, $"agent {process.Pid} cannot start: {reason.Message}");
            process.Exit(ProcessEnd.Exited);
        }
    }

    private HostAgent Compose(SimProcess process)
    {
        var ports = new AgentPorts(
            Host.Disk, new SimProcesses(Host, _programs), process.Network, Host.Clock,
            new SimRandomness(SimRandom.Fork(Host.Loop.Seed, $"agent {Host.Name} {++_starts}")),
            path => new PoolSpace(64L << 30, 32L << 30, !Host.Disk.IsReadOnly, path.StartsWith("/run/", StringComparison.Ordinal)))
        {
            Watchdog = _watchdogTimeout is null ? null : Host.Watchdog, WatchdogTimeout = _watchdogTimeout ?? default,
        };
        Host.Disk.CreateDirectory(Layout.RunDirectory);
        Host.Disk.CreateDirectory(Layout.StateDirectory);
        return new HostAgent(ports, Layout, $"{Host.Address}:7701", FailPoints, new SimLogs(Host.Loop, Host.Name), _rules);
    }

    private void Ended()
    {
        (Serving, _changedAt) = (null, Host.Loop.Now);
        if (RestartAfter == TimeSpan.Zero) return;
        Host.Loop.After(RestartAfter, Start);
    }
}

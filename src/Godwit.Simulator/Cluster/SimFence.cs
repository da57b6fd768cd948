using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>What turns hosts off from outside, with the moods such things have. It outlives a server that dies while it works.</summary>
internal sealed class SimFence(SimLoop loop, TimeProvider time, Func<string, SimHost> hosts) : IFence
{
    public const string Hook = "sim";
    private static readonly TimeSpan HangsFor = TimeSpan.FromMinutes(2);
    private readonly SimRandom _random = SimRandom.Fork(loop.Seed, "fence");

    public FenceMood Mood { get; set; } = FenceMood.Kills;
    public int Runs { get; private set; }
    /// <summary>Everything is healed: no host is turned off any more.</summary>
    public bool IsCalm { get; set; }

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult(hook == Hook ? null
        : new Refusal("fence-not-usable", $"there is no hook {hook}", $"use {Hook}"));

    public async Task<FenceOutcome> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        Runs++;
        loop.Trace("fence", $"is asked to turn {host} off, and {Mood}");
        var (mood, takes) = (Mood, _random.NextTime(TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(5)));
        var isOff = false;
        if (mood is FenceMood.Kills or FenceMood.KillsAndSaysNo or FenceMood.KillsAndHangs)
            loop.After(takes, () =>
            {
                if (IsCalm) return;
                hosts(host.Value).PowerOff();
                isOff = true;
            });
        var hangs = mood is FenceMood.Hangs or FenceMood.KillsAndHangs;
        await Task.Delay(hangs ? HangsFor : takes + TimeSpan.FromMilliseconds(100), time, cancel);
        loop.Trace("fence", $"is through with {host}");
        return hangs ? new FenceOutcome(null, "did not end")
            : new FenceOutcome(mood == FenceMood.Kills && isOff ? 0 : 1, $"simulated: {mood}");
    }
}

public enum FenceMood
{
    /// <summary>The host is off, and it says so.</summary>
    Kills,
    /// <summary>Nothing happens, and it says so.</summary>
    Fails,
    Hangs,
    /// <summary>The host is off, and nobody knows.</summary>
    KillsAndSaysNo,
    KillsAndHangs,
}

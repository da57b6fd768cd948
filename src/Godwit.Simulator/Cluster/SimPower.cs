using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Power;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>What turns hosts off and on to save power, with the moods such things have. It outlives a server that dies meanwhile.</summary>
/// <param name="boots">Starts what a host starts by itself once it has power.</param>
internal sealed class SimPower(SimLoop loop, TimeProvider time, Func<string, SimHost> hosts, Action<string> boots) : IPowerHooks
{
    public const string Off = "off", On = "on", State = "state";
    private static readonly TimeSpan hangsFor = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan bootMin = TimeSpan.FromSeconds(20), bootMax = TimeSpan.FromSeconds(90);
    private readonly SimRandom _random = SimRandom.Fork(loop.Seed, "power");

    public PowerMood Mood { get; set; } = PowerMood.Works;
    /// <summary>In order: what was run for whom.</summary>
    public List<(string Hook, string Host)> Runs { get; } = [];
    /// <summary>Hosts that have no mood but to fail.</summary>
    public HashSet<string> Broken { get; } = [];
    /// <summary>Everything is healed: no host is turned off any more.</summary>
    public bool IsCalm { get; set; }

    public Task<Refusal?> WhyNotAsync(string hook, CancellationToken cancel) => Task.FromResult(hook is Off or On or State ? null
        : new Refusal("power-hook-not-usable", $"there is no hook {hook}", $"use {Off}, {On} or {State}"));

    public async Task<PowerOutcome> RunAsync(string hook, HostId host, CancellationToken cancel)
    {
        Runs.Add((hook, host.Value));
        var machine = hosts(host.Value);
        if (hook == State) return new PowerOutcome(0, machine.IsUp ? "on" : "off");
        var mood = Broken.Contains(host.Value) ? PowerMood.Fails : Mood;
        loop.Trace("power", $"is asked to turn {host} {hook}, and {mood}");
        var takes = _random.NextTime(TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(5));
        if (mood is PowerMood.Works or PowerMood.WorksAndSaysNo or PowerMood.WorksAndHangs)
            loop.After(takes, () =>
            {
                if (hook == On) loop.After(_random.NextTime(bootMin, bootMax), () => Boot(machine));
                else if (!IsCalm) Cut(machine);
            });
        var hangs = mood is PowerMood.Hangs or PowerMood.WorksAndHangs;
        await Task.Delay(hangs ? hangsFor : takes + TimeSpan.FromMilliseconds(100), time, cancel);
        return hangs ? new PowerOutcome(null, "did not end")
            : new PowerOutcome(mood is PowerMood.Works or PowerMood.Lies ? 0 : 1, $"simulated: {mood}");
    }

    private void Cut(SimHost machine)
    {
        if (machine.IsUp) loop.Trace("power", $"turned {machine.Name} off");
        machine.PowerOff();
    }

    private void Boot(SimHost machine)
    {
        if (!machine.IsUp) loop.Trace("power", $"turned {machine.Name} on");
        machine.PowerOn();
        boots(machine.Name);
    }
}

internal enum PowerMood
{
    Works,
    /// <summary>Nothing happens, and it says so.</summary>
    Fails,
    /// <summary>Nothing happens, and it says that all is well.</summary>
    Lies,
    Hangs,
    WorksAndSaysNo,
    WorksAndHangs,
}

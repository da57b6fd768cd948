using Godwit.Core;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>
/// Trouble at the very moments that each rule of the hand-over is there for. Random moments meet them too, but some so
/// seldom that a rule could be missing for thousands of seeds.
/// </summary>
/// <param name="Sign">The part of a line of the trace that it waits for.</param>
/// <param name="SecondsMin">How long it lasts at least, where it lasts.</param>
internal sealed record Drill(string Sign, Fault Fault, double SecondsMin = 0)
{
    private static readonly Drill[] All =
    [
        new("outgoing migration active", Fault.BitFlip),
        new("outgoing migration active", Fault.AgentCrash),
        new(": Stops,", Fault.Cut, 12),
        new("outgoing migration completed", Fault.AgentCrash),
        new("outgoing migration completed", Fault.OneWayCut, 5),
        new("outgoing migration completed", Fault.Reset),
        new(".json: Intent", Fault.OneWayCut, 5),
        new(".json: Intent", Fault.Reset),
        new(".json: Intent", Fault.AgentCrash),
        new(": Loaded,", Fault.QemuDeath),
        new(": Runs,", Fault.AgentCrash),
        new(": Runs,", Fault.QemuDeath),
        new(": Runs,", Fault.PowerCut),
        new(": Runs,", Fault.OneWayCut, 5),
        new("synced owner", Fault.AgentCrash),
    ];

    /// <summary>A world without this rule, in the trouble that the rule is there for.</summary>
    public static WorldKnobs Against(SafetyRule rule, WorldKnobs knobs) => rule switch
    {
        SafetyRule.StartedOnProof =>
            knobs with { Without = rule, IsFocused = false, Ha = true, Hosts = 3, Vms = 2, FenceMood = FenceMood.Fails },
        // Grants that come late, to hosts that are not heard: the shortest timeout leaves the least room for a lease that is too long.
        SafetyRule.LeaseFromAsking => knobs with
        {
            Without = rule, IsFocused = false, Ha = true, Hosts = 4, Vms = 5, LateRenewals = 0.5, SilenceMin = TimeSpan.FromSeconds(15),
            WatchdogTimeout = TimeSpan.FromSeconds(5), WatchdogLease = TimeSpan.FromSeconds(30),
            Drill = new Drill("", Fault.HostUnheard, SecondsMin: 60),
        },
        _ => AgainstTrouble(rule, knobs),
    };

    private static WorldKnobs AgainstTrouble(SafetyRule rule, WorldKnobs knobs) => knobs with
    {
        Without = rule,
        StoreGoesBack = rule == SafetyRule.FrozenWhenBehind,
        DuplicateOrders = rule switch { SafetyRule.EpochChecked => 0.2, SafetyRule.BootedOnce => 0.8, _ => knobs.DuplicateOrders },
        IsFocused = knobs.IsFocused && rule != SafetyRule.BootedOnce, // Of people who stop and start, not of moves.
        Drill = rule switch
        {
            SafetyRule.HandingOverBeforeMemory or SafetyRule.RestartIsNoProof =>
                new Drill("outgoing migration completed", Fault.AgentCrash),
            SafetyRule.PauseGuarded => new Drill(": Stops,", Fault.Cut, 20),
            SafetyRule.TokenIsFinal => new Drill(": Runs,", Fault.Reset),
            SafetyRule.SilenceIsNoProof => new Drill(".json: Intent", Fault.OneWayCut, 5),
            // A QEMU that runs what it loaded does not wait for anyone to look at the digest.
            SafetyRule.StreamChecked or SafetyRule.TargetStartsStopped => new Drill("outgoing migration active", Fault.BitFlip),
            SafetyRule.IntentBeforeCont => new Drill(": Runs,", Fault.AgentCrash),
            SafetyRule.TombstoneBeforeAborted => new Drill("outgoing migration completed", Fault.OneWayCut, 5),
            SafetyRule.MayHaveRunIsLost => new Drill(": Runs,", Fault.PowerCut),
            _ => null,
        },
    };

    public static Drill Draw(SimRandom random) => All[random.Next(All.Length)];
}

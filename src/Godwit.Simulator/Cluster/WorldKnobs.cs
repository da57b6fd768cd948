using System.Globalization;
using Godwit.Core;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Qemu;
using Godwit.Simulator.Stories;

namespace Godwit.Simulator.Cluster;

/// <summary>What makes one world unlike another. A scenario sets what it needs; a random run takes all from its seed.</summary>
public sealed record WorldKnobs
{
    public int Hosts { get; init; } = 2;
    /// <summary>VMs of a random story.</summary>
    public int Vms { get; init; } = 1;
    public long LinkBytesPerSecond { get; init; } = 10_000_000;
    public TimeSpan LinkDelay { get; init; } = TimeSpan.FromMicroseconds(150);
    /// <summary>False: image locks do not hold between hosts, so nothing hides a second runner.</summary>
    public bool ImageLocksWork { get; init; }
    /// <summary>A small world whose bad luck aims at hand-overs, instead of a whole cluster's life.</summary>
    public bool IsFocused { get; init; }
    /// <summary>How often an order to an agent arrives a second time, later.</summary>
    public double DuplicateOrders { get; init; }
    /// <summary>How often an order is held up on its way, so that later ones overtake it.</summary>
    public double LateOrders { get; init; }
    /// <summary>The same, where the order renews a lease and that is more.</summary>
    public double LateRenewals { get; init; }
    /// <summary>How often an answer of an agent is lost with its connection.</summary>
    public double LostAnswers { get; init; }
    public GuestLoad Load { get; init; } = new();
    /// <summary>An agent that ends is started again by the service manager after about this time; zero: never.</summary>
    public TimeSpan AgentRestart { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>VMs are marked <c>ha</c>, and every host has a fence.</summary>
    public bool Ha { get; init; }
    public FenceMood FenceMood { get; init; }
    /// <summary>How long a host is silent before its fence is tried.</summary>
    public TimeSpan SilenceMin { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Every host is fenced by its own watchdog, which resets it after this time; null: by a hook.</summary>
    public TimeSpan? WatchdogTimeout { get; init; }
    public TimeSpan WatchdogLease { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Hosts can be turned off and on to save power.</summary>
    public bool HasPowerHooks { get; init; }

    /// <summary>The safety rule that this world's agents and server do not keep; null but where the checkers are tested.</summary>
    internal SafetyRule? Without { get; init; }
    /// <summary>In a focused world the only trouble there is, in one of silences why hosts fall silent; null draws one each time.</summary>
    internal Drill? Drill { get; init; }

    /// <summary>The story of a store that goes back in time, instead of a random one.</summary>
    internal bool StoreGoesBack { get; init; }

    /// <param name="focused">Null: the seed decides.</param>
    public static WorldKnobs FromSeed(ulong seed, bool? focused = null)
    {
        var random = SimRandom.Fork(seed, "knobs");
        var used = 64 << random.Next(4);
        var small = random.Chance(0.6) ? focused != false : focused == true;
        var hosts = small ? 2 + random.Next(2) : random.Chance(1 / 16.0) ? 2 + random.Next(19) : 2 + random.Next(3);
        var vms = small ? 1 : random.Chance(1 / 100.0) ? 1 + random.Next(200)
            : random.Chance(1 / 10.0) ? 1 + random.Next(20) : 1 + random.Next(3);
        return new WorldKnobs
        {
            Hosts = hosts, Vms = Math.Min(vms, 10 * hosts), IsFocused = small,
            LinkBytesPerSecond = 2_000_000L << random.Next(6),
            LinkDelay = TimeSpan.FromMicroseconds(20 << random.Next(10)),
            ImageLocksWork = random.Chance(0.3),
            DuplicateOrders = random.Chance(0.5) ? 0.05 * (1 + random.Next(4)) : 0,
            LateOrders = random.Chance(0.3) ? 0.02 : 0,
            LostAnswers = random.Chance(0.5) ? 0.03 : 0,
            Load = new GuestLoad(used, used / 4, 50_000L << random.Next(8)),
            AgentRestart = random.NextTime(TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(5)),
        };
    }

    /// <summary>A world whose VMs are marked <c>ha</c> and whose bad luck is hosts that fall silent.</summary>
    public static WorldKnobs Silent(ulong seed)
    {
        var random = SimRandom.Fork(seed, "silent");
        var moods = Enum.GetValues<FenceMood>();
        return FromSeed(seed, focused: false) with
        {
            Hosts = 3 + random.Next(3), Vms = 1 + random.Next(4), IsFocused = false, Ha = true,
            FenceMood = random.Chance(0.6) ? FenceMood.Kills : moods[random.Next(moods.Length)],
            SilenceMin = TimeSpan.FromSeconds(15 + random.Next(30)),
        };
    }

    /// <summary>The same world, whose hosts are fenced by nothing but their own watchdogs.</summary>
    public static WorldKnobs Watched(ulong seed)
    {
        var random = SimRandom.Fork(seed, "watched");
        return Silent(seed) with
        {
            WatchdogTimeout = TimeSpan.FromSeconds(5 + random.Next(16)), WatchdogLease = TimeSpan.FromSeconds(20 + random.Next(21)),
            LateRenewals = random.Chance(0.5) ? 0.2 : 0,
        };
    }

    /// <summary>Hosts are turned off and on on purpose while people work; in every second world they fall silent as well.</summary>
    public static WorldKnobs Sleepy(ulong seed) => FromSeed(seed, focused: false) with
    {
        Hosts = 3 + (int)(seed % 3), Vms = 1 + (int)(seed % 4), IsFocused = false, HasPowerHooks = true, Ha = seed % 2 == 0,
    };

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{(IsFocused ? "focused " : HasPowerHooks ? "sleepy " : WatchdogTimeout is not null ? "watched " : Ha ? "silent " : "")}"
        + $"hosts={Hosts} vms={Vms} "
        + $"link={LinkBytesPerSecond / 1e6:0.#} MB/s delay={LinkDelay.TotalMilliseconds:0.###} ms "
        + $"locks={ImageLocksWork} duplicates={DuplicateOrders} late={LateOrders} lost-answers={LostAnswers} used-pages={Load.UsedPages} "
        + $"dirty={Load.DirtyBytesPerSecond / 1e6:0.###} MB/s agent-restart={AgentRestart.TotalSeconds:0.#} s");
}

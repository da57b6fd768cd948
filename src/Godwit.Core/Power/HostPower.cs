using System.Text.Json.Serialization;

namespace Godwit.Core.Power;

/// <summary>Where a host is between on and standby. Durable before the step it allows.</summary>
public enum PowerPhase
{
    On,
    /// <summary>Its VMs leave it by a drain; it goes to standby once that has ended and nothing is left.</summary>
    Emptying,
    /// <summary>Proved to hold no VM, and closed since: its hook turns it off, or is about to.</summary>
    GoingOff,
    /// <summary>Off, by its hook's word, and silent.</summary>
    Standby,
    /// <summary>Its hook turns it on; it is used once it answers and has been proved.</summary>
    Waking,
}

/// <summary>How a host is turned off and on, and where it is between the two. One record a host.</summary>
public sealed record HostPower
{
    public const double IdleWattsDefault = 80, IdleWattsMax = 5_000;
    /// <summary>Reckoned with before a host was ever woken here.</summary>
    public const double WakeSecondsDefault = 300;
    private const int WakesKept = 5;

    /// <summary>Names of programs of the server's machine; null: none. Off ends with 0 only once it has seen the host off.</summary>
    public string? OffHook { get; init; }
    public string? OnHook { get; init; }
    /// <summary>Prints <c>on</c> or <c>off</c>.</summary>
    public string? StateHook { get; init; }
    /// <summary>What the host takes while nothing runs on it; null: <see cref="IdleWattsDefault"/>.</summary>
    public double? IdleWatts { get; init; }

    public PowerPhase Phase { get; init; }
    /// <summary>When the phase began; null: as long as is known.</summary>
    public DateTimeOffset? Since { get; init; }
    /// <summary>The drain that empties it, or emptied it.</summary>
    public string? Drain { get; init; }
    /// <summary>It took no VMs already before: then it does not when it comes back, either.</summary>
    public bool WasCordoned { get; init; }
    /// <summary>Who wished the phase: a user's name, or <c>power</c> for the server's own watch.</summary>
    public string? By { get; init; }
    public string? Because { get; init; }
    /// <summary>Closed, it was asked for its processes, and had none of a guest: only then its hook is run.</summary>
    public bool IsScanned { get; init; }
    /// <summary>The hook of this phase ended with 0.</summary>
    public bool IsHookDone { get; init; }
    /// <summary>How often the hook of this phase was run.</summary>
    public int Tries { get; init; }

    /// <summary>What went wrong last, in one sentence; null once it went well again.</summary>
    public string? Problem { get; init; }
    public DateTimeOffset? ProblemAt { get; init; }
    /// <summary>How long its last wakings took, from hook to proved; newest last.</summary>
    public IReadOnlyList<double> WakeSeconds { get; init; } = [];
    /// <summary>When a person last did not want what was recommended for it.</summary>
    public DateTimeOffset? DismissedAt { get; init; }

    /// <summary>Nothing is begun there, and its silence is no news.</summary>
    [JsonIgnore]
    public bool IsClosed => Phase is PowerPhase.GoingOff or PowerPhase.Standby or PowerPhase.Waking;

    [JsonIgnore]
    public bool HasHooks => OffHook is not null && OnHook is not null;

    [JsonIgnore]
    public double Watts => IdleWatts ?? IdleWattsDefault;

    /// <summary>How long before it is needed it has to be woken: the slowest of its last wakings and a quarter.</summary>
    [JsonIgnore]
    public TimeSpan Lead => TimeSpan.FromSeconds(WakeSeconds.Count == 0 ? WakeSecondsDefault : WakeSeconds.Max() * 1.25);

    /// <summary>The same hooks, in another phase.</summary>
    public HostPower Enter(PowerPhase phase, DateTimeOffset at, string by, string because) => this with
    {
        Phase = phase, Since = at, By = by, Because = because, IsHookDone = false, Tries = 0,
    };

    public HostPower Woken(DateTimeOffset at) => Enter(PowerPhase.On, at, By ?? "", Because ?? "") with
    {
        Drain = null, WasCordoned = false, IsScanned = false, Problem = null, ProblemAt = null,
        WakeSeconds = Phase == PowerPhase.Waking && Since is { } began
            ? [.. WakeSeconds.Append((at - began).TotalSeconds).TakeLast(WakesKept)] : WakeSeconds,
    };
}

/// <summary>How one run of a power hook ended.</summary>
/// <param name="ExitCode">Null where it did not end in time, or could not be started.</param>
/// <param name="Output">What it printed, cut.</param>
public sealed record PowerOutcome(int? ExitCode, string Output)
{
    public bool IsDone => ExitCode == 0;

    /// <summary>Of a state hook: null where it said neither <c>on</c> nor <c>off</c>.</summary>
    public bool? SaysOn => !IsDone ? null : Output.Trim() switch { "on" => true, "off" => false, _ => null };
}

namespace Godwit.Core.Replay;

/// <summary>What a replay measured.</summary>
public sealed record ReplayResult
{
    public required double EnergyKwh { get; init; }
    public required int Moves { get; init; }
    /// <summary>Moves that the policy wished for and that had no room.</summary>
    public required int RefusedMoves { get; init; }
    /// <summary>
    /// Of the seconds in which hosts were active, the share in which guests were given less than they asked for ("SLATAH").
    /// </summary>
    public required double OverloadShare { get; init; }
    /// <summary>Of all processing asked for, the share not given to guests while they were moved ("PDM").</summary>
    public required double LostByMoves { get; init; }
    /// <summary>Of all processing asked for, the share not given, for whatever reason.</summary>
    public required double LostInAll { get; init; }
    public required double OverloadMinutes { get; init; }
    public required double MeanActiveHosts { get; init; }
    /// <summary>Hosts that became empty or idle.</summary>
    public required int Sleeps { get; init; }
    public required int VmsLeft { get; init; }
    /// <summary>A VM that went back within an hour to the host that it had left.</summary>
    public required int Returns { get; init; }

    /// <summary>
    /// Moves after which the guests of both hosts waited longer, in the half hour that followed, than if it had not been made.
    /// </summary>
    public required int MovesThatHurt { get; init; }

    /// <summary>"SLAV".</summary>
    public double Violation => OverloadShare * LostByMoves;

    /// <summary>"ESV": lower is better in energy and in service.</summary>
    public double EnergyTimesViolation => EnergyKwh * Violation;
}

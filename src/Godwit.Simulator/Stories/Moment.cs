using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>
/// When a fault strikes: at any time, or a breath after something of a move has happened. Most bugs of a hand-over live
/// in windows of a few milliseconds; time drawn evenly over a run would hardly ever meet them.
/// </summary>
internal static class Moment
{
    private static readonly TimeSpan WaitMax = TimeSpan.FromSeconds(20);

    /// <summary>Parts of lines of the trace: what QEMUs and guests do, orders and answers, durable writes.</summary>
    private static readonly string[] Signs =
    [
        "outgoing migration setup", "outgoing migration active", "outgoing migration completed", "outgoing migration failed",
        "incoming migration active", "incoming migration completed", "incoming migration failed",
        ": Stops,", ": Stops,", ": Runs,", ": Runs,", ": Loaded,", ": Gone", "synced moves/", "synced moves/", "synced owner",
        "PrepareIncomingAsync", "StartOutgoingAsync", "QueryMoveAsync", "SettleOutgoingAsync", "AbandonIncomingAsync",
        "CancelMoveAsync", "CleanMoveAsync", "StartRefreshAsync", "StartVmAsync", "StopVmAsync", "SaveVmAsync", "serves",
    ];

    /// <summary>Where a token is under way, or about to be.</summary>
    private static readonly string[] HandOverSigns =
    [
        "outgoing migration active", "incoming migration active", ": Stops,", ": Stops,", "outgoing migration completed",
        "outgoing migration completed", "outgoing migration completed", ": Loaded,", ": Loaded,", "incoming migration completed",
        ": Runs,", ": Runs,", ": Runs,", ".json: HandingOver", ".json: Candidate", ".json: Intent", ".json: Intent", ".json: Runs",
        ".json: Released", ".json: Kept", ".json: Aborted", "QueryMoveAsync", "SettleOutgoingAsync", "AbandonIncomingAsync", "serves",
    ];

    /// <summary>Returns where it happened; null is nowhere in particular.</summary>
    public static async Task<string?> ComeAsync(World world, SimRandom random)
    {
        var signs = world.Knobs.IsFocused ? HandOverSigns : Signs;
        if (random.Chance(world.Knobs.IsFocused ? 0.05 : 0.3)) return null;
        return await ComeAsync(world, signs[random.Next(signs.Length)], random);
    }

    public static async Task<string?> ComeAsync(World world, string sign, SimRandom random)
    {
        var there = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Look(string who, string what)
        {
            if (what.Contains(sign, StringComparison.Ordinal)) there.TrySetResult(who);
        }

        world.Loop.Traced += Look;
        world.Loop.After(WaitMax, () => there.TrySetResult(null));
        var where = await there.Task;
        world.Loop.Traced -= Look;
        // Nothing up to 65 ms, each order of magnitude as likely as the next.
        if (random.Chance(0.8)) await world.Loop.SleepAsync(TimeSpan.FromMicroseconds(random.Next(1 << random.Next(17))));
        return where;
    }
}

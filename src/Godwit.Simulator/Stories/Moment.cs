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

    /// <summary>Returns where it happened; null is nowhere in particular.</summary>
    public static async Task<string?> ComeAsync(World world, SimRandom random)
    {
        if (random.Chance(0.3)) return null;
        var sign = Signs[random.Next(Signs.Length)];
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

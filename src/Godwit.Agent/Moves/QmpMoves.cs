using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Qmp;

namespace Godwit.Agent.Moves;

/// <summary>What a move says to QEMU, with the deadlines and the settings that every move shares.</summary>
internal static class QmpMoves
{
    /// <summary>The monitor shares QEMU's main loop and stalls for tens of ms in a move; a miss proves nothing.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    /// <summary>
    /// Capabilities and parameters are all set, never assumed: they outlive a failed move. Return-path stays off: then
    /// "completed" means that this QEMU can no longer restart the guest by itself (qemu-facts finding 4).
    /// </summary>
    public static async Task PrepareSourceAsync(this QmpClient qmp, MoveLimits limits, bool sameHost)
    {
        await qmp.SetMoveCapabilitiesAsync(sameHost, mayThrottle: !sameHost && limits.MaxSlowdownPercent > 0);
        await qmp.MigrateSetParametersAsync(new QmpMigrationParameters
        {
            CpuThrottleInitialPercent = Throttle(limits, 10), CpuThrottleIncrementPercent = Throttle(limits, 10),
            MaxCpuThrottlePercent = Throttle(limits, limits.MaxSlowdownPercent),
            MaxBandwidthBytesPerSecond = 0, // The link paces. QEMU's own limiter works in slices of 100 ms.
            DowntimeLimitMs = sameHost ? 1000 : Convergence.FirstLimitMs(limits.MaxPauseMs),
        }, Deadline, CancellationToken.None);
    }

    /// <summary>QEMU slows a guest by steps of 10 percent, each where two looks found it as fast as the link (auto-converge).</summary>
    private static int? Throttle(MoveLimits limits, int percent) =>
        limits.MaxSlowdownPercent > 0 ? Math.Clamp(Math.Min(percent, limits.MaxSlowdownPercent), 1, MoveLimits.SlowdownPercentMax) : null;

    /// <param name="lazily">
    /// Its memory comes after its devices. Throws <see cref="RefusedException"/> (<c>lazy-memory-not-allowed</c>) where the host does not
    /// let a QEMU wait for it.
    /// </param>
    public static async Task PrepareTargetAsync(this QmpClient qmp, string socket, bool sameHost, bool lazily = false)
    {
        try { await qmp.SetMoveCapabilitiesAsync(sameHost, mayThrottle: false, lazily); }
        catch (QmpException refused) when (lazily && !qmp.Closed.IsCompleted)
        {
            throw new RefusedException("lazy-memory-not-allowed", $"this host does not let a QEMU wait for its memory: {refused.Message}",
                "allow it ('sysctl vm.unprivileged_userfaultfd=1' on the host), or go without (--lazy, --mode lazy, --mode hybrid)");
        }
        await qmp.MigrateIncomingAsync("unix:" + socket, exitOnError: true, Deadline, CancellationToken.None);
    }

    /// <summary>Of a target that is not to wait now, but may have to in its second beginning. Before it is prepared.</summary>
    public static async Task<bool> MayWaitForMemoryAsync(this QmpClient qmp)
    {
        try { await qmp.SetMoveCapabilitiesAsync(sameHost: false, mayThrottle: false, lazily: true); }
        catch (QmpException) when (!qmp.Closed.IsCompleted) { return false; }
        return true;
    }

    public static Task SetDowntimeLimitAsync(this QmpClient qmp, int downtimeLimitMs) =>
        qmp.MigrateSetParametersAsync(
            new QmpMigrationParameters { DowntimeLimitMs = downtimeLimitMs }, Deadline, CancellationToken.None);

    /// <summary>Stops an outgoing stream if there is one. Says nothing of the outcome: the MIGRATION event does.</summary>
    public static async Task TryMigrateCancelAsync(this QmpClient qmp)
    {
        try { await qmp.MigrateCancelAsync(Deadline, CancellationToken.None); }
        catch (QmpException) { } // Nothing under way, or QEMU is gone: its other signals say which.
    }

    public static async Task TryAnnounceSelfAsync(this QmpClient qmp)
    {
        try { await qmp.AnnounceSelfAsync(new QmpAnnounceRhythm(), Deadline, CancellationToken.None); }
        catch (QmpException) { } // The network learns the new port from the guest's own packets, later.
    }

    public static async Task<QmpMigration?> TryQueryMigrateAsync(this QmpClient qmp)
    {
        try { return await qmp.QueryMigrateAsync(Deadline, CancellationToken.None); }
        catch (QmpException) { return null; } // Figures only; no decision hangs on them.
    }

    /// <summary>
    /// The guest runs here when this returns. After "failed" QEMU restarts it by itself, after "completed" or for a
    /// guest that we stopped it does not; <c>cont</c> is refused while a cancel is still finishing, so it is repeated.
    /// </summary>
    public static async Task EnsureRunningAsync(this QmpClient qmp, TimeProvider time)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                if ((await qmp.QueryStatusAsync(Deadline, CancellationToken.None)).Running) return;
                await qmp.ContAsync(Deadline, CancellationToken.None);
                // What stops it then is its storage, which its host's reports say; repeating does not mend that.
                var status = await qmp.QueryStatusAsync(Deadline, CancellationToken.None);
                if (status.Running || status.Status == QmpRunStatus.IoError) return;
            }
            catch (QmpException) when (attempt < ContAttemptsMax && !qmp.Closed.IsCompleted) { }
            if (attempt >= ContAttemptsMax) throw new QmpException("Protocol", "the guest does not go on after 'cont'");
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(500, 5 * attempt)), time);
        }
    }

    private const int ContAttemptsMax = 100;

    private static Task SetMoveCapabilitiesAsync(this QmpClient qmp, bool sameHost, bool mayThrottle, bool lazily = false) =>
        qmp.MigrateSetCapabilitiesAsync(new Dictionary<string, bool>
        {
            ["events"] = true,
            ["return-path"] = false,
            ["late-block-activate"] = true, // Before QEMU 10 disks would be opened for writing already at load end.
            ["validate-uuid"] = true,
            ["x-ignore-shared"] = sameHost,
            ["pause-before-switchover"] = false,
            ["auto-converge"] = mayThrottle,
            ["multifd"] = false,
            ["postcopy-ram"] = lazily,
            ["xbzrle"] = false,
        }, Deadline, CancellationToken.None);
}

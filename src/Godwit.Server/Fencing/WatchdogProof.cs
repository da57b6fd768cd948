using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Ports;
using Godwit.Server.Audit;
using Godwit.Server.Store;
using Godwit.Server.Vms;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Fencing;

/// <summary>
/// A silent host with an armed watchdog: waits until it must have been reset, and writes that down as proof. Once it may be
/// proved the host is granted nothing; where it answers before that, nothing was done.
/// </summary>
internal sealed class WatchdogProof(
    Stores stores, LeaseBook book, AuditTrail audit, VmNumbers numbers, TimeProvider time, ILogger<WatchdogProof> log)
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(2);

    /// <summary>Null once there is something new to look at; else why there will be no proof.</summary>
    /// <param name="stop">A person's word has come, or the server ends.</param>
    public async Task<string?> WaitAsync(HostRecovery recovery, CancellationToken stop)
    {
        while (true)
        {
            if (await stores.Hosts.FindAsync(recovery.Host) is not { Answers: false, Fence: WatchdogRules.FenceName } host) return null;
            if (host.Watchdog is not { Confirmed: true } note)
                return "its watchdog was never seen armed, and silence is no proof: turn it off, then "
                    + $"'godwit host recover {host.Id} --fenced'";
            if (book.TryClose(host.Id, note))
            {
                await ProveAsync(recovery, note);
                return null;
            }
            await Task.Delay(LookEvery, time, stop);
        }
    }

    private async Task ProveAsync(HostRecovery recovery, WatchdogNote note)
    {
        var said = FormattableString.Invariant(
            $"armed as {note.Arming}, and granted nothing for {WatchdogRules.ProofAfter(note).TotalSeconds:0} s: a lease of ")
            + FormattableString.Invariant($"{note.LeaseSeconds} s, twice its {note.TimeoutSeconds} s, and a margin");
        var entry = new AuditEntry(recovery.Id, recovery.By, null, "server", null, "believe the watchdog", $"hosts/{recovery.Host}");
        var written = false;
        try
        {
            await audit.BeginAsync(entry with { Detail = said }, isSafety: false);
            var refused = await stores.Fences.ProveAsync(new FenceProof
            {
                Id = numbers.ProofId(), Host = recovery.Host, Kind = FenceKind.Watchdog, By = recovery.By, At = time.GetUtcNow(),
                Output = said,
            });
            written = refused is null;
            if (written) log.LogInformation("{Host} is taken to be off: {Why}", recovery.Host, said);
            await audit.EndAsync(entry with
            {
                Result = written ? AuditResult.Done : AuditResult.Failed, Detail = $"{said}. {refused?.Cause}".Trim(),
            });
        }
        finally
        {
            if (written) book.Proved(recovery.Host);
            else if (await stores.Fences.InForceAsync(recovery.Host) is null) book.Reopen(recovery.Host);
            else book.Proved(recovery.Host);
        }
    }
}

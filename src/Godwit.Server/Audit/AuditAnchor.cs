using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Audit;

/// <summary>
/// The newest head, outside the store: once a minute in a file of its own and in the server's log, which most machines
/// send elsewhere. Whoever cuts rows off the store is found out by it; only rows of the last minute have no such witness.
/// Never overwritten by a head that does not continue it.
/// </summary>
public sealed class AuditAnchor(string path, IDisk disk, AuditStore store, TimeProvider time, ILogger<AuditAnchor> log)
{
    private const int FileBytesMax = 1024;
    private static readonly TimeSpan every = TimeSpan.FromMinutes(1);

    /// <summary>What the file says; null where there is none.</summary>
    public async Task<AuditHead?> ReadAsync(CancellationToken cancel)
    {
        if (await disk.ReadAsync(path, FileBytesMax, cancel) is not { } bytes) return null;
        return AuditHead.Parse(Encoding.UTF8.GetString(bytes).Trim()) ?? throw new RefusedException("audit-anchor-unusable",
            $"{path} is damaged", "restore it, or move it away after looking into why: without it rows cut off are not noticed");
    }

    public async Task RunAsync(AuditTrail trail, CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                await KeepAsync(stopping);
                await Task.Delay(every, time, stopping);
                await trail.FlushAsync();
            }
        }
        catch (OperationCanceledException)
        {
            await trail.FlushAsync(atOnce: true);
            await KeepAsync(CancellationToken.None);
        }
    }

    public async Task KeepAsync(CancellationToken cancel)
    {
        try
        {
            var (known, head) = (await ReadAsync(cancel), await store.HeadAsync());
            if (head == known) return;
            if (known is not null && !await HoldsAsync(known))
            {
                log.LogCritical("the audit log was cut or changed: row {Known} is not in it as it was. See: godwit audit verify", known);
                return; // The old head is the proof.
            }
            await disk.WriteDurablyAsync(path, Encoding.ASCII.GetBytes($"{head}\n"), cancel);
            log.LogInformation("audit head {Head}", head);
        }
        catch (Exception reason) when (reason is IOException or RefusedException or StoreFailedException)
        {
            log.LogError("the head of the audit log could not be kept in {Path}: {Why}", path, reason.Message);
        }
    }

    private async Task<bool> HoldsAsync(AuditHead known)
    {
        var rows = await store.AfterAsync(known.Seq - 1, DateTimeOffset.UnixEpoch, 1);
        return rows.Count == 1 && rows[0].Seq == known.Seq && rows[0].Hash == known.Hash;
    }
}

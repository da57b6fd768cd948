using System.Data.Common;
using Godwit.Core;
using Godwit.Server.Store;
using Microsoft.Extensions.Logging;

namespace Godwit.Server.Audit;

/// <summary>
/// Writes what people ask for into the audit. What cannot be recorded is not done; safety actions (resume, cancel)
/// are done all the same. Who is not let in could knock without end: of such knocks a stated number a minute gets a row each,
/// the others one row together.
/// </summary>
public sealed class AuditTrail(AuditStore store, TimeProvider time, ILogger<AuditTrail> log)
{
    public const int RefusedPerMinuteMax = 60;
    private const int PageRows = 500;
    private static readonly TimeSpan minute = TimeSpan.FromMinutes(1);

    private readonly Lock _one = new();
    private DateTimeOffset _minute;
    private int _refused, _unwritten;

    /// <summary>Before anything is done. Throws <see cref="RefusedException"/> where it cannot be written down.</summary>
    /// <param name="isSafety">Done in any case: a guest that stands still is worse than a gap.</param>
    public async Task BeginAsync(AuditEntry entry, bool isSafety)
    {
        try
        {
            await store.AppendAsync(entry with { Result = AuditResult.Begun });
        }
        catch (Exception reason) when (reason is StoreFailedException or DbException)
        {
            log.LogError("audit row of {Action} {Object} by {Actor} could not be written: {Why}",
                entry.Action, entry.Object, entry.Actor, reason.Message);
            if (!isSafety)
                throw new RefusedException("audit-failed", $"this cannot be recorded, so it is not done: {reason.Message}",
                    "see to the disk that holds the server's store; resume and cancel work all the same");
        }
    }

    /// <summary>The end of what was begun. The first row stands already, so a failure here changes no answer.</summary>
    public async Task EndAsync(AuditEntry entry)
    {
        try
        {
            await store.AppendAsync(entry);
        }
        catch (Exception reason) when (reason is StoreFailedException or DbException)
        {
            log.LogError("audit row of the end of {Request} could not be written: {Why}", entry.Request, reason.Message);
        }
    }

    /// <summary>Somebody was not let in, or was not allowed.</summary>
    public async Task RefusedAsync(AuditEntry entry)
    {
        var now = time.GetUtcNow();
        bool write;
        lock (_one)
        {
            if (now - _minute >= minute) (_minute, _refused) = (now, 0);
            write = ++_refused <= RefusedPerMinuteMax;
            if (!write) _unwritten++;
        }
        if (!write) return;
        await FlushAsync();
        await EndAsync(entry with { Result = AuditResult.Refused });
    }

    /// <summary>One row for the refused attempts that got none, where there are any and their minute is over.</summary>
    public async Task FlushAsync(bool atOnce = false)
    {
        int unwritten;
        lock (_one)
        {
            if (_unwritten == 0 || (!atOnce && time.GetUtcNow() - _minute < minute && _refused > RefusedPerMinuteMax)) return;
            (unwritten, _unwritten) = (_unwritten, 0);
        }
        await EndAsync(new AuditEntry("-", "-", null, "-", null, "(refused attempts)", "-")
        {
            Result = AuditResult.Refused,
            Detail = $"{unwritten} more, over {RefusedPerMinuteMax} a minute",
        });
    }

    /// <summary>Reads all of it, page by page, against the store's own head and those given.</summary>
    public async Task<AuditVerdict> VerifyAsync(params IReadOnlyList<AuditHead> known)
    {
        var check = new AuditCheck(await store.HeadAsync() is { } newest ? [newest, .. known] : known);
        for (long seq = 0; ;)
        {
            var page = await store.AfterAsync(seq, DateTimeOffset.UnixEpoch, PageRows);
            foreach (var row in page) check.Take(row);
            if (page.Count == 0) break; // Ends: seq only grows.
            seq = page[^1].Seq;
        }
        var problems = check.End();
        return new AuditVerdict(problems.Count == 0, check.Rows, check.Head, known, problems);
    }
}

/// <param name="Head">Of the newest row. Write it down elsewhere: whoever knows it can prove later that nothing was cut off.</param>
/// <param name="Known">Heads known from elsewhere, all of them checked.</param>
public sealed record AuditVerdict(
    bool IsWhole, long Rows, AuditHead? Head, IReadOnlyList<AuditHead> Known, IReadOnlyList<AuditProblem> Problems);

using System.Data.Common;
using Godwit.Server.Audit;

namespace Godwit.Server.Store;

/// <summary>The audit's rows. There is nothing here that changes or removes one.</summary>
public sealed class AuditStore(Database database, TimeProvider time)
{
    /// <summary>Durable on return. Follows the newest row there ever was: rows taken away behind our back leave a gap for ever.</summary>
    public Task<AuditHead> AppendAsync(AuditEntry entry) => database.RunAsync(work =>
    {
        var (last, prior) = Head(work) is { } head ? (head.Seq, head.Hash) : (0, AuditChain.Genesis);
        var at = DateTimeOffset.FromUnixTimeMilliseconds(Fields.Time(time.GetUtcNow())); // As it will be read.
        var written = new AuditHead(last + 1, AuditChain.Hash(last + 1, at, entry, prior));
        work.Execute(
            """
            INSERT INTO audit (seq, at, request, actor, role, source, token, action, object, result, detail, prior, hash)
            VALUES (@seq, @at, @request, @actor, @role, @source, @token, @action, @object, @result, @detail, @prior, @hash)
            """,
            ("@seq", written.Seq), ("@at", Fields.Time(at)), ("@request", entry.Request), ("@actor", entry.Actor), ("@role", entry.Role),
            ("@source", entry.Source), ("@token", entry.Token), ("@action", entry.Action), ("@object", entry.Object),
            ("@result", entry.Result), ("@detail", entry.Detail), ("@prior", prior), ("@hash", written.Hash));
        work.Execute(
            """
            INSERT INTO audit_head (id, seq, hash) VALUES (1, @seq, @hash)
            ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash
            """, ("@seq", written.Seq), ("@hash", written.Hash));
        return written;
    });

    /// <summary>Of the newest row there ever was; null: there was none.</summary>
    public Task<AuditHead?> HeadAsync() => database.RunAsync(Head);

    /// <summary>Oldest first, after <paramref name="seq"/> and not before <paramref name="since"/>.</summary>
    public Task<List<AuditRow>> AfterAsync(long seq, DateTimeOffset since, int limit) => database.RunAsync(work => work.Query(
        $"SELECT {Columns} FROM audit WHERE seq > @seq AND at >= @since ORDER BY seq LIMIT @limit", Read,
        ("@seq", seq), ("@since", Fields.Time(since)), ("@limit", limit)));

    /// <summary>The newest, oldest of them first.</summary>
    public Task<List<AuditRow>> LastAsync(DateTimeOffset since, int limit) => database.RunAsync(work =>
    {
        var newestFirst = work.Query($"SELECT {Columns} FROM audit WHERE at >= @since ORDER BY seq DESC LIMIT @limit", Read,
            ("@since", Fields.Time(since)), ("@limit", limit));
        newestFirst.Reverse();
        return newestFirst;
    });

    private const string Columns = "seq, at, request, actor, role, source, token, action, object, result, detail, prior, hash";

    private static AuditHead? Head(Work work) => work.Query("SELECT seq, hash FROM audit_head WHERE id = 1",
        row => new AuditHead(row.GetInt64(0), row.GetString(1))).FirstOrDefault();

    private static AuditRow Read(DbDataReader row) => new(row.GetInt64(0), row.Time(1),
        new AuditEntry(row.GetString(2), row.GetString(3), row.TextOrNull(4), row.GetString(5), row.TextOrNull(6),
            row.GetString(7), row.GetString(8))
        {
            Result = row.GetString(9),
            Detail = row.TextOrNull(10),
        },
        row.GetString(11), row.GetString(12));
}

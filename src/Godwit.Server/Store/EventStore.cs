using System.Data.Common;
using Godwit.Server.Api;

namespace Godwit.Server.Store;

/// <summary>What happened, for people: appended with the change it tells of, in one transaction; the oldest are dropped.</summary>
public sealed class EventStore(Database database, TimeProvider time)
{
    public const int KeptMax = 10_000;
    private const int DropEvery = 100;

    public Task AppendAsync(Happening happening) => database.RunAsync(work => Append(work, happening, time.GetUtcNow()));

    /// <summary>At most <paramref name="limit"/> events after <paramref name="seq"/>, oldest first.</summary>
    public Task<List<EventView>> AfterAsync(long seq, int limit) => database.RunAsync(work => work.Query(
        $"SELECT {Columns} FROM events WHERE seq > @seq ORDER BY seq LIMIT @limit", Read, ("@seq", seq), ("@limit", limit)));

    /// <summary>The newest, oldest of them first.</summary>
    public Task<List<EventView>> LastAsync(int limit) => database.RunAsync(work =>
    {
        var newestFirst = work.Query(
            $"SELECT {Columns} FROM events ORDER BY seq DESC LIMIT @limit", Read, ("@limit", limit));
        newestFirst.Reverse();
        return newestFirst;
    });

    public Task<long> LastSeqAsync() => database.RunAsync(work => work.Number("SELECT MAX(seq) FROM events"));

    internal static void Append(Work work, Happening happening, DateTimeOffset at)
    {
        var seq = work.Number("SELECT MAX(seq) FROM events") + 1;
        work.Execute(
            "INSERT INTO events (seq, at, kind, text, vm, host, move) VALUES (@seq, @at, @kind, @text, @vm, @host, @move)",
            ("@seq", seq), ("@at", Fields.Time(at)), ("@kind", happening.Kind), ("@text", happening.Text),
            ("@vm", happening.Vm), ("@host", happening.Host), ("@move", happening.Move));
        if (seq % DropEvery == 0) work.Execute("DELETE FROM events WHERE seq <= @last", ("@last", seq - KeptMax));
        work.LastEvent = seq;
    }

    private const string Columns = "seq, at, kind, text, vm, host, move";

    private static EventView Read(DbDataReader row) => new(
        row.GetInt64(0), row.Time(1), row.GetString(2), row.GetString(3),
        row.TextOrNull(4), row.TextOrNull(5), row.TextOrNull(6));
}

/// <param name="Kind">Kebab-case, stable: <c>vm-created</c>.</param>
/// <param name="Text">One sentence with the names and numbers.</param>
/// <param name="Vm">Its name.</param>
public sealed record Happening(string Kind, string Text, string? Vm = null, string? Host = null, string? Move = null);

using System.Data.Common;
using Godwit.Core.Loads;

namespace Godwit.Server.Store;

/// <summary>
/// Loads of the past: five minutes a row for a day, an hour a row for a month. Bounded by what there is: some 1,000 rows for each
/// host and VM that was there in that month.
/// </summary>
public sealed class LoadStore(Database database)
{
    public static readonly TimeSpan Slot = TimeSpan.FromMinutes(5), FineKept = TimeSpan.FromDays(1), CoarseKept = TimeSpan.FromDays(30);
    /// <summary>The thing that has, as memory, what all VMs were promised: of an hour the most counts, as that has to have room.</summary>
    public const string Promised = "promised";
    private const int RowsMax = 2_000;
    private static readonly TimeSpan hour = TimeSpan.FromHours(1);

    /// <summary>The five minutes a moment is in, by their beginning.</summary>
    public static DateTimeOffset SlotOf(DateTimeOffset at) => new(at.UtcTicks - at.UtcTicks % Slot.Ticks, TimeSpan.Zero);

    /// <summary>One slot of everything; the hour that ended with it, and what is too old, are seen to in the same transaction.</summary>
    public Task AddAsync(DateTimeOffset slot, IReadOnlyList<(string Thing, LoadSummary Summary)> rows) => database.RunAsync(work =>
    {
        foreach (var (thing, summary) in rows) Insert(work, Slot, slot, thing, summary);
        if ((slot + Slot).UtcTicks % hour.Ticks != 0) return;
        work.Execute(
            """
            INSERT INTO loads (thing, span, at, cpu_mean, cpu_p95, cpu_max, wait_mean, memory, network, disk, dirty)
            SELECT thing, @hour, @from, AVG(cpu_mean), MAX(cpu_p95), MAX(cpu_max), AVG(wait_mean),
                CASE WHEN thing = @promised THEN MAX(memory) ELSE AVG(memory) END, AVG(network), AVG(disk), AVG(dirty)
            FROM loads WHERE span = @slot AND at >= @from AND at < @to GROUP BY thing
            ON CONFLICT (thing, span, at) DO NOTHING
            """,
            ("@hour", Seconds(hour)), ("@slot", Seconds(Slot)), ("@promised", Promised),
            ("@from", Fields.Time(slot + Slot - hour)), ("@to", Fields.Time(slot + Slot)));
        foreach (var (span, kept) in new[] { (Slot, FineKept), (hour, CoarseKept) })
            work.Execute("DELETE FROM loads WHERE span = @span AND at < @from",
                ("@span", Seconds(span)), ("@from", Fields.Time(slot - kept)));
    });

    /// <summary>Oldest first; five-minute rows where they reach back far enough, else hours.</summary>
    public Task<List<LoadRow>> HistoryAsync(string thing, DateTimeOffset from, DateTimeOffset now)
    {
        var span = now - from <= FineKept ? Slot : hour;
        return database.RunAsync(work => work.Query(
            $"""
            SELECT at, span, cpu_mean, cpu_p95, cpu_max, wait_mean, memory, network, disk, dirty FROM loads
            WHERE thing = @thing AND span = @span AND at >= @from ORDER BY at LIMIT {RowsMax}
            """, Read, ("@thing", thing), ("@span", Seconds(span)), ("@from", Fields.Time(from))));
    }

    private static void Insert(Work work, TimeSpan span, DateTimeOffset at, string thing, LoadSummary summary) => work.Execute(
        """
        INSERT INTO loads (thing, span, at, cpu_mean, cpu_p95, cpu_max, wait_mean, memory, network, disk, dirty)
        VALUES (@thing, @span, @at, @mean, @p95, @max, @wait, @memory, @network, @disk, @dirty)
        ON CONFLICT (thing, span, at) DO NOTHING
        """,
        ("@thing", thing), ("@span", Seconds(span)), ("@at", Fields.Time(at)), ("@mean", summary.CpuMean),
        ("@p95", summary.CpuDemandP95), ("@max", summary.CpuDemandMax), ("@wait", summary.WaitMean), ("@memory", summary.MemoryMean),
        ("@network", summary.NetworkMean), ("@disk", summary.DiskMean), ("@dirty", summary.DirtyMean));

    private static long Seconds(TimeSpan span) => (long)span.TotalSeconds;

    private static LoadRow Read(DbDataReader row) => new(row.Time(0), row.GetInt64(1), row.GetDouble(2), row.GetDouble(3), row.GetDouble(4),
        row.GetDouble(5), row.GetDouble(6), row.GetDouble(7), row.GetDouble(8), row.GetDouble(9));
}

/// <param name="At">When the span began.</param>
/// <param name="CpuP95">Of demand (use and waiting), as <paramref name="CpuMax"/>.</param>
public sealed record LoadRow(
    DateTimeOffset At, long SpanSeconds, double CpuMean, double CpuP95, double CpuMax, double WaitMean, double MemoryBytes,
    double NetworkBytesPerSecond, double DiskBytesPerSecond, double DirtyBytesPerSecond);

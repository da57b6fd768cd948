using System.Data.Common;
using Godwit.Core;
using Godwit.Server.Draining;
using Godwit.Server.Hosts;

namespace Godwit.Server.Store;

/// <summary>Drains: at most one that has not ended for each host. Closing a host and beginning its drain is one transaction.</summary>
public sealed class DrainStore(Database database, TimeProvider time)
{
    public const int EndedKeptMax = 1_000;

    /// <summary>The one that goes on, or the last one of this host; null where there was none.</summary>
    public Task<Drain?> LatestAsync(HostId host) => database.RunAsync(work => Latest(work, host));

    public Task<Drain?> FindAsync(string id) => database.RunAsync(work => Find(work, id));

    /// <summary>The newest of each host that had any.</summary>
    public Task<List<Drain>> LatestOfAllAsync() => database.RunAsync(work => work.Query(
        "SELECT doc FROM drains d WHERE seq = (SELECT MAX(seq) FROM drains e WHERE e.host = d.host) ORDER BY host", Read));

    public Task<List<Drain>> UnfinishedAsync() => database.RunAsync(work =>
        work.Query("SELECT doc FROM drains WHERE ended = 0 ORDER BY seq", Read));

    /// <summary>Begun, with its host closed (away) or opened (back). Asked twice, the one that goes on is the answer.</summary>
    public Task<(Drain? Drain, Refusal? Refusal)> BeginAsync(Drain wished) => database.RunAsync<(Drain?, Refusal?)>(work =>
    {
        if (HostStore.Find(work, wished.Host) is null) return (null, HostVerbs.NotFound(wished.Host).Reasons[0]);
        if (PowerStore.WhyClosed(work, wished.Host) is { } off) return (null, off);
        if (Latest(work, wished.Host) is { HasEnded: false } active)
            return active.Kind == wished.Kind ? (active, null)
                : (null, new Refusal("drain-under-way",
                    $"{wished.Host} is being {(active.Kind == DrainKind.Away ? "drained" : "restored")}",
                    $"wait for it, or cancel it: 'godwit host drain {wished.Host} --cancel'"));
        var wasCordoned = HostStore.SetCordoned(work, wished.Host, wished.Kind == DrainKind.Away);
        var drain = wished with { WasCordoned = wasCordoned };
        var seq = work.Number("SELECT MAX(seq) FROM drains") + 1;
        work.Execute("INSERT INTO drains (id, seq, host, ended, doc) VALUES (@id, @seq, @host, 0, @doc)",
            ("@id", drain.Id), ("@seq", seq), ("@host", drain.Host.Value), ("@doc", Fields.Doc(drain)));
        work.Execute("DELETE FROM drains WHERE ended = 1 AND seq <= @last", ("@last", seq - EndedKeptMax));
        Say(work, drain, "drain-begun",
            drain.Kind == DrainKind.Away ? $"{drain.Host} is being drained" : $"{drain.Host} gets its VMs back");
        return (drain, null);
    });

    /// <summary>Null where none goes on. Durable before anything of it is acted on.</summary>
    public Task<Drain?> RequestCancelAsync(HostId host) => database.RunAsync(work =>
    {
        if (Latest(work, host) is not { HasEnded: false } drain) return null;
        drain = drain with { CancelRequested = true };
        Save(work, drain);
        return drain;
    });

    /// <summary>A cancel asked for meanwhile is kept.</summary>
    public Task<Drain> SaveAsync(Drain drain) => database.RunAsync(work =>
    {
        var before = Find(work, drain.Id) ?? throw new InvariantBrokenException($"drain {drain.Id} is in the store");
        Invariant.Holds(!before.HasEnded);
        var kept = drain with { CancelRequested = drain.CancelRequested || before.CancelRequested };
        Save(work, kept);
        return kept;
    });

    /// <summary>Its end; a cancelled drain opens the host again, unless it was closed before.</summary>
    public Task<Drain> EndAsync(Drain drain, DrainEnd end, string reason) => database.RunAsync(work =>
    {
        var ended = drain with { End = end, Reason = reason, EndedAt = time.GetUtcNow() };
        Save(work, ended);
        if (end == DrainEnd.Cancelled && drain is { Kind: DrainKind.Away, WasCordoned: false })
            HostStore.SetCordoned(work, drain.Host, false);
        Say(work, ended, "drain-ended", $"{drain.Host}: {reason}");
        return ended;
    });

    /// <summary>Null, or why nothing is to be started on a host that is being emptied or was.</summary>
    internal static Refusal? WhyNoStart(Work work, HostId host) =>
        HostStore.Find(work, host) is { State: Core.Hosts.HostState.Cordoned }
        && Latest(work, host) is { Kind: DrainKind.Away, End: not DrainEnd.Cancelled }
            ? new Refusal("host-drained", $"{host} is drained or being drained: nothing is started there",
                $"move the VM first ('godwit vm migrate VM --mode cold'), or 'godwit host restore {host}'")
            : null;

    /// <summary>Its VMs are leaving it now.</summary>
    internal static bool IsLeft(Work work, HostId host) => Latest(work, host) is { HasEnded: false, Kind: DrainKind.Away };

    internal static Drain? Latest(Work work, HostId host) => work.Query(
        "SELECT doc FROM drains WHERE host = @host ORDER BY seq DESC LIMIT 1", Read, ("@host", host.Value)).FirstOrDefault();

    private static Drain? Find(Work work, string id) =>
        work.Query("SELECT doc FROM drains WHERE id = @id", Read, ("@id", id)).FirstOrDefault();

    private static void Save(Work work, Drain drain) => work.Execute(
        "UPDATE drains SET ended = @ended, doc = @doc WHERE id = @id",
        ("@ended", drain.HasEnded ? 1 : 0), ("@doc", Fields.Doc(drain)), ("@id", drain.Id));

    private void Say(Work work, Drain drain, string kind, string text) =>
        EventStore.Append(work, new Happening(kind, text, Host: drain.Host.Value), time.GetUtcNow());

    private static Drain Read(DbDataReader row) => row.Doc<Drain>(0);
}

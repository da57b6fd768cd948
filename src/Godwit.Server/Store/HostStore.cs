using System.Data.Common;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Power;
using Godwit.Server.Hosts;

namespace Godwit.Server.Store;

/// <summary>Hosts, and which of them share which pool.</summary>
public sealed class HostStore(Database database, TimeProvider time)
{
    public const int HostsMax = 1_000;

    public Task<List<Host>> ListAsync() => database.RunAsync(List);

    public Task<Host?> FindAsync(HostId id) => database.RunAsync(work => Find(work, id));

    /// <summary>Adds it, or changes its endpoint and facts; it has just answered. One that is fenced stays so.</summary>
    public Task SaveAsync(HostId id, string endpoint, HostFacts facts) => database.RunAsync(work =>
    {
        var isNew = Find(work, id) is null;
        if (isNew && work.Number("SELECT COUNT(*) FROM hosts") >= HostsMax)
            throw new RefusedException("too-many-hosts", $"the cluster has {HostsMax} hosts", "remove one with 'godwit host remove'");
        work.Execute(
            """
            INSERT INTO hosts (id, endpoint, reachable, cordoned, memory_bytes, facts, pools_unproved)
            VALUES (@id, @endpoint, 1, 0, @memory, @facts, 1)
            ON CONFLICT (id) DO UPDATE
            SET endpoint = excluded.endpoint, reachable = CASE WHEN hosts.fenced IS NULL THEN 1 ELSE 0 END,
                memory_bytes = excluded.memory_bytes, facts = excluded.facts, pools_unproved = 1
            """,
            ("@id", id.Value), ("@endpoint", endpoint), ("@memory", facts.MemoryBytes), ("@facts", Fields.Doc(facts)));
        if (isNew) FenceStore.KeepClosed(work, id);
        // A store that was rebuilt without it may not know what it has.
        if (isNew && work.Number("SELECT COUNT(*) FROM meta WHERE name = 'rebuilt'") > 0) FreezeStore.Await(work, id, time.GetUtcNow());
        FenceStore.Answered(work, id);
        if (isNew)
            Say(work, new Happening("host-added",
                $"{id} added: {facts.Cpus} CPUs, {facts.MemoryBytes >> 20} MiB, {facts.Accelerator}", Host: id.Value));
    });

    /// <summary>Fresh facts from a host that answered. Says so where it did not answer before.</summary>
    /// <param name="news">Told in the same transaction, and so once.</param>
    public Task SaveFactsAsync(HostId id, HostFacts facts, Happening? news = null) => database.RunAsync(work =>
    {
        if (news is not null) EventStore.Append(work, news, time.GetUtcNow());
        work.Execute("UPDATE hosts SET memory_bytes = @memory, facts = @facts WHERE id = @id",
            ("@memory", facts.MemoryBytes), ("@facts", Fields.Doc(facts)), ("@id", id.Value));
    });

    public Task SetReachableAsync(HostId id, bool reachable, string why) => database.RunAsync(work =>
    {
        var changed = work.Execute(
            "UPDATE hosts SET reachable = @now WHERE id = @id AND reachable <> @now AND (fenced IS NULL OR @now = 0)",
            ("@now", reachable ? 1 : 0), ("@id", id.Value));
        if (reachable && changed > 0) FenceStore.Answered(work, id);
        if (changed > 0)
            Say(work, reachable
                ? new Happening("host-reachable", $"{id} answers again", Host: id.Value)
                : new Happening("host-unreachable", $"{id} does not answer: {why}. Its VMs are unknown, not dead", Host: id.Value));
    });

    /// <summary>
    /// False where there is no such host. Where its watchdog was its fence, nothing counts on that from here on; only then it is
    /// let go.
    /// </summary>
    /// <param name="hook">Name of its hook, or <see cref="WatchdogRules.FenceName"/>; null: it has none any more.</param>
    public Task<bool> SetFenceAsync(HostId id, string? hook) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { } host) return false;
        work.Execute("UPDATE hosts SET fence = @hook WHERE id = @id", ("@hook", hook), ("@id", id.Value));
        if (hook != WatchdogRules.FenceName) SaveWatchdog(work, id, null);
        if (host.Fence != hook)
            Say(work, new Happening("host-fence", hook switch
            {
                null => $"{id} has no fence any more",
                WatchdogRules.FenceName => $"{id} is to be fenced by its own watchdog",
                _ => $"{id} is fenced by hook {hook}",
            }, Host: id.Value));
        return true;
    });

    /// <summary>False where there is no such host.</summary>
    /// <param name="change">May throw <see cref="RefusedException"/>: nothing is changed then.</param>
    public Task<bool> SetTagsAsync(HostId id, Func<IReadOnlyList<string>, IReadOnlyList<string>> change) => database.RunAsync(work =>
    {
        if (Find(work, id) is not { } host) return false;
        var tags = change(host.Tags);
        if (tags.SequenceEqual(host.Tags)) return true;
        work.Execute("UPDATE hosts SET tags = @tags WHERE id = @id", ("@tags", Fields.Tags(tags)), ("@id", id.Value));
        Say(work, new Happening("host-tags", tags.Count == 0 ? $"{id} has no tags any more" : $"{id} is tagged {string.Join(", ", tags)}",
            Host: id.Value));
        return true;
    });

    /// <summary>False where there is no such host.</summary>
    public Task<bool> SetCordonedAsync(HostId id, bool cordoned) => database.RunAsync(work =>
    {
        if (Find(work, id) is null) return false;
        if (SetCordoned(work, id, cordoned) == cordoned) return true;
        Say(work, cordoned
            ? new Happening("host-cordoned", $"{id} takes no new VMs", Host: id.Value)
            : new Happening("host-uncordoned", $"{id} takes VMs again", Host: id.Value));
        return true;
    });

    internal static void SavePower(Work work, HostId id, HostPower power) => work.Execute(
        "UPDATE hosts SET power = @doc WHERE id = @id", ("@doc", Fields.Doc(power)), ("@id", id.Value));

    internal static void SaveWatchdog(Work work, HostId id, WatchdogNote? note) => work.Execute(
        "UPDATE hosts SET watchdog = @doc WHERE id = @id", ("@doc", note is null ? null : Fields.Doc(note)), ("@id", id.Value));

    /// <returns>Whether it was cordoned before.</returns>
    internal static bool SetCordoned(Work work, HostId id, bool cordoned)
    {
        var changed = work.Execute("UPDATE hosts SET cordoned = @now WHERE id = @id AND cordoned <> @now",
            ("@now", cordoned ? 1 : 0), ("@id", id.Value));
        return changed > 0 ? !cordoned : cordoned;
    }

    /// <summary>Null, or why it stays. Once it is gone its certificates let nobody in.</summary>
    public Task<Refusal?> RemoveAsync(HostId id, DeniedHost denied, DateTimeOffset forgetAt) => database.RunAsync<Refusal?>(work =>
    {
        if (Find(work, id) is null)
            return new Refusal("host-not-found", $"there is no host {id}", "see 'godwit host list'");
        var vms = work.Query("SELECT name FROM vms WHERE owner = @id ORDER BY name LIMIT 5", r => r.GetString(0), ("@id", id.Value));
        if (vms.Count > 0)
            return new Refusal("host-has-vms", $"{id} still owns {string.Join(", ", vms)}{(vms.Count == 5 ? " …" : "")}",
                $"move them away or delete them: 'godwit vm list --host {id}'");
        if (FenceStore.Active(work, id) is { } recovery)
            return new Refusal("recovery-under-way", $"{id} is being recovered ({recovery.Id})", "wait until that has ended");
        if (work.Number("SELECT COUNT(*) FROM reservations WHERE host = @id", ("@id", id.Value)) > 0)
            return new Refusal("host-has-moves", $"a move to {id} goes on", "wait for it or cancel it: 'godwit migration list'");
        work.Execute("DELETE FROM drains WHERE host = @id", ("@id", id.Value));
        work.Execute("DELETE FROM pool_shares WHERE host = @id", ("@id", id.Value));
        LinkStore.Forget(work, id);
        work.Execute("DELETE FROM hosts WHERE id = @id", ("@id", id.Value));
        work.Execute("DELETE FROM joining_hosts WHERE host = @id", ("@id", id.Value));
        IdentityStore.Deny(work, denied, forgetAt, time.GetUtcNow());
        Say(work, new Happening("host-removed", $"{id} removed", Host: id.Value));
        return null;
    });

    /// <summary>Every host with what is promised there and which directories its pools are, as of one moment.</summary>
    public Task<List<HostRoom>> RoomsAsync() => database.RunAsync(work =>
    {
        var shares = Shares(work).ToLookup(s => s.Host);
        return List(work).Select(host => new HostRoom(
            host, Reservations.PromisedBytes(work, host.Id),
            (int)work.Number("SELECT COUNT(*) FROM vms WHERE owner = @id", ("@id", host.Id.Value)),
            shares[host.Id].ToDictionary(s => s.Pool, s => s.Share))).ToList();
    });

    public Task<List<PoolShare>> SharesAsync() => database.RunAsync(Shares);

    /// <summary>
    /// What <paramref name="host"/>'s pools are, all of them: others are forgotten. False, and nothing is kept, where another host's
    /// proof came in between: a share it was seen to be is no longer what <paramref name="seen"/> says (both would take over each
    /// other's), or a pool that nobody was seen to share has a host now that was not looked at.
    /// </summary>
    /// <param name="known">What the other hosts' pools were when it was proved.</param>
    /// <param name="unproved">It may share more: to be proved again, also by the next server.</param>
    public Task<bool> SaveSharesAsync(HostId host, IReadOnlyCollection<PoolShare> shares, IReadOnlyCollection<PoolShare> known,
        IReadOnlyCollection<PoolShare> seen, bool unproved) => database.RunAsync(work =>
    {
        var now = Shares(work);
        var alone = shares.Select(s => s.Pool).Except(seen.Select(s => s.Pool)).ToHashSet();
        if (seen.Except(now).Any() || now.Except(known).Any(s => s.Host != host && alone.Contains(s.Pool))) return false;
        work.Execute("UPDATE hosts SET pools_unproved = @now WHERE id = @id", ("@now", unproved ? 1 : 0), ("@id", host.Value));
        work.Execute("DELETE FROM pool_shares WHERE host = @host", ("@host", host.Value));
        foreach (var share in shares)
            work.Execute("INSERT INTO pool_shares (host, pool, share) VALUES (@host, @pool, @share)",
                ("@host", host.Value), ("@pool", share.Pool), ("@share", share.Share));
        return true;
    });

    /// <summary>It could not be proved what its pools are: it shares none until it is. Names that are its alone stay.</summary>
    public Task DoubtSharesAsync(HostId host) => database.RunAsync(work =>
    {
        work.Execute("UPDATE hosts SET pools_unproved = 1 WHERE id = @id", ("@id", host.Value));
        work.Execute("DELETE FROM pool_shares WHERE host = @id AND share IN (SELECT share FROM pool_shares WHERE host <> @id)",
            ("@id", host.Value));
    });

    /// <summary>A host that is known by name and address only: asked until it answers.</summary>
    internal static void PutUnheard(Work work, HostId id, string endpoint, HostFacts facts) => work.Execute(
        """
        INSERT INTO hosts (id, endpoint, reachable, cordoned, memory_bytes, facts) VALUES (@id, @endpoint, 0, 0, @memory, @facts)
        ON CONFLICT (id) DO UPDATE SET endpoint = excluded.endpoint, reachable = 0
        """,
        ("@id", id.Value), ("@endpoint", endpoint), ("@memory", facts.MemoryBytes), ("@facts", Fields.Doc(facts)));

    internal static Host? Find(Work work, HostId id) =>
        work.Query($"SELECT {Columns} FROM hosts WHERE id = @id", Read, ("@id", id.Value)).FirstOrDefault();

    internal static List<Host> List(Work work) =>
        work.Query($"SELECT {Columns} FROM hosts ORDER BY id LIMIT {HostsMax}", Read);

    private static List<PoolShare> Shares(Work work) => work.Query(
        "SELECT host, pool, share FROM pool_shares ORDER BY pool, host",
        row => new PoolShare(new HostId(row.GetString(0)), row.GetString(1), row.GetString(2)));

    private const string Columns = "id, endpoint, reachable, cordoned, facts, fence, fenced, pools_unproved, watchdog, tags, power";

    private static Host Read(DbDataReader row)
    {
        var power = row.IsDBNull(10) ? new HostPower() : row.Doc<HostPower>(10);
        var state = !row.IsDBNull(6) ? HostState.Fenced : power.IsClosed ? HostState.Standby : row.GetInt64(2) == 0 ? HostState.Unreachable
            : row.GetInt64(3) != 0 ? HostState.Cordoned : HostState.Ready;
        return Read(row, state, power);
    }

    private static Host Read(DbDataReader row, HostState state, HostPower power) => new()
    {
        Id = new HostId(row.GetString(0)),
        Endpoint = row.GetString(1),
        State = state,
        Power = power,
        Facts = row.Doc<HostFacts>(4),
        Fence = row.TextOrNull(5),
        PoolsUnproved = row.GetInt64(7) != 0,
        Watchdog = row.IsDBNull(8) ? null : row.Doc<WatchdogNote>(8),
        Tags = row.Tags(9),
    };

    private void Say(Work work, Happening happening) => EventStore.Append(work, happening, time.GetUtcNow());
}

/// <param name="Share">The same for hosts that were proved to see the same directory under this pool's name.</param>
public sealed record PoolShare(HostId Host, string Pool, string Share);

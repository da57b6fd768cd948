using System.Globalization;
using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Rebuild;
using Godwit.Server.Agents;
using Godwit.Server.Audit;
using Godwit.Server.Identity;
using Godwit.Server.Store;
using Microsoft.Data.Sqlite;

namespace Godwit.Server.Rebuild;

/// <param name="StateDirectory">The server's; no server may use it meanwhile.</param>
/// <param name="Lost">True: what is there of a store is not read. False: it is older than the hosts, and put right.</param>
public sealed record RebuildOptions(string StateDirectory, RebuildWish Wish, bool Lost, bool DryRun);

/// <param name="Kept">Where the store from before lies; null: there was none, or nothing was written.</param>
public sealed record RebuildOutcome(RebuildPlan Plan, string? Kept);

/// <summary>
/// <c>godwit server rebuild</c>: a new store file from the hosts' words, put in the old one's place in one step. Killed at
/// any line it leaves the old store or the new one under its name, never half of one; run again it does the same again.
/// </summary>
public static class RebuildRun
{
    /// <summary>The last holds when this was done last; writing it syncs the directory.</summary>
    private const string StoreName = "godwit.db", HeadName = "audit-head", DoneName = "store-rebuilt";

    /// <exception cref="RefusedException">A server runs, the CA is missing, or the old store cannot be read.</exception>
    public static async Task<RebuildOutcome> RunAsync(RebuildOptions options, ServerPorts ports, CancellationToken cancel)
    {
        var directory = options.StateDirectory;
        if (!Directory.Exists(directory))
            throw new RefusedException("state-missing", $"there is no {directory}", "name the server's directory with --state");
        using var alone = ServerApp.Alone(directory);
        var ca = await ClusterCa.OpenAsync(directory, ports.Disk, ports.Randomness, ports.Time, cancel);
        using var channels = ports.Connector is null
            ? new AgentChannels(new ControlPlaneIdentity(ca, ports.Time).Current, ports.Time, new AgentDeadlines()) : null;
        var rebuild = new StoreRebuild(new AgentDirectory(ports.Connector ?? channels!), ports.Randomness, ports.Time);
        var (store, fresh) = (Path.Combine(directory, StoreName), Path.Combine(directory, StoreName + ".rebuilding"));
        foreach (var left in new[] { fresh, fresh + "-wal", fresh + "-shm" }) ports.Disk.DeleteFile(left); // Of a run that was killed.

        RebuildPlan plan;
        var head = await HeadAsync(directory, ports.Disk, cancel);
        var thereIsOne = ports.Disk.SizeOf(store) is > 0;
        using (var old = !options.Lost && thereIsOne ? Open(store) : null)
        {
            var before = old is null ? null : new Stores(old, ports.Time);
            plan = await rebuild.PlanAsync(options.Wish, before, cancel);
            if (options.DryRun) return new RebuildOutcome(plan, null);
            ServerApp.MakePrivate(fresh);
            if (before is not null)
            {
                head = await before.Audit.HeadAsync() is { } newest && (head is null || newest.Seq >= head.Seq) ? newest : head;
                CopyInto(store, fresh);
            }
            using (var database = Open(fresh)) await rebuild.WriteAsync(plan, new Stores(database, ports.Time), head, cancel);
        }
        return new RebuildOutcome(plan, await ExchangeAsync(directory, fresh, ports));
    }

    /// <summary>
    /// The old one is copied aside under a name that says when, durably; then the new one takes its name in one rename. A
    /// write-ahead log beside a damaged store goes aside too: it must not be played into the new one. (One that could be opened
    /// has none any more.)
    /// </summary>
    private static async Task<string?> ExchangeAsync(string directory, string fresh, ServerPorts ports)
    {
        var store = Path.Combine(directory, StoreName);
        var stamp = ports.Time.GetUtcNow().ToString("yyyyMMdd'T'HHmmssfff'Z'", CultureInfo.InvariantCulture);
        string? kept = null;
        foreach (var part in new[] { "", "-wal" })
        {
            if (ports.Disk.SizeOf(store + part) is not > 0) continue;
            kept = Path.Combine(directory, $"{StoreName}.before-{stamp}");
            CopyDurably(store + part, kept + part);
        }
        var head = Path.Combine(directory, HeadName);
        if (ports.Disk.SizeOf(head) is not null)
        {
            // The new chain does not continue it: its own row names it.
            CopyDurably(head, $"{head}.before-{stamp}");
            ports.Disk.DeleteFile(head);
        }
        var done = Path.Combine(directory, DoneName);
        await ports.Disk.WriteDurablyAsync(done, Encoding.ASCII.GetBytes($"begun {stamp}\n"), CancellationToken.None);
        ports.Disk.DeleteFile(store + "-wal");
        ports.Disk.DeleteFile(store + "-shm");
        File.Move(fresh, store, overwrite: true);
        await ports.Disk.WriteDurablyAsync(done, Encoding.ASCII.GetBytes($"done {stamp}\n"), CancellationToken.None);
        return kept;
    }

    private static void CopyDurably(string from, string to)
    {
        var create = new FileStreamOptions
        {
            Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        };
        using var source = new FileStream(from, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var target = new FileStream(to, create);
        source.CopyTo(target);
        target.Flush(flushToDisk: true);
    }

    /// <summary>A whole copy with what its log holds, by SQLite itself.</summary>
    private static void CopyInto(string store, string fresh)
    {
        using var connection = new SqliteConnection(new SqliteConnectionStringBuilder
        { DataSource = store, Mode = SqliteOpenMode.ReadWrite, Pooling = false }.ToString());
        connection.Open();
        using var copy = connection.CreateCommand();
        copy.CommandText = "VACUUM INTO $fresh";
        copy.Parameters.AddWithValue("$fresh", fresh);
        copy.ExecuteNonQuery();
    }

    private static SqliteDatabase Open(string path)
    {
        try
        {
            return new SqliteDatabase(path, broken => throw new RefusedException("store-unusable", broken.Message,
                "look at the disk, then run it again: nothing was exchanged"));
        }
        catch (Exception reason) when (reason is StoreFailedException or InvalidDataException)
        {
            throw new RefusedException("store-unusable", reason.Message,
                "if it is damaged beyond use: add --lost, and nothing of it is read; it is kept aside all the same");
        }
    }

    private static async Task<AuditHead?> HeadAsync(string directory, IDisk disk, CancellationToken cancel) =>
        await disk.ReadAsync(Path.Combine(directory, HeadName), 1024, cancel) is { } bytes
            ? AuditHead.Parse(Encoding.UTF8.GetString(bytes).Trim()) : null;
}

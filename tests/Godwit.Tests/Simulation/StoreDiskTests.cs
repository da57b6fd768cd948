using Godwit.Server.Store;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Store;
using Microsoft.Data.Sqlite;
using Xunit;

namespace Godwit.Tests.Simulation;

/// <summary>The shipped store over a disk that forgets: what a commit promised is there after a power cut, and nothing half.</summary>
public sealed class StoreDiskTests
{
    private const int Seeds = 40;

    [Fact]
    public async Task A_commit_that_returned_survives_a_power_cut()
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var disk = Disk(seed);
            var database = Open(disk);
            for (var i = 0; i < 30; i++) await AddAsync(database, i);
            disk.LosePower();
            database.Dispose();
            Assert.Equal(30, await CountAsync(disk));
        }
    }

    [Fact]
    public async Task A_commit_cut_off_at_any_call_is_whole_or_not_there()
    {
        for (var call = 1; call <= 12; call++)
        {
            using var disk = Disk((ulong)call);
            var database = Open(disk);
            for (var i = 0; i < 5; i++) await AddAsync(database, i);
            (disk.DeadlyCall, disk.Deadly) = (call, disk.LosePower);
            var told = 5;
            try
            {
                for (; told < 15; told++) await AddAsync(database, told);
            }
            catch (StoreFailedException) { }
            database.Dispose();
            Assert.InRange(await CountAsync(disk), told, told + 1); // The one that was cut off may have made it.
        }
    }

    [Fact]
    public async Task A_failed_sync_is_told_ends_the_server_and_costs_no_commit_of_before_or_after()
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var disk = Disk(seed);
            var ended = 0;
            var database = Open(disk, _ => ended++);
            for (var i = 0; i < 5; i++) await AddAsync(database, i);
            disk.FailingCalls = 1 + (int)(seed % 3);
            await Assert.ThrowsAsync<StoreFailedException>(() => AddAsync(database, 5));
            Assert.Equal(1, ended);
            disk.Abandon(); // The process ends at once; the next one opens what the kernel still shows.
            database.Dispose();
            disk.FailingCalls = 0;

            var next = Open(disk);
            for (var i = 6; i < 10; i++) await AddAsync(next, i);
            disk.LosePower();
            next.Dispose();
            Assert.InRange(await CountAsync(disk), 9, 10); // All that was acknowledged; of the failed one nobody knows.
        }
    }

    [Fact]
    public async Task A_full_disk_ends_the_server_too()
    {
        using var disk = Disk(1);
        var ended = 0;
        using var database = Open(disk, _ => ended++);
        disk.IsFull = true;
        await Assert.ThrowsAsync<StoreFailedException>(() => AddAsync(database, 1));
        Assert.Equal(1, ended);
    }

    /// <summary>The disk can tell a store that syncs from one that does not.</summary>
    [Fact]
    public void Without_a_sync_at_commit_a_power_cut_takes_commits_back()
    {
        var lost = 0;
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var disk = Disk(seed);
            Open(disk).Dispose();
            using (var careless = new SqliteConnection($"Data Source={disk.DataSource};Pooling=False"))
            {
                careless.Open();
                Execute(careless, "PRAGMA journal_mode = WAL");
                Execute(careless, "PRAGMA synchronous = OFF");
                Execute(careless, "INSERT INTO meta (name, value) VALUES ('careless', '1')");
                disk.LosePower();
            }
            using var again = new SqliteConnection($"Data Source={disk.DataSource};Pooling=False");
            again.Open();
            using var asked = again.CreateCommand();
            asked.CommandText = "SELECT COUNT(*) FROM meta WHERE name = 'careless'";
            if ((long)asked.ExecuteScalar()! == 0) lost++;
        }
        Assert.InRange(lost, 5, Seeds);
    }

    private static StoreDisk Disk(ulong seed) => new(SimRandom.Fork(seed, "store"));

    private static SqliteDatabase Open(StoreDisk disk, Action<Exception>? broken = null) =>
        new(disk.DataSource, broken ?? (why => throw why));

    private static Task AddAsync(SqliteDatabase database, int number) => database.RunAsync(work =>
    {
        work.Execute("INSERT INTO meta (name, value) VALUES (@name, @value)", ("@name", $"row{number}"), ("@value", new string('x', 3000)));
    });

    private static async Task<long> CountAsync(StoreDisk disk)
    {
        using var database = Open(disk);
        return await database.RunAsync(work => work.Number("SELECT COUNT(*) FROM meta WHERE name LIKE 'row%'"));
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteScalar();
    }
}

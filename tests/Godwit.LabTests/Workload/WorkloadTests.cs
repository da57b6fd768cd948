using System.Globalization;
using Godwit.Core.Migration;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Xunit;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Godwit.LabTests.Workload;

/// <summary>
/// A database under load from the LAN while it is moved and things break: what a user of Godwit has, and would lose. Without
/// settings a short journey; GODWIT_WORKLOAD_MOVES=50 is the long one of docs/design/workload.md, GODWIT_WORKLOAD_SEED another.
/// </summary>
[Collection(LabCollection.Name)]
public sealed class WorkloadTests(LabFixture lab, ITestOutputHelper output)
{
    private const int MovesShort = 8, SeedUsual = 1, Clients = 2;

    [RealQemuFact]
    public async Task A_database_under_load_loses_no_acknowledged_commit_and_no_connection_in_moves_that_are_disturbed()
    {
        var (moves, seed) = (Setting("GODWIT_WORKLOAD_MOVES", MovesShort), Setting("GODWIT_WORKLOAD_SEED", SeedUsual));
        output.WriteLine($"{moves} moves, seed {seed}");
        await lab.BeginTestAsync(output);
        await using var database = await DatabaseVm.StartAsync(lab);
        var boot = (await lab.Cluster.Guests.PingAsync(database.Address)).BootId;
        var clients = Enumerable.Range(1, Clients).Select(n => DatabaseClient.Begin(lab.Cluster.Plan, database.Address, n)).ToList();
        var travel = new Travel(lab, DatabaseVm.Name);
        var ends = new List<(Leg Leg, Migration Move)>();
        try
        {
            foreach (var leg in Journey.Of(seed, moves))
            {
                var move = await travel.GoAsync(leg);
                ends.Add((leg, move));
                output.WriteLine($"{ends.Count}: {leg.Way}, {leg.Fault} after {leg.After.TotalMilliseconds} ms: {move.End} {move.Reason}");

                Assert.Contains(move.End, leg.Fault == Fault.None ? [MoveEnd.Done] : (MoveEnd?[])[MoveEnd.Done, MoveEnd.RolledBack]);
                foreach (var client in clients) await client.GoesOnAsync();
                Assert.Equal(boot, (await lab.Cluster.Guests.PingAsync(database.Address)).BootId);
            }
            foreach (var client in clients) await client.EndAsync();
            await HasAllAsync(database, clients);

            await database.PowerOffAsync();
            Assert.Null(await database.FaultsOfFileSystemAsync());
            await database.BootAgainAsync(); // What it has now is what was on the disk.
            await HasAllAsync(database, clients);
            await TheWatchCanFailAsync(database, clients[0]);
        }
        finally
        {
            Tell(clients, ends);
            foreach (var client in clients) await client.DisposeAsync();
        }
    }

    /// <summary>A lost row and a lost connection, made on purpose, are seen.</summary>
    private async Task TheWatchCanFailAsync(DatabaseVm database, DatabaseClient done)
    {
        var plan = lab.Cluster.Plan;
        await DatabaseClient.AskAsync(plan, database.Address, $"DELETE FROM commits WHERE writer = {done.Writer} AND number = 1");
        Assert.Equal(done.Acknowledged - 1, await done.FoundAsync(plan, database.Address));

        await using var client = DatabaseClient.Begin(plan, database.Address, Clients + 1);
        await client.GoesOnAsync();
        await DatabaseClient.AskAsync(plan, database.Address,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
        await Assert.ThrowsAsync<XunitException>(client.GoesOnAsync);
    }

    private async Task HasAllAsync(DatabaseVm database, IReadOnlyList<DatabaseClient> clients)
    {
        foreach (var client in clients)
            Assert.Equal(client.Acknowledged, await client.FoundAsync(lab.Cluster.Plan, database.Address));
    }

    private void Tell(IReadOnlyList<DatabaseClient> clients, List<(Leg Leg, Migration Move)> ends)
    {
        foreach (var way in ends.GroupBy(e => e.Leg.Way))
            output.WriteLine($"{way.Key}: {way.Count()} moves, {way.Count(e => e.Leg.Fault != Fault.None)} of them disturbed, "
                + $"{way.Count(e => e.Move.End == MoveEnd.Done)} done, {way.Count(e => e.Move.End == MoveEnd.RolledBack)} rolled back");
        var answers = clients.SelectMany(c => c.AnswersMs).Order().ToList();
        if (answers.Count == 0) return;
        List<string> figures =
        [
            Figure("workload-moves", ends.Count), Figure("workload-moves-disturbed", ends.Count(e => e.Leg.Fault != Fault.None)),
            Figure("workload-commits-acknowledged", answers.Count), Figure("workload-answer-ms-median", answers[answers.Count / 2]),
            Figure("workload-answer-ms-99-of-100", answers[answers.Count * 99 / 100]), Figure("workload-answer-ms-longest", answers[^1]),
        ];
        figures.ForEach(output.WriteLine);
        var directory = Path.Combine(lab.Cluster.Folder.Path, "..", "artifacts", "test-figures"); // Where ./test looks for them.
        Directory.CreateDirectory(directory);
        File.WriteAllLines(Path.Combine(directory, "workload.txt"), figures);
    }

    private static string Figure(string name, double value) => string.Create(CultureInfo.InvariantCulture, $"{name} {value:0}");

    private static int Setting(string name, int usual) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : usual;
}

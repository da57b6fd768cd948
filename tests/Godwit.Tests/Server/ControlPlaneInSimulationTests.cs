using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>The shipped control plane, with real SQLite, on one thread in virtual time.</summary>
public sealed class ControlPlaneInSimulationTests
{
    [Fact]
    public void Work_stays_on_the_loop_and_a_seed_replays_exactly()
    {
        var (first, again) = (Run(seed: 7), Run(seed: 7));
        Assert.Equal((first.Steps, first.Hash), (again.Steps, again.Hash));
        Assert.NotEqual(first.Hash, Run(seed: 8).Hash);
    }

    private static LoopResult Run(ulong seed) => SimLoop.Run(seed, async loop =>
    {
        var directory = Directory.CreateTempSubdirectory("godwit-sim-");
        using var database = new SqliteDatabase(Path.Combine(directory.FullName, "godwit.db"), loop.Fail);
        var control = new ControlPlane(database, new FakeCluster(), new SimRandomness(SimRandom.Fork(seed, "server")),
            new SimClock(loop), NullLoggerFactory.Instance);
        await control.StartAsync();
        foreach (var host in new[] { "h1", "h2", "h3" }) await control.Hosts.AddAsync(new HostId(host), $"{host}:1", default);
        await Task.WhenAll(new[] { "a", "b", "c" }.Select(name =>
            control.Vms.CreateAsync(new CreateVmRequest(name) { Host = "h1", Start = true }, null, default)).ToArray());

        var moves = new List<Migration>();
        foreach (var (vm, to) in new[] { ("a", "h2"), ("b", "h2"), ("c", "h3") })
            moves.Add(await control.Wishes.BeginAsync(vm, new MigrateRequest(to), null, null));
        await loop.Until(() => control.Stores.Moves.UnfinishedAsync().Result.Count == 0);
        await control.Vms.DoAsync(OperationKind.Stop, "b", o => o with { Force = true }, null, default);
        await loop.SleepAsync(TimeSpan.FromSeconds(30));

        foreach (var happened in await control.Stores.Events.AfterAsync(0, 1000)) loop.Trace("event", $"{happened.At:O} {happened.Text}");
        Assert.All(await control.Stores.Moves.ListAsync(null, false, 10), move => Assert.Equal(MoveEnd.Done, move.End));
        Assert.Equal([VmState.Running, VmState.Stopped, VmState.Running], (await control.Stores.Vms.ListAsync()).Select(v => v.State));
        await control.StopAsync();
        database.Dispose();
        directory.Delete(recursive: true);
    });
}

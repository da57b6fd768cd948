using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Operations;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>
/// A backup of the store is put back after the VM has moved on, the host it is on is cut off, and a person who sees a
/// crashed VM in the record starts it, and starts it again. Then the host is heard, and the person settles what is frozen.
/// </summary>
internal sealed class BackInTimeStory(World world)
{
    private const string Vm = "vm1";
    private const int StartsMax = 6;
    private readonly SimRandom _random = SimRandom.Fork(world.Loop.Seed, "back in time");

    public async Task TellAsync()
    {
        var hosts = world.Agents.Keys.ToList();
        await world.CreateVmAsync(Vm, hosts[0]);
        var backup = world.Server.BackUpStore();
        var home = hosts[0];
        for (var moves = 1 + _random.Next(3); moves > 0 || home == hosts[0]; moves--)
        {
            var to = hosts.Where(h => h != home).ElementAt(_random.Next(hosts.Count - 1));
            if ((await world.EndOfAsync(await world.MigrateAsync(Vm, to))).End == MoveEnd.Done) home = to;
        }

        world.Server.PutStoreBack(backup);
        var isCut = _random.Chance(0.7);
        if (isCut) world.Net.Cut("server", home);
        await world.Server.StartAsync();
        for (var start = 0; start < StartsMax; start++)
        {
            await world.SleepAsync(1 + _random.Next(15));
            try { await world.Server.AskAsync(c => c.Vms.DoAsync(OperationKind.Start, Vm, o => o, null, CancellationToken.None)); }
            catch (RefusedException refused) { world.Loop.Trace("person", refused.Message); }
        }
        if (isCut) world.Net.Heal("server", home);
        await world.SleepAsync(30);
        if (await world.Server.AskAsync(c => c.Stores.Frozen.ListAsync()) is { Count: > 0 })
            await world.Server.AskAsync(c => c.Settling.AdoptAsync(Vm, null, [], CancellationToken.None));
    }
}

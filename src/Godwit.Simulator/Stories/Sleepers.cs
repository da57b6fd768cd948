using Godwit.Core;
using Godwit.Core.Power;
using Godwit.Server.Power;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>
/// People who send hosts to standby and wake them, whatever else goes on, and sometimes a server that does so by itself; with hooks
/// of changing mood, and hosts that come on without having been asked.
/// </summary>
internal sealed class Sleepers(World world, RunCounts counts)
{
    private const int BeginWithinMs = 60_000;

    public async Task RunAsync(int wishes)
    {
        var random = SimRandom.Fork(world.Loop.Seed, "sleepers");
        if (random.Chance(0.4))
            await TryAsync(verbs => verbs.SetAsync(new PowerWish(
                PowerMode.Automatic, MinHostsOn: 1 + random.Next(2), LowMinutes: 1, WakeMinutesMax: 4)));
        await Task.WhenAll([.. Enumerable.Range(0, wishes).Select(n => OneAsync(SimRandom.Fork(world.Loop.Seed, $"sleeper {n}")))]);
    }

    /// <summary>A healed cluster is left as it is.</summary>
    public Task EndAsync() => TryAsync(verbs => verbs.SetAsync(new PowerWish(PowerMode.Off)));

    private async Task OneAsync(SimRandom random)
    {
        await world.SleepAsync(random.Next(BeginWithinMs) / 1000.0);
        var hosts = world.Agents.Values.ToList();
        var agent = hosts[random.Next(hosts.Count)];
        var moods = Enum.GetValues<PowerMood>();
        world.Power!.Mood = random.Chance(0.5) ? PowerMood.Works : moods[random.Next(moods.Length)];
        var host = new HostId(agent.Host.Name);
        await TryAsync(verbs => verbs.StandbyAsync(host, "anna"));
        await world.SleepAsync(random.Next(120));
        if (random.Chance(0.3))
        {
            world.Server.Kill();
            await world.SleepAsync(0.1 + random.Next(3000) / 1000.0);
            await world.Server.StartAsync();
        }
        await world.SleepAsync(random.Next(120));
        if (random.Chance(0.2) && !agent.Host.IsUp)
        {
            world.Loop.Trace("person", $"presses the button of {host}");
            agent.Host.PowerOn();
            agent.Start();
        }
        await TryAsync(verbs => verbs.WakeAsync(host, "anna"));
        await world.SleepAsync(random.Next(120));
    }

    private async Task TryAsync(Func<PowerVerbs, Task> wish)
    {
        if (world.Server.Serving is null) return;
        try
        {
            counts.CountRequest();
            await world.Server.AskAsync(async control =>
            {
                await wish(control.PowerVerbs);
                return true;
            });
        }
        catch (RefusedException refused) { world.Loop.Trace("person", refused.Message); }
        catch (ServerGoneException gone) { world.Loop.Trace("person", gone.Message); }
    }
}

using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Stories;

/// <summary>
/// Hosts that fall silent for long, each for a reason of its own that the server cannot see: dark, cut off, or only without
/// an agent. Fences of changing mood, people who give their word for a host that is really off, and hosts that come back.
/// </summary>
internal sealed class Silences(World world, RunCounts counts)
{
    private const double BeginWithin = 40, SecondsMin = 15, SecondsMax = 150;
    private static readonly Fault[] Reasons = [Fault.HostDark, Fault.HostCutOff, Fault.HostAlone, Fault.AgentGone];
    /// <summary>Half cuts are where leases are lost or come late.</summary>
    private static readonly Fault[] WatchedReasons =
        [.. Reasons, Fault.HostCutOff, Fault.HostUnheard, Fault.HostUnheard, Fault.HostDeaf, Fault.AgentFrozen];

    public Task RunAsync(int silences) =>
        Task.WhenAll([.. Enumerable.Range(0, silences).Select(n => OneAsync(SimRandom.Fork(world.Loop.Seed, $"silence {n}")))]);

    private async Task OneAsync(SimRandom random)
    {
        await world.SleepAsync(random.Next((int)(BeginWithin * 1000)) / 1000.0);
        var agents = world.Agents.Values.ToList();
        var agent = agents[random.Next(agents.Count)];
        var drill = world.Knobs.Drill;
        var reasons = drill is not null ? [drill.Fault] : world.Knobs.WatchdogTimeout is null ? Reasons : WatchedReasons;
        var reason = reasons[random.Next(reasons.Length)];
        counts.Count(reason);
        world.Loop.Trace("nemesis", $"{reason} at {agent.Host.Name}");
        if (random.Chance(0.3)) world.Fence.Mood = Enum.GetValues<FenceMood>()[random.Next(Enum.GetValues<FenceMood>().Length)];
        var seconds = (drill?.SecondsMin ?? 0) + SecondsMin + random.Next((int)((SecondsMax - SecondsMin) * 1000)) / 1000.0;
        var (host, restart, process) = (agent.Host, agent.RestartAfter, agent.Process);
        switch (reason)
        {
            case Fault.HostDark: host.PowerOff(); break;
            case Fault.HostCutOff: world.Net.Cut("server", host.Name); break;
            case Fault.HostUnheard: world.Net.CutOneWay(host.Name, "server"); break;
            case Fault.HostDeaf: world.Net.CutOneWay("server", host.Name); break;
            case Fault.AgentFrozen: process?.Stall(); break;
            case Fault.HostAlone: CutFromAll(host.Name); break;
            case Fault.AgentGone:
                agent.RestartAfter = TimeSpan.Zero;
                agent.Kill();
                break;
        }
        var word = reason == Fault.HostDark && random.Chance(0.4) ? GiveWordAsync(host.Name, random) : Task.CompletedTask;
        if (random.Chance(0.3)) _ = KillServerAsync(random);
        await world.SleepAsync(seconds);
        await word;
        agent.RestartAfter = restart;
        if (reason == Fault.AgentFrozen && process is { HasExited: false }) process.Continue();
        foreach (var other in world.Agents.Keys.Append("server").Where(name => name != host.Name)) world.Net.Heal(host.Name, other);
        host.PowerOn(); // Dark, or turned off by a fence meanwhile.
        agent.Start();
    }

    private void CutFromAll(string host)
    {
        foreach (var other in world.Agents.Keys.Append("server").Where(name => name != host)) world.Net.Cut(host, other);
    }

    /// <summary>Only of a host that is off: whoever is wrong runs a VM twice.</summary>
    private async Task GiveWordAsync(string host, SimRandom random)
    {
        await world.SleepAsync(10 + random.Next(30));
        if (world.Server.Serving is null || world.Agents[host].Host.IsUp) return;
        try
        {
            var known = await world.Server.AskAsync(c => c.Stores.Hosts.FindAsync(new HostId(host)));
            if (known is not { State: HostState.Unreachable or HostState.Fenced } || world.Agents[host].Host.IsUp) return;
            counts.CountRequest();
            await world.Server.AskAsync(c => c.Fencing.RecoverAsync(new HostId(host), fenced: true, host, "anna", CancellationToken.None));
        }
        catch (RefusedException refused) { world.Loop.Trace("person", refused.Message); }
        catch (ServerGoneException gone) { world.Loop.Trace("person", gone.Message); }
    }

    private async Task KillServerAsync(SimRandom random)
    {
        await world.SleepAsync(random.Next(90));
        counts.Count(Fault.ServerCrash);
        world.Server.Kill();
        await world.SleepAsync(0.1 + random.Next(3000) / 1000.0);
        await world.Server.StartAsync();
    }
}

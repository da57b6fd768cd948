using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>
/// What a seed tells by itself: people who move VMs about and bad luck, for some minutes; then the world heals and the
/// checkers demand that everything ends well.
/// </summary>
public sealed class RandomStory(World world)
{
    private const int VmsMax = 3, MovesMax = 6, FaultsMax = 6;
    private readonly SimRandom _random = SimRandom.Fork(world.Loop.Seed, "story");
    private readonly List<string> _vms = [];

    public async Task TellAsync()
    {
        var hosts = world.Agents.Keys.ToList();
        for (var number = 1 + _random.Next(VmsMax); number > 0; number--)
        {
            _vms.Add($"vm{number}");
            await world.CreateVmAsync(_vms[^1], hosts[_random.Next(hosts.Count)]);
        }
        var moves = MovesAsync(1 + _random.Next(MovesMax));
        var luck = BadLuckAsync(_random.Next(FaultsMax + 1));
        await moves;
        await luck;
    }

    private async Task MovesAsync(int count)
    {
        for (; count > 0; count--)
        {
            await world.SleepAsync(_random.Next(4000) / 1000.0);
            var vm = _vms[_random.Next(_vms.Count)];
            try
            {
                var move = await BeginAsync(vm);
                if (_random.Chance(0.2)) await CancelSoonAsync(move);
                if (_random.Chance(0.6)) await world.EndOfAsync(move);
            }
            catch (RefusedException refused) { world.Loop.Trace("person", $"{vm}: {refused.Message}"); }
            catch (AgentUnreachableException silent) { world.Loop.Trace("person", $"{vm}: {silent.Message}"); }
        }
    }

    private async Task<MoveId> BeginAsync(string vm)
    {
        await world.Loop.Until(() => world.Server.Serving is not null);
        if (_random.Chance(0.15)) return await world.RefreshAsync(vm);
        var owner = (await world.VmAsync(vm)).Owner.Value;
        var others = world.Agents.Keys.Where(h => h != owner).ToList();
        var mode = _random.Chance(0.25) ? MoveMode.Quick : MoveMode.Live;
        return await world.MigrateAsync(vm, others[_random.Next(others.Count)], mode);
    }

    private async Task CancelSoonAsync(MoveId move)
    {
        await world.SleepAsync(_random.Next(1000) / 1000.0);
        if (world.Server.Serving is null) return;
        world.Loop.Trace("person", $"cancels {move}");
        await world.Server.AskAsync(c => c.Migrations.CancelAsync(move));
    }

    private async Task BadLuckAsync(int count)
    {
        for (; count > 0; count--)
        {
            await world.SleepAsync(_random.Next(5000) / 1000.0);
            await StrikeAsync();
        }
    }

    private async Task StrikeAsync()
    {
        var agents = world.Agents.Values.ToList();
        var (agent, other) = (agents[_random.Next(agents.Count)], agents[_random.Next(agents.Count)]);
        var seconds = _random.Next(20_000) / 1000.0;
        switch (_random.Next(10))
        {
            case 0 or 1 or 2: agent.Kill(); break;
            case 3:
                world.Ledger.Alive.Skip(_random.Next(4)).FirstOrDefault()?.Process.Exit(ProcessEnd.Injected);
                break;
            case 4:
                world.Server.Kill();
                await world.SleepAsync(seconds);
                if (world.Server.Serving is null) await world.Server.StartAsync();
                break;
            case 5 when agent != other: await CutAsync(agent.Host.Name, other.Host.Name, seconds); break;
            case 6: await CutAsync(agent.Host.Name, "server", seconds); break;
            case 7 when agent != other: world.Net.Reset(agent.Host.Name, other.Host.Name); break;
            case 8: agent.Host.Disk.FailingWrites = 1 + _random.Next(2); break;
            case 9: await StallAsync(agent, seconds); break;
        }
    }

    private async Task CutAsync(string one, string other, double seconds)
    {
        if (_random.Chance(0.3)) world.Net.CutOneWay(one, other);
        else world.Net.Cut(one, other);
        await world.SleepAsync(seconds);
        world.Net.Heal(one, other);
    }

    private async Task StallAsync(SimAgent agent, double seconds)
    {
        if (agent.Process is not { HasExited: false } process) return;
        world.Loop.Trace(agent.Host.Name, $"agent {process.Pid} stands still");
        process.Context.Stall();
        await world.SleepAsync(seconds);
        process.Context.Continue();
    }
}

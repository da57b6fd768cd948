using Godwit.Core;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Stories;

/// <summary>Bad luck: faults of all kinds, each at its own moment, some in pairs. Everything heals in the end.</summary>
internal sealed class Nemesis(World world, RunCounts counts)
{
    private double StretchSeconds => IsFocused ? 6 : 15;

    private static readonly (Fault Fault, int Weight)[] Weights =
    [
        (Fault.AgentCrash, 20), (Fault.AgentHang, 6), (Fault.ServerCrash, 6), (Fault.ServerHang, 2), (Fault.QemuDeath, 8),
        (Fault.ServerCrashAtCommit, 5), (Fault.ServerPowerCut, 3), (Fault.StoreErrors, 3), (Fault.StoreFull, 2),
        (Fault.QemuHang, 4), (Fault.QemuWillNotLoad, 4), (Fault.QemuWillNotDie, 3), (Fault.PowerCut, 6), (Fault.Cut, 8),
        (Fault.OneWayCut, 6), (Fault.Reset, 5), (Fault.SlowLink, 4), (Fault.LossyLink, 3), (Fault.DiskErrors, 6),
        (Fault.DiskFull, 2), (Fault.DiskReadOnly, 2), (Fault.SlowDisk, 1), (Fault.DiskHang, 2), (Fault.BitFlip, 3), (Fault.ClockJump, 2),
        (Fault.GuestPowersOff, 3),
    ];

    private static readonly (Fault Fault, int Weight)[] HandOverWeights =
    [
        (Fault.AgentCrash, 20), (Fault.AgentHang, 6), (Fault.ServerCrash, 3), (Fault.ServerCrashAtCommit, 3),
        (Fault.QemuDeath, 12), (Fault.QemuHang, 6),
        (Fault.QemuWillNotLoad, 5), (Fault.PowerCut, 8), (Fault.Cut, 12), (Fault.OneWayCut, 10), (Fault.Reset, 8),
        (Fault.SlowLink, 2), (Fault.LossyLink, 2), (Fault.DiskErrors, 6), (Fault.SlowDisk, 1),
        (Fault.DiskHang, 1), (Fault.BitFlip, 8),
        (Fault.GuestPowersOff, 2),
    ];

    private bool IsFocused => world.Knobs.IsFocused;

    /// <summary>Returns when the last of its own effects has passed.</summary>
    public Task RunAsync(int faults) =>
        Task.WhenAll([.. Enumerable.Range(0, faults).Select(n => OneAsync(SimRandom.Fork(world.Loop.Seed, $"fault {n}")))]);

    private async Task OneAsync(SimRandom random)
    {
        await world.SleepAsync(random.Next((int)(StretchSeconds * 1000)) / 1000.0);
        if (IsFocused && (random.Chance(0.6) || world.Knobs.Drill is not null))
        {
            var drill = world.Knobs.Drill ?? Drill.Draw(random);
            if (await Moment.ComeAsync(world, drill.Sign, random) is { } here && world.Agents.TryGetValue(here, out var there))
                await StrikeAsync(drill.Fault, there, random, drill.SecondsMin);
            return;
        }
        var where = await Moment.ComeAsync(world, random);
        var agents = world.Agents.Values.ToList();
        var agent = where is not null && random.Chance(0.7) && world.Agents.TryGetValue(where, out var named)
            ? named : agents[random.Next(agents.Count)];
        var first = StrikeAsync(Draw(random), agent, random);
        if (random.Chance(0.25))
        {
            await world.Loop.SleepAsync(TimeSpan.FromMicroseconds(random.Next(1 << random.Next(22))));
            await StrikeAsync(Draw(random), random.Chance(0.5) ? agent : agents[random.Next(agents.Count)], random);
        }
        await first;
    }

    private Fault Draw(SimRandom random)
    {
        var weights = IsFocused ? HandOverWeights : Weights;
        var at = random.Next(weights.Sum(w => w.Weight));
        foreach (var (fault, weight) in weights)
            if ((at -= weight) < 0) return fault;
        throw new InvalidOperationException("the weights were summed wrongly");
    }

    private async Task StrikeAsync(Fault fault, SimAgent agent, SimRandom random, double secondsMin = 0)
    {
        counts.Count(fault);
        world.Loop.Trace("nemesis", $"{fault} at {agent.Host.Name}");
        var seconds = secondsMin + 0.005 * Math.Pow(2, random.Next(1300) / 100.0); // 5 ms to 41 s, each doubling as likely.
        var (host, disk) = (agent.Host, agent.Host.Disk);
        switch (fault)
        {
            case Fault.AgentCrash: agent.Kill(); break;
            case Fault.AgentHang: await StallAsync(agent.Process, seconds); break;
            case Fault.ServerCrash: await CrashServerAsync(seconds); break;
            case Fault.ServerCrashAtCommit: await CrashServerAtCommitAsync(random, seconds); break;
            case Fault.ServerPowerCut: await CutServersPowerAsync(seconds); break;
            case Fault.StoreErrors: world.Server.FailDiskCalls(1 + random.Next(3)); break;
            case Fault.StoreFull: await WhileAsync(seconds, world.Server.FillDisk); break;
            case Fault.ServerHang: await StallAsync(world.Server.Process, seconds); break;
            case Fault.QemuDeath: Guest(host, random)?.Process.Exit(ProcessEnd.Injected); break;
            case Fault.QemuHang: await StallAsync(Guest(host, random)?.Process, 3 * seconds); break;
            case Fault.QemuWillNotLoad: Guest(host, random)?.RefuseToLoad(); break;
            case Fault.QemuWillNotDie: await HangInKernelAsync(Guest(host, random)?.Process, seconds); break;
            case Fault.PowerCut: await CutPowerAsync(agent, seconds); break;
            case Fault.Cut or Fault.OneWayCut: await CutAsync(host.Name, Other(host, random), fault == Fault.OneWayCut, seconds); break;
            case Fault.Reset: world.Net.Reset(host.Name, Other(host, random)); break;
            case Fault.SlowLink or Fault.LossyLink: await ImpairAsync(host.Name, Other(host, random), fault, random, seconds); break;
            case Fault.DiskErrors: disk.FailingWrites = 1 + random.Next(3); break;
            case Fault.DiskFull: await WhileAsync(seconds, on => disk.IsFull = on); break;
            case Fault.DiskReadOnly: await WhileAsync(seconds, on => disk.IsReadOnly = on); break;
            case Fault.SlowDisk: await WhileAsync(seconds, disk.BeSlow); break;
            case Fault.DiskHang: await WhileAsync(seconds, on => disk.Hangs = on); break;
            case Fault.BitFlip: world.Net.FlipBit(host.Name, random); break;
            case Fault.ClockJump:
                host.Clock.WallClockError = TimeSpan.FromSeconds(random.Next(2) * 2 - 1) * (1 << random.Next(25));
                await world.SleepAsync(seconds);
                host.Clock.WallClockError = TimeSpan.Zero;
                break;
            case Fault.GuestPowersOff: if (Guest(host, random) is { IsRunning: true } guest) guest.GuestPowersOff(); break;
        }
    }

    private SimQemu? Guest(SimHost host, SimRandom random)
    {
        var here = world.Ledger.Alive.Where(q => q.Host == host).ToList();
        if (random.Chance(0.8) && here.Find(q => q.IsRunning) is { } running) return running;
        return here.Count == 0 ? null : here[random.Next(here.Count)];
    }

    private string Other(SimHost host, SimRandom random)
    {
        var others = world.Agents.Keys.Where(n => n != host.Name).ToList();
        return random.Chance(IsFocused ? 0.1 : 0.35) ? "server" : others[random.Next(others.Count)];
    }

    private async Task WhileAsync(double seconds, Action<bool> set)
    {
        set(true);
        await world.SleepAsync(seconds);
        set(false);
    }

    private async Task CrashServerAsync(double seconds)
    {
        world.Server.Kill();
        await world.SleepAsync(seconds);
        await StartServerAsync(seconds);
    }

    /// <summary>As a supervisor does: one that dies as it starts (a death that was armed before) is started again.</summary>
    private async Task StartServerAsync(double seconds)
    {
        const int triesMax = 5;
        for (var attempt = 0; attempt < triesMax && world.Server.Process is not { HasExited: false }; attempt++)
        {
            if (attempt > 0) await world.SleepAsync(seconds);
            await world.Server.StartAsync();
        }
    }

    private async Task CrashServerAtCommitAsync(SimRandom random, double seconds)
    {
        // What is down cannot die at a commit.
        if (world.Server.Process is not { HasExited: false } || world.Server.Serving is null) return;
        if (random.Chance(0.5)) world.Server.KillAfterCommit();
        else world.Server.KillAtDiskCall(1 + random.Next(6));
        await Joining.AnyAsync(world.Server.Process!.Exited, world.SleepAsync(30));
        await CrashServerAsync(seconds);
    }

    private async Task CutServersPowerAsync(double seconds)
    {
        world.Server.LosePower();
        await world.SleepAsync(seconds);
        world.Server.Host.PowerOn();
        await StartServerAsync(seconds);
    }

    private async Task CutPowerAsync(SimAgent agent, double seconds)
    {
        agent.Host.PowerOff();
        await world.SleepAsync(seconds);
        agent.Host.PowerOn();
        agent.Start();
    }

    private async Task CutAsync(string one, string other, bool oneWay, double seconds)
    {
        if (oneWay) world.Net.CutOneWay(one, other);
        else world.Net.Cut(one, other);
        await world.SleepAsync(seconds);
        world.Net.Heal(one, other);
    }

    private async Task ImpairAsync(string one, string other, Fault fault, SimRandom random, double seconds)
    {
        foreach (var link in new[] { world.Net.Link(one, other), world.Net.Link(other, one) })
        {
            if (fault == Fault.LossyLink) link.Loss = 0.3 / (1 << random.Next(6));
            else
            {
                link.BytesPerSecond = Math.Max(20_000, link.BytesPerSecond >> random.Next(6));
                link.Delay += TimeSpan.FromMilliseconds(1 << random.Next(9));
            }
        }
        await world.SleepAsync(seconds);
        world.Net.Restore(one, other);
        world.Net.Restore(other, one);
    }

    private async Task StallAsync(SimProcess? process, double seconds)
    {
        if (process is not { HasExited: false }) return;
        world.Loop.Trace(process.Host.Name, $"{process.Program} {process.Pid} stands still");
        process.Stall();
        await world.SleepAsync(seconds);
        process.Continue();
    }

    private async Task HangInKernelAsync(SimProcess? process, double seconds)
    {
        if (process is not { HasExited: false }) return;
        await WhileAsync(seconds, on => process.HangsInKernel = on);
    }
}

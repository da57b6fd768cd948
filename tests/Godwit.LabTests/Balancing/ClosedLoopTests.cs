using Godwit.Cli.Lab;
using Godwit.Core;
using Godwit.Core.Balance.Automatic;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Faults;
using Godwit.Server.Api;
using Godwit.Server.Balancing;
using Godwit.Server.Draining;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Balancing;

/// <summary>
/// Three hosts, twelve real VMs whose load wanders from host to host, a balancer in automatic mode with minutes of three
/// seconds, for half an hour of them: it relieves, it does not move to and fro, what it gained is measured. Then a host is emptied, and
/// one dies. The guests are emulated and share one machine: they beat seldom, and are busy for a small share of a processor.
/// </summary>
public sealed class ClosedLoopTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const int VmsPerHost = 4, BusyPercent = 30, BeatMs = 250, MovesMax = 24;
    private const double BusyAbove = 0.25, CalmCores = 0.2;
    private static readonly TimeSpan minute = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan waitMax = TimeSpan.FromMinutes(4);
    private readonly Dictionary<string, string> guests = [];
    private LabCluster cluster = null!;

    public async Task InitializeAsync()
    {
        if (FaultFactAttribute.WhyNot is not null) return; // Skipped, and it says why.
        var tag = Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test";
        var plan = LabPlan.Of($"{tag[..Math.Min(tag.Length, 7)]}b", 3);
        cluster = await LabCluster.StartAsync(plan, new LabOptions
        {
            ServerArguments =
            [
                "--balancer-minute", $"{minute.TotalSeconds:0}", "--fence-hooks", LabHook.DirectoryOf(plan), "--ha-after", "20",
            ],
        }, default);
        LabHook.Write(plan);
        foreach (var host in plan.Hosts)
            for (var n = 1; n <= VmsPerHost; n++) await CreateVmAsync(host.Name, $"vm{host.Name[4..]}{n}");
        foreach (var address in guests.Values)
        {
            await cluster.Guests.WaitUntilUpAsync(address, waitMax);
            await cluster.Guests.BeatsAsync(address, BeatMs);
            await cluster.Guests.WritesAsync(address, 0);
        }
    }

    public async Task DisposeAsync()
    {
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [FaultFact]
    public async Task Load_that_wanders_is_followed_without_to_and_fro_a_host_is_emptied_and_a_dead_ones_vms_come_back()
    {
        var before = await StatusAsync();
        // What they took to boot has to have left the balancer's window.
        await UntilAsync("all guests are calm", async () => (await cluster.Api.LoadAsync(default)).Vms
            .All(vm => vm.Window is { CpuToReckonWith: < CalmCores }));
        await cluster.Api.SetBalancerAsync(new BalancerWish(BalanceMode.Automatic, BusyAbove: BusyAbove), default);
        await BusyAsync("vm11", "vm12", "vm13", "vm14");
        var first = await RunAsync(minutes: 12);
        Assert.Contains(first, r => r is { ByItself: true, State: RecommendationState.Done } && r.Move.From.Value == "host1");
        Assert.True(await OnAsync("host1", "vm11", "vm12", "vm13", "vm14") < VmsPerHost, "the busy host was relieved");

        await BusyAsync("vm21", "vm22", "vm23", "vm24");
        await RunAsync(minutes: 9);
        await BusyAsync("vm31", "vm32", "vm33", "vm34");
        var all = await RunAsync(minutes: 9);
        Assert.Contains(all, r => r.MeasuredGainSeconds is not null);
        await AssertNoToAndFroAsync();
        await cluster.Api.SetBalancerAsync(new BalancerWish(BalanceMode.Off), default);
        await BusyAsync();

        await cluster.Api.BeginDrainAsync("host3", new DrainRequest(), default);
        Drain drain = null!;
        await UntilAsync("host3 is empty", async () => (drain = await cluster.Api.DrainAsync("host3", default)).HasEnded);
        Assert.True(drain.End == DrainEnd.Drained, $"{drain.End}: {drain.Reason}");
        Assert.DoesNotContain(await cluster.Api.VmsAsync(default), vm => vm.Owner.Value == "host3");
        AssertSameGuests(before, await StatusAsync());
        await cluster.Api.RestoreHostAsync("host3", new RestoreHostRequest(Return: false), default);

        await DiesAsync("host2");
    }

    /// <summary>Its agent is gone and says nothing: the hook ends the host, then its VMs boot on the two others.</summary>
    private async Task DiesAsync(string host)
    {
        await cluster.Api.SetHostAsync(host, new HostSettingsRequest(LabHook.Name), default);
        var there = (await cluster.Api.VmsAsync(default)).Where(vm => vm.Owner.Value == host).Select(vm => vm.Spec.Name).ToList();
        Assert.NotEmpty(there);
        await cluster.Agents[host[4] - '1'].KillAsync();
        await UntilAsync($"{there.Count} VMs of {host} run elsewhere", async () => (await cluster.Api.VmsAsync(default))
            .Count(vm => there.Contains(vm.Spec.Name) && vm.Owner.Value != host && vm is { State: VmState.Running, Operation: null })
            == there.Count);
        Assert.Equal(HostState.Fenced, (await cluster.Api.HostAsync(host, default)).State);
        foreach (var name in there) await cluster.Guests.WaitUntilUpAsync(guests[name], waitMax);
    }

    private async Task<IReadOnlyList<Recommendation>> RunAsync(int minutes)
    {
        await Task.Delay(minutes * minute);
        // What it began before may still cross.
        BalancerView view = null!;
        await UntilAsync("its moves have ended", async () =>
            (view = await cluster.Api.BalancerAsync(default)).History.All(r => r.State != RecommendationState.Moving));
        await TellAsync(view);
        return view.History;
    }

    /// <summary>Loads as the balancer reckons with them, what it thinks of them, and what it did.</summary>
    private async Task TellAsync(BalancerView view)
    {
        var load = await cluster.Api.LoadAsync(default);
        foreach (var host in load.Hosts)
            output.WriteLine($"{host.Host}: {host.Window?.Now.CpuCores:0.00} of {host.Cpus} processors; "
                + string.Join(", ", load.Vms.Where(vm => vm.Host == host.Host).Select(vm =>
                    $"{vm.Name} {vm.Window?.CpuToReckonWith:0.00} (waits {vm.Window?.HalfHour.WaitMean:0.00})")));
        output.WriteLine($"last look: {view.LastLook?.ScoreBefore:0} to {view.LastLook?.ScoreAfter:0} {view.LastLook?.Problem}");
        foreach (var advice in view.LastLook?.Advices ?? [])
            output.WriteLine($"  {advice.Move.VmName} {advice.Move.From} → {advice.Move.To}: {advice.Act}, {advice.Because}");
        foreach (var r in view.History.Reverse())
            output.WriteLine($"{r.At:HH:mm:ss} {r.Move.VmName} {r.Move.From} → {r.Move.To}: {r.State}, {r.Move.Goal}, "
                + $"predicted {r.Move.GainSeconds:0} s, measured {r.MeasuredGainSeconds:0} s; {r.Move.Why}");
    }

    /// <summary>No VM was on a host again that it had left: the whole run is shorter than the hour of the cool-down.</summary>
    private async Task AssertNoToAndFroAsync()
    {
        var moves = (await cluster.Api.MovesAsync(default)).Where(m => m.End == MoveEnd.Done).OrderBy(m => m.CreatedAt).ToList();
        Assert.InRange(moves.Count, 1, MovesMax);
        foreach (var vm in moves.GroupBy(m => m.VmName))
        {
            HostId[] path = [vm.First().Source, .. vm.Select(m => m.Target)];
            Assert.True(path.Distinct().Count() == path.Length, $"{vm.Key} went {string.Join(" → ", path)}");
        }
    }

    private async Task<int> OnAsync(string host, params string[] names) =>
        (await cluster.Api.VmsAsync(default)).Count(vm => vm.Owner.Value == host && names.Contains(vm.Spec.Name));

    /// <summary>These are busy and no others.</summary>
    private async Task BusyAsync(params string[] names)
    {
        foreach (var (name, address) in guests)
            await cluster.Guests.CpuAsync(address, names.Contains(name) ? BusyPercent : 0);
    }

    private async Task<Dictionary<string, GuestStatus>> StatusAsync()
    {
        var status = new Dictionary<string, GuestStatus>();
        foreach (var (name, address) in guests) status[name] = await cluster.Guests.PingAsync(address);
        return status;
    }

    /// <summary>Each went on where it was: not booted again, no beat counted twice.</summary>
    private static void AssertSameGuests(Dictionary<string, GuestStatus> before, Dictionary<string, GuestStatus> after)
    {
        foreach (var (name, was) in before)
        {
            Assert.True(was.BootId == after[name].BootId, $"{name} was booted again");
            Assert.True(was.Counter < after[name].Counter && after[name].MemoryErrors == 0, $"{name}: {was} {after[name]}");
        }
    }

    private async Task CreateVmAsync(string host, string name)
    {
        var vm = await cluster.Api.CreateVmAsync(new CreateVmRequest(name)
        {
            Template = LabCluster.TemplateName, Host = host, MemoryBytes = 96L << 20, Start = true, Ha = true,
        }, default);
        guests[name] = LabCluster.AddressOf(vm);
    }

    private async Task UntilAsync(string what, Func<Task<bool>> there)
    {
        using var patience = new CancellationTokenSource(waitMax);
        while (!await there())
        {
            if (patience.IsCancellationRequested) await TellAsync(await cluster.Api.BalancerAsync(default));
            Assert.False(patience.IsCancellationRequested, $"waited {waitMax.TotalMinutes:0} min in vain: {what}");
            await Task.Delay(500);
        }
    }
}

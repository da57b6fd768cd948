using System.Globalization;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>The file system of an agent's records is frozen, as one whose disk does not answer: writes hang in the kernel.</summary>
[Collection(FaultCollection.Name)]
public sealed class HangingDiskTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const string BeforeIntent = "incoming.before-intent";
    private static readonly TimeSpan GivenBackMax = TimeSpan.FromSeconds(10);

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [FaultFact]
    public Task A_target_whose_disk_hangs_at_the_intent_gives_the_guest_back_and_says_so() => FaultFigures.CountAsync(async () =>
    {
        var target = await lab.OtherHostAsync();
        await using var disk = await HangableAsync(target);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        var move = await HeldBeforeIntentAsync();
        await disk.FreezeAsync();
        lab.Holds.Release();
        var struck = DateTime.UtcNow;
        var ended = await lab.EndOfAsync(move); // While it hangs.
        output.WriteLine($"{(DateTime.UtcNow - struck).TotalSeconds:0.0} s: {ended.End}: {ended.Reason}");
        Assert.Equal(MoveEnd.RolledBack, ended.End);
        Assert.Contains("has not answered", ended.Reason, StringComparison.Ordinal);
        Assert.True(DateTime.UtcNow - struck < GivenBackMax);
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Empty(lab.Qemus(target));

        await FaultLab.UntilAsync("the host's journal is told to hang", async () =>
            (await lab.Cluster.Api.HostAsync(target, default)).Facts!.JournalSilentSeconds > 0);
        var plan = await lab.Cluster.Api.PlanAsync(FaultLab.VmName, new MigrateRequest(target), default);
        Assert.Contains(plan.Reasons, r => r.Code == "journal-hangs");
        await disk.ThawAsync();
        await lab.ReadyAsync();
        Assert.Equal(MoveEnd.Done, (await lab.EndOfAsync(await lab.BeginMoveAsync())).End);
        await watch.HoldsAsync();
    });

    [FaultFact]
    public Task An_agent_killed_while_its_intent_hangs_is_not_followed_by_another_before_it_is_gone() => FaultFigures.CountAsync(async () =>
    {
        var target = await lab.OtherHostAsync();
        await using var disk = await HangableAsync(target);
        var agent = lab.AgentOf(target);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        var move = await HeldBeforeIntentAsync();
        await disk.FreezeAsync();
        lab.Holds.Release();
        await Task.Delay(500); // It writes, and hangs.
        await LabShell.RunAsync(["kill", "-KILL", agent.Pid.ToString(CultureInfo.InvariantCulture)]);
        await Task.Delay(2_000);
        Assert.True(agent.IsAlive, "the kernel does not let go of it");
        await disk.ThawAsync();
        await agent.KillAsync();
        await lab.StartAsync(agent);

        var ended = await lab.EndOfAsync(move);
        output.WriteLine($"{ended.End}: {ended.Reason}");
        Assert.Contains(ended.End, new MoveEnd?[] { MoveEnd.RolledBack, MoveEnd.Done });
        await lab.WaitForStateAsync(VmState.Running);
        await watch.HoldsAsync();
    });

    [FaultFact]
    public Task A_source_whose_disk_hangs_begins_no_move_and_its_guest_runs_on() => FaultFigures.CountAsync(async () =>
    {
        var source = (await lab.VmAsync()).Owner.Value;
        await using var disk = await HangableAsync(source);
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        await disk.FreezeAsync();
        var ended = await lab.EndOfAsync(await lab.BeginMoveAsync());
        output.WriteLine($"{ended.End}: {ended.Reason}");
        Assert.Equal(MoveEnd.RolledBack, ended.End);
        await disk.ThawAsync();
        await lab.ReadyAsync();
        await watch.HoldsAsync();
    });

    private async Task<SmallDisk> HangableAsync(string host)
    {
        var state = Path.Combine(lab.Cluster.Plan.Hosts.Single(h => h.Name == host).DataDirectory, "state");
        var disk = await SmallDisk.Ext4UnderAsync(lab, lab.AgentOf(host), state);
        await lab.ReadyAsync();
        return disk;
    }

    private async Task<Migration> HeldBeforeIntentAsync()
    {
        lab.Holds.Arm(BeforeIntent);
        var move = await lab.BeginMoveAsync();
        await lab.Holds.ReachedAsync([BeforeIntent]);
        return move;
    }
}

using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Client;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>Disks that are full or read-only, memory and bridges that are not there.</summary>
[Collection(FaultCollection.Name)]
public sealed class ResourceFaultTests(FaultLab lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long SlowBytesPerSecond = 6 << 20;

    public enum Trouble { Full, ReadOnly }

    public Task InitializeAsync() => lab.BeginTestAsync(output);

    public Task DisposeAsync() => Task.CompletedTask;

    [FaultTheory]
    [InlineData(Trouble.Full)]
    [InlineData(Trouble.ReadOnly)]
    public Task A_target_that_cannot_write_its_intent_down_gives_the_guest_back(Trouble trouble) => FaultFigures.CountAsync(async () =>
    {
        var target = await lab.OtherHostAsync();
        await using var disk = await SmallDisk.UnderAsync(lab, lab.AgentOf(target), StateOf(target), "8m");
        await lab.ReadyAsync();
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        lab.Holds.Arm("incoming.before-intent");
        var move = await lab.BeginMoveAsync();
        await lab.Holds.ReachedAsync(["incoming.before-intent"]);

        if (trouble == Trouble.Full) disk.Fill();
        else await disk.MakeReadOnlyAsync();
        lab.Holds.Release();
        // Without a disk it can neither run the guest nor prove that it never will: the source waits for its word.
        await lab.SeenAsync(move, m => m.Phase == Phase.Switching || m.End is not null);
        await disk.MakeWritableAsync();
        disk.Free();

        await EndsAsync(move, MoveEnd.RolledBack, "journal");
        await watch.HoldsAsync();
    });

    [FaultFact]
    public Task A_server_whose_disk_is_full_ends_and_the_move_goes_on_without_it() => FaultFigures.CountAsync(async () =>
    {
        var server = lab.Cluster.Server;
        await using var disk = await SmallDisk.UnderAsync(lab, server, Path.Combine(lab.Cluster.Plan.DataDirectory, "server"), "16m");
        await lab.ReadyAsync();
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        var move = await lab.BeginMoveAsync(bytesPerSecond: SlowBytesPerSecond);
        await lab.SeenAsync(move, m => m is { Phase: Phase.Memory, Progress.SentBytes: > 0 });

        disk.Fill();
        await FaultLab.UntilAsync("the server has ended", async () => !server.IsAlive || !await WritesAsync());
        await lab.ArrivesAsync(move);
        disk.Free();
        await lab.StartAsync(server);

        await EndsAsync(move, MoveEnd.Done);
        await watch.HoldsAsync();
    });

    [FaultFact]
    public Task A_target_without_room_for_the_guests_memory_is_refused_with_figures() => FaultFigures.CountAsync(async () =>
    {
        var target = await lab.OtherHostAsync();
        var run = lab.Cluster.Plan.Hosts.Single(h => h.Name == target).RunDirectory;
        await using var disk = await SmallDisk.UnderAsync(lab, lab.AgentOf(target), run, "64m");
        await lab.UntilListensAsync(target);

        await IsRefusedAsync("ram-file-space-short");
    });

    [FaultFact]
    public Task A_target_that_lost_its_bridge_is_refused_by_name() => FaultFigures.CountAsync(async () =>
    {
        var target = lab.NamespaceOf(await lab.OtherHostAsync());
        await Ip(target, $"link set {LabPlan.Bridge} down\nlink set {LabPlan.Bridge} name lost0");

        try { await IsRefusedAsync("bridge-missing"); }
        finally { await Ip(target, $"link set lost0 name {LabPlan.Bridge}\nlink set {LabPlan.Bridge} up"); }
    });

    private async Task IsRefusedAsync(string code)
    {
        var watch = await Continuity.BeginAsync(lab.Cluster, lab.Guest);
        var before = await Leftovers.CountAsync(lab);

        var refusals = await RefusalsAsync();

        Assert.Contains(code, refusals.Select(r => r.Code));
        Assert.All(refusals, r => Assert.NotEmpty(r.Fix));
        await Leftovers.AreGoneAsync(lab, before);
        await watch.HoldsAsync();
    }

    /// <summary>
    /// At once where the server has heard of it by now, else by the target as the move begins; once the server reaches an agent that has
    /// just been started again.
    /// </summary>
    private async Task<IReadOnlyList<Refusal>> RefusalsAsync()
    {
        IReadOnlyList<Refusal> refusals = [];
        await FaultLab.UntilAsync("the target was asked", async () =>
        {
            try { refusals = (await EndsAsync(await lab.BeginMoveAsync(), MoveEnd.RolledBack)).Refusals; }
            catch (ApiException known)
            {
                refusals = known.Error.Reasons;
                return known.Error.Code != "host-unreachable";
            }
            return true;
        });
        return refusals;
    }

    /// <param name="why">A word of the reason people are given.</param>
    private async Task<Migration> EndsAsync(Migration move, MoveEnd end, string why = "")
    {
        var ended = await lab.EndOfAsync(move);
        output.WriteLine($"{ended.End}: {ended.Reason} {string.Join("; ", ended.Warnings)}");
        Assert.True(end == ended.End, $"{ended.End}: {ended.Reason}");
        Assert.Contains(why, ended.Reason ?? "", StringComparison.OrdinalIgnoreCase);
        await lab.WaitForStateAsync(VmState.Running);
        Assert.Equal(end == MoveEnd.Done ? ended.Target : ended.Source, (await lab.VmAsync()).Owner);
        return ended;
    }

    /// <summary>An order that is written down before it is refused: false if the server is gone.</summary>
    private async Task<bool> WritesAsync()
    {
        try { await lab.Cluster.Api.ActAsync("nobody", "start", null, default); }
        catch (ApiException) { } // There is no such VM, or no server any more.
        return lab.Cluster.Server.IsAlive;
    }

    private string StateOf(string host) =>
        Path.Combine(lab.Cluster.Plan.Hosts.Single(h => h.Name == host).DataDirectory, "state");

    private static Task<string> Ip(string inNamespace, string commands) =>
        LabShell.RunAsync(["ip", "-n", inNamespace, "-batch", "-"], commands);
}

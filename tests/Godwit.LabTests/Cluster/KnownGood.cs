using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>
/// Brings a cluster and its VM back to where a test may begin: every process up, no move under way, the VM running and
/// its guest answering. What a test before left behind is that test's failure and not the next one's; what had to be done
/// is told in the output of the test that found it.
/// </summary>
internal sealed class KnownGood(LabCluster cluster, string name, CreateVmRequest wish, ITestOutputHelper output)
{
    private static readonly TimeSpan PingMax = TimeSpan.FromSeconds(30); // A guest that starves on a busy machine is not dead.
    private static readonly TimeSpan WaitMax = TimeSpan.FromSeconds(90);

    /// <summary>Environment the processes were started with, for those that must be started again.</summary>
    public IReadOnlyList<string> Settings { get; init; } = [];

    /// <summary>Returns the guest's address, a new one if the VM had to be made anew.</summary>
    public async Task<string> RestoreAsync()
    {
        foreach (var service in (LabService[])[cluster.Server, .. cluster.Agents])
        {
            if (service.IsAlive) continue;
            Tell($"{service.Name} was not running: started");
            await service.StartAsync(default, Settings);
        }
        await UntilAsync("all hosts are ready", async () => (await cluster.Api.HostsAsync(default)).All(h => h.State == HostState.Ready));
        try
        {
            await EndMovesAsync();
            await RunAsync();
        }
        catch (Exception trouble) when (trouble is LabException or ApiException)
        {
            Tell($"{name} could not be brought back ({trouble.Message}): deleted and made anew");
            await DeleteAsync();
            await cluster.Api.CreateVmAsync(wish, default);
        }
        var address = LabCluster.AddressOf(await cluster.Api.VmAsync(name, default));
        await cluster.Guests.WaitUntilUpAsync(address, WaitMax);
        return address;
    }

    private async Task EndMovesAsync()
    {
        foreach (var move in (await cluster.Api.MovesAsync(default)).Where(m => m.VmName == name && m.End is null))
        {
            Tell($"{move.Id} was still {move.Phase}: cancelled");
            await cluster.Api.CancelMoveAsync(move.Id.Value, default);
        }
        await UntilAsync("no move is under way", async () =>
            (await cluster.Api.MovesAsync(default)).All(m => m.VmName != name || m.End is not null));
    }

    private async Task RunAsync()
    {
        var vm = await cluster.Api.VmAsync(name, default);
        if (vm.State == VmState.Unknown) vm = await RepairAsync();
        if (vm.State == VmState.Running)
        {
            if (await AnswersAsync(LabCluster.AddressOf(vm), PingMax)) return;
            Tell($"{name} runs on {vm.Owner} and its guest does not answer: stopped");
            await cluster.Api.ActAsync(name, "stop", new StopVmRequest(Force: true), default);
            vm = await cluster.Api.VmAsync(name, default);
        }
        Tell($"{name} was {vm.State} on {vm.Owner}: started");
        await cluster.Api.ActAsync(name, vm.State is VmState.Saved or VmState.Paused ? "resume" : "start", null, default);
        if (!await AnswersAsync(LabCluster.AddressOf(vm), WaitMax)) throw new LabException("started, its guest does not answer");
    }

    private async Task<VmView> RepairAsync()
    {
        var move = (await cluster.Api.MovesAsync(default)).Where(m => m.VmName == name && m.End == MoveEnd.NeedsOperator)
            .MaxBy(m => m.CreatedAt) ?? throw new LabException("it is unknown where it runs, and no move says why");
        Tell($"{name} was in doubt after {move.Id}: repaired");
        await cluster.Api.RepairMoveAsync(move.Id.Value, null, default);
        await EndMovesAsync();
        return await cluster.Api.VmAsync(name, default);
    }

    private async Task DeleteAsync()
    {
        try { await cluster.Api.DeleteVmAsync(name, force: true, default); }
        catch (ApiException notThere) { Tell($"delete: {notThere.Message}"); }
    }

    private async Task<bool> AnswersAsync(string address, TimeSpan waitMax)
    {
        try
        {
            await cluster.Guests.WaitUntilUpAsync(address, waitMax);
            return true;
        }
        catch (LabException) { return false; }
    }

    private async Task UntilAsync(string what, Func<Task<bool>> isSo)
    {
        for (var deadline = DateTime.UtcNow + WaitMax; DateTime.UtcNow < deadline; await Task.Delay(50))
        {
            try
            {
                if (await isSo()) return;
            }
            catch (ApiException) { } // The server is on its way.
        }
        Tell($"gave up waiting until {what}");
    }

    private void Tell(string what) => output.WriteLine($"[known good] {what}");
}

using System.Runtime.CompilerServices;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Cluster;

/// <summary>One host's agent, as the server holds it: the deadlines of the real client, over the simulated network.</summary>
internal sealed class SimAgentClient(HostId host, SimRpc rpc, SimProcess server) : IHostAgent
{
    private static readonly AgentDeadlines Deadlines = new();
    /// <summary>Asked all the time: only their failures are worth a line.</summary>
    private static readonly HashSet<string> Quiet = [nameof(DescribeAsync), nameof(ListVmsAsync), nameof(WatchMoveAsync)];

    public Task<HostFacts> DescribeAsync(CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.DescribeAsync(c), cancel);
    public Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.ListVmsAsync(c), cancel);
    public Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.WritePoolNonceAsync(pool, nonce, c), cancel);
    public Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.SeesPoolNonceAsync(pool, nonce, c), cancel);
    public Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel) =>
        throw new NotSupportedException("the simulator does not import images");
    public Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.CreateDiskAsync(disk, ownerUid, c), cancel);
    public Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.DeleteDiskAsync(disk, c), cancel);
    public Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel) => AskAsync(
        order.SavedFile is null ? Deadlines.Step : Deadlines.WholeFile, (a, c) => a.StartVmAsync(order, c), cancel);
    public Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel) =>
        TellAsync(Deadlines.GuestStop, (a, c) => a.StopVmAsync(vm, epoch, force, c), cancel);
    public Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.PauseVmAsync(vm, epoch, c), cancel);
    public Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.UnpauseVmAsync(vm, epoch, c), cancel);
    public Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.ForgetVmAsync(vm, epoch, c), cancel);
    public Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(Deadlines.WholeFile, (a, c) => a.SaveVmAsync(vm, epoch, c), cancel);
    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel) =>
        throw new NotSupportedException("the simulator has no consoles");
    public Task<string> NewKeyAsync(CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.NewKeyAsync(c), cancel);
    public Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.InstallCertificateAsync(certificatePem, serverClock, c), cancel);
    public Task SetDeniedAsync(DenyList denied, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.SetDeniedAsync(denied, c), cancel);
    public Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.CheckSourceAsync(vm, c), cancel);
    public Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.CheckTargetAsync(vm, c), cancel);
    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel) =>
        AskAsync(Deadlines.Step, (a, c) => a.PrepareIncomingAsync(order, c), cancel);
    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.StartOutgoingAsync(order, c), cancel);
    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.StartRefreshAsync(order, c), cancel);
    public Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(Deadlines.Question, (a, c) => a.QueryMoveAsync(move, c), cancel);
    public Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(Deadlines.Step, (a, c) => a.CancelMoveAsync(move, c), cancel);
    public Task<MoveStatus> AbandonIncomingAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(Deadlines.Step, (a, c) => a.AbandonIncomingAsync(move, c), cancel);
    public Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel) =>
        AskAsync(Deadlines.Step, (a, c) => a.SettleOutgoingAsync(move, proof, c), cancel);
    public Task CleanMoveAsync(MoveId move, CancellationToken cancel) =>
        TellAsync(Deadlines.Step, (a, c) => a.CleanMoveAsync(move, c), cancel);

    /// <summary>
    /// As the streaming call: the agent's words come in order, each within the limit of silence. Here each word is
    /// asked for by a call of its own that waits at the agent for the next one.
    /// </summary>
    public async IAsyncEnumerable<MoveStatus> WatchMoveAsync(MoveId move, [EnumeratorCancellation] CancellationToken cancel)
    {
        MoveStatus? last = null;
        while (true)
        {
            var known = last;
            var next = await AskAsync(Deadlines.Silence, (a, c) => NextAsync(a, move, known, c), cancel);
            if (next is null) yield break;
            yield return last = next;
            if (MoveBoard.IsResting(next.Standing)) yield break; // As the agent ends the stream. A status read anew equals no earlier one.
        }
    }

    /// <summary>The first word other than <paramref name="known"/>, or null at the end of the watch.</summary>
    private static async Task<MoveStatus?> NextAsync(IHostAgent agent, MoveId move, MoveStatus? known, CancellationToken cancel)
    {
        await foreach (var status in agent.WatchMoveAsync(move, cancel))
            if (status != known) return status;
        return null;
    }

    private Task<bool> TellAsync(TimeSpan limit, Func<IHostAgent, CancellationToken, Task> order, CancellationToken cancel,
        [CallerMemberName] string name = "") =>
        AskAsync(limit, async (agent, token) =>
        {
            await order(agent, token);
            return true;
        }, cancel, name);

    private async Task<T> AskAsync<T>(
        TimeSpan limit, Func<IHostAgent, CancellationToken, Task<T>> order, CancellationToken cancel,
        [CallerMemberName] string name = "")
    {
        cancel.ThrowIfCancellationRequested();
        var told = !Quiet.Contains(name);
        if (told) rpc.Loop.Trace("server", $"-> {host}: {name}");
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var hangUp = rpc.Send(server, host, limit, order, heard =>
        {
            switch (heard.Failure)
            {
                case null: answer.TrySetResult(heard.Result!); break;
                case RefusedException refused: answer.TrySetException(new RefusedException(refused.Reasons)); break;
                case var why: answer.TrySetException(new AgentUnreachableException(host, (string)why)); break;
            }
        });
        using var deadline = server.Host.Clock.CreateTimer(
            _ => answer.TrySetException(new AgentUnreachableException(host, $"no answer within {limit.TotalSeconds:0} s")),
            null, limit, Timeout.InfiniteTimeSpan);
        using var keepAlive = rpc.KeepAlive(server, host, limit, () =>
            answer.TrySetException(new AgentUnreachableException(host, "the connection is gone: no answer to pings")));
        using var left = cancel.UnsafeRegister((_, token) => answer.TrySetCanceled(token), null);
        try
        {
            var result = await answer.Task;
            var standing = result is MoveStatus status ? $" {status.Standing} {status.Reason}" : "";
            if (told) rpc.Loop.Trace("server", $"<- {host}: {name}{standing}");
            return result;
        }
        catch (Exception failure) when (told || failure is not OperationCanceledException)
        {
            rpc.Loop.Trace("server", $"<- {host}: {name}: {failure.Message}");
            throw;
        }
        finally { hangUp(); }
    }
}

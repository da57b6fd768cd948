using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Rebuild;
using Godwit.Core;
using Google.Protobuf;
using Grpc.Core;
using Nothing = Godwit.Contracts.Nothing;

namespace Godwit.Agent.Rpc;

/// <summary>gRPC in, one call of the host's agent per method out. Who may call was settled before (role control-plane).</summary>
public sealed class HostAgentService(IHostAgent agent) : Contracts.HostAgentRpc.HostAgentRpcBase
{
    public override async Task<Contracts.HostFacts> Describe(Contracts.DescribeRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.DescribeAsync(context.CancellationToken));

    public override async Task<Contracts.ListVmsReply> ListVms(Contracts.ListVmsRequest request, ServerCallContext context)
    {
        var reports = await agent.ListVmsAsync(context.CancellationToken);
        return new Contracts.ListVmsReply { Vms = { reports.Select(ToServer.Message) } };
    }

    public override async Task<Contracts.HostLoad> SampleLoad(Contracts.SampleLoadRequest request, ServerCallContext context) =>
        LoadToServer.Message(await agent.SampleLoadAsync(context.CancellationToken));

    public override async Task<Contracts.ListEpochsReply> ListEpochs(Contracts.ListEpochsRequest request, ServerCallContext context)
    {
        var epochs = await agent.ListEpochsAsync(context.CancellationToken);
        return new Contracts.ListEpochsReply { Vms = { epochs.Select(InventoryToServer.Message) } };
    }

    public override async Task<Contracts.HostInventory> TakeInventory(Contracts.InventoryRequest request, ServerCallContext context) =>
        InventoryToServer.Message(await agent.TakeInventoryAsync(request.LeaksOnly, context.CancellationToken));

    public override async Task<Contracts.LeakList> Sweep(Contracts.LeakList request, ServerCallContext context)
    {
        var gone = await agent.SweepAsync([.. request.Leaks.Select(InventoryToServer.Record)], context.CancellationToken);
        return new Contracts.LeakList { Leaks = { gone.Select(InventoryToServer.Message) } };
    }

    public override async Task<Nothing> WritePoolNonce(Contracts.PoolNonce request, ServerCallContext context)
    {
        await agent.WritePoolNonceAsync(request.Pool, request.Nonce, context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.SeesPoolNonceReply> SeesPoolNonce(
        Contracts.PoolNonce request, ServerCallContext context) =>
        new() { Sees = await agent.SeesPoolNonceAsync(request.Pool, request.Nonce, context.CancellationToken) };

    public override async Task<Contracts.ImportedImage> ImportImage(
        IAsyncStreamReader<Contracts.ImportImagePart> requestStream, ServerCallContext context)
    {
        if (!await requestStream.MoveNext(context.CancellationToken))
            throw new InvalidDataException("An image import began without an order");
        var order = FromServer.Record(FromServer.Present(requestStream.Current.Order));
        await using var content = new ImportStream(requestStream);
        return ToServer.Message(await agent.ImportImageAsync(order, content, context.CancellationToken));
    }

    public override async Task<Nothing> CreateDisk(Contracts.CreateDiskRequest request, ServerCallContext context)
    {
        var disk = FromServer.Record(FromServer.Present(request.Disk));
        await agent.CreateDiskAsync(disk, request.OwnerUid, context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> DeleteDisk(Contracts.DiskSpec request, ServerCallContext context)
    {
        await agent.DeleteDiskAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.VmReport> StartVm(Contracts.StartVmRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.StartVmAsync(FromServer.Record(request), context.CancellationToken));

    public override async Task<Nothing> StopVm(Contracts.StopVmRequest request, ServerCallContext context)
    {
        var vm = FromServer.Vm(request.VmId);
        if (request.HasLost) await agent.EndLostVmAsync(vm, new Epoch(request.Epoch), request.Lost, context.CancellationToken);
        else await agent.StopVmAsync(vm, new Epoch(request.Epoch), request.Force, context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> PauseVm(Contracts.VmAtEpoch request, ServerCallContext context)
    {
        await agent.PauseVmAsync(FromServer.Vm(request.VmId), new Epoch(request.Epoch), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> UnpauseVm(Contracts.VmAtEpoch request, ServerCallContext context)
    {
        await agent.UnpauseVmAsync(FromServer.Vm(request.VmId), new Epoch(request.Epoch), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> ForgetVm(Contracts.VmAtEpoch request, ServerCallContext context)
    {
        await agent.ForgetVmAsync(FromServer.Vm(request.VmId), new Epoch(request.Epoch), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> LeaveVm(Contracts.LeaveVmRequest request, ServerCallContext context)
    {
        var vm = FromServer.Record(FromServer.Present(request.Spec));
        await agent.LeaveVmAsync(vm, new Epoch(request.Epoch), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> RenewEpoch(Contracts.VmAtEpoch request, ServerCallContext context)
    {
        await agent.RenewEpochAsync(FromServer.Vm(request.VmId), new Epoch(request.Epoch), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.SavedVm> SaveVm(Contracts.VmAtEpoch request, ServerCallContext context)
    {
        var vm = FromServer.Vm(request.VmId);
        return ToServer.Message(await agent.SaveVmAsync(vm, new Epoch(request.Epoch), context.CancellationToken));
    }

    public override async Task<Contracts.SnapshotMade> MakeSnapshot(Contracts.SnapshotOrder request, ServerCallContext context)
    {
        var made = await agent.MakeSnapshotAsync(FromServer.Record(request), context.CancellationToken);
        return new Contracts.SnapshotMade { IsCrashConsistent = made.IsCrashConsistent };
    }

    public override async Task<Nothing> RevertToSnapshot(Contracts.SnapshotOrder request, ServerCallContext context)
    {
        await agent.RevertToSnapshotAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> DropSnapshot(Contracts.SnapshotOrder request, ServerCallContext context)
    {
        await agent.DropSnapshotAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }

    public override Task OpenConsole(
        IAsyncStreamReader<Contracts.ConsoleInput> requestStream,
        IServerStreamWriter<Contracts.ConsoleOutput> responseStream, ServerCallContext context) =>
        RelayAsync(agent.OpenConsoleAsync, requestStream, responseStream, context.CancellationToken);

    public override Task OpenDisplay(
        IAsyncStreamReader<Contracts.ConsoleInput> requestStream,
        IServerStreamWriter<Contracts.ConsoleOutput> responseStream, ServerCallContext context) =>
        RelayAsync(agent.OpenDisplayAsync, requestStream, responseStream, context.CancellationToken);

    private static async Task RelayAsync(
        Func<VmId, CancellationToken, Task<Stream>> open, IAsyncStreamReader<Contracts.ConsoleInput> input,
        IServerStreamWriter<Contracts.ConsoleOutput> output, CancellationToken cancel)
    {
        if (!await input.MoveNext(cancel)) throw new InvalidDataException("A console was asked for without a VM");
        await using var guest = await open(FromServer.Vm(input.Current.VmId), cancel);
        await output.WriteAsync(new Contracts.ConsoleOutput(), cancel);
        await ConsoleRelay.RunAsync(guest, input, output, cancel);
    }

    public override async Task<Contracts.MeasureMemoryReply> MeasureMemory(
        Contracts.MeasureMemoryRequest request, ServerCallContext context) => QuotingToServer.Reply(await agent.MeasureMemoryAsync(
            FromServer.Vm(request.VmId), TimeSpan.FromSeconds(Math.Clamp(request.AgeMaxSeconds, 0, 86_400)), request.MayLook,
            context.CancellationToken));

    public override async Task<Contracts.SourceFacts> CheckSource(
        Contracts.CheckSourceRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.CheckSourceAsync(FromServer.Vm(request.VmId), context.CancellationToken));

    public override async Task<Contracts.TargetFacts> CheckTarget(Contracts.VmSpec request, ServerCallContext context) =>
        ToServer.Message(await agent.CheckTargetAsync(FromServer.Record(request), context.CancellationToken));

    public override async Task<Contracts.LinkTestReady> PrepareLinkTest(
        Contracts.PrepareLinkTestRequest request, ServerCallContext context) => QuotingToServer.Message(
            await agent.PrepareLinkTestAsync(new HostId(request.Source), context.CancellationToken));

    public override async Task<Contracts.LinkFigures> RunLinkTest(Contracts.RunLinkTestRequest request, ServerCallContext context)
    {
        var ready = FromServer.Present(request.Ready);
        try
        {
            return QuotingToServer.Message(await agent.RunLinkTestAsync(
                new LinkTestReady(new MoveId(ready.Name), ready.Endpoint, ready.Ticket), new HostId(request.Target),
                context.CancellationToken));
        }
        catch (IOException broken)
        {
            throw new RefusedException("link-broken", broken.Message,
                "see that the hosts reach each other's link port ('godwit host list')");
        }
    }

    public override async Task<Contracts.IncomingReady> PrepareIncoming(
        Contracts.IncomingOrder request, ServerCallContext context) =>
        ToServer.Message(await agent.PrepareIncomingAsync(FromServer.Record(request), context.CancellationToken));

    public override async Task<Nothing> StartOutgoing(Contracts.OutgoingOrder request, ServerCallContext context)
    {
        await agent.StartOutgoingAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Nothing> StartRefresh(Contracts.RefreshOrder request, ServerCallContext context)
    {
        await agent.StartRefreshAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }

    public override async Task WatchMove(
        Contracts.MoveRequest request, IServerStreamWriter<Contracts.MoveStatus> responseStream,
        ServerCallContext context)
    {
        await foreach (var status in agent.WatchMoveAsync(FromServer.Move(request.MoveId), context.CancellationToken))
            await responseStream.WriteAsync(ToServer.Message(status), context.CancellationToken);
    }

    public override async Task<Contracts.MoveStatus> QueryMove(Contracts.MoveRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.QueryMoveAsync(FromServer.Move(request.MoveId), context.CancellationToken));

    public override async Task<Contracts.MoveStatus> CancelMove(Contracts.MoveRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.CancelMoveAsync(FromServer.Move(request.MoveId), context.CancellationToken));

    public override async Task<Contracts.MoveStatus> AbandonIncoming(
        Contracts.AbandonRequest request, ServerCallContext context) =>
        ToServer.Message(await agent.AbandonIncomingAsync(FromServer.Move(request.MoveId), request.LazyFollows, context.CancellationToken));

    public override async Task<Contracts.MoveStatus> SettleOutgoing(
        Contracts.SettleOutgoingRequest request, ServerCallContext context)
    {
        var (move, proof) = (FromServer.Move(request.MoveId), FromServer.Record(request.Proof));
        return ToServer.Message(await agent.SettleOutgoingAsync(move, proof, context.CancellationToken));
    }

    public override async Task<Nothing> CleanMove(Contracts.MoveRequest request, ServerCallContext context)
    {
        await agent.CleanMoveAsync(FromServer.Move(request.MoveId), context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.LeaseAnswer> RenewLease(Contracts.RenewLeaseRequest request, ServerCallContext context) =>
        LeaseToServer.Message(await agent.RenewLeaseAsync(LeaseToServer.Record(request.Grant), context.CancellationToken));

    public override async Task<Nothing> ReleaseWatchdog(Contracts.ReleaseWatchdogRequest request, ServerCallContext context)
    {
        await agent.ReleaseWatchdogAsync(request.Arming, context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.SigningRequest> NewKey(Contracts.NewKeyRequest request, ServerCallContext context) =>
        new() { Pem = await agent.NewKeyAsync(context.CancellationToken) };

    public override async Task<Nothing> InstallCertificate(Contracts.SignedCertificate request, ServerCallContext context)
    {
        var clock = FromServer.Present(request.Clock).ToDateTimeOffset();
        await agent.InstallCertificateAsync(request.Pem, clock, context.CancellationToken);
        return new Nothing();
    }

    public override async Task<Contracts.KeptVersion> KeepNotes(Contracts.KeptNotes request, ServerCallContext context) => new()
    {
        Version = await agent.KeepNotesAsync(new KeptNotes(request.Version, request.Document), context.CancellationToken),
    };

    public override async Task<Nothing> SetDenied(Contracts.DenyList request, ServerCallContext context)
    {
        await agent.SetDeniedAsync(FromServer.Record(request), context.CancellationToken);
        return new Nothing();
    }
}

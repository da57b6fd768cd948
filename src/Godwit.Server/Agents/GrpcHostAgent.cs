using System.Runtime.CompilerServices;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Quoting;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;
using Google.Protobuf;
using Grpc.Core;
using Client = Godwit.Contracts.HostAgentRpc.HostAgentRpcClient;

namespace Godwit.Server.Agents;

/// <summary>One host's agent over gRPC. The channel behind the client proves the peer to be this host.</summary>
public sealed class GrpcHostAgent(HostId host, Client client, TimeProvider time, AgentDeadlines deadlines) : IHostAgent
{
    public const int ImportChunkBytes = 256 * 1024;
    public const string RefusedTrailer = "godwit-refused-bin";

    public Task<HostFacts> DescribeAsync(CancellationToken cancel) => AskAsync(deadlines.Question, async options =>
        FromAgent.Record(await client.DescribeAsync(new Contracts.DescribeRequest(), options)), cancel);

    public Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel) =>
        AskAsync<IReadOnlyList<VmReport>>(deadlines.Question, async options =>
            [.. (await client.ListVmsAsync(new Contracts.ListVmsRequest(), options)).Vms.Select(FromAgent.Record)],
            cancel);

    public Task<HostLoad> SampleLoadAsync(CancellationToken cancel) => AskAsync(deadlines.Question, async options =>
    {
        try { return LoadFromAgent.Record(await client.SampleLoadAsync(new Contracts.SampleLoadRequest(), options)); }
        catch (RpcException older) when (older.StatusCode == StatusCode.Unimplemented)
        {
            return new HostLoad { At = time.GetUtcNow(), SpanSeconds = 0, CpuCores = 0, MemoryUsedBytes = 0 }; // Of the version before.
        }
    }, cancel);

    public Task<IReadOnlyList<VmEpoch>> ListEpochsAsync(CancellationToken cancel) =>
        AskAsync<IReadOnlyList<VmEpoch>>(deadlines.Question, async options =>
        {
            try
            {
                return [.. (await client.ListEpochsAsync(new Contracts.ListEpochsRequest(), options)).Vms
                    .Select(InventoryFromAgent.Record)];
            }
            catch (RpcException older) when (older.StatusCode == StatusCode.Unimplemented)
            {
                // An agent of the version before: what is there it tells, what has left it does not.
                var there = await client.ListVmsAsync(new Contracts.ListVmsRequest(), options);
                return [.. there.Vms.Select(FromAgent.Record).Select(r => new VmEpoch(r.Spec.Id, r.Epoch, r.IsOwner))];
            }
        }, cancel);

    public Task<HostInventory> TakeInventoryAsync(bool leaksOnly, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => InventoryFromAgent.Record(await client.TakeInventoryAsync(
            new Contracts.InventoryRequest { LeaksOnly = leaksOnly }, options)), cancel);

    public Task<IReadOnlyList<Leak>> SweepAsync(IReadOnlyList<Leak> leaks, CancellationToken cancel) =>
        AskAsync<IReadOnlyList<Leak>>(deadlines.Step, async options =>
        {
            var asked = new Contracts.LeakList { Leaks = { leaks.Select(InventoryFromAgent.Message) } };
            return [.. (await client.SweepAsync(asked, options)).Leaks.Select(InventoryFromAgent.Record)];
        }, cancel);

    public Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options =>
            await client.WritePoolNonceAsync(new Contracts.PoolNonce { Pool = pool, Nonce = nonce }, options), cancel);

    public Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options => (await client.SeesPoolNonceAsync(
            new Contracts.PoolNonce { Pool = pool, Nonce = nonce }, options)).Sees, cancel);

    public Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel) =>
        AskAsync(deadlines.WholeFile, async options =>
        {
            using var call = client.ImportImage(options);
            try
            {
                await SendImageAsync(call.RequestStream, order, content, cancel);
            }
            catch (Exception error) when (error is RpcException or InvalidOperationException)
            {
                // The agent ended the call while we were sending. Why, is in its answer, read below.
            }
            return FromAgent.Record(await call.ResponseAsync);
        }, cancel);

    private static async Task SendImageAsync(
        IClientStreamWriter<Contracts.ImportImagePart> agent, ImportImage order, Stream content,
        CancellationToken cancel)
    {
        var first = new Contracts.ImportImageOrder { Pool = order.Pool, Format = order.Format };
        await agent.WriteAsync(new Contracts.ImportImagePart { Order = first }, cancel);
        var chunk = new byte[ImportChunkBytes];
        int read;
        while ((read = await content.ReadAsync(chunk, cancel)) > 0)
        {
            // WriteAsync has serialised the bytes when it returns, so the buffer may be used again.
            var bytes = UnsafeByteOperations.UnsafeWrap(chunk.AsMemory(0, read));
            await agent.WriteAsync(new Contracts.ImportImagePart { Chunk = bytes }, cancel);
        }
        await agent.CompleteAsync();
    }

    public Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.CreateDiskAsync(
            new Contracts.CreateDiskRequest { Disk = ToAgent.Message(disk), OwnerUid = ownerUid }, options), cancel);

    public Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel) => AskAsync(deadlines.Step, async options =>
        await client.DeleteDiskAsync(ToAgent.Message(disk), options), cancel);

    public Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel) =>
        AskAsync(order.SavedFile is null ? deadlines.Step : deadlines.WholeFile, async options =>
            FromAgent.Record(await client.StartVmAsync(ToAgent.Message(order), options)), cancel);

    public Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel) =>
        AskAsync(deadlines.GuestStop, async options => await client.StopVmAsync(
            new Contracts.StopVmRequest { VmId = vm.Value, Epoch = epoch.Value, Force = force }, options), cancel);

    public Task EndLostVmAsync(VmId vm, Epoch epoch, string why, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.StopVmAsync(
            new Contracts.StopVmRequest { VmId = vm.Value, Epoch = epoch.Value, Force = true, Lost = why }, options), cancel);

    public Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.PauseVmAsync(ToAgent.Message(vm, epoch), options), cancel);

    public Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.UnpauseVmAsync(ToAgent.Message(vm, epoch), options), cancel);

    public Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.ForgetVmAsync(ToAgent.Message(vm, epoch), options), cancel);

    public Task LeaveVmAsync(VmSpec vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.LeaveVmAsync(ToAgent.Leave(vm, epoch), options), cancel);

    public Task RenewEpochAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.RenewEpochAsync(ToAgent.Message(vm, epoch), options), cancel);

    public Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) =>
        AskAsync(deadlines.WholeFile, async options =>
            FromAgent.Record(await client.SaveVmAsync(ToAgent.Message(vm, epoch), options)), cancel);

    public Task<SnapshotMade> MakeSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        SnapshotAsync(async options =>
            new SnapshotMade((await client.MakeSnapshotAsync(ToAgent.Message(order), options)).IsCrashConsistent), cancel);

    public Task RevertToSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        SnapshotAsync(async options => await client.RevertToSnapshotAsync(ToAgent.Message(order), options), cancel);

    public Task DropSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        SnapshotAsync(async options => await client.DropSnapshotAsync(ToAgent.Message(order), options), cancel);

    private Task<T> SnapshotAsync<T>(Func<CallOptions, Task<T>> ask, CancellationToken cancel) =>
        AskAsync(deadlines.DiskTables, async options =>
        {
            try { return await ask(options); }
            catch (RpcException older) when (older.StatusCode == StatusCode.Unimplemented)
            {
                throw new RefusedException("agent-too-old", $"the agent of {host} knows no snapshots", "make Godwit on that host newer");
            }
        }, cancel);

    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel) =>
        OpenStreamAsync(() => client.OpenConsole(cancellationToken: CancellationToken.None), vm, cancel);

    public Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel) =>
        OpenStreamAsync(() => client.OpenDisplay(cancellationToken: CancellationToken.None), vm, cancel);

    /// <summary>No deadline on the call: a console stays open for days. Only its opening has one.</summary>
    private async Task<Stream> OpenStreamAsync(
        Func<AsyncDuplexStreamingCall<Contracts.ConsoleInput, Contracts.ConsoleOutput>> open, VmId vm, CancellationToken cancel)
    {
        var call = Open(open);
        try
        {
            return await AskAsync(deadlines.Question, async _ =>
            {
                await call.RequestStream.WriteAsync(new Contracts.ConsoleInput { VmId = vm.Value }, cancel);
                using var silence = new CancellationTokenSource(deadlines.Question, time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancel);
                var opened = await call.ResponseStream.MoveNext(either.Token);
                return opened ? new ConsoleStream(call) : throw new InvalidDataException("the console closed at once");
            }, cancel);
        }
        catch
        {
            call.Dispose();
            throw;
        }
    }

    public Task<MemoryProfile?> MeasureMemoryAsync(VmId vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options => QuotingFromAgent.Record(await client.MeasureMemoryAsync(
            new Contracts.MeasureMemoryRequest { VmId = vm.Value, AgeMaxSeconds = ageMax.TotalSeconds, MayLook = mayLook }, options)),
            cancel);

    public Task<LinkTestReady> PrepareLinkTestAsync(HostId source, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options => QuotingFromAgent.Record(
            await client.PrepareLinkTestAsync(new Contracts.PrepareLinkTestRequest { Source = source.Value }, options)), cancel);

    public Task<LinkFigures> RunLinkTestAsync(LinkTestReady ready, HostId target, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => QuotingFromAgent.Record(await client.RunLinkTestAsync(new Contracts.RunLinkTestRequest
        {
            Ready = new() { Name = ready.Name.Value, Endpoint = ready.Endpoint, Ticket = ready.Ticket }, Target = target.Value,
        }, options)), cancel);

    public Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options => FromAgent.Record(
            await client.CheckSourceAsync(new Contracts.CheckSourceRequest { VmId = vm.Value }, options)), cancel);

    public Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options =>
            FromAgent.Record(await client.CheckTargetAsync(ToAgent.Message(vm), options)), cancel);

    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options =>
            FromAgent.Record(await client.PrepareIncomingAsync(ToAgent.Message(order), options)), cancel);

    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.StartOutgoingAsync(ToAgent.Message(order), options), cancel);

    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.StartRefreshAsync(ToAgent.Message(order), options), cancel);

    public async IAsyncEnumerable<MoveStatus> WatchMoveAsync(
        MoveId move, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var call = Open(() => client.WatchMove(ToAgent.Message(move), cancellationToken: cancel));
        while (await AskAsync(deadlines.Silence, async _ =>
        {
            using var silence = new CancellationTokenSource(deadlines.Silence, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancel);
            return await call.ResponseStream.MoveNext(either.Token);
        }, cancel))
        {
            yield return Known(() => FromAgent.Record(call.ResponseStream.Current));
        }
    }

    public Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(deadlines.Question, async options =>
            FromAgent.Record(await client.QueryMoveAsync(ToAgent.Message(move), options)), cancel);

    public Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options =>
            FromAgent.Record(await client.CancelMoveAsync(ToAgent.Message(move), options)), cancel);

    public Task<MoveStatus> AbandonIncomingAsync(MoveId move, bool lazyFollows, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options =>
            FromAgent.Record(await client.AbandonIncomingAsync(
                new Contracts.AbandonRequest { MoveId = move.Value, LazyFollows = lazyFollows }, options)), cancel);

    public Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options =>
            FromAgent.Record(await client.SettleOutgoingAsync(ToAgent.Message(move, proof), options)), cancel);

    public Task CleanMoveAsync(MoveId move, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.CleanMoveAsync(ToAgent.Message(move), options), cancel);

    public Task<LeaseAnswer> RenewLeaseAsync(LeaseGrant? grant, CancellationToken cancel) => AskAsync(deadlines.Lease, async options =>
        LeaseFromAgent.Record(await client.RenewLeaseAsync(LeaseFromAgent.Message(grant), options)), cancel);

    public Task ReleaseWatchdogAsync(string arming, CancellationToken cancel) => AskAsync(deadlines.Question, async options =>
        await client.ReleaseWatchdogAsync(new Contracts.ReleaseWatchdogRequest { Arming = arming }, options), cancel);

    public Task<string> NewKeyAsync(CancellationToken cancel) => AskAsync(deadlines.Question, async options =>
        (await client.NewKeyAsync(new Contracts.NewKeyRequest(), options)).Pem, cancel);

    public Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.InstallCertificateAsync(
            ToAgent.Message(certificatePem, serverClock), options), cancel);

    public Task<long> KeepNotesAsync(KeptNotes notes, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => (await client.KeepNotesAsync(
            new Contracts.KeptNotes { Version = notes.Version, Document = notes.Document }, options)).Version, cancel);

    public Task SetDeniedAsync(DenyList denied, CancellationToken cancel) =>
        AskAsync(deadlines.Step, async options => await client.SetDeniedAsync(ToAgent.Message(denied), options), cancel);

    private static Metadata? Trace() => MoveTrace.Carried is { } context ? new Metadata { { MoveTrace.Header, context } } : null;

    private async Task<T> AskAsync<T>(TimeSpan limit, Func<CallOptions, Task<T>> ask, CancellationToken cancel)
    {
        try
        {
            return await ask(new CallOptions(Trace(), time.GetUtcNow().UtcDateTime + limit, cancel));
        }
        catch (RpcException error)
        {
            throw Translate(error, limit, cancel);
        }
        catch (InvalidDataException error)
        {
            throw new AgentUnreachableException(host, error.Message, error);
        }
        catch (ObjectDisposedException error)
        {
            throw Closed(error);
        }
        catch (OperationCanceledException error) when (!cancel.IsCancellationRequested)
        {
            throw new AgentUnreachableException(host, $"no answer within {limit.TotalSeconds:0} s", error);
        }
    }

    private T Open<T>(Func<T> call)
    {
        try
        {
            return call();
        }
        catch (ObjectDisposedException error)
        {
            throw Closed(error);
        }
    }

    /// <summary>The host was revoked, removed or cut off since the caller got hold of this.</summary>
    private AgentUnreachableException Closed(ObjectDisposedException error) => new(host, "the connection to it was closed here", error);

    private Exception Translate(RpcException error, TimeSpan limit, CancellationToken cancel) => error.StatusCode switch
    {
        _ when Refusal(error) is { } refused => refused,
        _ when cancel.IsCancellationRequested => new OperationCanceledException(error.Message, error, cancel),
        StatusCode.DeadlineExceeded or StatusCode.Cancelled =>
            new AgentUnreachableException(host, $"no answer within {limit.TotalSeconds:0} s", error),
        StatusCode.Unimplemented =>
            new AgentUnreachableException(host, "it is of an older version and does not know this call", error),
        StatusCode.PermissionDenied or StatusCode.Unauthenticated =>
            new AgentUnreachableException(host, $"it does not accept this server: {error.Status.Detail}", error),
        StatusCode.Unavailable => new AgentUnreachableException(host, Innermost(error), error),
        _ => new AgentUnreachableException(host, $"it failed: {error.Status.Detail}", error),
    };

    private static RefusedException? Refusal(RpcException error)
    {
        if (error.StatusCode != StatusCode.FailedPrecondition) return null;
        var words = error.Trailers.GetValueBytes(RefusedTrailer);
        return words is null ? null : FromAgent.Record(Contracts.Refused.Parser.ParseFrom(words));
    }

    /// <summary>The sentence of the socket or TLS layer: "Connection refused (host1:7443)" says more than gRPC's wrapper.</summary>
    private static string Innermost(RpcException error)
    {
        Exception cause = error.Status.DebugException ?? error;
        while (cause.InnerException is { } inner) cause = inner;
        return cause is RpcException rpc ? rpc.Status.Detail : cause.Message;
    }

    private T Known<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidDataException error)
        {
            throw new AgentUnreachableException(host, error.Message, error);
        }
    }
}

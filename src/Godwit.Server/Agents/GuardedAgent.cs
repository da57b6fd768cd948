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

namespace Godwit.Server.Agents;

/// <summary>
/// The last look before a guest is started, or its disks are changed, whoever ordered it: no host that answers may know as new
/// an epoch of it from somebody else. All other calls pass: an agent refuses what is older than what it knows itself.
/// </summary>
internal sealed class GuardedAgent(HostId host, IHostAgent agent, KnownEpochs known) : IHostAgent
{
    public async Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel)
    {
        if (StoreAge.WhyNotStart(order, host, known.Of(order.Spec.Id)) is { } refusal) throw new RefusedException([refusal]);
        return await agent.StartVmAsync(order, cancel);
    }

    public async Task<SnapshotMade> MakeSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        await agent.MakeSnapshotAsync(Seen(order), cancel);
    public async Task RevertToSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        await agent.RevertToSnapshotAsync(Seen(order), cancel);
    public async Task DropSnapshotAsync(SnapshotOrder order, CancellationToken cancel) =>
        await agent.DropSnapshotAsync(Seen(order), cancel);

    /// <summary>Its disks may be in use elsewhere, by what somebody else began.</summary>
    private SnapshotOrder Seen(SnapshotOrder order) =>
        StoreAge.WhyNotStart(new StartVm(order.Spec, order.Epoch), host, known.Of(order.Spec.Id)) is { } refusal
            ? throw new RefusedException([refusal]) : order;

    public Task<HostFacts> DescribeAsync(CancellationToken cancel) => agent.DescribeAsync(cancel);
    public Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel) => agent.ListVmsAsync(cancel);
    public Task LeaveVmAsync(VmSpec spec, Epoch epoch, CancellationToken cancel) => agent.LeaveVmAsync(spec, epoch, cancel);
    public Task<HostLoad> SampleLoadAsync(CancellationToken cancel) => agent.SampleLoadAsync(cancel);
    public Task<IReadOnlyList<VmEpoch>> ListEpochsAsync(CancellationToken cancel) => agent.ListEpochsAsync(cancel);
    public Task<HostInventory> TakeInventoryAsync(bool leaksOnly, CancellationToken cancel) =>
        agent.TakeInventoryAsync(leaksOnly, cancel);
    public Task<IReadOnlyList<Leak>> SweepAsync(IReadOnlyList<Leak> leaks, CancellationToken cancel) =>
        agent.SweepAsync(leaks, cancel);
    public Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        agent.WritePoolNonceAsync(pool, nonce, cancel);
    public Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        agent.SeesPoolNonceAsync(pool, nonce, cancel);
    public Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel) =>
        agent.ImportImageAsync(order, content, cancel);
    public Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel) =>
        agent.CreateDiskAsync(disk, ownerUid, cancel);
    public Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel) => agent.DeleteDiskAsync(disk, cancel);
    public Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel) => agent.StopVmAsync(vm, epoch, force, cancel);
    public Task EndLostVmAsync(VmId vm, Epoch epoch, string why, CancellationToken cancel) => agent.EndLostVmAsync(vm, epoch, why, cancel);
    public Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => agent.PauseVmAsync(vm, epoch, cancel);
    public Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => agent.UnpauseVmAsync(vm, epoch, cancel);
    public Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => agent.ForgetVmAsync(vm, epoch, cancel);
    public Task RenewEpochAsync(VmId vm, Epoch epoch, CancellationToken cancel) => agent.RenewEpochAsync(vm, epoch, cancel);
    public Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel) => agent.SaveVmAsync(vm, epoch, cancel);
    public Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel) => agent.OpenConsoleAsync(vm, cancel);
    public Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel) => agent.OpenDisplayAsync(vm, cancel);
    public Task<MemoryProfile?> MeasureMemoryAsync(VmId vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel) =>
        agent.MeasureMemoryAsync(vm, ageMax, mayLook, cancel);
    public Task<LinkTestReady> PrepareLinkTestAsync(HostId source, CancellationToken cancel) => agent.PrepareLinkTestAsync(source, cancel);
    public Task<LinkFigures> RunLinkTestAsync(LinkTestReady ready, HostId target, CancellationToken cancel) =>
        agent.RunLinkTestAsync(ready, target, cancel);
    public Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel) => agent.CheckSourceAsync(vm, cancel);
    public Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel) => agent.CheckTargetAsync(vm, cancel);
    public Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel) =>
        agent.PrepareIncomingAsync(order, cancel);
    public Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel) => agent.StartOutgoingAsync(order, cancel);
    public Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel) => agent.StartRefreshAsync(order, cancel);
    public IAsyncEnumerable<MoveStatus> WatchMoveAsync(MoveId move, CancellationToken cancel) => agent.WatchMoveAsync(move, cancel);
    public Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel) => agent.QueryMoveAsync(move, cancel);
    public Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel) => agent.CancelMoveAsync(move, cancel);
    public Task<MoveStatus> AbandonIncomingAsync(MoveId move, bool lazyFollows, CancellationToken cancel) =>
        agent.AbandonIncomingAsync(move, lazyFollows, cancel);
    public Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel) =>
        agent.SettleOutgoingAsync(move, proof, cancel);
    public Task CleanMoveAsync(MoveId move, CancellationToken cancel) => agent.CleanMoveAsync(move, cancel);
    public Task<LeaseAnswer> RenewLeaseAsync(LeaseGrant? grant, CancellationToken cancel) => agent.RenewLeaseAsync(grant, cancel);
    public Task ReleaseWatchdogAsync(string arming, CancellationToken cancel) => agent.ReleaseWatchdogAsync(arming, cancel);
    public Task<string> NewKeyAsync(CancellationToken cancel) => agent.NewKeyAsync(cancel);
    public Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel) =>
        agent.InstallCertificateAsync(certificatePem, serverClock, cancel);
    public Task<long> KeepNotesAsync(KeptNotes notes, CancellationToken cancel) => agent.KeepNotesAsync(notes, cancel);
    public Task SetDeniedAsync(DenyList denied, CancellationToken cancel) => agent.SetDeniedAsync(denied, cancel);
}

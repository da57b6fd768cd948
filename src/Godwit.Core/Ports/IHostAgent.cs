using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Inventory;
using Godwit.Core.Loads;
using Godwit.Core.Migration;
using Godwit.Core.Quoting;
using Godwit.Core.Rebuild;
using Godwit.Core.Vms;

namespace Godwit.Core.Ports;

/// <summary>
/// All that the server asks of one host. Every call is safe to repeat: the second one finds the first one's result.
/// Errors: <see cref="RefusedException"/> for an expected no (nothing changed),
/// <see cref="AgentUnreachableException"/> when nobody knows whether it happened: ask again, never assume.
/// </summary>
public interface IHostAgent
{
    Task<HostFacts> DescribeAsync(CancellationToken cancel);
    Task<IReadOnlyList<VmReport>> ListVmsAsync(CancellationToken cancel);
    /// <summary>What host and VMs took since it was asked before.</summary>
    Task<HostLoad> SampleLoadAsync(CancellationToken cancel);
    /// <summary>
    /// The epoch of every VM it ever had a part in, also of those that left: what a store that lost commits is found
    /// out by.
    /// </summary>
    Task<IReadOnlyList<VmEpoch>> ListEpochsAsync(CancellationToken cancel);
    /// <summary>All it has written down and all that lies there.</summary>
    /// <param name="leaksOnly">Without moves and files, which take long to read: for asking every few minutes.</param>
    Task<HostInventory> TakeInventoryAsync(bool leaksOnly, CancellationToken cancel);
    /// <summary>Removes those of these that are still nobody's, judged anew there; never a process. The answer is what is gone.</summary>
    Task<IReadOnlyList<Leak>> SweepAsync(IReadOnlyList<Leak> leaks, CancellationToken cancel);
    /// <summary>Keeps this copy of what people have set, where it is newer than the host's own.</summary>
    /// <returns>The version the host has then.</returns>
    Task<long> KeepNotesAsync(KeptNotes notes, CancellationToken cancel);

    /// <summary>Writes a nonce file into the pool, or reads it back; how sharing is tested instead of asked.</summary>
    Task WritePoolNonceAsync(string pool, string nonce, CancellationToken cancel);
    Task<bool> SeesPoolNonceAsync(string pool, string nonce, CancellationToken cancel);

    /// <summary>Stores a disk image under its content hash; refuses images that name other files. Idempotent by content.</summary>
    Task<ImportedImage> ImportImageAsync(ImportImage order, Stream content, CancellationToken cancel);
    /// <summary>Creates the disk (blank, or a linked clone of its backing file) if it is not there.</summary>
    Task CreateDiskAsync(DiskSpec disk, int ownerUid, CancellationToken cancel);
    Task DeleteDiskAsync(DiskSpec disk, CancellationToken cancel);

    Task<VmReport> StartVmAsync(StartVm order, CancellationToken cancel);
    /// <summary>ACPI power button and a wait (<paramref name="force"/> false), or QEMU ended at once.</summary>
    Task StopVmAsync(VmId vm, Epoch epoch, bool force, CancellationToken cancel);
    /// <summary>
    /// The memory that a lazy move left at its source is lost: its QEMU is ended at once, and the VM is crashed for this reason. Nothing
    /// where all of it is here, or it has ended before: who stopped it then meant that. Refused while the move has it yet.
    /// </summary>
    Task EndLostVmAsync(VmId vm, Epoch epoch, string why, CancellationToken cancel);
    Task PauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel);
    Task UnpauseVmAsync(VmId vm, Epoch epoch, CancellationToken cancel);
    /// <summary>Forgets a stopped VM: run directory, taps, owner record. Disks are deleted by their own call.</summary>
    Task ForgetVmAsync(VmId vm, Epoch epoch, CancellationToken cancel);
    /// <summary>
    /// Another host has the VM with this epoch, because this one was fenced: durably refuses every older order, and ends what
    /// is left of it here, with proof. Also of a VM never heard of. Refused where this host owns it with this epoch or a newer one.
    /// </summary>
    Task LeaveVmAsync(VmSpec vm, Epoch epoch, CancellationToken cancel);
    /// <summary>
    /// The VM this host owns has this newer epoch now: those between were used up by orders that never came. Nothing begins or
    /// ends. Refused where another host owns it.
    /// </summary>
    Task RenewEpochAsync(VmId vm, Epoch epoch, CancellationToken cancel);
    Task<SavedVm> SaveVmAsync(VmId vm, Epoch epoch, CancellationToken cancel);
    /// <summary>
    /// Keeps the state of all its disks, at one moment, inside their files; of a VM that runs, too. Done before: found. Refused for
    /// older epochs, while a move has it, while it is saved.
    /// </summary>
    Task<SnapshotMade> MakeSnapshotAsync(SnapshotOrder order, CancellationToken cancel);
    /// <summary>Its disks become what they were. Only while no QEMU of it is here; the epoch is the VM's from then on.</summary>
    Task RevertToSnapshotAsync(SnapshotOrder order, CancellationToken cancel);
    /// <summary>No error where it is not there, or in some of the disks only.</summary>
    Task DropSnapshotAsync(SnapshotOrder order, CancellationToken cancel);
    /// <summary>The serial console, both ways, until either side closes.</summary>
    Task<Stream> OpenConsoleAsync(VmId vm, CancellationToken cancel);
    /// <summary>The display, as RFB both ways, until either side closes. Refused where the VM has none.</summary>
    Task<Stream> OpenDisplayAsync(VmId vm, CancellationToken cancel);

    /// <summary>
    /// What the guest's memory is like: as known, where that is younger than <paramref name="ageMax"/> and about as much of it is there
    /// as then; else, where <paramref name="mayLook"/>, sampled for 3 s while it runs, without touching it, or else for half a second.
    /// Null where it has no QEMU here, and while a move has it.
    /// </summary>
    Task<MemoryProfile?> MeasureMemoryAsync(VmId vm, TimeSpan ageMax, bool mayLook, CancellationToken cancel);
    /// <summary>Facts for the checks: questions only, nothing is changed.</summary>
    Task<SourceFacts> CheckSourceAsync(VmId vm, CancellationToken cancel);
    Task<TargetFacts> CheckTargetAsync(VmSpec vm, CancellationToken cancel);

    /// <summary>Starts the target QEMU (-S, incoming), journals "candidate", opens the link for this one move.</summary>
    /// <summary>Lets one link test of <paramref name="source"/> in, within 30 s.</summary>
    Task<LinkTestReady> PrepareLinkTestAsync(HostId source, CancellationToken cancel);
    /// <summary>Noise to the target for a second, and what arrived. Throws <see cref="RefusedException"/> where it cannot.</summary>
    Task<LinkFigures> RunLinkTestAsync(LinkTestReady ready, HostId target, CancellationToken cancel);

    Task<IncomingReady> PrepareIncomingAsync(IncomingOrder order, CancellationToken cancel);
    /// <summary>Journals "handing over" and begins; returns once memory flows. Follow with <see cref="WatchMoveAsync"/>.</summary>
    Task StartOutgoingAsync(OutgoingOrder order, CancellationToken cancel);
    /// <summary>A whole same-host move; returns once it has begun.</summary>
    Task StartRefreshAsync(RefreshOrder order, CancellationToken cancel);
    /// <summary>Status now and at each change or every 250 ms, until the agent's part is settled or unknown.</summary>
    IAsyncEnumerable<MoveStatus> WatchMoveAsync(MoveId move, CancellationToken cancel);
    /// <summary>Status now, from journal and QEMU; <see cref="MoveStanding.Nothing"/> where the move was never heard of.</summary>
    Task<MoveStatus> QueryMoveAsync(MoveId move, CancellationToken cancel);
    /// <summary>Source only: stop it if no token has left. The answer is the truth after the call.</summary>
    Task<MoveStatus> CancelMoveAsync(MoveId move, CancellationToken cancel);
    /// <summary>Target only: kill the candidate and journal a tombstone, unless intent to run was journaled.</summary>
    /// <param name="lazyFollows">A lazy move of the VM to here follows: what memory has come is kept for it a little while.</param>
    Task<MoveStatus> AbandonIncomingAsync(MoveId move, bool lazyFollows, CancellationToken cancel);
    /// <summary>Source only: what the target proved. Runs: the source copy is ended. Aborted: the source goes on.</summary>
    Task<MoveStatus> SettleOutgoingAsync(MoveId move, TargetProof proof, CancellationToken cancel);
    /// <summary>Both sides: drop what is left of an ended move but its journal line.</summary>
    Task CleanMoveAsync(MoveId move, CancellationToken cancel);

    /// <summary>
    /// Takes a grant, if there is one, and answers with a ticket for the next: a grant counts from the moment its ticket was
    /// answered. The first grant arms the watchdog.
    /// </summary>
    /// <param name="grant">Null: only a ticket is wanted. One whose ticket is unknown, used or too old changes nothing.</param>
    Task<LeaseAnswer> RenewLeaseAsync(LeaseGrant? grant, CancellationToken cancel);
    /// <summary>
    /// The server has durably noted that this arming proves nothing any more: the watchdog is let go. Of another arming: nothing.
    /// </summary>
    Task ReleaseWatchdogAsync(string arming, CancellationToken cancel);

    /// <summary>Makes a key for the host's next certificate and keeps it; the request to sign, PEM. Asked again: the same one.</summary>
    Task<string> NewKeyAsync(CancellationToken cancel);
    /// <summary>The certificate for that key, durable and shown from the next connection on; open ones go on.</summary>
    /// <param name="serverClock">When it was signed, for a person to compare.</param>
    Task InstallCertificateAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel);
    /// <summary>Hosts whose links are refused from now on, durable; replaces what was said before.</summary>
    Task SetDeniedAsync(DenyList denied, CancellationToken cancel);
}

public sealed class AgentUnreachableException(HostId host, string why, Exception? inner = null)
    : Exception($"The agent of {host} does not answer: {why}", inner)
{
    public HostId Host { get; } = host;
    public string Why { get; } = why;
}

/// <param name="Format">
/// <c>raw, qcow2, vmdk, vhdx, vhd, ova</c> as the person said, which the content must agree with; <c>auto</c>: the content decides.
/// </param>
public sealed record ImportImage(string Pool, string Format);

/// <param name="File">Pool-relative name, made from the SHA-256 of the content.</param>
/// <param name="Sha256">Of the file as it is stored.</param>
/// <param name="Format">Of the file as it is stored: <c>qcow2</c> or <c>raw</c>.</param>
/// <param name="VirtualBytes">The disk size the guest would see.</param>
/// <param name="Kind">What came, in words for people: <c>OVA with VMDK streamOptimized</c>.</param>
public sealed record ImportedImage(
    string File, string Sha256, string Format, long VirtualBytes, long FileBytes, string Kind = "");

/// <param name="SavedFile">Non-null: bring it back from this state file instead of booting.</param>
/// <param name="Lazily">Of a saved VM: it runs at once, and its memory comes out of the file as it is asked for.</param>
public sealed record StartVm(VmSpec Spec, Epoch Epoch, string? SavedFile = null, bool Lazily = false);

/// <param name="Tag">In the disks' files: <see cref="SnapshotRules.TagOf"/>.</param>
public sealed record SnapshotOrder(VmSpec Spec, Epoch Epoch, string Tag);

/// <param name="IsCrashConsistent">It has a QEMU, so its disks are as a power cut at that moment would have left them.</param>
public sealed record SnapshotMade(bool IsCrashConsistent);

public sealed record SavedVm(string File, long Bytes, string Sha256, double PauseMs);

/// <param name="Rehearses">The QEMU is to be thrown away: cut off from the network, disks read-only, never run whatever comes.</param>
public sealed record IncomingOrder(
    MoveId Move, VmSpec Spec, Epoch Epoch, HostId Source, bool StayPaused, bool Rehearses = false)
{
    /// <summary>Its devices come first, and it runs before its memory is there.</summary>
    public bool Lazily { get; init; }
    /// <summary>If it ends at home for its limit, a lazy move follows: what memory has come is kept for that a little while.</summary>
    public bool KeepsMemory { get; init; }
}

/// <param name="Endpoint"><c>address:port</c> of the target's link.</param>
/// <param name="Ticket">One-use secret for this move, hex; presented inside TLS.</param>
/// <param name="Isolated">It will not run, whatever comes: as a rehearsal was ordered.</param>
/// <param name="Lazily">
/// As it was ordered: an agent of before would not know that memory comes later. Where memory is to be kept
/// (<see cref="IncomingOrder.KeepsMemory"/>): the host would let a QEMU wait for the rest.
/// </param>
public sealed record IncomingReady(
    string Endpoint, string Ticket, IReadOnlyList<string> Devices, bool Isolated = false, bool Lazily = false);

/// <param name="Epoch">The owner's epoch now; the token will carry the next one.</param>
/// <param name="Rehearses">No token leaves: the guest goes on here as soon as its last byte is out.</param>
public sealed record OutgoingOrder(
    MoveId Move, VmId Vm, Epoch Epoch, HostId Target, MoveMode Mode, MoveLimits Limits, IncomingReady Ready, bool Rehearses = false)
{
    /// <summary>As <see cref="IncomingOrder.Lazily"/>: its memory stays here until the target has all of it.</summary>
    public bool IsLazy => Mode == MoveMode.Lazy;
    /// <summary>The guest is stopped before anything is sent.</summary>
    public bool StopsFirst => Mode is MoveMode.Quick or MoveMode.Lazy;
}

public sealed record RefreshOrder(MoveId Move, VmId Vm, Epoch Epoch, MoveLimits Limits, RefreshWish Wish);

public sealed record SourceFacts
{
    public required VmState State { get; init; }
    public required Epoch Epoch { get; init; }
    public required string QemuVersion { get; init; }
    /// <summary>QEMU's own blocked-reasons, word for word.</summary>
    public required IReadOnlyList<string> Blockers { get; init; }
    /// <summary>Canonical device list: one line a device, sorted, the same for the same guest-visible machine.</summary>
    public required IReadOnlyList<string> Devices { get; init; }
    public required DateTimeOffset Clock { get; init; }
    /// <summary>When the host's certificate expires; null where it has none to show.</summary>
    public DateTimeOffset? CertificateEnds { get; init; }
    /// <summary>QEMU stopped the guest because a disk of it failed or is full.</summary>
    public bool StorageFailed { get; init; }
    /// <summary>As <see cref="HostFacts.JournalSilentSeconds"/>.</summary>
    public double JournalSilentSeconds { get; init; }
    /// <summary>
    /// Of the guest's memory, what it has never used and its host never gave. QEMU reads it to send it, and a page of a file in memory
    /// that is read is given. 0 of agents that do not tell.
    /// </summary>
    public long UntouchedBytes { get; init; }
    /// <summary>What this host can still give, by its memory and by its tmpfs.</summary>
    public long MemoryAvailableBytes { get; init; }
}

public sealed record TargetFacts
{
    public required HostFacts Host { get; init; }
    /// <summary>One per disk that cannot be opened read-write here, with the system's own words.</summary>
    public required IReadOnlyList<string> UnreachableDisks { get; init; }
    public required IReadOnlyList<string> MissingBridges { get; init; }
    /// <summary>Features of the VM's CPU model this host lacks, by name.</summary>
    public required IReadOnlyList<string> MissingCpuFeatures { get; init; }
    /// <summary>True where a process of this VM is here already.</summary>
    public required bool AlreadyHere { get; init; }
}

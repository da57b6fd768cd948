using System.Diagnostics.CodeAnalysis;
using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// One VM on this host, in memory: its record and the QEMUs that belong to it. A step that changes what runs holds
/// its gate; reading a property needs none. Writes to the record have an order of their own, inside or outside the gate.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "A SemaphoreSlim whose wait handle nobody takes holds nothing.")]
public sealed class Machine(VmHome home, OwnerRecord record)
{
    private readonly SemaphoreSlim _gate = new(1, 1);

    public VmHome Home { get; } = home;
    /// <summary>As it is on disk: replaced only after the new one was durable.</summary>
    public OwnerRecord Record { get; internal set; } = record;
    public VmSpec Spec => Record.Spec;
    public VmId Id => Record.Spec.Id;
    public Epoch Epoch => Record.Epoch;
    /// <summary>The owner record was turned over to this host with that epoch, whatever became of the QEMU.</summary>
    public bool IsOwnedAt(Epoch epoch) => Record.IsOwner && Epoch == epoch;
    /// <summary>
    /// Its QEMUs whose monitor answers, oldest first. One that lives without answering is only in
    /// <see cref="OwnerRecord.Instances"/>: missing here never means dead.
    /// </summary>
    public IReadOnlyList<QemuInstance> Instances { get; internal set; } = [];
    /// <summary>The one that holds the guest; null while stopped, for a mere candidate, and where it does not answer.</summary>
    public QemuInstance? Current => Instances.FirstOrDefault(i => i.Incarnation == Record.Current);
    /// <summary>
    /// The move that alone decides what becomes of this VM's QEMUs: while it is set, start, stop, pause and forget are
    /// refused, and a guest that powers off or a QEMU that dies is left for the move to judge.
    /// </summary>
    public MoveId? HeldBy { get; internal set; }
    /// <summary>
    /// Its memory is being written to a file: the guest stands still until that is the VM, or has failed. Whatever else would set it
    /// going is refused; what it did then would be lost.
    /// </summary>
    public bool IsBeingSaved { get; internal set; }

    internal SemaphoreSlim RecordOrder { get; } = new(1, 1);
    /// <summary>QEMU serves one client of a monitor at a time: two of ours would wait for each other.</summary>
    internal SemaphoreSlim ConnectOrder { get; } = new(1, 1);

    /// <summary>Waits for the gate; dispose the result to leave. Never across a whole move: only around one step.</summary>
    public async Task<IDisposable> EnterAsync()
    {
        await _gate.WaitAsync();
        return new Leave(_gate);
    }

    private sealed class Leave(SemaphoreSlim gate) : IDisposable
    {
        private SemaphoreSlim? _gate = gate;
        public void Dispose() => Interlocked.Exchange(ref _gate, null)?.Release();
    }
}

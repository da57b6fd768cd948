using System.Diagnostics.CodeAnalysis;
using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// One VM on this host, in memory: its record and the QEMUs that belong to it. Everything that changes it holds its
/// gate; reading a property needs none.
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
    /// <summary>Its QEMUs, oldest first.</summary>
    public IReadOnlyList<QemuInstance> Instances { get; internal set; } = [];
    /// <summary>The one that holds the guest; null while stopped, and for a mere candidate.</summary>
    public QemuInstance? Current => Instances.FirstOrDefault(i => i.Incarnation == Record.Current);

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

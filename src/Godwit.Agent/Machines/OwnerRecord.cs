using System.Text.Json.Serialization;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// What this host knows of one VM, durable before the act it allows. It lies beside the QEMU, not in the server:
/// an agent that starts again reads it and goes on where the last one ended.
/// </summary>
public sealed record OwnerRecord
{
    public const int FormatNow = 1;

    public int Format { get; init; } = FormatNow;
    public required VmSpec Spec { get; init; }
    /// <summary>The owner's epoch as this host last knew it.</summary>
    public required Epoch Epoch { get; init; }
    /// <summary>True: the token is here, this host may run it.</summary>
    public required bool IsOwner { get; init; }
    /// <summary>
    /// What the VM shall be here: Running, Paused (by a person), Stopped, Saved. Crashed once its QEMU died unasked.
    /// The state of a candidate (not owner) is what it becomes with the token.
    /// </summary>
    public required VmState Wanted { get; init; }
    /// <summary>QEMU processes of this VM on this host, oldest first: one, or two while one hands over to the other.</summary>
    public IReadOnlyList<InstanceRecord> Instances { get; init; } = [];
    /// <summary>The incarnation that holds the guest, while <see cref="IsOwner"/> and started; else null.</summary>
    public int? Current { get; init; }
    /// <summary>The highest incarnation ever used here.</summary>
    public int LastIncarnation { get; init; }
    /// <summary>
    /// The last epoch under which the guest was set going here; null before the first. An order to start it that arrives
    /// once more, after that guest has ended, finds its own epoch here.
    /// </summary>
    public Epoch? RanUnder { get; init; }
    /// <summary>
    /// The saved state, by file name in the pool of the first disk, that some of the running guest's memory still lies in. Null once all
    /// is here, and without a <see cref="Current"/>.
    /// </summary>
    public string? MemoryFile { get; init; }
    /// <summary>
    /// The lazy move whose source still has some of the guest's memory: from the target's first preparation until all is here. Null
    /// without a QEMU.
    /// </summary>
    public string? MemoryFrom { get; init; }
    /// <summary>One sentence for people: why it stands so.</summary>
    public string? Note { get; init; }

    /// <summary>Half a sentence: where part of the running guest's memory still is; null once all is here.</summary>
    [JsonIgnore]
    public string? MemoryElsewhere => MemoryFile is { } file ? $"in {file}, which it was resumed from"
        : MemoryFrom is { } move ? $"where its move {move} came from" : null;

    /// <summary>The one that holds the guest, or null.</summary>
    [JsonIgnore]
    public InstanceRecord? CurrentInstance => Instances.FirstOrDefault(i => i.Incarnation == Current);
}

/// <summary>One QEMU process, so that it can be found again.</summary>
/// <param name="RamOf">The incarnation that created the memory file this one maps.</param>
/// <param name="Taps">One for each NIC, in order.</param>
/// <param name="Cpus">Host processors it was bound to ("0-3"), or null.</param>
public sealed record InstanceRecord(
    int Incarnation, ProcessHandle Process, string QemuPath, int RamOf, IReadOnlyList<string> Taps, string? Cpus)
{
    /// <summary>Begun to load a saved state: nothing runs in it before it is the owner's current one.</summary>
    public bool LoadsFile { get; init; }
}

using System.Text.Json.Serialization;
using Godwit.Core.Migration;

namespace Godwit.Core.Vms;

/// <summary>
/// What a VM is made of: all that the guest can see, fixed at first start, the same on every host it visits.
/// Stored by the server and beside the running QEMU, so either can rebuild the other.
/// </summary>
public sealed record VmSpec
{
    public required VmId Id { get; init; }
    public required string Name { get; init; }
    /// <summary>RFC 4122 text form; QEMU's -uuid, and checked in the stream (validate-uuid).</summary>
    public required string Uuid { get; init; }
    public required int Cpus { get; init; }
    public required long MemoryBytes { get; init; }
    /// <summary>Versioned, never an alias: <c>pc-q35-7.2</c>.</summary>
    public required string MachineType { get; init; }
    /// <summary>Named and versioned, never <c>host</c>: <c>Nehalem-v1</c>.</summary>
    public required string CpuModel { get; init; }
    public required Accelerator Accelerator { get; init; }
    public required IReadOnlyList<DiskSpec> Disks { get; init; }
    public required IReadOnlyList<NicSpec> Nics { get; init; }
    /// <summary>The unprivileged uid (and gid) its QEMU runs as, the same on every host: it owns the disk files.</summary>
    public required int Uid { get; init; }
    /// <summary>Name of the template it was cloned from; null for a blank disk.</summary>
    public string? Template { get; init; }
    /// <summary>Not in the documents of what has none: they are as they were before there were displays.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public Display Display { get; init; }
    /// <summary>Which version of <see cref="Template"/>; null in records from before templates had versions: the first.</summary>
    public int? TemplateVersion { get; init; }

    /// <summary><c>debian:2</c>; null for a blank disk.</summary>
    public string? TemplateText() => Template is null ? null : TemplateChoice.Text(Template, TemplateVersion ?? 1);
}

public enum Accelerator { Tcg, Kvm }

/// <summary>What the guest can draw on, and who can see it.</summary>
public enum Display
{
    /// <summary>The serial line is all there is.</summary>
    None,
    /// <summary>A VGA card and a tablet as pointer; seen by RFB (VNC) over a socket that only the agent reaches.</summary>
    Vnc,
}

/// <param name="Pool">Name of a directory pool; each host maps it to its own path.</param>
/// <param name="File">File name inside the pool, no directories: <c>vm-0123456789ab-0.qcow2</c>.</param>
/// <param name="Format">Always explicit, never probed: <c>qcow2</c> or <c>raw</c>.</param>
/// <param name="BackingFile">Pool-relative template file of a linked clone, or null.</param>
public sealed record DiskSpec(string Pool, string File, string Format, long SizeBytes, string? BackingFile = null);

/// <param name="Bridge">Cluster-wide network name; on a host it is the bridge of that name.</param>
/// <param name="Mac">Lower-case, colon separated, locally administered: <c>52:54:00:0a:0b:0c</c>.</param>
public sealed record NicSpec(string Bridge, string Mac);

/// <summary>The server's record of a VM: what it is, who owns it, what was last known of it.</summary>
public sealed record Vm
{
    public required VmSpec Spec { get; init; }
    /// <summary>The one host that may run it.</summary>
    public required HostId Owner { get; init; }
    public required Epoch Epoch { get; init; }
    public required VmState State { get; init; }
    /// <summary>Set while <see cref="VmState.Saved"/>: the state file in the pool of the first disk.</summary>
    public string? SavedFile { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    /// <summary>Started elsewhere by itself once its host is proved to be off.</summary>
    public bool Ha { get; init; }
    /// <summary>Words that placement rules know it by.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];
    /// <summary>Stays on its host until a person moves it.</summary>
    public bool IsPinned { get; init; }
    /// <summary>0 to 1000: the higher is brought back first where a host is lost.</summary>
    public int Priority { get; init; } = VmPriority.Normal;
    /// <summary>What every move of it keeps unless its order says otherwise; null: the defaults.</summary>
    public MoveLimits? MoveLimits { get; init; }
    /// <summary>Oldest first.</summary>
    public IReadOnlyList<VmSnapshot> Snapshots { get; init; } = [];
}

public enum VmState
{
    Stopped,
    Running,
    /// <summary>In memory, vCPUs stopped because a person said so; stays so through a move.</summary>
    Paused,
    /// <summary>Its memory lies in a checksummed file; <c>vm resume</c> brings it back.</summary>
    Saved,
    /// <summary>Its QEMU died; the disk is as a power cut leaves it.</summary>
    Crashed,
    /// <summary>Nobody can prove where it runs. Start, move and delete are refused until that is known.</summary>
    Unknown,
}

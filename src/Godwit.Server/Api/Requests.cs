using Godwit.Core.Migration;

namespace Godwit.Server.Api;

/// <summary>POST /api/v1/hosts. The agent must answer at <paramref name="Endpoint"/> and prove to be <paramref name="Name"/>.</summary>
/// <param name="Endpoint">Where its agent listens: <c>address:port</c>.</param>
public sealed record AddHostRequest(string Name, string Endpoint);

/// <summary>POST /api/v1/hosts/{host}/settings.</summary>
/// <param name="Fence">Name of the hook, on the server's machine, that turns it off; or <c>watchdog</c>;
/// <c>none</c> takes it away; null: as it is.</param>
/// <param name="Tag">Put on, for rules to speak of it.</param>
/// <param name="Untag">Taken off.</param>
/// <param name="PowerOff">Name of the power hook that turns it off to save power; <c>none</c> takes it away; null: as it is.</param>
/// <param name="PowerOn">As <paramref name="PowerOff"/>: what turns it on.</param>
/// <param name="PowerState">As <paramref name="PowerOff"/>: what prints <c>on</c> or <c>off</c>.</param>
/// <param name="IdleWatts">What it takes while nothing runs on it.</param>
public sealed record HostSettingsRequest(
    string? Fence = null, IReadOnlyList<string>? Tag = null, IReadOnlyList<string>? Untag = null, string? PowerOff = null,
    string? PowerOn = null, string? PowerState = null, double? IdleWatts = null);

/// <summary>POST /api/v1/hosts/{host}/recover: bring its VMs back elsewhere.</summary>
/// <param name="Fenced">The caller's word that it is off and stays off; else its hook has to prove it, or did.</param>
/// <param name="Confirm">With <paramref name="Fenced"/>: the host's name once more.</param>
public sealed record RecoverHostRequest(bool Fenced = false, string? Confirm = null);

/// <summary>POST /api/v1/vms/{vm}/settings. What is null stays as it is.</summary>
/// <param name="Ha">Start it elsewhere by itself once its host is proved to be off.</param>
/// <param name="Tag">Put on, for rules to speak of it.</param>
/// <param name="Untag">Taken off.</param>
/// <param name="Pin">Leave it on its host until a person moves it.</param>
/// <param name="Priority">0 to 1000: the higher is brought back first where a host is lost.</param>
/// <param name="Moves">What every move of it keeps unless its order says otherwise, over what is kept already.</param>
public sealed record VmSettingsRequest(
    bool? Ha = null, IReadOnlyList<string>? Tag = null, IReadOnlyList<string>? Untag = null, bool? Pin = null, int? Priority = null,
    LimitsWish? Moves = null);

/// <summary>POST /api/v1/vms: a blank disk, or a linked clone where <see cref="Template"/> is given.</summary>
public sealed record CreateVmRequest(string Name)
{
    public int Cpus { get; init; } = 1;
    public long MemoryBytes { get; init; } = 512L << 20;
    /// <summary><c>NAME</c>, the latest version of it; or <c>NAME:VERSION</c>.</summary>
    public string? Template { get; init; }
    /// <summary>Default: the template's size, or 8 GiB for a blank disk.</summary>
    public long? DiskBytes { get; init; }
    /// <summary>Default: the template's pool, or the only pool of the host.</summary>
    public string? Pool { get; init; }
    /// <summary>One network card per bridge; default one on <c>br0</c>. Empty list: none.</summary>
    public IReadOnlyList<string>? Bridges { get; init; }
    /// <summary>Something to draw on, beside the serial line: fixed from then on, as all that the guest sees.</summary>
    public Godwit.Core.Vms.Display Display { get; init; }
    /// <summary>Default: the host rated best.</summary>
    public string? Host { get; init; }
    /// <summary>Start it at once.</summary>
    public bool Start { get; init; }
    /// <summary>Start it elsewhere by itself once its host is proved to be off.</summary>
    public bool Ha { get; init; }
    /// <summary>For placement rules to speak of it.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Leave it on its host until a person moves it.</summary>
    public bool Pin { get; init; }
    /// <summary>0 to 1000: the higher is brought back first where a host is lost.</summary>
    public int Priority { get; init; } = Godwit.Core.Vms.VmPriority.Normal;
    /// <summary>Hard placement rules forbid nothing; room and compatibility do.</summary>
    public bool IgnoreRules { get; init; }
}

/// <summary>POST /api/v1/vms/{vm}/start.</summary>
/// <param name="IgnoreRules">Hard placement rules forbid nothing; room and compatibility do.</param>
public sealed record StartVmRequest(bool IgnoreRules = false);

/// <summary>POST /api/v1/vms/{vm}/stop and /restart.</summary>
/// <param name="Force">End QEMU at once instead of asking the guest.</param>
public sealed record StopVmRequest(bool Force = false);

/// <summary>POST /api/v1/vms/{vm}/snapshots: keep the state of its disks, running or stopped.</summary>
/// <param name="Name">Null: the first <c>snapshot-N</c> that is free.</param>
/// <param name="Note">A line to be kept with it.</param>
public sealed record SnapshotRequest(string? Name = null, string? Note = null);

/// <summary>POST /api/v1/vms/{vm}/resume.</summary>
/// <param name="Host">Saved VMs only: bring it back on this host instead of the one it was saved on.</param>
/// <param name="IgnoreRules">Hard placement rules forbid nothing; room and compatibility do.</param>
/// <param name="Lazily">
/// Saved VMs only: it runs at once, and its memory comes out of its file as it is needed. Until all is there it cannot be moved or
/// saved, and needs its file. Refused (<c>lazy-memory-not-allowed</c>) where the host lets no QEMU wait for
/// memory, or gives none by the page.
/// </param>
public sealed record ResumeVmRequest(string? Host = null, bool IgnoreRules = false, bool Lazily = false);

/// <summary>POST /api/v1/vms/{vm}/migrate.</summary>
/// <param name="To">A host's name; null or <c>auto</c> lets the server choose.</param>
/// <param name="MaxPauseMs">1 to 60 000; the move does not switch over above it. This and all limits: null is as kept with the VM.</param>
/// <param name="BandwidthBytesPerSecond">0 is as fast as the link goes.</param>
/// <param name="DryRun">Answer 200 with a <see cref="MovePlan"/> instead of beginning (202).</param>
/// <param name="IgnoreRules">Hard placement rules forbid nothing; room and compatibility do.</param>
public sealed record MigrateRequest(
    string? To = null, MoveMode Mode = MoveMode.Live, int? MaxPauseMs = null,
    long? BandwidthBytesPerSecond = null, bool DryRun = false, bool IgnoreRules = false)
{
    /// <summary>
    /// All of a live move but its end: memory crosses and a throw-away target loads it, cut off from the network, while the guest
    /// goes on where it is. It stands still once, for about as long as in the move.
    /// </summary>
    public bool Rehearse { get; init; }
    /// <summary>As <see cref="LimitsWish.Policy"/>.</summary>
    public string? Policy { get; init; }
    /// <summary>As <see cref="LimitsWish.DeadlineSeconds"/>.</summary>
    public int? DeadlineSeconds { get; init; }
    /// <summary>As <see cref="LimitsWish.MayQuick"/>.</summary>
    public bool? MayQuick { get; init; }
    /// <summary>As <see cref="LimitsWish.MayLazy"/>.</summary>
    public bool? MayLazy { get; init; }
    /// <summary>As <see cref="LimitsWish.MaxSlowdownPercent"/>.</summary>
    public int? MaxSlowdownPercent { get; init; }

    public LimitsWish SaidOfLimits() => new()
    {
        Policy = Policy, MaxPauseMs = MaxPauseMs, BandwidthBytesPerSecond = BandwidthBytesPerSecond, DeadlineSeconds = DeadlineSeconds,
        MayQuick = MayQuick, MayLazy = MayLazy, MaxSlowdownPercent = MaxSlowdownPercent,
    };
}

/// <summary>POST /api/v1/links/test: noise from one host to another for a second.</summary>
public sealed record LinkTestRequest(string? Source = null, string? Target = null);

/// <summary>POST /api/v1/vms/{vm}/refresh: a new QEMU process on the same host.</summary>
/// <param name="QemuPath">Another QEMU binary of that host; null keeps the present one.</param>
/// <param name="Cpus">Host processors, <c>0-3,6</c>; null keeps them.</param>
public sealed record RefreshRequest(
    string? QemuPath = null, string? Cpus = null, int? MaxPauseMs = null, bool DryRun = false);

/// <summary>POST /api/v1/migrations/{move}/repair: ask both hosts of a move in doubt again.</summary>
/// <param name="Fenced">A side that is off, by the caller's word; its copy then counts as lost. Null: both are asked.</param>
public sealed record RepairMoveRequest(string? Fenced = null);

namespace Godwit.Core.Access;

/// <summary>What a person or program may be in a cluster: one role each.</summary>
public enum Role
{
    Viewer,
    /// <summary>Guests' consoles and displays, and nothing else: not even the list of VMs.</summary>
    Console,
    Operator,
    VmAdmin,
    HostAdmin,
    Admin,
    /// <summary>The record of who did what, and nothing else.</summary>
    Auditor,
    /// <summary>The server's metrics, and nothing else: for who scrapes them.</summary>
    Metrics,
}

/// <summary>What an endpoint needs of whoever calls it: each names exactly one.</summary>
public enum Permission
{
    /// <summary>Also callers without a token: log in, read the cluster's CA certificate.</summary>
    Anyone,
    /// <summary>Whoever proved to be somebody: who am I, leave, change my password.</summary>
    OwnAccount,
    /// <summary>Hosts, VMs, templates, moves, events: look at them.</summary>
    SeeCluster,
    UseConsoles,
    /// <summary>Start, stop, pause, save, resume.</summary>
    RunVms,
    /// <summary>Make snapshots of VMs, go back to them, delete them: what the disk holds since is lost by the second.</summary>
    SnapshotVms,
    /// <summary>Migrate, refresh, cancel a move.</summary>
    MoveVms,
    /// <summary>Create and delete VMs and templates.</summary>
    MakeVms,
    /// <summary>Add, cordon, remove hosts; issue a host's identity.</summary>
    RunHosts,
    /// <summary>Users, their roles, tokens.</summary>
    ManageAccess,
    ReadAudit,
    /// <summary>Figures without names of VMs: what Prometheus scrapes.</summary>
    ReadMetrics,
}

/// <summary>Who may do what: the only place that says so. Pure. What is not allowed here is refused.</summary>
public static class Policy
{
    /// <param name="role">Null: a caller who proved nothing.</param>
    public static bool Allows(Role? role, Permission permission) => permission switch
    {
        Permission.Anyone => true,
        Permission.OwnAccount => role is >= Role.Viewer and <= Role.Metrics,
        Permission.SeeCluster => role is Role.Viewer or Role.Operator or Role.VmAdmin or Role.HostAdmin or Role.Admin,
        Permission.UseConsoles => role is Role.Console or Role.Operator or Role.VmAdmin or Role.Admin,
        Permission.RunVms or Permission.SnapshotVms => role is Role.Operator or Role.VmAdmin or Role.Admin,
        // A host is emptied by moving its VMs: who runs hosts may move, but not stop, what is on them.
        Permission.MoveVms => role is Role.Operator or Role.VmAdmin or Role.HostAdmin or Role.Admin,
        Permission.MakeVms => role is Role.VmAdmin or Role.Admin,
        Permission.RunHosts => role is Role.HostAdmin or Role.Admin,
        Permission.ManageAccess => role is Role.Admin,
        Permission.ReadAudit => role is Role.Auditor or Role.Admin,
        Permission.ReadMetrics => role is Role.Metrics or Role.Viewer or Role.Operator or Role.VmAdmin or Role.HostAdmin or Role.Admin,
        _ => false,
    };
}

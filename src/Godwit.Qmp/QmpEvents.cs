namespace Godwit.Qmp;

/// <summary>
/// Names of the events Godwit acts on, and what they say. A reading that does not fit the event is null: unknown
/// events and words pass by, they are no error.
/// </summary>
public static class QmpEvents
{
    /// <summary>The vCPUs stopped; also inside a migration, at the start of the pause.</summary>
    public const string Stop = "STOP";
    /// <summary>The vCPUs run.</summary>
    public const string Resume = "RESUME";
    public const string Migration = "MIGRATION";
    public const string MigrationPass = "MIGRATION_PASS";
    public const string Shutdown = "SHUTDOWN";
    public const string Reset = "RESET";
    public const string Powerdown = "POWERDOWN";
    public const string Suspend = "SUSPEND";
    public const string Wakeup = "WAKEUP";
    public const string GuestPanicked = "GUEST_PANICKED";
    public const string Watchdog = "WATCHDOG";
    public const string BlockIoError = "BLOCK_IO_ERROR";
    public const string BlockJobReady = "BLOCK_JOB_READY";
    public const string BlockJobCompleted = "BLOCK_JOB_COMPLETED";
    public const string BlockJobCancelled = "BLOCK_JOB_CANCELLED";
    public const string BlockJobError = "BLOCK_JOB_ERROR";
    public const string JobStatusChange = "JOB_STATUS_CHANGE";
    public const string DeviceDeleted = "DEVICE_DELETED";

    /// <summary>MIGRATION: one of <see cref="QmpMigrationStatus"/>, or a word of a newer QEMU.</summary>
    public static string? MigrationStatus(this QmpEvent happened) =>
        happened.Name == Migration ? happened.Data.TextOrNull("status") : null;

    /// <summary>MIGRATION_PASS: 1 at the first pass over memory.</summary>
    public static long? PassNumber(this QmpEvent happened) =>
        happened.Name == MigrationPass ? happened.Data.NumberOrNull("pass") : null;

    /// <summary>SHUTDOWN, RESET: true when the guest asked for it itself.</summary>
    public static bool? AskedByGuest(this QmpEvent happened) =>
        happened.Name is Shutdown or Reset ? happened.Data.FlagOrNull("guest") : null;

    /// <summary>SHUTDOWN, RESET: "guest-shutdown", "host-qmp-quit", …</summary>
    public static string? Reason(this QmpEvent happened) =>
        happened.Name is Shutdown or Reset ? happened.Data.TextOrNull("reason") : null;

    /// <summary>BLOCK_IO_ERROR: the node that failed and what QEMU does about it ("report", "ignore", "stop").</summary>
    public static (string Node, string Action)? IoError(this QmpEvent happened) =>
        happened.Name == BlockIoError
            ? (happened.Data.TextOrNull("node-name") ?? "", happened.Data.TextOrNull("action") ?? "")
            : null;
}

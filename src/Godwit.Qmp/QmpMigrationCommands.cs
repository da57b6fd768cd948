using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>Commands of a migration, both sides. Errors as <see cref="QmpClient.ExecuteAsync"/>.</summary>
public static class QmpMigrationCommands
{
    /// <summary>Source: begins; the reply comes when it has begun, the rest is MIGRATION events.</summary>
    /// <param name="uri"><c>unix:/path</c>, <c>tcp:host:port</c>, …</param>
    public static Task MigrateAsync(this QmpClient qmp, string uri, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("migrate", new JsonObject { ["uri"] = uri }, deadline, cancel);

    /// <summary>Target started with <c>-incoming defer</c>: listens. Once per process.</summary>
    /// <param name="exitOnError">
    /// False keeps QEMU alive to tell its error; only where <see cref="QmpSchema.HasCommandArgument"/> says so (9.1).
    /// </param>
    public static Task MigrateIncomingAsync(
        this QmpClient qmp, string uri, bool exitOnError, TimeSpan deadline, CancellationToken cancel)
    {
        var arguments = new JsonObject { ["uri"] = uri };
        if (!exitOnError) arguments["exit-on-error"] = false;
        return qmp.ExecuteAsync("migrate-incoming", arguments, deadline, cancel);
    }

    /// <summary>Target in "postcopy-paused": listens for its source to come back.</summary>
    public static Task MigrateRecoverAsync(this QmpClient qmp, string uri, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("migrate-recover", new JsonObject { ["uri"] = uri }, deadline, cancel);

    /// <summary>Source: no error where nothing is under way. The guest runs again by itself if it ran before.</summary>
    public static Task MigrateCancelAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("migrate_cancel", null, deadline, cancel);

    /// <summary>Source at <c>pre-switchover</c>: goes on. <paramref name="state"/> guards against a late command.</summary>
    public static Task MigrateContinueAsync(
        this QmpClient qmp, string state, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("migrate-continue", new JsonObject { ["state"] = state }, deadline, cancel);

    /// <summary>Breaks migration sockets that hang, past a stuck main loop (<c>yank</c>, out of band).</summary>
    public static Task YankMigrationAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var arguments = new JsonObject { ["instances"] = new JsonArray(new JsonObject { ["type"] = "migration" }) };
        return qmp.ExecuteOobAsync("yank", arguments, deadline, cancel);
    }

    public static Task MigrateSetCapabilitiesAsync(
        this QmpClient qmp, IReadOnlyDictionary<string, bool> capabilities, TimeSpan deadline, CancellationToken cancel)
    {
        var list = new JsonArray();
        foreach (var (name, on) in capabilities.OrderBy(c => c.Key, StringComparer.Ordinal))
            list.Add(new JsonObject { ["capability"] = name, ["state"] = on });
        return qmp.ExecuteAsync(
            "migrate-set-capabilities", new JsonObject { ["capabilities"] = list }, deadline, cancel);
    }

    public static async Task<IReadOnlyDictionary<string, bool>> QueryMigrateCapabilitiesAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-migrate-capabilities", null, deadline, cancel);
        var capabilities = new Dictionary<string, bool>();
        foreach (var (name, on) in answer.Items(c => (c.Text("capability"), c.Flag("state")))) capabilities[name] = on;
        return capabilities;
    }

    /// <summary>Changes only what is not null. Also while a migration runs.</summary>
    public static Task MigrateSetParametersAsync(
        this QmpClient qmp, QmpMigrationParameters parameters, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("migrate-set-parameters", parameters.ToJson(), deadline, cancel);

    public static async Task<QmpMigrationParameters> QueryMigrateParametersAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        QmpMigrationParameters.Read(await qmp.ExecuteAsync("query-migrate-parameters", null, deadline, cancel));

    public static async Task<QmpMigration> QueryMigrateAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        QmpMigration.Read(await qmp.ExecuteAsync("query-migrate", null, deadline, cancel));

    /// <summary>Tells the network where the guest is: a first RARP at once, the rest as <paramref name="rhythm"/> says.</summary>
    public static Task AnnounceSelfAsync(
        this QmpClient qmp, QmpAnnounceRhythm rhythm, TimeSpan deadline, CancellationToken cancel)
    {
        var arguments = new JsonObject
        {
            ["initial"] = rhythm.InitialMs,
            ["max"] = rhythm.MaxMs,
            ["rounds"] = rhythm.Rounds,
            ["step"] = rhythm.StepMs,
        };
        return qmp.ExecuteAsync("announce-self", arguments, deadline, cancel);
    }
}

/// <summary>Gaps between announcements: initial, initial + step, … up to max, in milliseconds.</summary>
public sealed record QmpAnnounceRhythm(int InitialMs = 50, int MaxMs = 550, int Rounds = 5, int StepMs = 100);

/// <summary>Statuses of a migration that Godwit tells apart; newer QEMUs may say others.</summary>
public static class QmpMigrationStatus
{
    /// <summary>Ours: QEMU has never heard of a migration.</summary>
    public const string None = "none";
    public const string Setup = "setup";
    public const string Active = "active";
    /// <summary>The guest is stopped and waits for <c>migrate-continue</c>.</summary>
    public const string PreSwitchover = "pre-switchover";
    public const string Device = "device";
    public const string WaitUnplug = "wait-unplug";
    public const string PostcopyActive = "postcopy-active";
    public const string PostcopyPaused = "postcopy-paused";
    public const string Completed = "completed";
    public const string Failed = "failed";
    public const string Cancelling = "cancelling";
    public const string Cancelled = "cancelled";

    /// <summary>Nothing more will happen by itself.</summary>
    public static bool IsEnded(string status) => status is None or Completed or Failed or Cancelled;
}

/// <summary>What <c>query-migrate</c> says; null where this status or this QEMU does not tell.</summary>
public sealed record QmpMigration
{
    /// <summary>One of <see cref="QmpMigrationStatus"/>, or a word of a newer QEMU.</summary>
    public required string Status { get; init; }
    public string? ErrorDescription { get; init; }
    /// <summary>Why this guest cannot migrate now, word for word.</summary>
    public required IReadOnlyList<string> BlockedReasons { get; init; }
    public long? ExpectedDowntimeMs { get; init; }
    public long? TotalTimeMs { get; init; }
    public long? SetupTimeMs { get; init; }
    /// <summary>From the decision to stop to the source's completion; not what a client of the guest sees.</summary>
    public long? DowntimeMs { get; init; }
    public long? CpuThrottlePercent { get; init; }
    public QmpMigrationRam? Ram { get; init; }

    internal static QmpMigration Read(JsonElement answer) => new()
    {
        Status = answer.TextOrNull("status") ?? QmpMigrationStatus.None,
        ErrorDescription = answer.TextOrNull("error-desc"),
        BlockedReasons = answer.Items("blocked-reasons", r => r.AsText()),
        ExpectedDowntimeMs = answer.NumberOrNull("expected-downtime"),
        TotalTimeMs = answer.NumberOrNull("total-time"),
        SetupTimeMs = answer.NumberOrNull("setup-time"),
        DowntimeMs = answer.NumberOrNull("downtime"),
        CpuThrottlePercent = answer.NumberOrNull("cpu-throttle-percentage"),
        Ram = answer.ObjectOrNull("ram") is { } ram ? QmpMigrationRam.Read(ram) : null,
    };
}

public sealed record QmpMigrationRam
{
    public required long TransferredBytes { get; init; }
    public required long RemainingBytes { get; init; }
    public required long TotalBytes { get; init; }
    /// <summary>QEMU's <c>duplicate</c>: pages sent as "all zero".</summary>
    public required long ZeroPages { get; init; }
    public required long NormalPages { get; init; }
    public required long NormalBytes { get; init; }
    /// <summary>Megabits (10^6) a second.</summary>
    public required double Mbps { get; init; }
    public required long DirtySyncCount { get; init; }
    public required long DirtyPagesPerSecond { get; init; }
    public required long PageSizeBytes { get; init; }
    /// <summary>Bytes sent while the guest ran / while it was stopped; 0 before QEMU 7.0.</summary>
    public required long PrecopyBytes { get; init; }
    public required long DowntimeBytes { get; init; }

    internal static QmpMigrationRam Read(JsonElement ram) => new()
    {
        TransferredBytes = ram.Number("transferred"),
        RemainingBytes = ram.Number("remaining"),
        TotalBytes = ram.Number("total"),
        ZeroPages = ram.Number("duplicate"),
        NormalPages = ram.Number("normal"),
        NormalBytes = ram.Number("normal-bytes"),
        Mbps = ram.FractionOrNull("mbps") ?? 0,
        DirtySyncCount = ram.NumberOrNull("dirty-sync-count") ?? 0,
        DirtyPagesPerSecond = ram.NumberOrNull("dirty-pages-rate") ?? 0,
        PageSizeBytes = ram.NumberOrNull("page-size") ?? 4096,
        PrecopyBytes = ram.NumberOrNull("precopy-bytes") ?? 0,
        DowntimeBytes = ram.NumberOrNull("downtime-bytes") ?? 0,
    };
}

using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>Commands that start, stop and end a guest. Errors as <see cref="QmpClient.ExecuteAsync"/>.</summary>
public static class QmpRunCommands
{
    public static async Task<QmpRunState> QueryStatusAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-status", null, deadline, cancel);
        return new QmpRunState(answer.Text("status"), answer.Flag("running"));
    }

    public static Task StopAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("stop", null, deadline, cancel);

    /// <summary>
    /// Runs the guest. To a QEMU still in <c>inmigrate</c> it means "run once loaded" and succeeds at once: RESUME is
    /// the proof of running, not this reply.
    /// </summary>
    public static Task ContAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("cont", null, deadline, cancel);

    /// <summary>Presses the ACPI power button; the guest decides.</summary>
    public static Task SystemPowerdownAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("system_powerdown", null, deadline, cancel);

    public static Task SystemResetAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("system_reset", null, deadline, cancel);

    /// <summary>Ends QEMU. The monitor closes right after the reply, sometimes instead of it.</summary>
    public static Task QuitAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("quit", null, deadline, cancel);

    /// <summary>Plugs the cable of a network device in or out; <paramref name="id"/> is the device's or the netdev's.</summary>
    public static Task SetLinkAsync(
        this QmpClient qmp, string id, bool up, TimeSpan deadline, CancellationToken cancel) =>
        qmp.ExecuteAsync("set_link", new JsonObject { ["name"] = id, ["up"] = up }, deadline, cancel);

    public static async Task<QmpVersion> QueryVersionAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-version", null, deadline, cancel);
        var numbers = answer.Object("qemu");
        return new QmpVersion(
            numbers.Number("major"), numbers.Number("minor"), numbers.Number("micro"), answer.TextOrNull("package") ?? "");
    }

    /// <summary>The VM's UUID; all zeroes where it was started without one.</summary>
    public static async Task<string> QueryUuidAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        (await qmp.ExecuteAsync("query-uuid", null, deadline, cancel)).Text("UUID");

    /// <summary>Whether this guest runs on KVM (and not on TCG).</summary>
    public static async Task<bool> QueryKvmEnabledAsync(this QmpClient qmp, TimeSpan deadline, CancellationToken cancel) =>
        (await qmp.ExecuteAsync("query-kvm", null, deadline, cancel)).Flag("enabled");
}

/// <param name="Status">One of <see cref="QmpRunStatus"/>, or a word of a newer QEMU.</param>
public sealed record QmpRunState(string Status, bool Running);

/// <summary>Run states Godwit tells apart.</summary>
public static class QmpRunStatus
{
    public const string Running = "running";
    public const string Paused = "paused";
    public const string Prelaunch = "prelaunch";
    /// <summary>A target that has not loaded its guest yet.</summary>
    public const string InMigrate = "inmigrate";
    /// <summary>A source that stopped its guest and sends the last bytes.</summary>
    public const string FinishMigrate = "finish-migrate";
    /// <summary>A source whose guest was sent completely, or failed while paused. Only <c>cont</c> runs it again.</summary>
    public const string PostMigrate = "postmigrate";
    public const string Shutdown = "shutdown";
    public const string IoError = "io-error";
    public const string InternalError = "internal-error";
    public const string GuestPanicked = "guest-panicked";
    public const string Suspended = "suspended";
}

/// <param name="Package">The distribution's words for its build; often empty.</param>
public sealed record QmpVersion(long Major, long Minor, long Micro, string Package)
{
    public override string ToString() => $"{Major}.{Minor}.{Micro}";
}

using System.Text.Json.Nodes;
using Godwit.Core.Vms;

namespace Godwit.Conformance;

/// <summary>
/// What can happen between two QEMUs of our protocol (return-path off, target started -S, disks activated late), told
/// once and run in both worlds. Talks/NAME.txt is what a real QEMU 7.2 said.
/// </summary>
internal static class QemuScenarios
{
    private const long Crawl = 48 << 10;

    public static IReadOnlyDictionary<string, Func<QemuTalk, Task>> All { get; } =
        new SortedDictionary<string, Func<QemuTalk, Task>>(StringComparer.Ordinal)
    {
        ["live-move"] = LiveMoveAsync,
        ["live-move-with-cont-before-the-load"] = ArmedMoveAsync,
        ["quick-move-of-a-paused-guest"] = PausedMoveAsync,
        ["cancel-while-memory-crosses"] = CancelAsync,
        ["cancel-with-nothing-under-way"] = CancelNothingAsync,
        ["cancel-while-the-target-hangs"] = CancelHungAsync,
        ["target-killed-while-memory-crosses"] = KillInPrecopyAsync,
        ["target-killed-while-a-paused-guest-crosses"] = KillUnderPausedAsync,
        ["target-killed-after-completed"] = KillAfterCompletedAsync,
        ["source-goes-on-beside-a-target-that-waits"] = ContBesideWaitingAsync,
        ["source-goes-on-beside-a-target-that-holds-the-disk"] = ContBesideHoldingAsync,
        ["target-lacks-a-device"] = TargetLacksAsync,
        ["target-has-one-device-more"] = TargetHasMoreAsync,
        ["second-opener-of-a-disk"] = SecondOpenerAsync,
        ["orders-out-of-turn"] = OutOfTurnAsync,
        ["pause-twice-and-go-on-twice"] = PauseTwiceAsync,
        ["guest-resets-itself"] = GuestResetsAsync,
        ["guest-powers-itself-off"] = GuestPowersOffAsync,
        ["guest-powers-itself-off-while-memory-crosses"] = PowersOffInPrecopyAsync,
        ["saved-to-a-file-and-resumed"] = SaveAndResumeAsync,
        ["refresh-on-the-same-host"] = RefreshAsync,
        ["quit"] = QuitAsync,
    };

    private static async Task LiveMoveAsync(QemuTalk talk)
    {
        var (source, target) = await MovedAsync(talk);
        await talk.SayAsync(target, "cont", until: "RESUME");
        await talk.SayAsync(source, "cont"); // Refused: the target has the disk.
        await talk.TellAsync(source, target);
        await talk.SayAsync(source, "quit");
        await talk.GoneAsync(source);
        await talk.TellAsync(target);
    }

    private static async Task ArmedMoveAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await talk.SayAsync(target, "cont"); // Refused: the source has the disk. So a target cannot be told to run ahead of time.
        await talk.TellAsync(target);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.TellAsync(source, target);
    }

    private static async Task PausedMoveAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await talk.SayAsync(source, "stop", until: "STOP");
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.TellAsync(source, target);
        await talk.SayAsync(target, "cont", until: "RESUME");
        await talk.TellAsync(source, target);
    }

    private static async Task CancelAsync(QemuTalk talk)
    {
        var (source, target) = await CrawlingAsync(talk);
        await talk.SayAsync(source, "migrate_cancel", until: "MIGRATION cancelled");
        await talk.TellAsync(source);
        await talk.GoneAsync(target);
        await talk.SayAsync(source, "migrate_cancel");
        await talk.TellAsync(source);
    }

    private static async Task CancelNothingAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await talk.SayAsync(source, "migrate_cancel");
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.SayAsync(source, "migrate_cancel"); // After "completed" it changes nothing.
        await talk.TellAsync(source, target);
    }

    private static async Task CancelHungAsync(QemuTalk talk)
    {
        var (source, target) = await CrawlingAsync(talk);
        talk.Stall(target);
        await talk.TellAsync(source);
        await talk.SayAsync(source, "migrate_cancel", until: "MIGRATION cancelled");
        await talk.TellAsync(source);
    }

    private static async Task KillInPrecopyAsync(QemuTalk talk)
    {
        var (source, target) = await CrawlingAsync(talk);
        await talk.KillAsync(target);
        await talk.UntilAsync((source, "MIGRATION failed"));
        await talk.TellAsync(source);
    }

    private static async Task KillUnderPausedAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await talk.SayAsync(source, "stop", until: "STOP");
        await CrawlAsync(talk, source);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION active"), (target, "MIGRATION active"));
        await talk.KillAsync(target);
        await talk.UntilAsync((source, "MIGRATION failed"));
        await talk.TellAsync(source);
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.TellAsync(source);
    }

    private static async Task KillAfterCompletedAsync(QemuTalk talk)
    {
        var (source, target) = await MovedAsync(talk);
        await talk.KillAsync(target);
        await talk.TellAsync(source);
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.TellAsync(source);
        // What ended so can be moved once more.
        var next = await talk.StartAsync("next", "b", incoming: true, incarnation: 2, ramOf: 2);
        await PrepareAsync(talk, next);
        await talk.RelayAsync(source, next);
        await talk.SayAsync(source, "migrate", Uri(source.OutgoingSocket), rest: false);
        await talk.UntilAsync((source, "MIGRATION completed"), (next, "MIGRATION completed"));
        await talk.TellAsync(source, next);
    }

    private static async Task ContBesideWaitingAsync(QemuTalk talk)
    {
        var (source, target) = await MovedAsync(talk);
        await talk.SayAsync(source, "cont", until: "RESUME"); // late-block-activate: the target holds nothing before its cont.
        await talk.SayAsync(target, "cont");
        await talk.TellAsync(source, target);
    }

    private static async Task ContBesideHoldingAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk, late: false);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.SayAsync(source, "cont");
        await talk.TellAsync(source, target);
        await talk.KillAsync(target);
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.TellAsync(source);
    }

    private static async Task TargetLacksAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk, sourceSpec: TwoDisks);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"));
        await talk.GoneAsync(target);
        await talk.TellAsync(source);
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.TellAsync(source);
    }

    private static async Task TargetHasMoreAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk, targetSpec: TwoDisks);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.SayAsync(target, "cont", until: "RESUME"); // Nobody noticed.
        await talk.TellAsync(source, target);
    }

    private static async Task SecondOpenerAsync(QemuTalk talk)
    {
        await talk.StartAsync("first", "a");
        await talk.StartAsync("second", "b");
        await talk.StartAsync("third, incoming,", "b", incoming: true, incarnation: 2, ramOf: 2);
    }

    private static async Task OutOfTurnAsync(QemuTalk talk)
    {
        var (source, target) = await CrawlingAsync(talk);
        await talk.SayAsync(source, "migrate", Uri(source.OutgoingSocket));
        await talk.SayAsync(source, "migrate-incoming", Uri(source.IncomingSocket));
        await talk.SayAsync(target, "migrate", Uri(target.OutgoingSocket));
        await talk.SayAsync(target, "migrate-incoming", Uri(target.IncomingSocket));
        await talk.SayAsync(source, "migrate-continue", new JsonObject { ["state"] = "pre-switchover" });
        await talk.SayAsync(source, "migrate-set-parameters", new JsonObject { ["max-bandwidth"] = 0 }, rest: false);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.SayAsync(source, "migrate", Uri(source.OutgoingSocket));
        await talk.TellAsync(source, target);
    }

    private static async Task PauseTwiceAsync(QemuTalk talk)
    {
        var qemu = await talk.StartAsync("qemu", "a");
        await talk.SayAsync(qemu, "stop");
        await talk.TellAsync(qemu);
        await talk.SayAsync(qemu, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(qemu);
        await talk.SayAsync(qemu, "cont");
        await talk.SayAsync(qemu, "stop", until: "STOP");
        await talk.SayAsync(qemu, "stop");
        await talk.TellAsync(qemu);
        await talk.SayAsync(qemu, "cont", until: "RESUME");
        await talk.TellAsync(qemu);
    }

    private static async Task GuestResetsAsync(QemuTalk talk)
    {
        var qemu = await talk.StartAsync("qemu", "a");
        await talk.SayAsync(qemu, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(qemu);
        await talk.GuestAsync(qemu, "r", until: "RESET guest-reset by the guest");
        await talk.GuestIsUpAsync(qemu, times: 2);
        await talk.TellAsync(qemu);
    }

    private static async Task GuestPowersOffAsync(QemuTalk talk)
    {
        var qemu = await talk.StartAsync("qemu", "a");
        await talk.SayAsync(qemu, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(qemu);
        await talk.GuestAsync(qemu, "p", until: "STOP");
        await talk.TellAsync(qemu);
        await talk.SayAsync(qemu, "cont");
        await talk.SayAsync(qemu, "stop");
        await talk.TellAsync(qemu);
        await talk.SayAsync(qemu, "quit");
        await talk.GoneAsync(qemu);
    }

    private static async Task PowersOffInPrecopyAsync(QemuTalk talk)
    {
        var (source, target) = await CrawlingAsync(talk);
        await talk.GuestAsync(source, "p", until: "STOP");
        await talk.TellAsync(source, target);
        await talk.SayAsync(source, "migrate-set-parameters", new JsonObject { ["max-bandwidth"] = 0 }, rest: false);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.TellAsync(source, target);
        await talk.SayAsync(target, "cont");
        await talk.SayAsync(source, "cont");
        await talk.TellAsync(source, target);
    }

    private static async Task SaveAndResumeAsync(QemuTalk talk)
    {
        var source = await talk.StartAsync("saved", "a");
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(source);
        await PrepareSourceAsync(talk, source);
        await talk.SayAsync(source, "stop", until: "STOP");
        var file = new MemoryStream();
        await talk.RelayAsync(source, target: null, file);
        await talk.SayAsync(source, "migrate", Uri(source.OutgoingSocket), until: "MIGRATION completed");
        await talk.TellAsync(source);
        await talk.SayAsync(source, "quit");
        await talk.GoneAsync(source);

        var target = await talk.StartAsync("resumed", "b", incoming: true);
        await PrepareAsync(talk, target);
        await talk.FeedAsync(target, file.ToArray());
        await talk.UntilAsync((target, "MIGRATION completed"));
        await talk.TellAsync(target);
        await talk.SayAsync(target, "cont", until: "RESUME");
        await talk.GuestAsync(target, "p", until: "STOP"); // The guest that came back listens.
        await talk.TellAsync(target);
    }

    private static async Task RefreshAsync(QemuTalk talk)
    {
        var source = await talk.StartAsync("old", "a");
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(source);
        await PrepareSourceAsync(talk, source, sameHost: true);
        var target = await talk.StartAsync("new", "a", incoming: true, incarnation: 2, ramOf: 1);
        await PrepareAsync(talk, target, sameHost: true);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.TellAsync(source, target);
        await talk.SayAsync(target, "cont", until: "RESUME");
        await talk.TellAsync(source, target);
        await talk.KillAsync(source);
        await talk.GuestAsync(target, "p", until: "STOP");
        await talk.TellAsync(target);
    }

    private static async Task QuitAsync(QemuTalk talk)
    {
        var qemu = await talk.StartAsync("qemu", "a");
        await talk.SayAsync(qemu, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(qemu);
        await talk.SayAsync(qemu, "quit");
        await talk.GoneAsync(qemu);
    }

    private static VmSpec TwoDisks => QemuTalk.Spec with
    {
        Disks = [.. QemuTalk.Spec.Disks, new DiskSpec("shared", "vm-0123456789ab-1.raw", "raw", TalkingGuest.Bytes)],
    };

    /// <summary>A guest that runs, and a target that listens.</summary>
    private static async Task<(TalkingQemu Source, TalkingQemu Target)> ReadyAsync(
        QemuTalk talk, VmSpec? sourceSpec = null, VmSpec? targetSpec = null, bool late = true)
    {
        var source = await talk.StartAsync("source", "a", spec: sourceSpec);
        await talk.SayAsync(source, "cont", until: "RESUME");
        await talk.GuestIsUpAsync(source);
        await PrepareSourceAsync(talk, source);
        var target = await talk.StartAsync("target", "b", incoming: true, spec: targetSpec);
        await PrepareAsync(talk, target, late: late);
        return (source, target);
    }

    /// <summary>The move stands where the token would be sent.</summary>
    private static async Task<(TalkingQemu Source, TalkingQemu Target)> MovedAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION completed"), (target, "MIGRATION completed"));
        await talk.TellAsync(source, target);
        return (source, target);
    }

    /// <summary>Memory crosses so slowly that it will not be through while anyone looks.</summary>
    private static async Task<(TalkingQemu Source, TalkingQemu Target)> CrawlingAsync(QemuTalk talk)
    {
        var (source, target) = await ReadyAsync(talk);
        await CrawlAsync(talk, source);
        await MigrateAsync(talk, source, target);
        await talk.UntilAsync((source, "MIGRATION active"), (target, "MIGRATION active"));
        await talk.TellAsync(source, target);
        return (source, target);
    }

    private static Task CrawlAsync(QemuTalk talk, TalkingQemu source) => talk.SayAsync(
        source, "migrate-set-parameters", new JsonObject { ["max-bandwidth"] = Crawl, ["downtime-limit"] = 20 });

    private static async Task MigrateAsync(QemuTalk talk, TalkingQemu source, TalkingQemu target)
    {
        await talk.RelayAsync(source, target);
        await talk.SayAsync(source, "migrate", Uri(source.OutgoingSocket), rest: false);
    }

    /// <summary>As every move of ours begins.</summary>
    private static async Task PrepareSourceAsync(QemuTalk talk, TalkingQemu source, bool sameHost = false)
    {
        await talk.SayAsync(source, "migrate-set-capabilities", Capabilities(sameHost, late: true));
        await talk.SayAsync(source, "migrate-set-parameters", new JsonObject { ["max-bandwidth"] = 0, ["downtime-limit"] = 300 });
    }

    private static async Task PrepareAsync(QemuTalk talk, TalkingQemu target, bool sameHost = false, bool late = true)
    {
        await talk.SayAsync(target, "migrate-set-capabilities", Capabilities(sameHost, late));
        await talk.SayAsync(target, "migrate-incoming", Uri(target.IncomingSocket), until: "MIGRATION setup");
    }

    private static JsonObject Capabilities(bool sameHost, bool late) => new()
    {
        ["capabilities"] = new JsonArray(
            On("late-block-activate", late), On("validate-uuid", true), On("x-ignore-shared", sameHost), On("return-path", false)),
    };

    private static JsonObject On(string capability, bool state) => new() { ["capability"] = capability, ["state"] = state };

    private static JsonObject Uri(string socket) => new() { ["uri"] = "unix:" + socket };
}

using System.Text.Json;
using Godwit.Cli;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>What a person types about a silent host, and what they are told.</summary>
public sealed class FenceCommandTests
{
    private const string Api = "/api/v1";

    private static readonly HostRecovery Begun = new()
    {
        Id = "rc-1", Host = new HostId("host1"), Scope = RecoveryScope.AllVms, By = "anna", CreatedAt = GodwitRun.Now,
    };

    private static readonly HostRecovery Ended = Begun with
    {
        Vms =
        [
            new(new VmId("vm-1"), "web", true, "was started on host2"),
            new(new VmId("vm-2"), "db", true, "was not brought back: no room", Failed: true),
        ],
        End = RecoveryEnd.NeedsOperator, Reason = "not brought back: db", EndedAt = GodwitRun.Now,
    };

    [Fact]
    public async Task A_recovery_is_followed_and_each_vm_is_told_once()
    {
        await using var server = new ScriptedServer()
            .On($"POST {Api}/hosts/host1/recover", Json(Begun)).On($"GET {Api}/hosts/host1/recovery", Json(Ended));
        var run = await GodwitRun.OfAsync(server, "host recover host1 --fenced --confirm host1");
        Assert.Equal(ExitCode.Partial, run.ExitCode);
        Assert.Equal("web was started on host2.\ndb was not brought back: no room.\nhost1: not brought back: db\n", run.Output);
    }

    [Fact]
    public async Task A_watchdog_is_shown_with_what_its_silence_proves()
    {
        var host = Examples.Host("host1");
        host = host with
        {
            Fence = "watchdog", Watchdog = new WatchdogNote("wd-1", 60, 30, Confirmed: true),
            Facts = host.Facts! with { Watchdog = new("/dev/watchdog", "iTCO_wdt", 30, "wd-1", GodwitRun.Now, false, null) },
        };
        await using var server = new ScriptedServer().On($"GET {Api}/hosts/host1", Json(host))
            .On($"GET {Api}/hosts", Json(new[] { host, host with { Id = new HostId("host2"), Watchdog = null } }))
            .On($"POST {Api}/hosts/host1/settings", Json(host));
        var shown = (await GodwitRun.OfAsync(server, "host show host1")).Output;
        Assert.Contains("its own watchdog: taken to be off after 126 s without a lease", shown, StringComparison.Ordinal);
        Assert.Contains("/dev/watchdog (iTCO_wdt), 30 s, armed since 2026-03-01 12:00", shown, StringComparison.Ordinal);
        var listed = (await GodwitRun.OfAsync(server, "host list")).Output;
        Assert.Contains("watchdog, 30 s", listed, StringComparison.Ordinal);
        Assert.Contains("watchdog, not armed", listed, StringComparison.Ordinal);
        Assert.Contains("is to be fenced by its own watchdog", (await GodwitRun.OfAsync(server, "host set host1 --fence watchdog")).Output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_proved_and_what_goes_on_is_shown_with_the_host()
    {
        await using var server = new ScriptedServer().On($"GET {Api}/hosts/host1", Json(Examples.Host("host1") with
        {
            State = HostState.Fenced, Fence = "ipmi", Recovery = Ended,
            Fenced = new FenceProof
            {
                Id = "fp-1", Host = new HostId("host1"), Kind = FenceKind.Command, By = "ha", At = GodwitRun.Now,
                Hook = "ipmi", ExitCode = 0,
            },
        }));
        var run = await GodwitRun.OfAsync(server, "host show host1");
        Assert.Contains("fenced        2026-03-01 12:00", run.Output, StringComparison.Ordinal);
        Assert.Contains("by hook ipmi, which ended with 0, for ha", run.Output, StringComparison.Ordinal);
        Assert.Contains("recovery      rc-1", run.Output, StringComparison.Ordinal);
        Assert.Contains("web was started on host2", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("host set host1"), InlineData("vm set web"), InlineData("vm set web --ha maybe"), InlineData("server --ha-after 5")]
    public async Task What_is_missing_or_makes_no_sense_is_told_before_anything_is_asked(string line) =>
        Assert.NotEqual(ExitCode.All, (await GodwitRun.WithoutServerAsync(line)).ExitCode);

    private static string Json<T>(T value) => JsonSerializer.Serialize(value, ApiJson.Lenient);
}

using System.Text.Json;
using Godwit.Cli;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Server.Api;
using Godwit.Server.Power;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>What a person types about hosts that are turned off and on, and what they are told.</summary>
public sealed class PowerCommandTests
{
    private const string Api = "/api/v1";
    private static readonly HostPower hooked = new() { OffHook = "ipmi-off", OnHook = "ipmi-on", IdleWatts = 95 };
    private static readonly PowerAdvice advice = new(PowerAct.Standby, new HostId("host3"), "host3 can be emptied: 1 VM", [
        new(new VmId("vm-1"), "web", new HostId("host1"))]);

    [Fact]
    public async Task What_is_recommended_and_why_hosts_stay_on_is_shown()
    {
        var view = new PowerView(new PowerSettings { Mode = PowerMode.Manual, Windows = [PowerWindow.Parse("22:00-06:00")] },
            new PowerLook(GodwitRun.Now, new PowerPlan([advice], [new(new HostId("host1"), "it has no hooks")], 3.2, 16),
                [new(advice, PowerDeed.Ask, "its mode is manual")]),
            [new(new HostId("host1"), HostState.Ready, new HostPower(), 300), new(new HostId("host3"), HostState.Ready, hooked, 75)],
            new PowerHold(GodwitRun.Now.AddSeconds(210), "a rolling upgrade"));
        await using var server = new ScriptedServer().On($"GET {Api}/power", Json(view));
        var shown = (await GodwitRun.OfAsync(server, "cluster power show")).Output;
        foreach (var text in new[]
        {
            "Mode manual; 2 hosts on always", "woken before 75 % of what is on", "turned off in 22:00-06:00 (UTC) only", "3.2 of 16 cores",
            "standby-host3", "host3 can be emptied: 1 VM", "web to host1", "it has no hooks", "ipmi-off", "75 s",
            "No host is turned off before", "a rolling upgrade",
        })
            Assert.Contains(text, shown, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_is_followed_to_standby_and_a_failure_is_told()
    {
        var host = Examples.Host("host3");
        var (emptying, standby) = (host with { Power = hooked with { Phase = PowerPhase.Emptying } },
            host with { State = HostState.Standby, Power = hooked with { Phase = PowerPhase.Standby } });
        await using var server = new ScriptedServer()
            .On($"POST {Api}/hosts/host3/standby", Json(emptying)).On($"GET {Api}/hosts/host3", Json(standby))
            .On($"GET {Api}/hosts", Json(new[] { standby }))
            .On($"POST {Api}/hosts/host3/wake", Json(standby with { Power = standby.Power with { Problem = "it did not come" } }));
        var run = await GodwitRun.OfAsync(server, "host standby host3");
        Assert.Equal(ExitCode.All, run.ExitCode);
        Assert.EndsWith("host3 is standby.\n", run.Output, StringComparison.Ordinal);
        Assert.Contains("standby", (await GodwitRun.OfAsync(server, "host list")).Output, StringComparison.Ordinal);
        run = await GodwitRun.OfAsync(server, "host wake host3");
        Assert.Equal((ExitCode.Failed, "host3 is standby: it did not come\n"), (run.ExitCode, run.Output));
    }

    [Fact]
    public async Task Settings_and_hooks_are_sent_as_they_are_typed()
    {
        await using var server = new ScriptedServer()
            .On($"POST {Api}/power", Json(new PowerSettings { Mode = PowerMode.Automatic, MinHostsOn = 3 }))
            .On($"POST {Api}/hosts/host3/settings", Json(Examples.Host("host3") with { Power = hooked }));
        Assert.Contains("Mode automatic; 3 hosts on always",
            (await GodwitRun.OfAsync(server, "cluster power set --mode automatic --min-hosts 3")).Output, StringComparison.Ordinal);
        Assert.Equal("host3: turned off by ipmi-off, on by ipmi-on, 95 W while idle.\n", (await GodwitRun.OfAsync(
            server, "host set host3 --power-off ipmi-off --power-on ipmi-on --idle-watts 95")).Output);
        Assert.NotEqual(ExitCode.All, (await GodwitRun.OfAsync(server, "cluster power set --mode partial")).ExitCode);
    }

    private static string Json<T>(T record) => JsonSerializer.Serialize(record, ApiJson.Lenient);
}

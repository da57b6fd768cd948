using System.Text.Json;
using Godwit.Cli;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Placing;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>What a person types about who is to be where, and what they are told.</summary>
public sealed class PlacementCommandTests
{
    private const string Api = "/api/v1";

    private static readonly RuleView Broken = new(new RuleRecord("spread", RuleKind.Apart, "db"), 3, 1,
        [new RuleBreach(new VmId("vm-1"), "db1", new HostId("host1"), "db2 is on host1, and rule spread keeps it apart from db1")]);

    [Fact]
    public async Task Tags_pin_and_priority_of_a_vm_are_sent_and_what_was_set_is_told()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/vms/web1/settings", Json(Examples.Vm("web1") with
        {
            Tags = ["db", "prod"], Pinned = true, Priority = VmPriority.High,
        }));
        var run = await GodwitRun.OfAsync(server, "vm set web1 --tag db --tag prod --untag old --pin --priority high");
        Assert.Equal((ExitCode.All, "web1 is tagged db, prod. web1 stays on host1 until a person moves it. web1 has priority high.\n"),
            (run.ExitCode, run.Output));
        using var sent = JsonDocument.Parse(server.Heard[0].Body);
        Assert.Equal(["db", "prod"], sent.RootElement.GetProperty("tag").EnumerateArray().Select(t => t.GetString()));
        Assert.Equal((true, 750), (sent.RootElement.GetProperty("pin").GetBoolean(), sent.RootElement.GetProperty("priority").GetInt32()));
    }

    [Fact]
    public async Task What_its_moves_keep_is_sent_and_told()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/vms/web1/settings", Json(Examples.Vm("web1") with
        {
            MoveLimits = new MoveLimits(100) { MayQuick = true },
        }));
        var run = await GodwitRun.OfAsync(server, "vm set web1 --policy minimal-pause --may-quick --bwlimit 0");
        Assert.Equal((ExitCode.All, "Moves of web1 keep max-pause 100 ms, may-quick.\n"), (run.ExitCode, run.Output));
        var sent = JsonSerializer.Deserialize<VmSettingsRequest>(server.Heard[0].Body, ApiJson.Lenient)!;
        Assert.Equal(new LimitsWish { Policy = "minimal-pause", MayQuick = true, BandwidthBytesPerSecond = 0 }, sent.Moves);
    }

    [Theory]
    [InlineData("vm set web1 --policy hasty")]
    [InlineData("vm set web1 --max-pause 0")]
    [InlineData("vm set web1")]
    [InlineData("vm set web1 --pin --unpin")]
    [InlineData("vm set web1 --priority urgent")]
    [InlineData("host set host1")]
    [InlineData("rule add spread")]
    [InlineData("rule add spread --apart db --together db")]
    [InlineData("rule add spread --on-hosts ssd")]
    [InlineData("rule add spread --apart db --vms db")]
    public async Task What_is_not_a_whole_wish_is_not_sent(string line)
    {
        await using var server = new ScriptedServer();
        var run = await GodwitRun.OfAsync(server, line);
        Assert.NotEqual(ExitCode.All, run.ExitCode);
        Assert.NotEqual("", run.Error);
        Assert.Empty(server.Heard);
    }

    [Fact]
    public async Task A_rule_is_made_and_those_who_break_it_are_named()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/rules", Json(Broken));
        var run = await GodwitRun.OfAsync(server, "rule add spread --apart db");
        Assert.Equal((ExitCode.All, "spread: no two VMs tagged db on one host (hard); it speaks of 3 VMs.\n"
            + "Broken: db2 is on host1, and rule spread keeps it apart from db1.\n"), (run.ExitCode, run.Output));
        var sent = JsonSerializer.Deserialize<RuleRecord>(server.Heard[0].Body, ApiJson.Lenient);
        Assert.Equal(new RuleRecord("spread", RuleKind.Apart, "db"), sent);
    }

    [Theory]
    [InlineData("--together db --soft", RuleKind.Together, null, false)]
    [InlineData("--vms db --on-hosts ssd", RuleKind.OnHosts, "ssd", true)]
    [InlineData("--vms db --not-on-hosts old", RuleKind.NotOnHosts, "old", true)]
    public async Task Every_kind_of_rule_has_its_words(string words, RuleKind kind, string? hosts, bool isHard)
    {
        await using var server = new ScriptedServer().On($"POST {Api}/rules", Json(Broken));
        Assert.Equal(ExitCode.All, (await GodwitRun.OfAsync(server, $"rule add r {words}")).ExitCode);
        Assert.Equal(new RuleRecord("r", kind, "db", hosts, isHard),
            JsonSerializer.Deserialize<RuleRecord>(server.Heard[0].Body, ApiJson.Lenient));
    }

    [Fact]
    public async Task The_status_tells_the_policy_and_the_rules_that_are_broken()
    {
        await using var server = new ScriptedServer()
            .On($"GET {Api}/hosts", Json<HostView[]>([Examples.Host("host1")])).On($"GET {Api}/vms", Json<VmView[]>([Examples.Vm("web1")]))
            .On($"GET {Api}/placement", Json(new PlacementPolicy { VcpuOvercommit = 4 }))
            .On($"GET {Api}/rules", Json<RuleView[]>([Broken]));
        var run = await GodwitRun.OfAsync(server, "cluster status");
        Assert.Equal("1 host, 1 answer; 1 VM, 1 run.\n"
            + "Memory is promised 1 times, processors 4 times; hosts are loaded up to 85 %; 5 % of the memory is kept spare.\n"
            + "1 placement rule; broken: spread by 1 VM.\n", run.Output);
        Assert.Contains("db1", (await GodwitRun.OfAsync(server, "rule list")).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_policy_is_set_in_ratios_and_percents()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/placement", Json(new PlacementPolicy { LoadCeiling = 0.9 }));
        var run = await GodwitRun.OfAsync(server, "cluster set --load-ceiling 90 --memory-overcommit 1.5");
        Assert.Contains("loaded up to 90 %", run.Output, StringComparison.Ordinal);
        Assert.Equal(new PolicyWish(MemoryOvercommit: 1.5, LoadCeiling: 0.9),
            JsonSerializer.Deserialize<PolicyWish>(server.Heard[0].Body, ApiJson.Lenient));
    }

    private static string Json<T>(T document) => JsonSerializer.Serialize(document, ApiJson.Strict);
}

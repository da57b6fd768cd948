using System.Text.Json;
using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Xunit;
using static Godwit.Tests.Cli.CommandTests;

namespace Godwit.Tests.Cli;

public sealed class MigrateCommandTests
{
    private const string Api = "/api/v1";

    [Fact]
    public async Task A_move_is_followed_to_its_receipt()
    {
        await using var server = Following(Examples.Move(Phase.Checking),
            Examples.Move(Phase.Memory) with { Progress = Examples.Progress() }, Examples.Done());
        var run = await GodwitRun.OfAsync(server, "vm migrate web1 --to host2");
        Assert.Equal((ExitCode.All, ""), (run.ExitCode, run.Error));
        Approval.Check(run.Output);
    }

    [Fact]
    public async Task The_receipt_on_a_terminal_is_a_panel()
    {
        await using var server = new ScriptedServer().On($"GET {Api}/migrations/mv-0123456789ab", Json(Examples.Done()));
        var run = await GodwitRun.OnTerminalAsync(server, "migration show mv-0123456789ab");
        Assert.Contains("╭", run.Output);
        Assert.Contains("STOP → RESUME", run.Output);
    }

    [Fact]
    public async Task Json_of_a_followed_move_is_one_document_a_line_and_nothing_else()
    {
        await using var server = Following(Examples.Move(Phase.Checking), Examples.Done());
        var run = await GodwitRun.OfAsync(server, "vm migrate web1 --to host2 --json");
        var lines = run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(lines, line => Assert.Equal("mv-0123456789ab",
            JsonSerializer.Deserialize<Migration>(line, Godwit.Server.Api.ApiJson.Strict)!.Id.Value));
        Assert.Contains("\"done\"", lines[^1]);
    }

    [Fact]
    public async Task Not_waiting_prints_the_id_and_leaves()
    {
        await using var server = Following();
        var run = await GodwitRun.OfAsync(server, "vm migrate web1 --to host2 --no-wait");
        Assert.Equal("mv-0123456789ab web1: host1 → host2, live\n", run.Output);
        Assert.Single(server.Heard);
    }

    [Fact]
    public async Task Limits_travel_in_the_units_of_the_API()
    {
        await using var server = Following();
        await GodwitRun.OfAsync(server, "vm migrate web1 --to host2 --mode quick --max-pause 50 --bwlimit 100 --no-wait");
        var sent = JsonDocument.Parse(server.Heard[0].Body).RootElement;
        Assert.Equal("quick", sent.GetProperty("mode").GetString());
        Assert.Equal(50, sent.GetProperty("maxPauseMs").GetInt32());
        Assert.Equal(100L << 20, sent.GetProperty("bandwidthBytesPerSecond").GetInt64());
    }

    [Theory]
    [InlineData("--may-quick web1", true)]
    [InlineData("web1 --may-quick false", false)]
    [InlineData("web1", null)]
    public async Task What_is_not_said_is_left_to_the_vm(string words, bool? mayQuick)
    {
        await using var server = Following();
        await GodwitRun.OfAsync(server, $"vm migrate {words} --to host2 --rehearse --no-wait");
        var sent = JsonSerializer.Deserialize<MigrateRequest>(server.Heard[0].Body, Godwit.Server.Api.ApiJson.Lenient)!;
        Assert.Equal(new LimitsWish { MayQuick = mayQuick }, sent.SaidOfLimits());
        Assert.True(sent.Rehearse);
    }

    [Fact]
    public async Task A_move_refused_by_its_checks_shows_every_reason_with_its_fix()
    {
        await using var server = Following(Examples.Refused());
        var run = await GodwitRun.OfAsync(server, "vm migrate web1 --to host2");
        Assert.Equal(ExitCode.Refused, run.ExitCode);
        Approval.Check(run.Output);
    }

    [Fact]
    public async Task A_move_that_needs_a_person_fails_and_says_what_not_to_do()
    {
        await using var server = Following(Examples.Stuck());
        var run = await GodwitRun.OfAsync(server, "vm migrate web1 --to host2");
        Assert.Equal(ExitCode.Failed, run.ExitCode);
        Assert.Contains("needs-operator: the token left host1", run.Output);
        Assert.Contains("start nothing by hand", run.Output);
    }

    [Fact]
    public async Task Leaving_a_watch_leaves_the_move_running_and_says_so()
    {
        using var interrupt = new CancellationTokenSource();
        await using var server = Following(Examples.Move(Phase.Memory)); // Events end, the move does not: the watch waits on.
        var run = GodwitRun.OfAsync(new ServerAddress(server.SocketPath, IsChosen: true),
            "vm migrate web1 --to host2", isTerminal: false, interrupt.Token);
        while (!server.Heard.Any(call => call.Call.EndsWith("/events", StringComparison.Ordinal))) await Task.Yield();
        interrupt.Cancel();

        var left = await run;
        Assert.Contains("goes on without this window", left.Error);
        Assert.Contains("godwit migration watch mv-0123456789ab", left.Error);
        Assert.Contains("godwit migration cancel mv-0123456789ab", left.Error);
        Assert.DoesNotContain(server.Heard, call => call.Call.EndsWith("/cancel", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_target_the_server_chooses()
    {
        await using var server = Following();
        await GodwitRun.OfAsync(server, "vm migrate web1 --no-wait");
        Assert.Equal("auto", JsonDocument.Parse(server.Heard[0].Body).RootElement.GetProperty("to").GetString());
    }

    [Fact]
    public async Task A_dry_run_asks_for_the_plan_and_answers_by_its_exit_code()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/vms/web1/migrate", Json(Plan()));
        var yes = await GodwitRun.OfAsync(server, "vm migrate web1 --dry-run");
        Assert.Equal((ExitCode.All, "web1: host1 → host2, live: may move, nothing stands against it.\n"), (yes.ExitCode, yes.Output));

        server.On($"POST {Api}/vms/web1/migrate", Json(Plan(new Refusal("bridge-missing", "host2 has no bridge br0", "create it"))));
        var no = await GodwitRun.OfAsync(server, "vm migrate web1 --dry-run");
        Assert.Equal(ExitCode.Refused, no.ExitCode);
        Assert.Contains("host2 has no bridge br0. [bridge-missing]\n     Fix: create it", no.Error);
        Assert.All(server.Heard, call => Assert.Contains("\"dryRun\":true", call.Body));
    }

    [Fact]
    public async Task Of_several_VMs_one_refused_is_a_partial_success_and_summed_up()
    {
        await using var server = Following(Examples.Done())
            .OnProblem($"POST {Api}/vms/web2/migrate", "409 Conflict",
                """{"code":"no-host-fits","cause":"no host can take web2","reasons":[{"code":"a","cause":"b","fix":"c"}]}""");
        var run = await GodwitRun.OfAsync(server, "vm migrate web2 web1 --to host2");
        Assert.Equal(ExitCode.Partial, run.ExitCode);
        Assert.EndsWith("1 of 2 VMs moved, 1 refused, 0 failed.\n", run.Output);
    }

    [Fact]
    public async Task A_refresh_carries_processors_and_QEMU()
    {
        await using var server = new ScriptedServer().On($"POST {Api}/vms/web1/refresh", Json(Examples.Move()), "202 Accepted");
        var run = await GodwitRun.OfAsync(server, "vm refresh web1 --cpus 0-3 --qemu /opt/qemu --no-wait");
        Assert.Equal(ExitCode.All, run.ExitCode);
        Assert.Contains("\"qemuPath\":\"/opt/qemu\",\"cpus\":\"0-3\"", server.Heard[0].Body);
    }

    [Fact]
    public async Task A_cancel_that_comes_too_late_is_not_called_a_success()
    {
        await using var server = new ScriptedServer()
            .On($"POST {Api}/migrations/mv-0123456789ab/cancel", Json(Examples.Done()));
        var run = await GodwitRun.OfAsync(server, "migration cancel mv-0123456789ab");
        Assert.Equal((ExitCode.Failed, "Too late: web1 is on host2 already.\n"), (run.ExitCode, run.Output));
    }

    private static MovePlan Plan(params Refusal[] reasons) => new(new VmId("vm-0123456789ab"), "web1", new HostId("host1"),
        new HostId("host2"), MoveMode.Live, new MoveLimits(), reasons, []);

    private static ScriptedServer Following(params Migration[] story) => new ScriptedServer()
        .On($"POST {Api}/vms/web1/migrate", Json(Examples.Move()), "202 Accepted")
        .OnEvents($"GET {Api}/migrations/mv-0123456789ab/events", [.. story.Select(move => Json(move))]);
}

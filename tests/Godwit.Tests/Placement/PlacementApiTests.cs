using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Draining;
using Godwit.Server.Placing;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Placement;

/// <summary>Tags, pins, rules and the policy through a whole server: the same reasons whichever way a VM comes to a host.</summary>
public sealed class PlacementApiTests
{
    [Fact]
    public async Task Tags_pins_and_priorities_are_kept_and_shown()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        var made = await server.OkAsync<VmView>("POST", "vms",
            new { name = "db", tags = new[] { "db", "a.b" }, pin = true, priority = 750 });
        Assert.Equal(["a.b", "db"], made.Tags);
        Assert.Equal((true, 750), (made.Pinned, made.Priority));
        var set = await server.OkAsync<VmView>(
            "POST", "vms/db/settings", new { tag = new[] { "x" }, untag = new[] { "a.b" }, pin = false, priority = 0 });
        Assert.Equal(["db", "x"], set.Tags);
        Assert.Equal((false, 0, false), (set.Pinned, set.Priority, set.Ha));
        await server.OkAsync<VmView>("POST", "vms/db/settings", new { ha = true });
        Assert.Equal(["ssd"], (await server.OkAsync<HostView>("POST", "hosts/h1/settings", new { tag = new[] { "ssd" } })).Tags);
        await server.StopAsync();
        await server.StartAgainAsync();
        var kept = await server.OkAsync<VmView>("GET", "vms/db");
        Assert.Equal(["db", "x"], kept.Tags);
        Assert.True(kept.Ha);
        Assert.Equal(["ssd"], (await server.OkAsync<HostView[]>("GET", "hosts")).Single(h => h.Id.Value == "h1").Tags);
    }

    [Theory]
    [InlineData("vms/db/settings", """{"tag":["No Tag"]}""", "bad-tag")]
    [InlineData("vms/db/settings", """{"priority":1001}""", "bad-priority")]
    [InlineData("vms/db/settings", "{}", "nothing-to-set")]
    [InlineData("vms", """{"name":"new","tags":["No Tag"]}""", "bad-tag")]
    [InlineData("vms", """{"name":"new","priority":-1}""", "bad-priority")]
    [InlineData("hosts/h1/settings", """{"tag":["UP"]}""", "bad-tag")]
    [InlineData("hosts/h9/settings", """{"tag":["up"]}""", "host-not-found")]
    [InlineData("hosts/h1/settings", "{}", "nothing-to-set")]
    [InlineData("rules", """{"name":"r","kind":"apart","vmTag":"UP"}""", "bad-tag")]
    [InlineData("rules", """{"name":"r","kind":"on-hosts","vmTag":"up"}""", "bad-tag")]
    [InlineData("placement", "{}", "nothing-to-set")]
    [InlineData("placement", """{"memoryOvercommit":0}""", "bad-memory-overcommit")]
    [InlineData("placement", """{"loadCeiling":1.5}""", "bad-load-ceiling")]
    public async Task What_cannot_be_is_refused(string path, string body, string code)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("db", "h1", start: false);
        Assert.Equal(code, (await server.ProblemAsync("POST", path, body)).Code);
    }

    [Fact]
    public async Task A_rule_that_is_broken_already_is_taken_and_says_by_whom()
    {
        await using var server = await DbsAsync("h1", "h1");
        var view = await ApartAsync(server);
        Assert.Equal((2, 2), (view.Vms, view.Broken));
        Assert.Equal(["db1", "db2"], view.Breaches.Select(b => b.VmName));
        await ApartAsync(server); // The same once more is the same one.
        Assert.Equal("name-taken", (await server.ProblemAsync("POST", "rules",
            new { name = "spread", kind = "together", vmTag = "db" })).Code);
        Assert.Equal("spread", Assert.Single(await server.OkAsync<RuleView[]>("GET", "rules")).Rule.Name);

        var move = await server.OkAsync<Migration>("POST", "vms/db2/migrate", new { to = "h2" });
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(move.Id)).End);
        Assert.Equal(0, (await server.OkAsync<RuleView>("GET", "rules/spread")).Broken);
        Assert.True((await server.SendAsync("DELETE", "rules/spread")).IsSuccessStatusCode);
        Assert.Equal("rule-not-found", (await server.ProblemAsync("GET", "rules/spread")).Code);
        Assert.Equal("rule-not-found", (await server.ProblemAsync("DELETE", "rules/spread")).Code);
    }

    [Fact]
    public async Task Every_way_to_a_host_gives_the_same_reason()
    {
        await using var server = await DbsAsync("h1", "h2");
        await ApartAsync(server);
        var hosts = await server.OkAsync<HostRating[]>("GET", "vms/db2/placement");
        var reason = hosts.Single(h => h.Host.Value == "h1").Verdict.Reasons.Single().Why;
        Assert.Equal("rule-apart", reason.Code);

        Assert.Equal([reason], (await server.OkAsync<MovePlan>("POST", "vms/db2/migrate", new { to = "h1", dryRun = true })).Reasons);
        Assert.Equal(reason, (await server.ProblemAsync("POST", "vms/db2/migrate", new { to = "h1" })).Reasons[0]);
        Assert.Equal(reason, (await server.ProblemAsync("POST", "vms/db2/migrate")).Reasons[0]); // auto: h1 is the only other host.
        var plan = await server.OkAsync<DrainPlan>("POST", "hosts/h2/drain", new { dryRun = true });
        Assert.Equal(reason, Assert.Single(plan.Steps.Single(s => s.VmName == "db2").Why));
        Assert.Contains(reason.Cause, (await server.ProblemAsync("POST", "hosts/h2/drain")).Cause, StringComparison.Ordinal);
        Assert.Equal("rule-apart", (await server.ProblemAsync("POST", "vms",
            new { name = "db3", host = "h1", tags = new[] { "db" } })).Reasons[0].Code);
        Assert.Equal(["rule-apart", "rule-apart"], (await server.ProblemAsync("POST", "vms",
            new { name = "db3", tags = new[] { "db" } })).Reasons.Select(r => r.Code));

        await server.OkAsync<VmView>("POST", "vms", new { name = "db4", host = "h1" });
        await server.OkAsync<VmView>("POST", "vms/db4/settings", new { tag = new[] { "db" } });
        Assert.Equal("rule-apart", (await server.ProblemAsync("POST", "vms/db4/start")).Code);
        Assert.Equal(VmState.Stopped, (await server.OkAsync<VmView>("GET", "vms/db4")).State);
    }

    [Fact]
    public async Task A_persons_word_sets_a_rule_aside_and_is_told_so()
    {
        await using var server = await DbsAsync("h1", "h2");
        await ApartAsync(server);
        var plan = await server.OkAsync<MovePlan>("POST", "vms/db2/migrate", new { to = "h1", dryRun = true, ignoreRules = true });
        Assert.Empty(plan.Reasons);
        Assert.Equal("rule-apart", Assert.Single(plan.Told).Code);
        var move = await server.OkAsync<Migration>("POST", "vms/db2/migrate", new { to = "h1", ignoreRules = true });
        Assert.Equal(MoveEnd.Done, (await server.EndOfAsync(move.Id)).End);

        await server.OkAsync<VmView>("POST", "vms/db2/stop", new { force = true });
        Assert.Equal("rule-apart", (await server.ProblemAsync("POST", "vms/db2/start")).Code);
        var started = await server.OkAsync<VmView>("POST", "vms/db2/start", new { ignoreRules = true });
        Assert.Equal((VmState.Running, "rule-apart"), (started.State, Assert.Single(started.Told!).Code));
        // A restart had its place before: it does not end as a VM that is off.
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/db2/restart", new { force = true })).State);
    }

    [Fact]
    public async Task Two_that_are_to_be_apart_do_not_both_get_a_host_at_the_same_moment()
    {
        await using var server = await DbsAsync("h1", "h2", "h3");
        await ApartAsync(server);
        var still = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        foreach (var host in (string[])["h1", "h2"]) server.Cluster[host].Waits["CheckSource"] = still.Task;
        var answers = await Task.WhenAll(
            server.SendAsync("POST", "vms/db1/migrate", new { to = "h3" }), server.SendAsync("POST", "vms/db2/migrate", new { to = "h3" }));
        Assert.Equal([202, 409], answers.Select(a => (int)a.StatusCode).Order());
        var problem = await ServerUnderTest.ReadProblemAsync(answers.Single(a => (int)a.StatusCode == 409));
        Assert.Equal("rule-apart", problem.Code);
        still.SetResult();
    }

    [Fact]
    public async Task A_pinned_vm_stays_unless_a_person_moves_it_or_a_drain_is_told_to_take_it()
    {
        await using var server = await DbsAsync("h1", "h2");
        await server.OkAsync<VmView>("POST", "vms/db1/settings", new { pin = true });
        var problem = await server.ProblemAsync("POST", "hosts/h1/drain");
        Assert.Equal("drain-incomplete", problem.Code);
        Assert.Contains("db1 is pinned to h1", problem.Cause, StringComparison.Ordinal);
        await server.OkAsync<Drain>("POST", "hosts/h1/drain", new { allowPartial = true });
        var ended = await EndedAsync(server);
        Assert.Equal((DrainEnd.Blocked, "vm-pinned"), (ended.End!.Value, ended.Vms.Single(v => v.VmName == "db1").Why[0].Code));

        await server.OkAsync<Drain>("POST", "hosts/h1/restore");
        await EndedAsync(server);
        await server.OkAsync<Drain>("POST", "hosts/h1/drain", new { takePinned = true });
        Assert.Equal(DrainEnd.Drained, (await EndedAsync(server)).End);
        var moved = await server.OkAsync<VmView>("GET", "vms/db1");
        Assert.Equal(("h2", true), (moved.Owner.Value, moved.Pinned));
        await server.OkAsync<Drain>("POST", "hosts/h1/restore"); // What a drain took comes back, pinned or not.
        Assert.Equal(DrainEnd.Returned, (await EndedAsync(server)).End);
        Assert.Equal("h1", (await server.OkAsync<VmView>("GET", "vms/db1")).Owner.Value);

        var plan = await server.OkAsync<MovePlan>("POST", "vms/db1/migrate", new { to = "h2", dryRun = true });
        Assert.Equal("vm-pinned", Assert.Single(plan.Told).Code);
        Assert.Empty(plan.Reasons);
    }

    [Fact]
    public async Task The_policy_holds_for_starts_and_moves_and_in_the_stores_own_admission()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        Assert.Equal(1, (await server.OkAsync<PlacementPolicy>("GET", "placement")).MemoryOvercommit);
        await server.OkAsync<VmView>("POST", "vms", new { name = "big", memoryBytes = 6L << 30, host = "h1", start = true });
        Assert.Equal("memory-short", (await server.ProblemAsync("POST", "vms",
            new { name = "two", memoryBytes = 6L << 30, host = "h1" })).Code);
        var policy = await server.OkAsync<PlacementPolicy>("POST", "placement",
            new { memoryOvercommit = 2, vcpuOvercommit = 1, spareMemory = 0 });
        Assert.Equal((2, 1, 0.85, 0), (policy.MemoryOvercommit, policy.VcpuOvercommit, policy.LoadCeiling, policy.SpareMemory));
        var two = await server.OkAsync<VmView>("POST", "vms", new { name = "two", memoryBytes = 6L << 30, host = "h1", start = true });
        Assert.Equal(VmState.Running, two.State);
        // Two processors, two vCPUs: the third has no place there, and auto knows.
        Assert.Equal("vcpus-overcommitted", (await server.ProblemAsync("POST", "vms", new { name = "three", host = "h1" })).Code);
        Assert.Equal("h2", (await server.OkAsync<VmView>("POST", "vms", new { name = "three", start = true })).Owner.Value);
        Assert.Equal("vcpus-overcommitted", (await server.ProblemAsync("POST", "vms/three/migrate", new { to = "h1" })).Code);
    }

    [Fact]
    public async Task A_lost_host_gives_back_the_higher_priority_first_and_breaks_no_rule()
    {
        await using var server = await DbsAsync("h1", "h2");
        await ApartAsync(server);
        await server.OkAsync<VmView>("POST", "vms",
            new { name = "app", host = "h1", start = true, priority = 900, memoryBytes = 64L << 20 });
        server.Cluster["h1"].Silent = true;
        for (var round = 0; round < 3; round++) await server.Control.Watcher.RoundAsync(default);
        var recovery = await server.OkAsync<HostRecovery>("POST", "hosts/h1/recover", new { fenced = true, confirm = "h1" });
        var ended = await server.Control.Recoveries.EndOfAsync(recovery.Id, default);
        Assert.Equal(["app", "db1"], ended.Vms!.Select(vm => vm.Name));
        Assert.Equal([false, true], ended.Vms!.Select(vm => vm.Failed));
        Assert.Contains("db2 is on h2, and rule spread keeps it apart from db1", ended.Vms![1].Outcome, StringComparison.Ordinal);
    }

    private static async Task<ServerUnderTest> DbsAsync(params string[] hosts)
    {
        var server = await ServerUnderTest.StartAsync([.. hosts.Concat(["h1", "h2"]).Distinct().Order()]);
        for (var number = 1; number <= 2; number++)
        {
            await server.CreateVmAsync($"db{number}", hosts[number - 1]);
            await server.OkAsync<VmView>("POST", $"vms/db{number}/settings", new { tag = new[] { "db" } });
        }
        return server;
    }

    private static Task<RuleView> ApartAsync(ServerUnderTest server) =>
        server.OkAsync<RuleView>("POST", "rules", new { name = "spread", kind = "apart", vmTag = "db" });

    private static async Task<Drain> EndedAsync(ServerUnderTest server)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            if (await server.OkAsync<Drain>("GET", "hosts/h1/drain") is { HasEnded: true } ended) return ended;
            await Task.Delay(50, patience.Token);
        }
    }
}

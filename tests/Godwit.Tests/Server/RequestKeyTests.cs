using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>A client that repeats itself, because an answer was lost, does nothing twice.</summary>
public sealed class RequestKeyTests
{
    [Fact]
    public async Task The_same_key_and_body_give_the_same_answer_and_one_vm()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var first = await server.OkAsync<VmView>("POST", "vms", new { name = "web" }, key: "k1");
        var again = await server.OkAsync<VmView>("POST", "vms", new { name = "web" }, key: "k1");
        Assert.Equal(first.Spec.Id, again.Spec.Id);
        Assert.Equal(1, server.Cluster["h1"].Count("CreateDisk"));
    }

    [Fact]
    public async Task The_same_key_with_another_body_or_path_is_refused()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.OkAsync<VmView>("POST", "vms", new { name = "web" }, key: "k1");
        var body = await server.ProblemAsync("POST", "vms", new { name = "mail" }, key: "k1");
        Assert.Equal(("bad-idempotency-key", 422), (body.Code, body.Status));
        Assert.Equal("bad-idempotency-key", (await server.ProblemAsync("POST", "vms/web/start", key: "k1")).Code);
        Assert.Equal("bad-idempotency-key", (await server.ProblemAsync("POST", "vms/web/start", key: "not a key")).Code);
    }

    [Fact]
    public async Task A_verb_repeated_after_a_restart_of_the_server_is_answered_from_the_record()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", start: false);
        var started = await server.OkAsync<VmView>("POST", "vms/web/start", key: "k1");
        await server.OkAsync<VmView>("POST", "vms/web/stop", new { force = true });
        await server.StopAsync();
        await server.StartAgainAsync();
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/start", key: "k1")).State);
        Assert.Equal(1, server.Cluster["h1"].Count("StartVm"));
        Assert.Equal(started.Spec.Id, (await server.OkAsync<VmView>("GET", "vms/web")).Spec.Id);
    }

    [Fact]
    public async Task A_failure_is_repeated_word_for_word_and_not_tried_again()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web", start: false);
        server.Cluster["h1"].Fails["StartVm"] = new RefusedException("kvm-gone", "no", "yes");
        Assert.Equal("kvm-gone", (await server.ProblemAsync("POST", "vms/web/start", key: "k1")).Code);
        server.Cluster["h1"].Fails.Clear();
        Assert.Equal("kvm-gone", (await server.ProblemAsync("POST", "vms/web/start", key: "k1")).Code);
        Assert.Equal(VmState.Running, (await server.OkAsync<VmView>("POST", "vms/web/start", key: "k2")).State);
    }

    [Fact]
    public async Task A_move_asked_for_twice_is_one_move()
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web", "h1");
        var first = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2" }, key: "k1");
        await server.EndOfAsync(first.Id);
        var again = await server.OkAsync<Migration>("POST", "vms/web/migrate", new { to = "h2" }, key: "k1");
        Assert.Equal((first.Id, MoveEnd.Done), (again.Id, again.End!.Value));
        Assert.Equal(1, server.Cluster["h1"].Count("StartOutgoing"));
    }
}

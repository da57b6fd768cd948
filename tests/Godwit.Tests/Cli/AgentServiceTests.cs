using System.CommandLine;
using Godwit.Agent.Host;
using Godwit.Cli.Services;
using Godwit.Core;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>On a root of the test's own, with a systemctl that writes down what it is told.</summary>
public sealed class AgentServiceTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("godwit-service-").FullName;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public async Task What_was_typed_is_what_the_unit_starts_with()
    {
        Machine(systemctl: "echo \"$@\" > \"$(dirname \"$0\")/told\"");
        var words = Words("agent --link 10.0.0.1:7444 --pool default=/mnt/vms --pool fast=/srv --shares-machine");
        Service().Demand(words);
        await Service().StartAsync(words, default);
        Assert.Equal("GODWIT_AGENT_OPTIONS=--link 10.0.0.1:7444 --pool default=/mnt/vms --pool fast=/srv --shares-machine\n",
            await File.ReadAllTextAsync(Path.Combine(root, "etc/default/godwit-agent")));
        Assert.Equal("enable --now godwit-agent.service\n", await File.ReadAllTextAsync(Path.Combine(root, "told")));
    }

    [Fact]
    public async Task A_unit_that_does_not_start_is_told_with_the_way_on()
    {
        Machine(systemctl: "echo no such luck >&2; exit 1");
        var failed = await Assert.ThrowsAsync<RefusedException>(() => Service().StartAsync([], default));
        Assert.Contains("no such luck", failed.Message, StringComparison.Ordinal);
        Assert.Contains("journalctl", failed.Reasons[0].Fix, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("run/systemd/system", "no-systemd")]
    [InlineData("lib/systemd/system", "no-unit")]
    public void A_machine_without_it_is_refused_before_the_token_is_spent(string missing, string code)
    {
        Machine("true");
        Directory.Delete(Path.Combine(root, missing), recursive: true);
        Assert.Equal(code, Assert.Throws<RefusedException>(() => Service().Demand([])).Reasons[0].Code);
    }

    [Theory]
    [InlineData("a b")]
    [InlineData("$HOME")]
    [InlineData("50%")]
    public void A_word_that_systemd_would_read_otherwise_is_refused(string word)
    {
        Machine("true");
        Assert.Equal("option-not-for-unit", Assert.Throws<RefusedException>(() => Service().Demand(["--state", word])).Reasons[0].Code);
    }

    private void Machine(string systemctl)
    {
        Directory.CreateDirectory(Path.Combine(root, "run/systemd/system"));
        Directory.CreateDirectory(Path.Combine(root, "lib/systemd/system"));
        File.WriteAllText(Path.Combine(root, "lib/systemd/system", AgentService.Unit), "");
        File.WriteAllText(Path.Combine(root, "systemctl"), $"#!/bin/sh\n{systemctl}\n");
        File.SetUnixFileMode(Path.Combine(root, "systemctl"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private AgentService Service() => new(new RealProcesses(), new RealDisk(), root, Path.Combine(root, "systemctl"));

    private static IReadOnlyList<string> Words(string line)
    {
        var (link, pools, shared, state) = (
            new Option<string>("--link"), new Option<string[]>("--pool"), new Option<bool>("--shares-machine"),
            new Option<string>("--state") { DefaultValueFactory = _ => "/var/lib" });
        Command agent = new("agent") { link, pools, shared, state };
        return AgentService.Words(new RootCommand { agent }.Parse(line), [link, pools, shared, state]);
    }
}

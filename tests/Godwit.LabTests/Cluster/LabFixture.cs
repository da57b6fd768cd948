using System.Text.Json;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Cluster;

/// <summary>The tests that share one cluster of two hosts and its VM, one after the other.</summary>
[CollectionDefinition(Name)]
public sealed class LabCollection : ICollectionFixture<LabFixture>
{
    public const string Name = "one lab cluster";
}

/// <summary>
/// A real cluster: server and two agents as processes in namespaces, one VM with the guest that proves its own
/// continuity. Tests leave the VM running, on either host.
/// </summary>
public sealed class LabFixture : IAsyncLifetime
{
    public const string VmName = "vm1";
    private static readonly TimeSpan MoveMax = TimeSpan.FromMinutes(3);

    public LabCluster Cluster { get; private set; } = null!;
    internal string Guest { get; private set; } = "";

    public async Task InitializeAsync()
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists(RealQemuFactAttribute.Qemu)) return; // All its tests are skipped.
        Cluster = await LabCluster.StartAsync(
            LabPlan.Of(Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test", 2),
            new LabOptions { WithNewerQemu = NewerQemuFactAttribute.CanBeHad }, default);
        Guest = await StartVmAsync(VmName, "host1");
    }

    public async Task DisposeAsync()
    {
        if (Cluster is not null) await Cluster.DisposeAsync();
    }

    /// <summary>Every test begins with the VM running, and tells what that took (<see cref="KnownGood"/>).</summary>
    internal async Task BeginTestAsync(ITestOutputHelper output)
    {
        if (Cluster is not null) Guest = await new KnownGood(Cluster, VmName, Wish(VmName, "host1"), output).RestoreAsync();
    }

    /// <summary>A running clone of the lab template whose guest answers. Returns its address.</summary>
    internal async Task<string> StartVmAsync(string name, string host, long memoryBytes = 256L << 20)
    {
        var vm = await Cluster.Api.CreateVmAsync(Wish(name, host, memoryBytes), default);
        var address = LabCluster.AddressOf(vm);
        await Cluster.Guests.WaitUntilUpAsync(address);
        return address;
    }

    private static CreateVmRequest Wish(string name, string host, long memoryBytes = 256L << 20) => new(name)
    {
        Template = LabCluster.TemplateName, Host = host, MemoryBytes = memoryBytes, Start = true,
    };

    internal Task<VmView> VmAsync(string name = VmName) => Cluster.Api.VmAsync(name, default);

    /// <summary>The host the VM is not on.</summary>
    internal async Task<string> OtherHostAsync(string name = VmName) =>
        (await VmAsync(name)).Owner.Value == "host1" ? "host2" : "host1";

    /// <summary>One move through the API, followed to its end.</summary>
    internal async Task<Migration> MoveAsync(MoveMode mode, string? to = null, string name = VmName)
    {
        var begun = await Cluster.Api.MigrateAsync(
            name, new MigrateRequest(to ?? await OtherHostAsync(name), mode), default);
        return await FollowAsync(begun);
    }

    internal async Task<Migration> FollowAsync(Migration move)
    {
        using var tooLong = new CancellationTokenSource(MoveMax);
        await foreach (var now in Cluster.Api.WatchMoveAsync(move.Id, tooLong.Token)) move = now;
        return move;
    }

    internal async Task WaitForStateAsync(VmState wanted, string name = VmName)
    {
        const int triesMax = 600;
        for (var tries = 0; tries < triesMax; tries++)
        {
            if ((await VmAsync(name)).State == wanted) return;
            await Task.Delay(100);
        }
        Assert.Fail($"{name} is {(await VmAsync(name)).State}, not {wanted}, after a minute");
    }

    /// <summary>The end of what the guest wrote to its serial port, on every host that still has it: why it died.</summary>
    internal async Task<string> ConsolesOfAsync(string name)
    {
        const int charactersTold = 6000;
        var vm = await VmAsync(name);
        var logs = Cluster.Plan.Hosts.Select(h => Path.Combine(h.RunDirectory, "vms", vm.Spec.Id.Value))
            .Where(Directory.Exists).SelectMany(d => Directory.GetFiles(d, "console-*.log"));
        return string.Join('\n', logs.Select(log => $"--- {log}\n{Tail(File.ReadAllText(log))}"));

        static string Tail(string text) => text[Math.Max(0, text.Length - charactersTold)..];
    }

    /// <summary>The command line as a person would call it, against this cluster.</summary>
    internal async Task<(int ExitCode, JsonElement Json, string Error)> GodwitAsync(params string[] words)
    {
        var result = await LabShell.TryAsync(["env", $"GODWIT_SERVER={Cluster.Plan.ServerSocket}",
            Path.Combine(AppContext.BaseDirectory, "godwit"), .. words, "--json"], deadline: MoveMax);
        // A followed move is a line a report; the last one is the end.
        var last = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault();
        var json = last is null ? default : JsonDocument.Parse(last).RootElement;
        return (result.ExitCode, json, result.Error);
    }
}

using System.Globalization;
using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>The tests that strike, one after the other, at a cluster of their own.</summary>
[CollectionDefinition(Name)]
public sealed class FaultCollection : ICollectionFixture<FaultLab>
{
    public const string Name = "one lab cluster that is struck";
}

/// <summary>
/// Two hosts and a server as real processes, one small VM. Every process looks into one file for fail-points, so that a
/// test holds a move where it wants to strike, and lets it go, without starting anything anew (<see cref="Holds"/>).
/// </summary>
public sealed class FaultLab : IAsyncLifetime
{
    public const string VmName = "vm1";
    private const long MemoryBytes = 128L << 20;
    private const int AgentPort = 7443;
    internal static readonly TimeSpan WaitMax = TimeSpan.FromMinutes(2);

    public LabCluster Cluster { get; private set; } = null!;
    internal Holds Holds { get; private set; } = null!;
    internal string Guest { get; private set; } = "";
    internal IReadOnlyList<string> Settings { get; private set; } = [];

    private string vm = "";

    public async Task InitializeAsync()
    {
        if (KillTheoryAttribute.WhyNot is not null) return; // All its tests are skipped, and say why.
        var tag = Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test";
        var plan = LabPlan.Of($"{tag[..Math.Min(tag.Length, 7)]}f", 2);
        var file = Path.Combine(plan.DataDirectory, "fail-points");
        Settings = [$"GODWIT_FAILPOINTS=@{file}"];
        Cluster = await LabCluster.StartAsync(plan, new LabOptions { AgentSettings = Settings, ServerSettings = Settings }, default);
        Holds = new Holds(file, [Cluster.Server.LogPath, .. Cluster.Agents.Select(a => a.LogPath)]);
        await Cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(await Cluster.Api.CreateVmAsync(Wish, default)), WaitMax);
    }

    public async Task DisposeAsync()
    {
        if (Cluster is not null) await Cluster.DisposeAsync();
    }

    private static CreateVmRequest Wish => new(VmName)
    {
        Template = LabCluster.TemplateName, Host = "host1", MemoryBytes = MemoryBytes, Start = true,
    };

    /// <summary>Nothing is held, the network is whole, the VM runs and may move: where every strike begins.</summary>
    internal async Task BeginTestAsync(ITestOutputHelper output)
    {
        if (Cluster is null) return;
        Holds.Release();
        foreach (var host in Cluster.Plan.Hosts) await new Wires(Cluster.Plan).HealAsync(host.Name);
        Guest = await new KnownGood(Cluster, VmName, Wish, output) { Settings = Settings }.RestoreAsync();
        vm = (await VmAsync()).Spec.Id.Value;
        await ReadyAsync();
    }

    /// <summary>Both agents answer, and nothing speaks against a move.</summary>
    internal Task ReadyAsync() => UntilAsync("both hosts take a move", async () =>
        (await Cluster.Api.PlanAsync(VmName, new MigrateRequest(await OtherHostAsync()), default)).Reasons.Count == 0);

    internal Task<VmView> VmAsync() => Cluster.Api.VmAsync(VmName, default);

    internal async Task<string> OtherHostAsync() => (await VmAsync()).Owner.Value == "host1" ? "host2" : "host1";

    internal async Task<Migration> BeginMoveAsync(MoveMode mode = MoveMode.Live, long bytesPerSecond = 0) =>
        await Cluster.Api.MigrateAsync(VmName,
            new MigrateRequest(await OtherHostAsync(), mode) { BandwidthBytesPerSecond = bytesPerSecond }, default);

    internal LabService AgentOf(string host) => Cluster.Agents[int.Parse(host[4..], CultureInfo.InvariantCulture) - 1];

    internal Task StartAsync(LabService service) => service.StartAsync(default, Settings);

    /// <summary>Its port is open: it has read its journal, and takes orders.</summary>
    internal Task UntilListensAsync(string host) => UntilAsync($"the agent of {host} listens", async () =>
        (await LabShell.RunAsync(LabNetwork.Inside(NamespaceOf(host), "ss", "-Hltn", $"sport = :{AgentPort}"))).Length > 0);

    internal string NamespaceOf(string host) => Cluster.Plan.Hosts.Single(h => h.Name == host).Namespace;

    /// <summary>The VM's QEMU processes on one host, found by its directory on their command lines.</summary>
    internal IReadOnlyList<int> Qemus(string host)
    {
        var place = Cluster.Plan.Hosts.Single(h => h.Name == host).RunDirectory;
        var sign = $"{place}/vms/{vm}/qmp-";
        return [.. Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(n => n!.All(char.IsAsciiDigit))
            .Where(pid => CommandLine(pid!) is var words && words.Contains("qemu-system", StringComparison.Ordinal)
                && words.Contains(sign, StringComparison.Ordinal))
            .Select(pid => int.Parse(pid!, CultureInfo.InvariantCulture))];
    }

    /// <summary>The guest's only QEMU is at the target; no server is asked.</summary>
    internal Task ArrivesAsync(Migration move) => UntilAsync("the guest is at the target, alone", () =>
        Task.FromResult(Qemus(move.Source.Value).Count == 0 && Qemus(move.Target.Value).Count == 1));

    internal async Task<Migration> SeenAsync(Migration move, Func<Migration, bool> there)
    {
        await UntilAsync($"{move.Id} is where it was wanted", async () =>
        {
            move = await Cluster.Api.MoveAsync(move.Id.Value, default);
            return there(move) || move.End is not null;
        });
        Assert.True(there(move), $"it ended before: {move.End} {move.Reason}");
        return move;
    }

    internal async Task<Migration> EndOfAsync(Migration move)
    {
        await UntilAsync($"{move.Id} ends", async () => (move = await Cluster.Api.MoveAsync(move.Id.Value, default)).End is not null);
        return move;
    }

    internal Task WaitForStateAsync(VmState wanted) =>
        UntilAsync($"the VM is {wanted}", async () => (await VmAsync()).State == wanted);

    /// <summary>Asks until it is so; an answer that does not come (a server that starts) is a no.</summary>
    internal static async Task UntilAsync(string what, Func<Task<bool>> isSo)
    {
        for (var deadline = DateTime.UtcNow + WaitMax; DateTime.UtcNow < deadline; await Task.Delay(20))
        {
            try
            {
                if (await isSo()) return;
            }
            catch (ApiException) { }
        }
        Assert.Fail($"not so within {WaitMax.TotalSeconds} s: {what}");
    }

    private static string CommandLine(string pid)
    {
        try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
        catch (IOException) { return ""; } // Ended meanwhile.
    }
}

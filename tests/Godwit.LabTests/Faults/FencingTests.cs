using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Faults;

/// <summary>
/// A real host falls silent: its agent is gone, its QEMU runs on. A hook, as a person would write one, turns the host off (it
/// ends every process of its namespace), and only then its guest boots elsewhere. A cluster of its own.
/// </summary>
public sealed class FencingTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const string VmName = "vm1";
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);
    private LabCluster? cluster;

    public async Task InitializeAsync()
    {
        if (FaultFactAttribute.WhyNot is not null) return; // Skipped, and it says why.
        var tag = Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test";
        var plan = LabPlan.Of($"{tag[..Math.Min(tag.Length, 7)]}h", 2);
        cluster = await LabCluster.StartAsync(plan, new LabOptions
        {
            ServerArguments = ["--fence-hooks", LabHook.DirectoryOf(plan), "--ha-after", "20"],
        }, default);
        LabHook.Write(plan);
    }

    public async Task DisposeAsync()
    {
        if (cluster is not null) await cluster.DisposeAsync();
    }

    [FaultFact]
    public async Task A_silent_host_is_turned_off_by_its_hook_and_its_guest_boots_elsewhere_and_nowhere_twice()
    {
        var (api, host1) = (cluster!.Api, new HostId("host1"));
        await api.SetHostAsync("host1", new HostSettingsRequest(LabHook.Name), default);
        var vm = await api.CreateVmAsync(new CreateVmRequest(VmName)
        {
            Template = LabCluster.TemplateName, Host = "host1", MemoryBytes = 128L << 20, Start = true, Ha = true,
        }, default);
        var before = await cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(vm), FaultLab.WaitMax);

        await cluster.Agents[0].KillAsync();
        var (silentFor, twice) = (0, 0);
        await FaultLab.UntilAsync("the guest runs on host2", async () =>
        {
            await Task.Delay(LookEvery);
            if (Qemus("host1") > 0) silentFor++;
            if (Qemus("host1") > 0 && Qemus("host2") > 0) twice++;
            return (await api.VmAsync(VmName, default)) is { Owner.Value: "host2", State: VmState.Running, Operation: null };
        });
        Assert.Equal(0, twice);
        Assert.True(silentFor > 0, "the guest of the silent host was seen to run on");
        Assert.Equal((0, 1), (Qemus("host1"), Qemus("host2")));
        var after = await cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(vm), FaultLab.WaitMax);
        Assert.NotEqual(before.BootId, after.BootId);

        var fenced = await api.HostAsync("host1", default);
        Assert.Equal((HostState.Fenced, FenceKind.Command, "ha"), (fenced.State, fenced.Fenced!.Kind, fenced.Fenced.By));
        output.WriteLine($"{fenced.Fenced.Sentence}: {fenced.Fenced.Output}");

        await cluster.Agents[0].StartAsync(default);
        await FaultLab.UntilAsync("host1 is back", async () => (await api.HostAsync("host1", default)).State == HostState.Ready);
        Assert.Equal((0, 1), (Qemus("host1"), Qemus("host2")));
        var move = await api.MigrateAsync(VmName, new MigrateRequest("host1"), default);
        await FaultLab.UntilAsync("it moves back", async () => (move = await api.MoveAsync(move.Id.Value, default)).End is not null);
        Assert.True(move.End == MoveEnd.Done, $"{move.End}: {move.Reason}");
        Assert.Equal(after.BootId, (await cluster.Guests.WaitUntilUpAsync(LabCluster.AddressOf(vm), FaultLab.WaitMax)).BootId);
        Assert.Equal(host1, (await api.VmAsync(VmName, default)).Owner);
    }

    /// <summary>QEMU processes of one host, found by its directory on their command lines.</summary>
    private int Qemus(string host)
    {
        var sign = $"{cluster!.Plan.Hosts.Single(h => h.Name == host).RunDirectory}/vms/";
        return Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(n => n!.All(char.IsAsciiDigit))
            .Count(pid => CommandLine(pid!) is var words && words.Contains("qemu-system", StringComparison.Ordinal)
                && words.Contains($"{sign}", StringComparison.Ordinal) && words.Contains("/qmp-", StringComparison.Ordinal));
    }

    private static string CommandLine(string pid)
    {
        try { return File.ReadAllText($"/proc/{pid}/cmdline"); }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException) { return ""; }
    }
}

using Godwit.Agent.Host;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Agent.Host;

/// <summary>A directory with cgroup v2's file names stands for the kernel's tree, which not every machine has.</summary>
public sealed class CgroupsTests : IDisposable
{
    private static readonly TimeSpan patience = TimeSpan.FromSeconds(30);
    private static readonly HostShare share = new("vm-0123456789ab-3", 1 << 30, 258, 200, 100);
    private readonly string _tree = Directory.CreateTempSubdirectory("godwit-cgroups-").FullName;

    public void Dispose() => Directory.Delete(_tree, recursive: true);

    [Fact]
    public void A_share_becomes_a_group_with_its_limits()
    {
        Offer("cpuset cpu io memory pids");
        var cgroups = new Cgroups(_tree);
        Assert.Null(cgroups.WhyNot);
        Assert.Equal(Path.Combine(_tree, "godwit", share.Name, "cgroup.procs"), cgroups.Make(share));
        Assert.Equal("+memory +pids +cpu +io", Read("cgroup.subtree_control"));
        Assert.Equal("+memory +pids +cpu +io", Read("godwit/cgroup.subtree_control"));
        Assert.Equal(["1073741824", "258", "200", "100"], new[] { "memory.max", "pids.max", "cpu.weight", "io.weight" }
            .Select(file => Read($"godwit/{share.Name}/{file}")));
    }

    [Fact]
    public async Task A_detached_process_is_in_its_group_before_it_is_the_command()
    {
        Offer("cpu memory pids");
        var processes = new RealProcesses(_tree, NoSystemd);
        var process = await processes.StartDetachedAsync(
            new Command("cat", [Path.Combine(_tree, "godwit", share.Name, "cgroup.procs")]) { Share = share }, Log, default);
        await processes.WaitForExitAsync(process, default).WaitAsync(patience);
        Assert.Equal($"{process.Pid}\n", await File.ReadAllTextAsync(Log));
    }

    [Theory]
    [InlineData(null, "no cgroup v2 is mounted on")]
    [InlineData("cpuset hugetlb", "is without memory, pids, cpu")]
    [InlineData("cpu pids", "is without memory")]
    public async Task Where_limits_cannot_be_kept_the_command_runs_without_and_the_reason_is_told(string? controllers, string why)
    {
        if (controllers is not null) Offer(controllers);
        var processes = new RealProcesses(_tree, NoSystemd);
        Assert.Contains(why, processes.WhyNoShares, StringComparison.Ordinal);
        var process = await processes.StartDetachedAsync(new Command("echo", ["ran"]) { Share = share }, Log, default);
        await processes.WaitForExitAsync(process, default).WaitAsync(patience);
        Assert.Equal("ran\n", await File.ReadAllTextAsync(Log));
        Assert.False(Directory.Exists(Path.Combine(_tree, "godwit")));
    }

    [Fact]
    public void A_tree_that_cannot_be_written_is_told_and_stops_nobody()
    {
        Offer("cpu memory pids");
        File.WriteAllText(Path.Combine(_tree, "godwit"), "in the way");
        var cgroups = new Cgroups(_tree);
        Assert.Null(cgroups.Make(share));
        Assert.Contains(share.Name, cgroups.WhyNot, StringComparison.Ordinal);
    }

    [Fact]
    public void Systemd_is_asked_for_the_same_limits()
    {
        Offer("cpu memory pids");
        Assert.Equal(["-p", "MemoryMax=1073741824", "-p", "TasksMax=258", "-p", "CPUWeight=200", "-p", "IOWeight=100"],
            new Cgroups(_tree).ScopeWords(share));
        Assert.Empty(new Cgroups(Path.Combine(_tree, "elsewhere")).ScopeWords(share));
    }

    [Fact]
    public void A_group_is_removed_by_its_name_and_one_that_is_not_there_is_no_error()
    {
        Directory.CreateDirectory(Path.Combine(_tree, "godwit", share.Name));
        var cgroups = new Cgroups(_tree);
        cgroups.Remove(share.Name);
        cgroups.Remove(share.Name);
        Assert.False(Directory.Exists(Path.Combine(_tree, "godwit", share.Name)));
    }

    private string NoSystemd => Path.Combine(_tree, "systemd");
    private string Log => Path.Combine(_tree, "log");
    private void Offer(string controllers) => File.WriteAllText(Path.Combine(_tree, "cgroup.controllers"), controllers + "\n");
    private string Read(string file) => File.ReadAllText(Path.Combine(_tree, file));
}

using Godwit.Cli.Lab;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Cluster;

public sealed class LabNetworkTests
{
    [RealQemuFact]
    public async Task Hosts_reach_each_other_on_the_networks_they_share_and_a_second_creation_replaces_the_first()
    {
        var plan = LabPlan.Of("nettest", 2);
        var network = new LabNetwork(plan);
        try
        {
            await network.CreateAsync(default);
            await network.CreateAsync(default);
            var (first, second) = (plan.Hosts.First(), plan.Hosts.Last());
            await PingAsync(first.Namespace, second.MigrationAddress);
            await PingAsync(first.Namespace, second.ManagementAddress);
            await PingAsync(plan.ServerNamespace, first.ManagementAddress);
            var shaping = await LabShell.RunAsync(["tc", "-n", first.Namespace, "qdisc", "show", "dev", "mig0"]);
            Assert.Contains("tbf", shaping, StringComparison.Ordinal);
        }
        finally
        {
            await network.DeleteAsync();
        }
        Assert.DoesNotContain("gwnettest-", await LabShell.RunAsync(["ip", "netns", "list"]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Upper")]
    [InlineData("ninechars")]
    [InlineData("a-b")]
    public void A_tag_that_would_not_fit_an_interface_name_is_refused(string tag) =>
        Assert.Throws<LabException>(() => LabPlan.Of(tag, 2));

    [Theory]
    [InlineData("/run/godwit", true)]
    [InlineData("/run/lock/x", false)]
    [InlineData("/running", false)]
    public void The_file_system_of_a_path_is_that_of_the_nearest_mount_point(string path, bool isTmpfs) =>
        Assert.Equal(isTmpfs, LabPlan.IsTmpfs(path, ["/dev/vda / ext4 rw 0 0", "tmpfs /run tmpfs rw 0 0", "none /run/lock ext4 rw 0 0"]));

    /// <summary>busybox has it where iputils is not installed.</summary>
    private static Task<string> PingAsync(string from, string to) =>
        LabShell.RunAsync(LabNetwork.Inside(from, "busybox", "ping", "-c", "1", "-W", "5", to));
}

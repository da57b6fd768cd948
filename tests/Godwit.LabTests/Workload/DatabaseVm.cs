using Godwit.Cli.Lab;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.LabTests.Workload;

/// <summary>A VM whose guest serves a database: PostgreSQL of Debian, on an ext4 file system of the VM's disk.</summary>
internal sealed class DatabaseVm : IAsyncDisposable
{
    public const string Name = "database";
    /// <summary>Where build-guest.sh puts the second partition.</summary>
    private const long PartitionOffset = 128L << 20;
    private static readonly TimeSpan bootMax = TimeSpan.FromMinutes(3);

    private readonly LabFixture _lab;

    private DatabaseVm(LabFixture lab) => _lab = lab;

    public string Address { get; private set; } = "";
    private LabPlan Plan => _lab.Cluster.Plan;

    /// <summary>Booted, and its database takes commits.</summary>
    public static async Task<DatabaseVm> StartAsync(LabFixture lab)
    {
        var vm = new DatabaseVm(lab);
        await lab.Cluster.Folder.BuildDatabaseAsync(default);
        await using (var image = File.OpenRead(lab.Cluster.Folder.Database))
            await lab.Cluster.Api.ImportTemplateAsync(Name, "qcow2", LabCluster.SharedPoolName, image, default);
        vm.Address = LabCluster.AddressOf(await lab.Cluster.Api.CreateVmAsync(
            new CreateVmRequest(Name) { Template = Name, Host = "host1", MemoryBytes = 384L << 20, Start = true }, default));
        await vm.WaitUntilServesAsync();
        await DatabaseClient.AskAsync(vm.Plan, vm.Address, DatabaseClient.Table);
        return vm;
    }

    /// <summary>Shut down from inside: the database first, then its file system.</summary>
    public async Task PowerOffAsync()
    {
        await _lab.Cluster.Guests.EndAsync(Address, "poweroff");
        await _lab.WaitForStateAsync(VmState.Stopped, Name);
    }

    public async Task BootAgainAsync()
    {
        await _lab.Cluster.Api.ActAsync(Name, "start", null, default);
        await WaitUntilServesAsync();
    }

    /// <summary>fsck of the stopped VM's file system finds nothing to mend and no journal to replay. Its words, where it does.</summary>
    public async Task<string?> FaultsOfFileSystemAsync()
    {
        var raw = Path.Combine(Plan.DataDirectory, "database.raw");
        try
        {
            await LabShell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", _lab.Cluster.DiskOf(await _lab.VmAsync(Name)), raw],
                deadline: bootMax);
            var check = await LabShell.TryAsync(["env", "PATH=/usr/sbin:/sbin", "e2fsck", "-fn", $"{raw}?offset={PartitionOffset}"],
                deadline: bootMax);
            return check.ExitCode == 0 && !check.Output.Contains("journal", StringComparison.Ordinal) ? null : check.Output + check.Error;
        }
        finally { File.Delete(raw); }
    }

    private async Task WaitUntilServesAsync()
    {
        await _lab.Cluster.Guests.WaitUntilUpAsync(Address, bootMax);
        for (var deadline = DateTime.UtcNow + bootMax; ; await Task.Delay(200))
        {
            try
            {
                Assert.Equal("1", await DatabaseClient.AskAsync(Plan, Address, "SELECT 1"));
                return;
            }
            catch (LabException) when (DateTime.UtcNow < deadline) { } // Not yet.
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _lab.Cluster.Api.DeleteVmAsync(Name, force: true, default);
        await _lab.Cluster.Api.DeleteTemplateAsync(new(Name, null), default);
    }
}

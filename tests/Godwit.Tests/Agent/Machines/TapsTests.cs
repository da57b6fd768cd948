using System.Text;
using Godwit.Agent.Machines;
using Xunit;

namespace Godwit.Tests.Agent.Machines;

public sealed class TapsTests
{
    [Fact]
    public async Task An_isolated_tap_is_down_and_on_no_bridge()
    {
        var (disk, processes) = (new MemoryDisk(), new ListeningProcesses());
        disk.Files["/sys/class/net/br0/mtu"] = Encoding.ASCII.GetBytes("9000\n");
        await new Taps(processes, disk).CreateAsync(Samples.Spec, ["t0123456789ab0b"], up: true, isolated: true, default);
        Assert.Equal("""
            tuntap add dev t0123456789ab0b mode tap vnet_hdr user 20001
            link set dev t0123456789ab0b addrgenmode none mtu 9000

            """, Assert.Single(processes.Heard).Input);
    }

    [Fact]
    public async Task A_tap_is_made_in_one_process_owned_by_the_vm_with_its_bridges_mtu_and_no_address_of_its_own()
    {
        var (disk, processes) = (new MemoryDisk(), new ListeningProcesses());
        disk.Files["/sys/class/net/br0/mtu"] = Encoding.ASCII.GetBytes("9000\n");
        disk.Files["/sys/class/net/t0123456789ab0b/mtu"] = [];
        await new Taps(processes, disk).CreateAsync(Samples.Spec, ["t0123456789ab0b"], up: true, isolated: false, default);
        Assert.Equal("""
            link del dev t0123456789ab0b
            tuntap add dev t0123456789ab0b mode tap vnet_hdr user 20001
            link set dev t0123456789ab0b addrgenmode none mtu 9000 master br0
            link set dev t0123456789ab0b up

            """, Assert.Single(processes.Heard).Input);
    }
}

using Godwit.Agent.Facts;
using Xunit;

namespace Godwit.Tests.Loads;

/// <summary>Texts as kernels print them; and texts they do not print.</summary>
public sealed class LoadCountersTests
{
    [Fact]
    public void Host_processor_time_is_all_that_is_not_idle_waiting_or_stolen()
    {
        Assert.Equal((10 + 2 + 30 + 3 + 4, 7), LoadCounters.HostCpu("cpu  10 2 30 1000 50 3 4 7 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"));
        Assert.Null(LoadCounters.HostCpu(""));
        Assert.Null(LoadCounters.HostCpu("cpu0 1 2 3 4 5 6 7 8 9 0"));
        Assert.Null(LoadCounters.HostCpu("cpu  1 2 x 4 5 6 7 8 9 0"));
    }

    [Fact]
    public void Pressure_is_the_share_of_the_last_ten_seconds()
    {
        const string text = "some avg10=12.34 avg60=1.00 avg300=0.10 total=123\nfull avg10=99.0 avg60=0 avg300=0 total=0\n";
        Assert.Equal(0.1234, LoadCounters.Pressure(text)!.Value, 6);
        Assert.Null(LoadCounters.Pressure(""));
        Assert.Null(LoadCounters.Pressure("some avg10=nan avg60=0"));
    }

    [Fact]
    public void A_process_with_any_name_has_its_time()
    {
        Assert.Equal(1234 + 56, LoadCounters.ProcessCpu("77 (qemu) ) (x) S 1 77 77 0 -1 4194560 1 2 3 4 1234 56 0 0 20 0 9 0 555 1 2"));
        Assert.Null(LoadCounters.ProcessCpu(""));
        Assert.Null(LoadCounters.ProcessCpu("77 (qemu) S 1"));
    }

    [Fact]
    public void Waiting_memory_disk_and_links_are_found_in_their_lines()
    {
        Assert.Equal(2_000_000, LoadCounters.ThreadWaitNs("123 2000000 7\n"));
        Assert.Null(LoadCounters.ThreadWaitNs(""));
        Assert.Equal(64L << 10, LoadCounters.Kilobytes("Name:\tqemu\nRssShmem:\t      64 kB\n", "RssShmem"));
        Assert.Null(LoadCounters.Kilobytes("RssShmemX: 1 kB", "RssShmem"));
        Assert.Equal(4096 + 8192, LoadCounters.ProcessDisk("rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n"));
        Assert.Null(LoadCounters.ProcessDisk(""));
        const string netDev = "Inter-|   Receive\n face |bytes\n    lo: 1 0 0 0 0 0 0 0 2 0\n  t1a:100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n";
        Assert.Equal((100L, 200L), LoadCounters.Link(netDev, "t1a"));
        Assert.Null(LoadCounters.Link(netDev, "t1"));
    }
}

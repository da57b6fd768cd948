using Godwit.Agent.Facts;
using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Tests.Agent;
using Godwit.Tests.Identity;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Loads;

/// <summary>Rates out of counters read twice.</summary>
public sealed class LoadMeterTests
{
    private readonly MemoryDisk _disk = new();
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task The_first_answer_has_no_rates_and_the_second_has_those_of_the_span()
    {
        var meter = Meter();
        Kernel(busy: 1000, steal: 10, received: 5_000);
        Assert.Equal(0, (await meter.SampleAsync(["eth0"], default)).SpanSeconds);

        _time.Advance(TimeSpan.FromSeconds(10));
        Kernel(busy: 2500, steal: 110, received: 1_005_000);
        var load = await meter.SampleAsync(["eth0"], default);
        Assert.Equal((10, 1.5, 0.1), (load.SpanSeconds, load.CpuCores, load.StealCores));
        Assert.Equal((100_000, 0), (load.Links[0].ReceivedBytesPerSecond, load.Links[0].SentBytesPerSecond));
        Assert.Equal((0.25, null, 600L << 10), (load.CpuPressure, load.MemoryPressure, load.MemoryUsedBytes));
        Assert.Empty(load.Vms);
    }

    [Fact]
    public async Task Asked_again_at_once_it_answers_as_before_and_a_counter_that_went_back_counts_nothing()
    {
        var meter = Meter();
        Kernel(busy: 1000, steal: 0, received: 5_000);
        await meter.SampleAsync(["eth0"], default);
        _time.Advance(TimeSpan.FromSeconds(10));
        Kernel(busy: 2000, steal: 0, received: 100);
        var load = await meter.SampleAsync(["eth0"], default);
        Assert.Equal((1, 0), (load.CpuCores, load.Links[0].ReceivedBytesPerSecond));

        _time.Advance(TimeSpan.FromMilliseconds(500));
        Kernel(busy: 9000, steal: 0, received: 100);
        Assert.Same(load, await meter.SampleAsync(["eth0"], default));
    }

    [Fact]
    public async Task A_kernel_that_tells_nothing_is_no_error()
    {
        var meter = Meter();
        await meter.SampleAsync(["eth0"], default);
        _time.Advance(TimeSpan.FromSeconds(10));
        var load = await meter.SampleAsync(["eth0"], default);
        Assert.Equal((10, 0, null, 0), (load.SpanSeconds, load.CpuCores, load.CpuPressure, load.MemoryUsedBytes));
    }

    /// <summary>Against this machine's own kernel: what this test burns is seen.</summary>
    [Fact]
    public async Task Real_counters_of_this_kernel_are_understood()
    {
        var disk = new RealDisk();
        async Task<string> TextAsync(string path) => System.Text.Encoding.UTF8.GetString((await disk.ReadAsync(path, 1 << 20, default))!);
        Assert.NotNull(LoadCounters.HostCpu(await TextAsync("/proc/stat")));
        Assert.NotNull(LoadCounters.ProcessCpu(await TextAsync("/proc/self/stat")));
        Assert.NotNull(LoadCounters.Kilobytes(await TextAsync("/proc/meminfo"), "MemAvailable"));
        Assert.NotNull(LoadCounters.Kilobytes(await TextAsync("/proc/self/status"), "RssShmem"));
        Assert.NotNull(LoadCounters.Link(await TextAsync("/proc/net/dev"), "lo"));
    }

    [Fact]
    public async Task A_machine_that_is_several_hosts_counts_for_each_only_what_its_own_vms_take()
    {
        var meter = Meter(sharesMachine: true);
        Kernel(busy: 1000, steal: 0, received: 0);
        await meter.SampleAsync([], default);
        _time.Advance(TimeSpan.FromSeconds(10));
        Kernel(busy: 2500, steal: 100, received: 0);
        var load = await meter.SampleAsync([], default);
        Assert.Equal((0, 0, 0L, null), (load.CpuCores, load.StealCores, load.MemoryUsedBytes, load.CpuPressure));
    }

    private LoadMeter Meter(bool sharesMachine = false)
    {
        var machines = new HostMachines(
            new HostLayout
            {
                RunDirectory = "/run/godwit", StateDirectory = "/s", QemuPaths = [], Pools = new Dictionary<string, PoolPlace>(),
                SharesMachine = sharesMachine,
            },
            _disk, new ListeningProcesses(), new NoNetwork(), _time, NullLogger<HostMachines>.Instance);
        var look = new MemoryLook(_disk, _time, new SeededRandomness(1));
        var pulse = new MemoryPulse(_disk, machines, _time);
        return new LoadMeter(_disk, machines, new MemoryKnown(machines, look, pulse, _disk, _time), _time);
    }

    private void Kernel(long busy, long steal, long received)
    {
        _disk.Files["/proc/stat"] = Bytes($"cpu  {busy} 0 0 77 5 0 0 {steal} 0 0\n");
        _disk.Files["/proc/meminfo"] = Bytes("MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
        _disk.Files["/proc/pressure/cpu"] = Bytes("some avg10=25.00 avg60=0 avg300=0 total=0\n");
        _disk.Files["/proc/net/dev"] = Bytes($"  eth0: {received} 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n");
    }

    private static byte[] Bytes(string text) => System.Text.Encoding.UTF8.GetBytes(text);
}

using System.Net.Sockets;
using System.Security.Authentication;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;
using Godwit.Simulator.Network;
using Xunit;

namespace Godwit.Tests.Simulation;

public sealed class SimNetworkTests
{
    [Fact]
    public void Bytes_arrive_whole_and_in_order() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        var sent = Enumerable.Range(0, 300_000).Select(i => (byte)i).ToArray();
        var writing = near.WriteAsync(sent).AsTask();
        Assert.Equal(sent, await ReadAsync(far, sent.Length));
        await writing;
        near.Dispose();
        Assert.Equal(0, await far.ReadAsync(new byte[10]));
    });

    [Fact]
    public void A_writer_waits_when_the_other_side_does_not_read() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        var writing = near.WriteAsync(new byte[2 << 20]).AsTask();
        await Task.Delay(TimeSpan.FromMinutes(1), a.Host.Clock);
        Assert.False(writing.IsCompleted);
        await ReadAsync(far, 2 << 20);
        await writing;
    });

    [Fact]
    public void A_link_carries_no_more_than_its_rate() => Two(1, async (loop, a, b) =>
    {
        a.Host.Net.Link("a", "b").BytesPerSecond = 1_000_000;
        var (near, far) = await ConnectAsync(a, b);
        var began = loop.Now;
        var writing = near.WriteAsync(new byte[3_000_000]).AsTask();
        await ReadAsync(far, 3_000_000);
        Assert.InRange((loop.Now - began).TotalSeconds, 2.9, 3.2);
        await writing;
    });

    [Fact]
    public void A_cut_delays_and_loses_nothing() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        await near.WriteAsync(new byte[] { 1, 2 });
        a.Host.Net.Cut("a", "b");
        await near.WriteAsync(new byte[] { 3 });
        var reading = ReadAsync(far, 3);
        await Task.Delay(TimeSpan.FromMinutes(2), a.Host.Clock);
        Assert.False(reading.IsCompleted);
        a.Host.Net.Heal("a", "b");
        Assert.Equal([1, 2, 3], await reading);
    });

    [Fact]
    public void A_one_way_cut_leaves_the_other_way_open() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        a.Host.Net.CutOneWay("a", "b");
        await far.WriteAsync(new byte[] { 7 });
        Assert.Equal([7], await ReadAsync(near, 1));
        await near.WriteAsync(new byte[] { 8 });
        var reading = ReadAsync(far, 1);
        await Task.Delay(TimeSpan.FromMinutes(1), a.Host.Clock);
        Assert.False(reading.IsCompleted);
    });

    [Fact]
    public void A_reset_is_seen_by_both_sides() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        var reading = far.ReadAsync(new byte[1]).AsTask();
        a.Host.Net.Reset("a", "b");
        await Assert.ThrowsAsync<IOException>(() => reading);
        await Assert.ThrowsAsync<IOException>(() => near.WriteAsync(new byte[1]).AsTask());
    });

    [Fact]
    public void A_killed_process_closes_its_connections() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        await near.WriteAsync(new byte[] { 1 });
        a.Exit(ProcessEnd.Injected);
        Assert.Equal([1], await ReadAsync(far, 1));
        Assert.Equal(0, await far.ReadAsync(new byte[1]));
    });

    [Fact]
    public void A_host_without_power_says_nothing_and_one_that_is_back_resets() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        b.Host.PowerOff();
        var reading = near.ReadAsync(new byte[1]).AsTask();
        await near.WriteAsync(new byte[1]);
        await Task.Delay(TimeSpan.FromMinutes(1), a.Host.Clock);
        Assert.False(reading.IsCompleted);
        b.Host.PowerOn();
        await near.WriteAsync(new byte[1]);
        await Assert.ThrowsAsync<IOException>(() => reading);
    });

    [Fact]
    public void A_peer_that_is_someone_else_is_refused() => Two(1, async (loop, a, b) =>
    {
        var listener = await b.Network.ListenPeersAsync("10.0.0.2:0", default);
        var refused = await Assert.ThrowsAsync<IOException>(
            () => a.Network.ConnectPeerAsync(listener.Endpoint, new HostId("c"), default));
        Assert.IsType<AuthenticationException>(refused.InnerException);
    });

    [Fact]
    public void Nobody_listening_is_refused_and_a_cut_times_out() => Two(1, async (loop, a, b) =>
    {
        var refused = await Assert.ThrowsAsync<IOException>(
            () => a.Network.ConnectPeerAsync("10.0.0.2:99", new HostId("b"), default));
        Assert.Equal(SocketError.ConnectionRefused, Assert.IsType<SocketException>(refused.InnerException).SocketErrorCode);
        a.Host.Net.Cut("a", "b");
        var late = await Assert.ThrowsAsync<IOException>(
            () => a.Network.ConnectPeerAsync("10.0.0.2:99", new HostId("b"), default));
        Assert.Equal(SocketError.TimedOut, Assert.IsType<SocketException>(late.InnerException).SocketErrorCode);
    });

    [Fact]
    public void A_cancelled_read_leaves_the_bytes_for_the_next() => Two(1, async (loop, a, b) =>
    {
        var (near, far) = await ConnectAsync(a, b);
        using var cancel = new CancellationTokenSource(TimeSpan.FromSeconds(1), a.Host.Clock);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => far.ReadAsync(new byte[1], cancel.Token).AsTask());
        await near.WriteAsync(new byte[] { 5 });
        Assert.Equal([5], await ReadAsync(far, 1));
    });

    [Fact]
    public void A_unix_socket_is_of_one_host_and_gone_with_its_file() => Two(1, async (loop, a, b) =>
    {
        a.Host.Disk.CreateDirectory("/run/x");
        var listener = await a.Network.ListenUnixAsync("/run/x/s", 0, default);
        var client = await a.Network.ConnectUnixAsync("/run/x/s", default);
        var server = await listener.AcceptAsync(default);
        await client.WriteAsync(new byte[] { 1 });
        Assert.Equal([1], await ReadAsync(server, 1));
        await Assert.ThrowsAsync<IOException>(() => b.Network.ConnectUnixAsync("/run/x/s", default));
        Assert.Contains("s", a.Host.Disk.List("/run/x"));
        a.Host.Disk.DeleteFile("/run/x/s");
        await Assert.ThrowsAsync<IOException>(() => a.Network.ConnectUnixAsync("/run/x/s", default));
    });

    internal static LoopResult Two(ulong seed, Func<SimLoop, SimProcess, SimProcess, Task> story) => SimLoop.Run(seed, loop =>
    {
        var (net, storage) = (new SimNet(loop), new SimStorage());
        var a = new SimHost(loop, net, "a", "10.0.0.1", storage).Start("agent");
        var b = new SimHost(loop, net, "b", "10.0.0.2", storage).Start("agent");
        return story(loop, a, b);
    });

    private static async Task<(Stream Near, Stream Far)> ConnectAsync(SimProcess a, SimProcess b)
    {
        var listener = await b.Network.ListenPeersAsync("10.0.0.2:0", default);
        var near = await a.Network.ConnectPeerAsync(listener.Endpoint, new HostId("b"), default);
        var far = await listener.AcceptAsync(default);
        Assert.Equal(new HostId("a"), far.Peer);
        return (near.Stream, far.Stream);
    }

    private static async Task<byte[]> ReadAsync(Stream stream, int bytes)
    {
        var (got, buffer) = (new List<byte>(), new byte[7000]);
        while (got.Count < bytes)
        {
            var count = await stream.ReadAsync(buffer.AsMemory(0, Math.Min(buffer.Length, bytes - got.Count)));
            if (count == 0) throw new EndOfStreamException();
            got.AddRange(buffer[..count]);
        }
        return [.. got];
    }
}

using System.Net.Sockets;
using Godwit.Agent.Host;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;
using Godwit.Server.Identity;
using Godwit.Tests.Identity;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Godwit.Tests.Link;

/// <summary>The whole link as it runs on two hosts: unix socket, pump threads, TLS over the loopback interface, unix socket.</summary>
public sealed class RealLinkTests : IAsyncLifetime
{
    private static readonly CancellationToken Never = CancellationToken.None;
    private static readonly MoveId Move = new("mv-0123456789ab");
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-link-").FullName;
    private readonly LinkTickets _tickets = new();
    private RealNetwork _sourceNetwork = null!;
    private RealNetwork _targetNetwork = null!;
    private IPeerListener _listener = null!;
    private IListener _sourceListener = null!;
    private Socket _targetQemuListener = null!;

    public async Task InitializeAsync()
    {
        var ca = await ClusterCa.OpenOrCreateAsync(
            Path.Combine(_directory, "ca"), new RealDisk(), new SeededRandomness(1), TimeProvider.System, Never);
        (_sourceNetwork, _targetNetwork) = (Network(ca, "h1"), Network(ca, "h2"));
        _listener = await _targetNetwork.ListenPeersAsync("127.0.0.1:0", Never);
        _sourceListener = await _sourceNetwork.ListenUnixAsync(SourcePath, RealNetworkTests.OwnUid, Never);
        _targetQemuListener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _targetQemuListener.Bind(new UnixDomainSocketEndPoint(TargetPath));
        _targetQemuListener.Listen();
    }

    public async Task DisposeAsync()
    {
        await _listener.DisposeAsync();
        await _sourceListener.DisposeAsync();
        _targetQemuListener.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Every_byte_arrives_although_target_QEMU_reads_in_little_sips()
    {
        var (sender, receiver) = await OpenAsync();
        await using var first = sender;
        await using var second = receiver;
        byte[] memory = new byte[8_000_001];
        new Random(1).NextBytes(memory);

        var received = receiver.PumpAsync(cancel => _targetNetwork.ConnectUnixAsync(TargetPath, cancel), Never);
        var arriving = ReadInSipsAsync();
        var writing = WriteAsync(memory);
        await using var source = await _sourceListener.AcceptAsync(Never);
        var summary = await sender.PumpAsync(source, new(), Never);
        await writing;
        await sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 0), Never);
        var token = Assert.IsType<LinkEnd.TokenReceived>(await received);
        await receiver.SendAnswerAsync(new LinkAnswer.Running(new(8), 5), Never);

        Assert.True(token.Matches);
        Assert.Equal(memory, await arriving);
        Assert.Equal(new LinkAnswer.Running(new(8), 5), await sender.Answer);
        Assert.Equal(0, sender.Stats.BacklogBytes);
    }

    [Fact]
    public async Task Cancelling_while_QEMU_is_silent_leaves_a_link_that_can_say_abort()
    {
        var (sender, receiver) = await OpenAsync();
        await using var first = sender;
        await using var second = receiver;
        using var qemu = await ConnectSourceQemuAsync();
        await using var source = await _sourceListener.AcceptAsync(Never);
        var received = receiver.PumpAsync(cancel => _targetNetwork.ConnectUnixAsync(TargetPath, cancel), Never);
        using var cancel = new CancellationTokenSource();
        var sending = sender.PumpAsync(source, new(), cancel.Token);

        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        await sender.SendAbortAsync("cancelled", Never);

        Assert.Equal(new LinkEnd.Aborted("cancelled"), await received);
    }

    [Fact]
    public async Task A_target_that_vanishes_ends_the_source_although_QEMU_is_silent()
    {
        var (sender, receiver) = await OpenAsync();
        await using var first = sender;
        using var qemu = await ConnectSourceQemuAsync();
        await using var source = await _sourceListener.AcceptAsync(Never);
        var sending = sender.PumpAsync(source, new(), Never);

        await receiver.DisposeAsync();

        await Assert.ThrowsAsync<LinkException>(() => sending);
        Assert.IsType<LinkAnswer.Closed>(await sender.Answer);
    }

    [Fact]
    public async Task Target_QEMU_that_ends_in_the_middle_is_told_apart_from_a_broken_link()
    {
        var (sender, receiver) = await OpenAsync();
        await using var first = sender;
        await using var second = receiver;
        var received = receiver.PumpAsync(cancel => _targetNetwork.ConnectUnixAsync(TargetPath, cancel), Never);
        using var qemu = await ConnectSourceQemuAsync();
        await using var source = await _sourceListener.AcceptAsync(Never);
        var sending = sender.PumpAsync(source, new(), Never);
        qemu.Send(new byte[1000]);
        (await _targetQemuListener.AcceptAsync()).Dispose();
        while (!received.IsCompleted) // Until QEMU's end is noticed; the socket's buffer may take a little first.
        {
            await Task.WhenAny(received, qemu.SendAsync(new byte[1000]));
        }

        Assert.IsType<LinkEnd.QemuGone>(await received);
        await receiver.SendAnswerAsync(new LinkAnswer.Aborted(new(8), "QEMU ended"), Never);
        Assert.Equal(new LinkAnswer.Aborted(new(8), "QEMU ended"), await sender.Answer);
        await Assert.ThrowsAsync<LinkException>(() => sending);
    }

    private string SourcePath => Path.Combine(_directory, "source.sock");
    private string TargetPath => Path.Combine(_directory, "target.sock");

    private async Task<(LinkSender, LinkReceiver)> OpenAsync()
    {
        _tickets.Expect(Move, "ticket", new("h1"));
        var accepting = AcceptAsync();
        var connection = await _sourceNetwork.ConnectPeerAsync(_listener.Endpoint, new("h2"), Never);
        var sender = await LinkSender.OpenAsync(connection, Move, "ticket", TimeProvider.System, Never);
        return (sender, await accepting);
    }

    private async Task<LinkReceiver> AcceptAsync() => await LinkReceiver.AcceptAsync(
        await _listener.AcceptAsync(Never), _tickets, TimeProvider.System, Never);

    private async Task<Socket> ConnectSourceQemuAsync()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(SourcePath));
        return socket;
    }

    private async Task WriteAsync(byte[] memory)
    {
        using var qemu = await ConnectSourceQemuAsync();
        for (int at = 0; at < memory.Length;) at += await qemu.SendAsync(memory.AsMemory(at, Math.Min(32 * 1024, memory.Length - at)));
    }

    private async Task<byte[]> ReadInSipsAsync()
    {
        using var qemu = await _targetQemuListener.AcceptAsync();
        qemu.ReceiveBufferSize = 4096;
        var all = new MemoryStream();
        var sip = new byte[3333];
        for (int count; (count = await qemu.ReceiveAsync(sip)) > 0;) all.Write(sip, 0, count);
        return all.ToArray();
    }

    private static RealNetwork Network(ClusterCa ca, string host)
    {
        var bundle = Joined.Host(ca, host);
        return new(() => bundle, NullLogger<RealNetwork>.Instance);
    }
}

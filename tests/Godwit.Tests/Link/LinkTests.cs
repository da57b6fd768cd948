using System.IO.Hashing;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Link;

public sealed class LinkTests
{
    private static readonly MoveId Move = new("mv-0123456789ab");
    private static readonly HostId Source = new("host1"), Target = new("host2");
    private const string Ticket = "5ec2e7";

    [Fact]
    public async Task Every_byte_arrives_in_order_and_both_ends_agree_on_length_and_digest()
    {
        await using var link = await OpenLink.CreateAsync();
        byte[] memory = Pattern(3_000_001);

        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await WriteInPiecesAsync(link.SourceQemu, memory);
        var summary = await sending;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 42), CancellationToken.None);

        var token = Assert.IsType<LinkEnd.TokenReceived>(await received);
        Assert.True(token.Matches);
        Assert.Equal(new Token(new(8), memory.Length, XxHash128.HashToUInt128(memory), 42), token.Token);
        Assert.Equal(memory, await arriving);
    }

    [Fact]
    public async Task Memory_with_patterns_crosses_packed_and_arrives_as_it_was()
    {
        await using var link = await OpenLink.CreateAsync();
        byte[] memory = [.. Enumerable.Range(0, 3_000_001).Select(i => (byte)(i / 4096))];

        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await WriteInPiecesAsync(link.SourceQemu, memory);
        var summary = await sending;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 42), CancellationToken.None);

        Assert.True(Assert.IsType<LinkEnd.TokenReceived>(await received).Matches);
        Assert.Equal(memory, await arriving);
        Assert.Equal(memory.Length, summary.Length);
        Assert.InRange(link.Sender.Stats.SentBytes, 1, memory.Length / 4);
    }

    [Fact]
    public async Task What_is_held_back_waits_until_it_may_go_on_and_arrives_as_it_was()
    {
        await using var link = await OpenLink.CreateAsync();
        byte[] memory = Pattern(3_000_001);
        link.Sender.HoldAt(1_000_000);
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        var writing = WriteInPiecesAsync(link.SourceQemu, memory);

        Assert.True(SpinWait.SpinUntil(() => link.Sender.IsHolding, TimeSpan.FromSeconds(10)));
        await Task.Delay(50);
        Assert.InRange(link.Sender.StreamBytes, 1_000_000, 1_000_000 + LinkFrame.DataBytesMax);
        Assert.False(sending.IsCompleted);

        link.Sender.GoOn();
        await writing;
        var summary = await sending;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 42), CancellationToken.None);
        Assert.True(Assert.IsType<LinkEnd.TokenReceived>(await received).Matches);
        Assert.Equal(memory, await arriving);
    }

    /// <summary>The guest stands still: whoever is late with a wish to hold is not heard.</summary>
    [Fact]
    public async Task In_the_pause_nothing_is_held_back()
    {
        await using var link = await OpenLink.CreateAsync();
        link.Sender.HoldAt(1000);
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        var writing = WriteInPiecesAsync(link.SourceQemu, Pattern(3_000_001));
        Assert.True(SpinWait.SpinUntil(() => link.Sender.IsHolding, TimeSpan.FromSeconds(10)));

        link.Sender.LiftCeiling();
        link.Sender.HoldAt(2_000_000);
        var summary = await sending.WaitAsync(TimeSpan.FromSeconds(10)); // Held back, it would never end.
        await writing;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 42), CancellationToken.None);
        Assert.IsType<LinkEnd.TokenReceived>(await received);
        Assert.Equal(3_000_001, (await arriving).Length);
    }

    [Fact]
    public async Task A_link_that_breaks_while_something_is_held_back_ends_the_pump()
    {
        await using var link = await OpenLink.CreateAsync();
        link.Sender.HoldAt(1000);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        _ = WriteInPiecesAsync(link.SourceQemu, Pattern(10_000));
        Assert.True(SpinWait.SpinUntil(() => link.Sender.IsHolding, TimeSpan.FromSeconds(10)));

        await link.Receiver.SendAnswerAsync(new LinkAnswer.Aborted(new(8), "QEMU ended"), CancellationToken.None);
        await Assert.ThrowsAsync<LinkException>(() => sending.WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task A_token_for_other_bytes_does_not_match()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await WriteInPiecesAsync(link.SourceQemu, Pattern(1000));
        var summary = await sending;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest + 1, 0), CancellationToken.None);

        Assert.False(Assert.IsType<LinkEnd.TokenReceived>(await received).Matches);
        await arriving;
    }

    [Fact]
    public async Task Running_reaches_the_source_with_the_time_of_resume()
    {
        await using var link = await OpenLink.CreateAsync();

        await link.Receiver.SendAnswerAsync(new LinkAnswer.Running(new(8), 123456), CancellationToken.None);

        Assert.Equal(new LinkAnswer.Running(new(8), 123456), await link.Sender.Answer);
    }

    [Fact]
    public async Task Aborted_reaches_the_source_and_ends_its_pump()
    {
        await using var link = await OpenLink.CreateAsync();
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);

        await link.Receiver.SendAnswerAsync(new LinkAnswer.Aborted(new(8), "QEMU ended"), CancellationToken.None);

        Assert.Equal(new LinkAnswer.Aborted(new(8), "QEMU ended"), await link.Sender.Answer);
        var error = await Assert.ThrowsAsync<LinkException>(() => sending);
        Assert.Contains("QEMU ended", error.Message);
    }

    [Fact]
    public async Task Abort_reaches_the_target_and_is_not_a_token()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);

        await link.Sender.SendAbortAsync("cancelled by a person", CancellationToken.None);

        Assert.Equal(new LinkEnd.Aborted("cancelled by a person"), await received);
    }

    [Fact]
    public async Task A_rehearsals_end_is_no_token_and_its_answer_tells_when_the_guest_was_loaded()
    {
        await using var link = await OpenLink.CreateAsync();
        var arriving = ReadAllAsync(link.TargetQemu);
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await WriteInPiecesAsync(link.SourceQemu, Pattern(1000));
        await link.Sender.SendRehearsedAsync(await sending, CancellationToken.None);

        var end = Assert.IsType<LinkEnd.Rehearsed>(await received);
        Assert.Equal(end.Sent, end.Seen);
        await arriving;
        await link.Receiver.SendAnswerAsync(new LinkAnswer.Loaded(12, 34), CancellationToken.None);
        Assert.Equal(new LinkAnswer.Loaded(12, 34), await link.Sender.Answer);
    }

    [Fact]
    public async Task A_source_that_closes_without_a_token_is_closed_not_aborted()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);

        await link.Sender.DisposeAsync();

        Assert.IsType<LinkEnd.Closed>(await received);
        Assert.IsType<LinkAnswer.Closed>(await link.Sender.Answer);
    }

    [Fact]
    public async Task A_target_that_closes_is_heard_while_QEMU_sends_nothing()
    {
        await using var link = await OpenLink.CreateAsync();
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);

        await link.Receiver.DisposeAsync();

        await Assert.ThrowsAsync<LinkException>(() => sending);
        Assert.IsType<LinkAnswer.Closed>(await link.Sender.Answer);
    }

    [Fact]
    public async Task Target_QEMU_that_closes_ends_the_pump_and_the_source_can_be_told()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(
            _ => throw new IOException("connection refused"), CancellationToken.None);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await link.SourceQemu.WriteAsync(new byte[1]);

        Assert.Equal(new LinkEnd.QemuGone("connection refused"), await received);
        await link.Receiver.SendAnswerAsync(new LinkAnswer.Aborted(new(8), "no QEMU"), CancellationToken.None);
        Assert.IsType<LinkAnswer.Aborted>(await link.Sender.Answer);
        await Assert.ThrowsAsync<LinkException>(() => sending);
    }

    [Fact]
    public async Task Cancelling_the_pump_leaves_a_link_that_can_still_say_abort()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        using var cancel = new CancellationTokenSource();
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), cancel.Token);

        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
        await link.Sender.SendAbortAsync("cancelled", CancellationToken.None);

        Assert.Equal(new LinkEnd.Aborted("cancelled"), await received);
    }

    [Fact]
    public async Task A_ticket_opens_the_link_once()
    {
        var tickets = new LinkTickets();
        tickets.Expect(Move, Ticket, Source);
        await using var first = await OpenLink.CreateAsync(tickets, Ticket, Source);

        var error = await Assert.ThrowsAsync<LinkException>(() => OpenLink.CreateAsync(tickets, Ticket, Source));
        Assert.Contains("no move mv-0123456789ab is expected", error.Message);
    }

    [Theory]
    [InlineData("wrong", "host1", "ticket")]
    [InlineData(Ticket, "host3", "another host than host3")]
    public async Task A_wrong_ticket_or_a_wrong_host_is_refused_with_the_reason(string ticket, string peer, string reason)
    {
        var tickets = new LinkTickets();
        tickets.Expect(Move, Ticket, Source);

        var error = await Assert.ThrowsAsync<LinkException>(() => OpenLink.CreateAsync(tickets, ticket, new(peer)));
        Assert.Contains(reason, error.Message);

        await using var rightful = await OpenLink.CreateAsync(tickets, Ticket, Source);
    }

    [Fact]
    public async Task A_peer_that_sends_garbage_is_an_error_not_a_hang()
    {
        var (left, right) = DuplexPipe.Create();
        var accepting = LinkReceiver.AcceptAsync(
            new(right, Source, "none"), new LinkTickets(), TimeProvider.System, CancellationToken.None);

        await left.WriteAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());

        await Assert.ThrowsAsync<LinkException>(() => accepting);
    }

    [Fact]
    public async Task A_silent_peer_is_dropped_at_the_deadline()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var (left, right) = DuplexPipe.Create();
        var accepting = LinkReceiver.AcceptAsync(new(right, Source, "none"), new LinkTickets(), time, CancellationToken.None);
        var opening = LinkSender.OpenAsync(
            new(DuplexPipe.Create().Left, Target, "none"), Move, Ticket, time, CancellationToken.None);

        time.Advance(TimeSpan.FromSeconds(10));

        Assert.Contains("silent", (await Assert.ThrowsAsync<LinkException>(() => accepting)).Message);
        Assert.Contains("no answer", (await Assert.ThrowsAsync<LinkException>(() => opening)).Message);
        left.Dispose();
    }

    [Fact]
    public async Task Nothing_is_in_flight_once_the_target_has_taken_everything()
    {
        await using var link = await OpenLink.CreateAsync();
        var received = link.Receiver.PumpAsync(link.TargetQemuSocket, CancellationToken.None);
        var arriving = ReadAllAsync(link.TargetQemu);
        var sending = link.Sender.PumpAsync(link.SourceQemuSocket, new(), CancellationToken.None);
        await WriteInPiecesAsync(link.SourceQemu, Pattern(100_000));
        var summary = await sending;
        await link.Sender.SendTokenAsync(new(new(8), summary.Length, summary.Digest, 0), CancellationToken.None);
        await received;
        await link.Receiver.SendAnswerAsync(new LinkAnswer.Running(new(8), 1), CancellationToken.None);
        await link.Sender.Answer; // Comes after every acknowledgement.

        Assert.Equal(100_000, link.Sender.Stats.AckedBytes);
        Assert.Equal(0, link.Sender.Stats.BacklogBytes);
        await arriving;
    }

    private static byte[] Pattern(int length)
    {
        var bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Odd pieces, then the end of the stream: as QEMU does.</summary>
    private static async Task WriteInPiecesAsync(Stream qemu, byte[] memory)
    {
        for (int at = 0, piece = 1; at < memory.Length; at += piece, piece = Math.Min(piece * 3, memory.Length - at))
            await qemu.WriteAsync(memory.AsMemory(at, Math.Min(piece, memory.Length - at)));
        await qemu.DisposeAsync();
    }

    private static async Task<byte[]> ReadAllAsync(Stream qemu)
    {
        var all = new MemoryStream();
        var buffer = new byte[7777];
        for (int count; (count = await qemu.ReadAsync(buffer)) > 0;) all.Write(buffer, 0, count);
        return all.ToArray();
    }

    /// <summary>Both ends of an open link and the QEMU at each, all in memory.</summary>
    private sealed class OpenLink : IAsyncDisposable
    {
        public required LinkSender Sender { get; init; }
        public required LinkReceiver Receiver { get; init; }
        public required Stream SourceQemu { get; init; }
        public required Stream SourceQemuSocket { get; init; }
        public required Stream TargetQemu { get; init; }
        public required Stream TargetQemuSocket { get; init; }

        public static Task<OpenLink> CreateAsync()
        {
            var tickets = new LinkTickets();
            tickets.Expect(Move, Ticket, Source);
            return CreateAsync(tickets, Ticket, Source);
        }

        public static async Task<OpenLink> CreateAsync(LinkTickets tickets, string ticket, HostId peer)
        {
            var (left, right) = DuplexPipe.Create();
            var accepting = LinkReceiver.AcceptAsync(
                new(right, peer, "none"), tickets, TimeProvider.System, CancellationToken.None);
            LinkSender sender;
            try
            {
                sender = await LinkSender.OpenAsync(
                    new(left, Target, "none"), Move, ticket, TimeProvider.System, CancellationToken.None);
            }
            catch
            {
                await Assert.ThrowsAsync<LinkException>(() => accepting);
                throw;
            }
            var (sourceQemu, sourceSocket) = DuplexPipe.Create();
            var (targetSocket, targetQemu) = DuplexPipe.Create();
            return new()
            {
                Sender = sender,
                Receiver = await accepting,
                SourceQemu = sourceQemu,
                SourceQemuSocket = sourceSocket,
                TargetQemu = targetQemu,
                TargetQemuSocket = targetSocket,
            };
        }

        public async ValueTask DisposeAsync()
        {
            await Sender.DisposeAsync();
            await Receiver.DisposeAsync();
        }
    }
}

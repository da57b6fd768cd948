using System.Buffers;
using CsCheck;
using Godwit.Agent.Link;
using Godwit.Core;
using Xunit;

namespace Godwit.Tests.Link;

/// <summary>Bytes from another machine are hostile, even behind TLS: the other agent may be the one that was broken into.</summary>
public sealed class HostileFrameTests
{
    private static readonly HostId Source = new("host1"), Target = new("host2");
    private static readonly MoveId Move = new("mv-0123456789ab");

    [Fact]
    public void No_header_allows_a_payload_over_its_limit() => Gen.Byte.Array[8].Sample(bytes =>
    {
        var status = LinkFrame.TryRead(bytes, out var frame);
        var isLong = frame.Type is FrameType.Data or FrameType.Memory or FrameType.Unlike or FrameType.AskRow;
        int max = isLong ? LinkFrame.DataBytesMax : LinkFrame.ControlBytesMax;
        return status == OperationStatus.InvalidData || (frame.Length >= 0 && frame.Length <= max);
    });

    [Theory]
    [InlineData(new byte[] { 7, 0, 0, 0, 0, 0, 0xFF, 0xF9 })] // One byte over a data frame.
    [InlineData(new byte[] { 7, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF })]
    [InlineData(new byte[] { 8, 0, 0, 0, 0, 0, 4, 1 })] // One byte over a control frame.
    [InlineData(new byte[] { 8, 1, 0, 0, 0, 0, 0, 8 })] // A flag that is not for it.
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 23, 0, 0, 0, 0, 0, 0, 0 })]
    public void A_header_that_no_peer_of_ours_sends_is_invalid(byte[] header) =>
        Assert.Equal(OperationStatus.InvalidData, LinkFrame.TryRead(header, out _));

    [Fact]
    public Task Whatever_a_source_sends_the_target_ends_without_a_token_it_did_not_get() =>
        Gen.Byte.Array[0, 300].SampleAsync(async noise => await EndsAsync(noise) is LinkEnd.Closed or LinkEnd.Aborted);

    [Fact]
    public async Task A_target_that_acknowledges_more_than_was_sent_is_a_broken_link()
    {
        var (left, right) = DuplexPipe.Create();
        var (sender, receiver) = await OpenAsync(left, right);
        await right.WriteAsync(new byte[] { (byte)FrameType.Ack, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1 });

        var closed = Assert.IsType<LinkAnswer.Closed>(await sender.Answer);

        Assert.Contains("acknowledged 1 bytes, 0 were sent", closed.Reason);
        await sender.DisposeAsync();
        await receiver.DisposeAsync();
    }

    [Fact]
    public async Task A_target_that_answers_nonsense_is_a_broken_link_not_an_answer()
    {
        var (left, right) = DuplexPipe.Create();
        var (sender, receiver) = await OpenAsync(left, right);
        await right.WriteAsync(new byte[] { (byte)FrameType.Running, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3 });

        Assert.IsType<LinkAnswer.Closed>(await sender.Answer);
        await sender.DisposeAsync();
        await receiver.DisposeAsync();
    }

    /// <summary>An opened link, then noise, then the end.</summary>
    private static async Task<LinkEnd> EndsAsync(byte[] noise)
    {
        var (left, right) = DuplexPipe.Create();
        var (sender, receiver) = await OpenAsync(left, right);
        var pumping = receiver.PumpAsync(Stream.Null, CancellationToken.None);
        await left.WriteAsync(noise);
        await sender.DisposeAsync();
        var end = await pumping;
        await receiver.DisposeAsync();
        return end;
    }

    private static async Task<(LinkSender, LinkReceiver)> OpenAsync(Stream left, Stream right)
    {
        var tickets = new LinkTickets();
        tickets.Expect(Move, "ticket", Source);
        var accepting = LinkReceiver.AcceptAsync(new(right, Source, "none"), tickets, TimeProvider.System, CancellationToken.None);
        var sender = await LinkSender.OpenAsync(
            new(left, Target, "none"), Move, "ticket", TimeProvider.System, CancellationToken.None);
        return (sender, await accepting);
    }
}

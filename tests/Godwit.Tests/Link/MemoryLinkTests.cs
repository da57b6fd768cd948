using System.Buffers.Binary;
using Godwit.Agent.Link;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Link;

/// <summary>The memory a lazy move left behind, asked for over its own link: both shipped ends, and peers that misbehave.</summary>
public sealed class MemoryLinkTests
{
    private const int Bytes = (5 * MemoryLink.BlockBytes) + 4096;
    private const string Ticket = "5ec2e7";
    private static readonly MoveId Move = new("mv-0123456789ab");
    private static readonly HostId Source = new("host1"), Target = new("host2");

    [Fact]
    public async Task Every_block_comes_as_it_was_and_zeros_are_not_sent()
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        for (var block = 0; block < ends.Memory.CountOf(); block++) Assert.Equal(ends.Left(block), await ends.ReadAsync(block));
        Assert.Equal(Bytes - MemoryLink.BlockBytes, ends.Given.GivenBytes); // One block is zeros.
        await ends.Expected.ForgetAsync(Move);
        Assert.IsType<LinkAnswer.AllHere>(await ends.Sender!.Answer);
    }

    [Fact]
    public async Task Nothing_is_given_before_the_token_leaves()
    {
        await using var ends = new Ends(allowed: false);
        await ends.LinkAsync();
        var reading = ends.ReadAsync(0);
        await Task.Delay(50);
        Assert.False(reading.IsCompleted);
        ends.Allow();
        Assert.Equal(ends.Left(0), await reading);
    }

    [Fact]
    public async Task A_link_that_breaks_is_told_to_who_reads_and_the_next_one_goes_on()
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        Assert.Equal(ends.Left(0), await ends.ReadAsync(0));
        var first = ends.Sender!;
        await ends.LinkAsync(); // The ticket is good again and again.
        Assert.IsType<LinkAnswer.Closed>(await first.Answer);
        Assert.Equal(ends.Left(4), await ends.ReadAsync(4));
    }

    [Fact]
    public async Task A_source_hears_that_nothing_of_a_move_is_wanted_but_only_from_who_knows()
    {
        var tickets = new LinkTickets();
        await Assert.ThrowsAsync<LinkException>(() => OfferAsync(tickets));
        tickets.KnowsMemory = true;
        await Assert.ThrowsAsync<NotWantedException>(() => OfferAsync(tickets));
        tickets.Expect(MemoryLink.Of(Move), "another", Source);
        await Assert.ThrowsAsync<LinkException>(() => OfferAsync(tickets));
    }

    /// <summary>Else the next one would be told that nothing is wanted, and the source would throw the memory away.</summary>
    [Fact]
    public async Task A_link_that_breaks_as_it_is_opened_spoils_no_later_one()
    {
        await using var ends = new Ends();
        await ends.BreakOpeningAsync();
        await ends.LinkAsync();
        Assert.Equal(ends.Left(1), await ends.ReadAsync(1));
    }

    [Fact]
    public async Task Who_waits_when_another_link_takes_the_place_of_the_first_is_told_at_once()
    {
        await using var ends = new Ends(allowed: false);
        await ends.LinkAsync();
        var reading = ends.ReadAsync(0);
        await ends.LinkAsync();
        await Assert.ThrowsAsync<IOException>(() => reading.WaitAsync(TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public async Task Who_needs_it_no_longer_does_not_wait_for_a_source_out_of_reach()
    {
        await using var ends = new Ends();
        using var unwanted = new CancellationTokenSource();
        var reading = ends.Memory.ReadBlockAsync(0, new byte[MemoryLink.BlockBytes], isWaitedFor: true, unwanted.Token);
        unwanted.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.WaitAsync(TimeSpan.FromSeconds(5)));
    }

    [Theory, InlineData(-1, 4096), InlineData(0, 0), InlineData(0, MemoryLink.BlockBytes + 1)]
    [InlineData(Bytes, 1), InlineData(long.MaxValue, 8)]
    public async Task A_target_that_asks_for_what_is_none_breaks_the_link(long offset, int bytes)
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        await ends.Receiver!.AskMemoryAsync(offset, bytes, CancellationToken.None);
        Assert.Contains("memory that is none", Assert.IsType<LinkAnswer.Closed>(await ends.Sender!.Answer).Reason);
    }

    [Fact]
    public void A_block_with_one_wrong_bit_is_not_believed()
    {
        var frame = new byte[LinkFrame.HeaderBytes + MemoryLink.PrefixBytes + 4096];
        new Random(1).NextBytes(frame);
        Assert.Equal(frame.Length, MemoryLink.WriteMemory(frame, 8192, 4096));
        var payload = frame.AsMemory(LinkFrame.HeaderBytes);
        Assert.True(MemoryLink.TryReadMemory(payload, out var offset, out var content));
        Assert.Equal((8192, 4096), (offset, content.Length));
        for (var bit = 0; bit < payload.Length * 8; bit += 13)
        {
            payload.Span[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(MemoryLink.TryReadMemory(payload, out _, out _));
            payload.Span[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public async Task Memory_that_is_lost_is_lost_for_whoever_reads_it()
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        await ends.Sender!.SendMemoryLostAsync("its host was off", CancellationToken.None);
        RefusedException? lost = null;
        for (var ask = 0; ask < 100 && lost is null; ask++)
        {
            try { await ends.ReadAsync(3); }
            catch (IOException) { } // The link, first.
            catch (RefusedException said) { lost = said; }
        }
        Assert.Equal("memory-lost", lost!.Reasons[0].Code);
        Assert.Contains("its host was off", lost.Message, StringComparison.Ordinal);
    }

    /// <summary>As a live move had brought it, and the guest went on writing: of what is here only what has changed crosses.</summary>
    [Fact]
    public async Task What_is_here_already_does_not_cross_again()
    {
        await using var ends = new Ends();
        var here = new Left();
        here.Content[4096 + 7] ^= 1; // A page of a block.
        here.Content.AsSpan(2 * MemoryLink.BlockBytes, 4096).Fill(3); // Zeros by now.
        here.Content.AsSpan(3 * MemoryLink.BlockBytes, MemoryLink.BlockBytes).Clear(); // Never came.
        here.Content[^1] ^= 0x80;
        ends.Memory.IsPartlyIn(here);
        await ends.LinkAsync();

        for (var block = 0; block < ends.Memory.CountOf(); block++) Assert.Equal(ends.Left(block), await ends.ReadAsync(block));

        Assert.Equal(3 * 4096 + MemoryLink.BlockBytes, ends.Given.GivenBytes);
        Assert.Equal(Bytes - MemoryLink.BlockBytes - 3 * 4096, ends.Memory.AlikeBytes);
        Assert.Equal(ends.Memory.CountOf(), here.Freed.Count); // What is the guest's now is not held twice.
        Assert.False(here.IsDisposed);
        await ends.Expected.ForgetAsync(Move);
        Assert.True(here.IsDisposed);
    }

    /// <summary>The row that is fetched ahead passes over what the guest has waited for: it would cross again, and for nobody.</summary>
    [Fact]
    public async Task A_block_that_was_waited_for_is_not_fetched_ahead_once_more()
    {
        await using var ends = new Ends();
        ends.Memory.IsPartlyIn(new Left());
        await ends.LinkAsync();
        Assert.Equal(ends.Left(4), await ends.ReadAsync(4, isWaitedFor: true));
        for (var block = 0; block < 4; block++) Assert.Equal(ends.Left(block), await ends.ReadAsync(block, isWaitedFor: false));
        Assert.Equal(ends.Left(5), await ends.ReadAsync(5, isWaitedFor: false)); // Behind whatever was asked for ahead.
        Assert.Equal(0, ends.Given.GivenBytes);
    }

    /// <summary>What is here may be shorter, or be let go of at any moment: then all crosses.</summary>
    [Fact]
    public async Task What_is_not_to_be_read_here_crosses_as_ever()
    {
        await using var ends = new Ends();
        ends.Memory.IsPartlyIn(new Left(bytes: 4096));
        await ends.LinkAsync();
        Assert.Equal(ends.Left(0), await ends.ReadAsync(0));
        Assert.Equal((MemoryLink.BlockBytes, 0), (ends.Given.GivenBytes, ends.Memory.AlikeBytes));
    }

    [Theory, InlineData(2, false), InlineData(3, true)]
    public async Task A_source_of_before_is_asked_in_the_words_it_knows(int versionMax, bool knows)
    {
        var tickets = new LinkTickets();
        tickets.Expect(MemoryLink.Of(Move), Ticket, Source);
        var (one, other) = DuplexPipe.Create();
        var accepting = LinkReceiver.AcceptAsync(new(other, Source, "test"), tickets, TimeProvider.System, CancellationToken.None);
        var frame = new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax];
        var hello = frame.AsMemory(0, ControlPayload.WriteHello(frame, MemoryLink.Of(Move), Ticket));
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(LinkFrame.HeaderBytes + 10), (ushort)versionMax);
        await one.WriteAsync(hello);
        new LinkFrame(FrameType.Opened, 0, 0, 0).Write(frame);
        await one.WriteAsync(frame.AsMemory(0, LinkFrame.HeaderBytes));
        Assert.Equal(knows, (await accepting).KnowsUnlike);
    }

    [Theory, InlineData(Bytes, 4096), InlineData(-4096, 4096), InlineData(long.MaxValue - 1, 4096)]
    public async Task A_target_that_compares_what_is_none_breaks_the_link(long offset, int bytes)
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        await ends.Receiver!.AskUnlikeAsync(offset, new byte[bytes], CancellationToken.None);
        Assert.Contains("memory that is none", Assert.IsType<LinkAnswer.Closed>(await ends.Sender!.Answer).Reason);
    }

    [Fact]
    public void Hashes_that_are_no_whole_block_are_not_believed()
    {
        var frame = new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax];
        var length = MemoryLink.WriteAskUnlike(frame, 4096, new byte[3 * 4096]) - LinkFrame.HeaderBytes;
        var payload = frame.AsSpan(LinkFrame.HeaderBytes, length);
        Assert.True(MemoryLink.TryReadAskUnlike(payload, out var offset, out var bytes, out var hashes));
        Assert.Equal((4096, 3 * 4096, 3 * MemoryLink.PageHashBytes), (offset, bytes, hashes.Length));
        for (var cut = 0; cut < length; cut++) Assert.False(MemoryLink.TryReadAskUnlike(payload[..cut], out _, out _, out _));
        BinaryPrimitives.WriteInt64BigEndian(payload[8..], 3 * 4096 - 1);
        Assert.False(MemoryLink.TryReadAskUnlike(payload, out _, out _, out _));
        BinaryPrimitives.WriteInt64BigEndian(payload[8..], long.MaxValue);
        Assert.False(MemoryLink.TryReadAskUnlike(payload, out _, out _, out _));
    }

    [Fact]
    public void Pages_that_are_unlike_with_one_wrong_bit_are_not_believed()
    {
        var frame = new byte[LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes + 3 * 4096];
        new Random(1).NextBytes(frame);
        var ask = new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax];
        var there = frame.AsSpan(LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes).ToArray();
        there[4096] ^= 1;
        var asked = MemoryLink.WriteAskUnlike(ask, 8192, there);
        MemoryLink.TryReadAskUnlike(ask.AsSpan(LinkFrame.HeaderBytes, asked - LinkFrame.HeaderBytes), out _, out _, out var hashes);

        Assert.Equal(4096, MemoryLink.WriteUnlike(frame, 8192, 3 * 4096, hashes));

        var payload = frame.AsMemory(LinkFrame.HeaderBytes, MemoryLink.UnlikePrefixBytes + 4096);
        Assert.True(MemoryLink.TryReadUnlike(payload, out var offset, out var mask, out var pages));
        Assert.Equal((8192L, (byte)0b10, 4096), (offset, mask, pages.Length));
        for (var bit = 0; bit < payload.Length * 8; bit += bit < 8 * MemoryLink.UnlikePrefixBytes ? 1 : 13)
        {
            payload.Span[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(MemoryLink.TryReadUnlike(payload, out _, out _, out _));
            payload.Span[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    /// <summary>More than one row, at both ends of it and in between: zeros, what is here, what has changed, what never came.</summary>
    [Theory, InlineData(false), InlineData(true)]
    public async Task Many_blocks_come_in_rows_each_as_it_was(bool hasSome)
    {
        const int blocks = 3 * MemoryRow.BlocksMax + 5, bytes = (blocks * MemoryLink.BlockBytes) + 4096;
        var (left, here) = (new Left(bytes), new Left(bytes));
        for (var block = 0; block < blocks; block++)
        {
            if (block % 3 == 0) left.Content.AsSpan(block * MemoryLink.BlockBytes, MemoryLink.BlockBytes).Clear();
            if (block % 5 == 0) here.Content.AsSpan(block * MemoryLink.BlockBytes, MemoryLink.BlockBytes).Clear();
            if (block % 7 == 0) here.Content[block * MemoryLink.BlockBytes + 5000] ^= 1;
        }
        await using var ends = new Ends(left: left);
        if (hasSome) ends.Memory.IsPartlyIn(here);
        await ends.LinkAsync();
        foreach (var waited in (int[])[70, 71, 150]) Assert.Equal(ends.Left(waited), await ends.ReadAsync(waited, isWaitedFor: true));
        for (var block = 0; block < ends.Memory.CountOf(); block++)
        {
            if (block == 100) await ends.LinkAsync(); // In the middle of a row.
            Assert.Equal(ends.Left(block), await ends.ReadAsync(block, isWaitedFor: false));
        }
        var all = Enumerable.Range(0, blocks).Count(block => block % 3 != 0) * MemoryLink.BlockBytes;
        Assert.InRange(ends.Given.GivenBytes, hasSome ? all / 6 : all, hasSome ? all / 2 : all + 80 * MemoryLink.BlockBytes);
    }

    [Theory, InlineData(Bytes - MemoryLink.BlockBytes + 1, 1UL), InlineData(0, 1UL << 5), InlineData(0, 1UL << 63)]
    [InlineData(long.MaxValue, 1UL)]
    public async Task A_row_of_what_is_none_breaks_the_link(long offset, ulong wanted)
    {
        await using var ends = new Ends();
        await ends.LinkAsync();
        await ends.Receiver!.AskRowAsync(offset, wanted, null, CancellationToken.None);
        Assert.Contains("memory that is none", Assert.IsType<LinkAnswer.Closed>(await ends.Sender!.Answer).Reason);
    }

    [Fact]
    public void A_row_that_is_none_is_not_believed()
    {
        var frame = new byte[MemoryRow.AskFrameBytesMax];
        var block = new byte[MemoryLink.BlockBytes];
        var payload = frame.AsMemory(LinkFrame.HeaderBytes, MemoryRow.WriteAsk(frame, 4096, 0b101, [block, block]) - LinkFrame.HeaderBytes);
        Assert.True(MemoryRow.TryReadAsk(payload, out var offset, out var wanted, out var hashes));
        Assert.Equal((4096L, 0b101UL, 2 * MemoryRow.HashBytesOfBlock), (offset, wanted, hashes.Length));
        for (var cut = 0; cut < payload.Length; cut++)
            Assert.Equal(cut == 16, MemoryRow.TryReadAsk(payload[..cut], out _, out _, out _)); // Without hashes it is one, too.
        BinaryPrimitives.WriteUInt64BigEndian(payload.Span[8..], 0);
        Assert.False(MemoryRow.TryReadAsk(payload, out _, out _, out _));
        Assert.Equal(frame.Length, MemoryRow.WriteAsk(frame, 0, ulong.MaxValue, [.. Enumerable.Repeat(block, MemoryRow.BlocksMax)]));
    }

    private static async Task OfferAsync(LinkTickets tickets)
    {
        var (left, right) = DuplexPipe.Create();
        var accepting = LinkReceiver.AcceptAsync(new(right, Source, "test"), tickets, TimeProvider.System, CancellationToken.None);
        try
        {
            await using var sender = await LinkSender.OpenForMemoryAsync(
                new(left, Target, "test"), Move, Ticket, new MemoryLeft(new Left(), Task.CompletedTask, 0), TimeProvider.System, default);
        }
        finally { await Assert.ThrowsAsync<LinkException>(() => accepting); }
    }

    /// <summary>A source with memory, a target that expects it, and a link between them as often as it is asked for.</summary>
    private sealed class Ends : IAsyncDisposable
    {
        private readonly LinkTickets tickets = new() { KnowsMemory = true };
        private readonly TaskCompletionSource allowed = new();
        private readonly Left left;

        public Ends(bool allowed = true, Left? left = null)
        {
            if (allowed) Allow();
            this.left = left ?? new Left();
            Expected = new RemoteMemories(tickets, TimeProvider.System);
            Memory = Expected.Expect(Move, Source, Ticket, this.left.LengthBytes);
            Given = new MemoryLeft(this.left, this.allowed.Task, 0);
        }

        public RemoteMemories Expected { get; }
        public RemoteMemory Memory { get; }
        public MemoryLeft Given { get; }
        public LinkSender? Sender { get; private set; }
        public LinkReceiver? Receiver { get; private set; }

        public void Allow() => allowed.TrySetResult();

        public byte[] Left(int block) => left.Content.AsSpan(block * MemoryLink.BlockBytes, Memory.BytesOf(block)).ToArray();

        public async Task LinkAsync()
        {
            var (one, other) = DuplexPipe.Create();
            var accepting = LinkReceiver.AcceptAsync(new(other, Source, "test"), tickets, TimeProvider.System, CancellationToken.None);
            Sender = await LinkSender.OpenForMemoryAsync(new(one, Target, "test"), Move, Ticket, Given, TimeProvider.System, default);
            Receiver = await accepting;
            _ = Expected.ServeAsync(Receiver);
        }

        /// <summary>Hello, and nothing behind it.</summary>
        public async Task BreakOpeningAsync()
        {
            var (one, other) = DuplexPipe.Create();
            var accepting = LinkReceiver.AcceptAsync(new(other, Source, "test"), tickets, TimeProvider.System, CancellationToken.None);
            var frame = new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax];
            await one.WriteAsync(frame.AsMemory(0, ControlPayload.WriteHello(frame, MemoryLink.Of(Move), Ticket)));
            await one.DisposeAsync();
            await Assert.ThrowsAsync<LinkException>(() => accepting);
        }

        public async Task<byte[]> ReadAsync(int block, bool? isWaitedFor = null)
        {
            var into = new byte[MemoryLink.BlockBytes];
            await Memory.ReadBlockAsync(block, into, isWaitedFor ?? block % 2 == 0, CancellationToken.None);
            return into[..Memory.BytesOf(block)];
        }

        public async ValueTask DisposeAsync()
        {
            if (Sender is not null) await Sender.DisposeAsync();
            if (Receiver is not null) await Receiver.DisposeAsync();
        }
    }

    /// <summary>Noise, and one block of zeros.</summary>
    internal sealed class Left : IMemoryFile
    {
        public Left(int bytes = Bytes)
        {
            Content = new byte[bytes];
            new Random(7).NextBytes(Content);
            if (bytes == Bytes) Content.AsSpan(2 * MemoryLink.BlockBytes, MemoryLink.BlockBytes).Clear();
        }

        public byte[] Content { get; }
        public HashSet<long> Freed { get; } = [];
        public bool IsDisposed { get; private set; }
        public long LengthBytes => Content.Length;
        public IReadOnlyList<(long Offset, long Bytes)> PresentRanges(int rangesMax) => [(0, Content.Length)];
        public void Read(long offset, Span<byte> into) => Content.AsSpan((int)offset, into.Length).CopyTo(into);
        public void Free(long offset, long bytes) => Freed.Add(offset);
        public void Dispose() => IsDisposed = true;
    }
}

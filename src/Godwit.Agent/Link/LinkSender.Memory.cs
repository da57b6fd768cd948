using System.Numerics;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Link;

/// <summary>The source's end of a <see cref="MemoryLink"/>: it answers what it is asked, until the target has all.</summary>
public sealed partial class LinkSender
{
    private static readonly TimeSpan SilentMax = TimeSpan.FromSeconds(30);

    private MemoryLeft? _memory;
    private byte[] _block = [];
    private long _heard;

    /// <summary>
    /// As <see cref="OpenAsync(PeerConnection, MoveId, string, TimeProvider, CancellationToken)"/>. <see cref="Answer"/> is then
    /// <see cref="LinkAnswer.AllHere"/>, or <see cref="LinkAnswer.Closed"/>. Throws <see cref="NotWantedException"/>, too.
    /// </summary>
    internal static Task<LinkSender> OpenForMemoryAsync(
        PeerConnection connection, MoveId move, string ticket, MemoryLeft memory, TimeProvider time, CancellationToken cancel)
    {
        var sender = new LinkSender(connection, time, heardBytesMax: 4 * MemoryRow.AskFrameBytesMax)
        {
            _memory = memory, _heard = time.GetTimestamp(),
            _block = new byte[LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes + MemoryLink.BlockBytes],
        };
        return OpenAsync(sender, MemoryLink.Of(move), ticket, cancel);
    }

    /// <summary>Completes once the target has asked for nothing for 30 s: whoever still wants something opens anew.</summary>
    internal async Task SilentAsync()
    {
        while (!_ended.IsCancellationRequested && _time.GetElapsedTime(Volatile.Read(ref _heard)) < SilentMax)
            await Task.Delay(TimeSpan.FromSeconds(1), _time);
    }

    /// <summary>Best effort: there is nothing to give.</summary>
    internal Task SendMemoryLostAsync(string reason, CancellationToken cancel) =>
        SendAsync(frame => ControlPayload.WriteReason(frame, FrameType.MemoryLost, reason), cancel);

    private Task GiveAsync(MemoryLeft memory, FrameType how, ReadOnlyMemory<byte> asked)
    {
        Volatile.Write(ref _heard, _time.GetTimestamp());
        return how switch
        {
            FrameType.AskRow => GiveRowAsync(memory, asked),
            FrameType.AskUnlike => GiveUnlikeAsync(memory, asked),
            _ => GiveAsync(memory, asked),
        };
    }

    private async Task GiveRowAsync(MemoryLeft memory, ReadOnlyMemory<byte> asked)
    {
        if (!MemoryRow.TryReadAsk(asked, out var offset, out var wanted, out var hashes)
            || offset > memory.File.LengthBytes - MemoryRow.BytesOf(wanted))
            throw new InvalidDataException("the target asked for memory that is none");
        await memory.MayBeGiven.Joinable().WaitAsync(_ended.Token);
        var same = 0ul;
        for (var left = wanted; left != 0; left &= left - 1)
        {
            var at = offset + BitOperations.TrailingZeroCount(left) * (long)MemoryLink.BlockBytes;
            var (frame, given) = hashes.IsEmpty ? Whole(memory, at) : Unlike(memory, at, hashes.Span[..MemoryRow.HashBytesOfBlock]);
            if (!hashes.IsEmpty) hashes = hashes[MemoryRow.HashBytesOfBlock..];
            if (frame == 0)
            {
                same |= left & (~left + 1);
                continue;
            }
            await PaceAsync(memory, given);
            await SendFrameAsync(_block.AsMemory(0, frame), _ended.Token);
            memory.CountGiven(given);
        }
        if (same != 0) await SendAsync(frame => MemoryRow.WriteSame(frame, offset, same), _ended.Token);
    }

    /// <summary>No frame: zeros.</summary>
    private (int FrameBytes, int GivenBytes) Whole(MemoryLeft memory, long at)
    {
        var content = _block.AsSpan(LinkFrame.HeaderBytes + MemoryLink.PrefixBytes, MemoryLink.BlockBytes);
        memory.File.Read(at, content);
        return content.ContainsAnyExcept((byte)0) ? (MemoryLink.WriteMemory(_block, at, content.Length), content.Length) : (0, 0);
    }

    /// <summary>No frame: alike.</summary>
    private (int FrameBytes, int GivenBytes) Unlike(MemoryLeft memory, long at, ReadOnlySpan<byte> hashes)
    {
        var content = _block.AsSpan(LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes, MemoryLink.BlockBytes);
        memory.File.Read(at, content);
        var given = MemoryLink.WriteUnlike(_block, at, content.Length, hashes);
        if (given == 0) return (0, 0);
        if (given == content.Length && !content.ContainsAnyExcept((byte)0)) // Zeros by now.
            return (MemoryLink.WriteMemory(_block, at, 0), 0);
        return (LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes + given, given);
    }

    private async Task GiveUnlikeAsync(MemoryLeft memory, ReadOnlyMemory<byte> asked)
    {
        if (!MemoryLink.TryReadAskUnlike(asked.Span, out var offset, out var bytes, out _)
            || offset < 0 || offset > memory.File.LengthBytes - bytes)
            throw new InvalidDataException("the target asked for memory that is none");
        await memory.MayBeGiven.Joinable().WaitAsync(_ended.Token);
        memory.File.Read(offset, _block.AsSpan(LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes, bytes));
        MemoryLink.TryReadAskUnlike(asked.Span, out _, out _, out var hashes);
        var given = MemoryLink.WriteUnlike(_block, offset, bytes, hashes);
        await PaceAsync(memory, given);
        await SendFrameAsync(_block.AsMemory(0, LinkFrame.HeaderBytes + MemoryLink.UnlikePrefixBytes + given), _ended.Token);
        memory.CountGiven(given);
    }

    private async Task GiveAsync(MemoryLeft memory, ReadOnlyMemory<byte> asked)
    {
        if (!ControlPayload.TryReadNumbers(asked.Span, out long offset, out long bytes)
            || bytes is < 1 or > MemoryLink.BlockBytes || offset < 0 || offset > memory.File.LengthBytes - bytes)
            throw new InvalidDataException("the target asked for memory that is none");
        await memory.MayBeGiven.Joinable().WaitAsync(_ended.Token); // Asked early, by a target that is sure to get the token.
        var content = _block.AsMemory(LinkFrame.HeaderBytes + MemoryLink.PrefixBytes, (int)bytes);
        memory.File.Read(offset, content.Span);
        var given = content.Span.ContainsAnyExcept((byte)0) ? (int)bytes : 0;
        await PaceAsync(memory, given);
        await SendFrameAsync(_block.AsMemory(0, MemoryLink.WriteMemory(_block, offset, given)), _ended.Token);
        memory.CountGiven(given);
    }

    private async Task PaceAsync(MemoryLeft memory, int bytes)
    {
        // One clock for all links of it: each link's own begins at zero, and its tokens would be of the past.
        while (memory.Pace.WaitMicros(bytes, _time.GetElapsedTime(0).Ticks / TimeSpan.TicksPerMicrosecond) is > 0 and var wait)
            await Task.Delay(TimeSpan.FromMilliseconds(1 + wait / 1000), _time, _ended.Token);
        memory.Pace.Take(bytes);
    }
}

/// <summary>What a lazy move left at its source: the guest's memory as it was when it stopped. One link at a time.</summary>
/// <param name="File">Held open: it outlives its name, and the QEMU that mapped it.</param>
/// <param name="MayBeGiven">Completes as the token leaves: before that the guest may still go on here.</param>
internal sealed record MemoryLeft(IMemoryFile File, Task MayBeGiven, long BytesPerSecond)
{
    /// <summary>A guest waits for what is given: a lower ceiling is not kept.</summary>
    private const long BytesPerSecondMin = 1 << 20;
    private long _given;

    public TokenBucket Pace { get; } = new()
    {
        Rate = BytesPerSecond > 0 ? Math.Max(BytesPerSecond, BytesPerSecondMin) : double.PositiveInfinity,
    };
    public long GivenBytes => Interlocked.Read(ref _given);

    public void CountGiven(int bytes) => Interlocked.Add(ref _given, bytes);
}

namespace Godwit.Agent.Link;

/// <summary>The target's end of a <see cref="MemoryLink"/>: asks, and hears what it asked for, in order.</summary>
public sealed partial class LinkReceiver
{
    /// <summary>Any time, from any thread. Throws <see cref="LinkException"/> where the link is gone.</summary>
    internal Task AskMemoryAsync(long offset, int bytes, CancellationToken cancel) =>
        AskAsync(_writer.ControlAsync(frame => ControlPayload.WriteNumbers(frame, FrameType.Ask, offset, bytes), cancel));

    /// <summary>The source can tell which pages are alike, and answers rows. False of one of before.</summary>
    internal bool KnowsUnlike => _version >= MemoryLink.UnlikeSince;

    /// <summary>As <see cref="AskMemoryAsync"/>, where something is there already: only what is unlike is wanted.</summary>
    internal Task AskUnlikeAsync(long offset, ReadOnlyMemory<byte> there, CancellationToken cancel) =>
        AskAsync(_writer.ControlAsync(frame => MemoryLink.WriteAskUnlike(frame, offset, there.Span), cancel));

    /// <summary>
    /// As <see cref="AskMemoryAsync"/>, many blocks at once: see <see cref="MemoryRow.WriteAsk"/>. Of a source that knows rows.
    /// </summary>
    internal Task AskRowAsync(long offset, ulong wanted, IReadOnlyList<byte[]>? there, CancellationToken cancel)
    {
        var frame = new byte[MemoryRow.AskFrameBytesMax];
        return AskAsync(_writer.FrameAsync(frame.AsMemory(0, MemoryRow.WriteAsk(frame, offset, wanted, there)), cancel));
    }

    private async Task AskAsync(ValueTask writing)
    {
        try { await writing; }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException)
        {
            throw new LinkException($"{Peer} cannot be asked for memory: {reason.Message}", reason);
        }
    }

    /// <summary>Best effort: the source asks again, and is told then.</summary>
    internal async Task SayAllHereAsync(CancellationToken cancel)
    {
        try { await SendEmptyAsync(FrameType.AllHere, cancel); }
        catch (Exception reason) when (reason is IOException or ObjectDisposedException) { }
    }

    /// <summary>
    /// Until the link ends; the answer is why, and whether the memory is lost for good. Never throws for what the peer does.
    /// </summary>
    /// <param name="arrived">Place and content, valid during the call; nothing for zeros.</param>
    /// <param name="unlike">Place, a bit for each page that is unlike, and these pages; valid during the call.</param>
    /// <param name="same">Place, and a bit for each block from there on that is zeros or alike.</param>
    internal Task<(string Why, bool IsLost)> HearMemoryAsync(Action<long, ReadOnlyMemory<byte>> arrived,
        Action<long, byte, ReadOnlyMemory<byte>> unlike, Action<long, ulong> same, CancellationToken cancel) =>
        OnPumpThreadAsync("link-memory", async () =>
        {
            try
            {
                while (await _reader.ReadHeaderAsync(cancel) is { } frame)
                {
                    var payload = await _reader.ReadWholeAsync(frame, cancel);
                    if (frame.Type == FrameType.MemoryLost && ControlPayload.TryReadReason(payload.Span, out var reason))
                        return (reason, true);
                    if (frame.Type == FrameType.Unlike && MemoryLink.TryReadUnlike(payload, out var at, out var pages, out var changed))
                    {
                        unlike(at, pages, changed);
                        continue;
                    }
                    if (frame.Type == FrameType.Same && MemoryRow.TryReadSame(payload.Span, out var first, out var blocks))
                    {
                        same(first, blocks);
                        continue;
                    }
                    if (frame.Type != FrameType.Memory || !MemoryLink.TryReadMemory(payload, out var offset, out var content))
                        return ($"the source sent a {frame.Type} that does not belong here, or is damaged", false);
                    arrived(offset, content);
                }
                return ("the source closed the link", false);
            }
            catch (Exception broken) when (broken is IOException or InvalidDataException or ObjectDisposedException)
            {
                return (broken.Message, false);
            }
        });

    private ValueTask SendEmptyAsync(FrameType type, CancellationToken cancel) => _writer.ControlAsync(frame =>
    {
        new LinkFrame(type, 0, 0, 0).Write(frame);
        return LinkFrame.HeaderBytes;
    }, cancel);
}

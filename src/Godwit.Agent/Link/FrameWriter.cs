namespace Godwit.Agent.Link;

/// <summary>
/// Whole frames into a byte stream, one after the other, from any number of callers. A write that failed or was
/// cancelled half-way leaves the stream useless: every later one throws.
/// </summary>
#pragma warning disable CA1001 // A semaphore whose wait handle is never asked for holds nothing to dispose.
internal sealed class FrameWriter(Stream stream)
#pragma warning restore CA1001
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly byte[] _control = new byte[LinkFrame.HeaderBytes + LinkFrame.ControlBytesMax];

    /// <summary>Writes a frame into the span and returns its length with header.</summary>
    public delegate int Fill(Span<byte> frame);

    public bool IsBroken { get; private set; }

    public async ValueTask ControlAsync(Fill fill, CancellationToken cancel)
    {
        await TakeTurnAsync();
        try
        {
            await WriteAsync(_control.AsMemory(0, fill(_control)), cancel);
        }
        finally
        {
            _turn.Release();
        }
    }

    public async ValueTask FrameAsync(ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        await TakeTurnAsync();
        try
        {
            await WriteAsync(frame, cancel);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async ValueTask WriteAsync(ReadOnlyMemory<byte> frame, CancellationToken cancel)
    {
        if (IsBroken) throw new IOException("it broke earlier");
        IsBroken = true;
        await stream.WriteAsync(frame, cancel);
        IsBroken = false;
    }

#pragma warning disable CA2016 // The overload with a token leaves the loop (banned); a turn is as short as one write.
    private Task TakeTurnAsync() => _turn.WaitAsync();
#pragma warning restore CA2016
}

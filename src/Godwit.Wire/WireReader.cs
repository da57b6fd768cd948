using System.Buffers;

namespace Godwit.Wire;

/// <summary>
/// Understands a stream while it passes, in slices of any size. A slice's tail that is no whole unit is kept (at most
/// <see cref="UnitBytesMax"/> bytes); payloads are counted and passed over. Whatever is not understood turns the
/// reader into a byte counter for good: it never throws, and what it reads can be forwarded unchanged meanwhile.
/// </summary>
public abstract class WireReader
{
    private protected const int UnitBytesMax = 4096;
    private const int StepsWithoutBytesMax = 16;

    private readonly byte[] held = new byte[UnitBytesMax];
    private int heldBytes;
    private long skip;
    private int stepsWithoutBytes;

    private protected WireReader() { }

    public long BytesFed { get; private set; }

    /// <summary>Bytes that passed without being understood.</summary>
    public long UnreadBytes { get; private set; }

    /// <summary>Why nothing more is understood: what was found and at which byte. Empty while all is well.</summary>
    public string PassThroughReason { get; private set; } = "";

    public bool IsPassThrough => PassThroughReason.Length > 0;

    /// <summary>True where the last byte fed was not the last of a unit.</summary>
    private protected bool InsideUnit => heldBytes > 0 || skip > 0;

    /// <summary>Bytes understood; where the next unit begins.</summary>
    private protected long BytesRead { get; private set; }

    public void Feed(ReadOnlySpan<byte> bytes)
    {
        BytesFed += bytes.Length;
        while (bytes.Length > 0)
        {
            if (IsPassThrough)
            {
                UnreadBytes += bytes.Length;
                return;
            }
            if (skip > 0)
            {
                var passed = (int)Math.Min(skip, bytes.Length);
                skip -= passed;
                Take(passed);
                bytes = bytes[passed..];
            }
            else bytes = heldBytes == 0 ? Step(bytes) : StepOnHeld(bytes);
        }
    }

    /// <summary>
    /// Reads one or more whole units. Done: <paramref name="consumed"/> bytes are understood and
    /// <paramref name="payload"/> bytes behind them shall be passed over. InvalidData: <paramref name="fault"/> says why.
    /// </summary>
    private protected abstract OperationStatus Read(
        ReadOnlySpan<byte> input, out int consumed, out long payload, out string fault);

    /// <summary>These bytes belong to what was last read.</summary>
    private protected abstract void Count(long bytes);

    private ReadOnlySpan<byte> Step(ReadOnlySpan<byte> bytes)
    {
        var status = Read(bytes, out var consumed, out var payload, out var fault);
        switch (status)
        {
            case OperationStatus.Done:
                Finish(consumed, payload);
                return bytes[consumed..];

            case OperationStatus.NeedMoreData when bytes.Length < UnitBytesMax:
                bytes.CopyTo(held);
                heldBytes = bytes.Length;
                return default;

            default:
                GiveUp(fault);
                return bytes;
        }
    }

    private ReadOnlySpan<byte> StepOnHeld(ReadOnlySpan<byte> bytes)
    {
        var before = heldBytes;
        var added = Math.Min(bytes.Length, UnitBytesMax - before);
        bytes[..added].CopyTo(held.AsSpan(before));
        var status = Read(held.AsSpan(0, before + added), out var consumed, out var payload, out var fault);
        switch (status)
        {
            case OperationStatus.Done:
                Finish(consumed, payload);
                if (consumed >= before)
                {
                    heldBytes = 0;
                    return bytes[(consumed - before)..];
                }
                held.AsSpan(consumed, before - consumed).CopyTo(held); // A look ahead, not taken: read it as what it is.
                heldBytes = before - consumed;
                return bytes;

            case OperationStatus.NeedMoreData when before + added < UnitBytesMax:
                heldBytes = before + added;
                return default;

            default:
                UnreadBytes += before;
                heldBytes = 0;
                GiveUp(fault);
                return bytes;
        }
    }

    private void Finish(int consumed, long payload)
    {
        Take(consumed);
        skip = payload;
        stepsWithoutBytes = consumed > 0 ? 0 : stepsWithoutBytes + 1;
        if (stepsWithoutBytes > StepsWithoutBytesMax) GiveUp("the reader does not get on (a bug in Godwit)");
    }

    private void Take(int bytes)
    {
        BytesRead += bytes;
        Count(bytes);
    }

    private void GiveUp(string fault) =>
        PassThroughReason = $"{(fault.Length > 0 ? fault : "a unit longer than any known")} at byte {BytesRead}";
}

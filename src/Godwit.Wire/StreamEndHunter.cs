namespace Godwit.Wire;

/// <summary>How a stream looks at its last byte so far.</summary>
public enum StreamEnding
{
    /// <summary>More must come.</summary>
    Open,
    /// <summary>
    /// A footer and EOF. Inside device state that is likely, not proved: the same six bytes may be data. Machines with
    /// suppress-vmdesc=on, and postcopy, end so.
    /// </summary>
    Eof,
    /// <summary>EOF and a whole VMDESCRIPTION: complete.</summary>
    Described,
}

/// <summary>
/// Finds the end of a stream whose device state has no lengths: a footer, EOF, VMDESCRIPTION with a length, and JSON
/// text that closes exactly there. JSON holds no zero byte, so a later find always replaces an earlier one.
/// </summary>
internal sealed class StreamEndHunter
{
    private const int DescriptionBytesMax = 4 << 20; // Seen: 44 KiB to 99 KiB.

    private readonly List<byte> description = [];
    private UInt128 window;
    private long windowBytes;
    private long leftInDescription;
    private int depth;
    private bool inString;
    private bool escaped;

    public StreamEnding Ending { get; private set; }

    /// <summary>Offset of the VMDESCRIPTION's element byte; of the last candidate while not ended.</summary>
    public long DescriptionStartsAt { get; private set; } = -1;

    /// <summary>JSON text, once <see cref="StreamEnding.Described"/>.</summary>
    public ReadOnlyMemory<byte> Description => Ending == StreamEnding.Described ? description.ToArray() : default;

    /// <summary>The length of a description is known from a framed element; its JSON follows.</summary>
    public void Begin(long startsAt, uint length)
    {
        Ending = StreamEnding.Open;
        description.Clear();
        (depth, inString, escaped) = (0, false, false);
        (DescriptionStartsAt, leftInDescription) = (startsAt, length <= DescriptionBytesMax ? length : 0);
    }

    /// <param name="at">Offset of the first byte in the stream.</param>
    public void Feed(ReadOnlySpan<byte> bytes, long at)
    {
        foreach (var value in bytes)
        {
            window = (window << 8) | value;
            windowBytes++;
            at++;
            if (leftInDescription > 0) TakeText(value);
            else Ending = LooksLikeEof() ? StreamEnding.Eof : StreamEnding.Open;
            if (value == (byte)'{' && LooksLikeDescription(out var length))
            {
                Begin(at - 6, length);
                TakeText(value);
            }
        }
    }

    /// <summary>7e, section id (4), 00, 06, length (4), '{'.</summary>
    private bool LooksLikeDescription(out uint length)
    {
        length = (uint)(window >> 8);
        return windowBytes >= 12
            && (byte)(window >> 40) == (byte)StreamElement.Description
            && (byte)(window >> 48) == (byte)StreamElement.Eof
            && (byte)(window >> 88) == (byte)StreamElement.Footer
            && length is > 1 and <= DescriptionBytesMax;
    }

    private bool LooksLikeEof() =>
        windowBytes >= 6 && (byte)window == (byte)StreamElement.Eof && (byte)(window >> 40) == (byte)StreamElement.Footer;

    private void TakeText(byte value)
    {
        var isText = value >= 0x20 || value is (byte)'\n' or (byte)'\r' or (byte)'\t';
        if (!isText || (description.Count == 0 && value != (byte)'{'))
        {
            leftInDescription = 0; // No JSON: it was device state that looked like a description.
            return;
        }

        description.Add(value);
        leftInDescription--;
        if (escaped) escaped = false;
        else if (value == (byte)'\\') escaped = inString;
        else if (value == (byte)'"') inString = !inString;
        else if (!inString && value is (byte)'{' or (byte)'[') depth++;
        else if (!inString && value is (byte)'}' or (byte)']') depth--;

        if (depth == 0 && leftInDescription == 0) Ending = StreamEnding.Described;
        else if (depth <= 0) leftInDescription = 0;
    }
}

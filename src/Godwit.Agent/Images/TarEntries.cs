using System.Text;
using System.Text.RegularExpressions;

namespace Godwit.Agent.Images;

/// <summary>
/// The files of a tar archive by name and place; nothing is ever written by an archive's names. Plain files with plain
/// names only: links, devices, directories, paths and the headers that rename or resize other entries (pax, GNU long
/// names) are refused. Layout: POSIX ustar.
/// </summary>
internal static partial class TarEntries
{
    public const int EntriesMax = 64;
    private const int Block = 512;
    private const byte NumberIsBinary = 0x80;

    public static IReadOnlyList<TarEntry> Read(ImageBytes archive, Findings findings)
    {
        List<TarEntry> entries = [];
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        Span<byte> bytes = stackalloc byte[Block];
        ulong at = 0;
        for (; archive.TryRead(at, bytes) && bytes.ContainsAnyExcept((byte)0); at += Block)
        {
            if (entries.Count == EntriesMax)
            {
                findings.Add("archive-entries", $"the archive has more than {EntriesMax} files");
                return entries;
            }
            if (Entry(bytes, findings) is not { } entry) return entries;
            if (!archive.Holds(at + Block, (ulong)entry.Bytes))
            {
                findings.Add("image-short", $"{entry.Name} of {entry.Bytes} bytes goes beyond the end of the archive",
                    "check that the file is complete");
                return entries;
            }
            if (!names.Add(entry.Name)) findings.Add("archive-entry", $"the archive has {entry.Name} twice");
            entries.Add(entry with { Offset = (long)at + Block });
            at += ((ulong)entry.Bytes + Block - 1) / Block * Block;
        }
        // Behind the end mark there is only padding: whatever else is there, some other program would see.
        var rest = at < (ulong)archive.Length ? (ulong)archive.Length - at : 0;
        var isPadding = rest <= 1 << 20;
        if (isPadding) archive.Walk(at, rest, block => isPadding = !block.ContainsAnyExcept((byte)0));
        if (!isPadding) findings.Add("archive-entry", $"the archive goes on behind its end at byte {at}");
        return entries;
    }

    private static TarEntry? Entry(ReadOnlySpan<byte> header, Findings findings)
    {
        var name = Text(header[..100]);
        var shown = Findings.Printable(name);
        var sum = 8 * ' ';
        for (var i = 0; i < header.Length; i++) sum += i is >= 148 and < 156 ? 0 : header[i];
        if (!header[257..].StartsWith("ustar"u8) || Octal(header.Slice(148, 8)) != sum)
            findings.Add("archive-entry", $"the header of '{shown}' is damaged");
        else if (header[156] is not ((byte)'0' or 0))
            findings.Add("archive-entry",
                $"'{shown}' is of tar's type '{Findings.Printable(header.Slice(156, 1))}'; only plain files are taken",
                "pack it with tar --format=ustar, and plain files only");
        else if (!PlainName().IsMatch(Encoding.Latin1.GetString(name)) || header[345] != 0 || header[157] != 0)
            findings.Add("archive-entry", $"'{shown}' is not a plain file name", "pack it without directories");
        else if (Size(header.Slice(124, 12)) is { } size)
            return new TarEntry(Encoding.ASCII.GetString(name), 0, size);
        else
            findings.Add("archive-entry", $"'{shown}' has a size that is no number");
        return null;
    }

    private static long? Size(ReadOnlySpan<byte> field)
    {
        if ((field[0] & NumberIsBinary) == 0) return Octal(field);
        // GNU's way to write sizes over 8 GiB: big-endian, first byte 0x80 (0xff would be a negative number).
        if (field[0] != NumberIsBinary || field[1..4].ContainsAnyExcept((byte)0)) return null;
        var size = field.Big64(4);
        return size <= long.MaxValue ? (long)size : null;
    }

    private static long? Octal(ReadOnlySpan<byte> field)
    {
        var digits = Text(field).Trim(" "u8);
        var value = 0L;
        foreach (var digit in digits)
        {
            if (digit is < (byte)'0' or > (byte)'7') return null;
            value = (value << 3) + digit - '0'; // 12 digits at most: no overflow.
        }
        return digits.IsEmpty ? null : value;
    }

    private static ReadOnlySpan<byte> Text(ReadOnlySpan<byte> field) => field.IndexOf((byte)0) is var end and >= 0 ? field[..end] : field;

    internal static bool IsPlainName(string name) => PlainName().IsMatch(name);

    [GeneratedRegex("^[A-Za-z0-9_][A-Za-z0-9 ._()+@-]{0,98}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex PlainName();
}

internal sealed record TarEntry(string Name, long Offset, long Bytes);

using Godwit.Wire;

namespace Godwit.LabTests.Captures;

internal static class Slices
{
    /// <summary>The same bytes in pieces of random size, many of them tiny.</summary>
    public static T Feed<T>(T reader, ReadOnlySpan<byte> bytes, int seed) where T : WireReader
    {
        var random = new Random(seed);
        while (bytes.Length > 0)
        {
            var size = Math.Min(bytes.Length, random.Next(4) == 0 ? random.Next(1, 9) : random.Next(1, 70_000));
            reader.Feed(bytes[..size]);
            bytes = bytes[size..];
        }
        return reader;
    }
}

using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Core;

namespace Godwit.Agent.Saved;

/// <summary>
/// Format 1, which is read and no longer written: QEMU's stream as it came, checked as a whole before it is believed. What is written
/// now is <see cref="SavedGuest"/>.
/// <code>
///  8 bytes  "GODWITSV"
///  u32      format, 1            (big-endian, as in QEMU's stream)
///  u32      length of the stamp, at most 1 MiB
///  n bytes  stamp, JSON (<see cref="SavedStateStamp"/>)
///  L bytes  QEMU migration stream, as QEMU wrote it
///  u64      L
///  32 bytes SHA-256 of everything before it
/// </code>
/// </summary>
internal static class SavedStateFile
{
    public const int TrailerBytes = sizeof(ulong) + 32;
    private const uint Format = 1;
    private const int StampBytesMax = 1 << 20;
    private const int BlockBytes = 1 << 20;
    private static ReadOnlySpan<byte> Magic => SavedGuest.Magic;

    /// <summary>Reads the head and leaves the file at the first byte of QEMU's stream.</summary>
    public static async Task<SavedStateStamp> ReadStampAsync(Stream file, string name, CancellationToken cancel)
    {
        var fixedPart = new byte[16];
        await FillAsync(file, fixedPart, name, cancel);
        if (!fixedPart.AsSpan(0, 8).SequenceEqual(Magic)) throw Broken(name, "it is not a saved state");
        var format = BinaryPrimitives.ReadUInt32BigEndian(fixedPart.AsSpan(8));
        if (format != Format) throw Broken(name, $"it has format {format}, this agent knows 1 and 2");
        var stampBytes = BinaryPrimitives.ReadUInt32BigEndian(fixedPart.AsSpan(12));
        if (stampBytes > StampBytesMax) throw Broken(name, "its stamp is too long");
        var json = new byte[stampBytes];
        await FillAsync(file, json, name, cancel);
        return ParseStamp(json, name);
    }

    internal static SavedStateStamp ParseStamp(byte[] json, string name)
    {
        try
        {
            return JsonSerializer.Deserialize(json, SavedStateJson.Default.SavedStateStamp) ?? throw Broken(name, "its stamp is empty");
        }
        catch (JsonException e) { throw Broken(name, $"its stamp is not readable: {e.Message}"); }
    }

    /// <summary>Reads the whole file once; throws unless length and SHA-256 are right. Leaves the file at its end.</summary>
    public static async Task VerifyAsync(Stream file, string name, CancellationToken cancel)
    {
        if (file.Length < 16 + TrailerBytes) throw Broken(name, "it is too short");
        file.Position = 0;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var block = new byte[BlockBytes];
        for (var left = file.Length - 32; left > 0;)
        {
            var read = await file.ReadAsync(block.AsMemory(0, (int)Math.Min(left, block.Length)), cancel);
            if (read == 0) throw Broken(name, "it ends early");
            hash.AppendData(block, 0, read);
            left -= read;
        }
        var claimed = new byte[32];
        await FillAsync(file, claimed, name, cancel);
        if (!hash.GetHashAndReset().AsSpan().SequenceEqual(claimed)) throw Broken(name, "its checksum is wrong");
    }

    /// <summary>The checksum the file claims; <see cref="VerifyAsync"/> tells whether it is true.</summary>
    public static async Task<string> ReadSha256Async(Stream file, string name, CancellationToken cancel)
    {
        if (file.Length < 16 + TrailerBytes) throw Broken(name, "it is too short");
        file.Position = file.Length - 32;
        var claimed = new byte[32];
        await FillAsync(file, claimed, name, cancel);
        return Convert.ToHexStringLower(claimed);
    }

    /// <summary>QEMU's stream only, from where <see cref="ReadStampAsync"/> left off, into QEMU.</summary>
    public static async Task FeedAsync(Stream file, Stream toQemu, CancellationToken cancel)
    {
        var block = new byte[BlockBytes];
        for (var left = file.Length - TrailerBytes - file.Position; left > 0;)
        {
            var read = await file.ReadAsync(block.AsMemory(0, (int)Math.Min(left, block.Length)), cancel);
            if (read == 0) throw new EndOfStreamException("the saved state ended early");
            await toQemu.WriteAsync(block.AsMemory(0, read), cancel);
            left -= read;
        }
    }

    internal static async Task FillAsync(Stream file, Memory<byte> target, string name, CancellationToken cancel)
    {
        for (var filled = 0; filled < target.Length;)
        {
            var read = await file.ReadAsync(target[filled..], cancel);
            if (read == 0) throw Broken(name, "it ends early");
            filled += read;
        }
    }

    internal static RefusedException Broken(string name, string why) => new("saved-state-broken",
        $"the saved state {name} cannot be used: {why}", "it was kept; restore it from a copy, or start the VM from its disk");
}

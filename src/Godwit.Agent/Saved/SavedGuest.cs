using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Core;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>
/// A guest's memory and devices in one file, format 2. Each mebibyte of memory has its checksum, so that any of them can be believed by
/// itself, and a guest can run before all of them are read:
/// <code>
///  8 bytes  "GODWITSV"
///  u32      format, 2            (big-endian, as in QEMU's stream)
///  u32      length of the stamp, at most 1 MiB
///  u64      L, length of QEMU's stream, at most 256 MiB
///  u64      M, bytes of memory
///  n bytes  stamp, JSON (<see cref="SavedStateStamp"/>)
///  L bytes  QEMU's stream of everything but the memory its host maps (x-ignore-shared)
///  …        memory: its mebibytes in order, without those that are nothing but zeros
///  32 × M/1 MiB   SHA-256 of each mebibyte, 32 zeros for one of zeros
///  u64      offset of these checksums
///  32 bytes SHA-256 of everything but the memory
/// </code>
/// </summary>
internal sealed class SavedGuest : IGuestMemory
{
    public const uint Format = 2;
    public const int FixedBytes = 32, BlockBytes = 1 << 20, SumBytes = 32;
    public const int StateBytesMax = 256 << 20;
    private const int StampBytesMax = 1 << 20, TrailerBytes = sizeof(long) + SumBytes;
    /// <summary>16 TiB.</summary>
    private const long MemoryBytesMax = 1L << 44;

    private readonly Stream file;
    private readonly string name;
    private readonly byte[] sums;
    /// <summary>Of each block, where it lies in the file; -1 for one of zeros.</summary>
    private readonly long[] places;

    private SavedGuest(Stream file, string name, SavedStateStamp stamp, DetachedState state, long memoryBytes, byte[] sums, long[] places)
    {
        (this.file, this.name, Stamp, State, MemoryBytes) = (file, name, stamp, state, memoryBytes);
        (this.sums, this.places) = (sums, places);
    }

    public static ReadOnlySpan<byte> Magic => "GODWITSV"u8;

    public SavedStateStamp Stamp { get; }
    public DetachedState State { get; }
    public long MemoryBytes { get; }
    public int Blocks => places.Length;
    int IGuestMemory.BlockBytes => BlockBytes;

    /// <summary>
    /// Everything but the memory is read and checked. Null for an older format. Throws <see cref="RefusedException"/>
    /// (<c>saved-state-broken</c>).
    /// </summary>
    public static async Task<SavedGuest?> OpenAsync(Stream file, string name, CancellationToken cancel)
    {
        if (file.Length < FixedBytes + TrailerBytes) throw SavedStateFile.Broken(name, "it is too short");
        file.Position = 0;
        var head = await ReadAsync(FixedBytes);
        if (!head.AsSpan(0, 8).SequenceEqual(Magic)) throw SavedStateFile.Broken(name, "it is not a saved state");
        if (BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(8)) != Format) return null;
        var stampBytes = BinaryPrimitives.ReadUInt32BigEndian(head.AsSpan(12));
        var stateBytes = BinaryPrimitives.ReadInt64BigEndian(head.AsSpan(16));
        var memoryBytes = BinaryPrimitives.ReadInt64BigEndian(head.AsSpan(24));
        if (stampBytes > StampBytesMax || stateBytes is < 0 or > StateBytesMax || memoryBytes is < 0 or > MemoryBytesMax)
            throw SavedStateFile.Broken(name, "its lengths are none");
        var blocks = (int)((memoryBytes + BlockBytes - 1) / BlockBytes);
        var tableAt = file.Length - TrailerBytes - ((long)blocks * SumBytes);
        if (tableAt < FixedBytes + stampBytes + stateBytes) throw SavedStateFile.Broken(name, "it is too short");

        var (stamp, state) = (await ReadAsync((int)stampBytes), await ReadAsync((int)stateBytes));
        var memoryAt = file.Position;
        file.Position = tableAt;
        var (sums, trailer) = (await ReadAsync(blocks * SumBytes), await ReadAsync(TrailerBytes));
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var part in new[] { head, stamp, state, sums, trailer[..sizeof(long)] }) hash.AppendData(part);
        if (!hash.GetHashAndReset().AsSpan().SequenceEqual(trailer.AsSpan(sizeof(long))))
            throw SavedStateFile.Broken(name, "its checksum is wrong");
        var places = Places(sums, memoryBytes, memoryAt);
        if (BinaryPrimitives.ReadInt64BigEndian(trailer) != tableAt || memoryAt + PresentBytes(places, memoryBytes) != tableAt)
            throw SavedStateFile.Broken(name, "parts of its memory are missing");
        var parsed = DetachedState.TryRead(state, out var fault) ?? throw SavedStateFile.Broken(name, $"its device state is none: {fault}");
        return new SavedGuest(file, name, SavedStateFile.ParseStamp(stamp, name), parsed, memoryBytes, sums, places);

        async Task<byte[]> ReadAsync(int bytes)
        {
            var content = new byte[bytes];
            await SavedStateFile.FillAsync(file, content, name, cancel);
            return content;
        }
    }

    public bool IsZero(int block) => places[block] < 0;

    public int BytesOf(int block) => (int)Math.Min(BlockBytes, MemoryBytes - ((long)block * BlockBytes));

    /// <summary>
    /// Reads and checks one block that is not <see cref="IsZero"/> into the first <see cref="BytesOf"/> bytes of
    /// <paramref name="into"/>. Throws <see cref="RefusedException"/> (<c>saved-state-broken</c>) or <see cref="IOException"/>. One caller
    /// at a time.
    /// </summary>
    public async Task ReadBlockAsync(int block, byte[] into, CancellationToken cancel)
    {
        file.Position = places[block];
        await SavedStateFile.FillAsync(file, into.AsMemory(0, BytesOf(block)), name, cancel);
        var sum = new byte[SumBytes];
        SHA256.HashData(into.AsSpan(0, BytesOf(block)), sum);
        if (!sum.AsSpan().SequenceEqual(sums.AsSpan(block * SumBytes, SumBytes)))
            throw SavedStateFile.Broken(name, $"mebibyte {block} of its memory has a wrong checksum");
    }

    Task IGuestMemory.ReadBlockAsync(int block, byte[] into, bool isWaitedFor, CancellationToken cancel) =>
        ReadBlockAsync(block, into, cancel);

    private static long[] Places(byte[] sums, long memoryBytes, long memoryAt)
    {
        var places = new long[sums.Length / SumBytes];
        for (var block = 0; block < places.Length; block++)
        {
            var isZero = !sums.AsSpan(block * SumBytes, SumBytes).ContainsAnyExcept((byte)0);
            places[block] = isZero ? -1 : memoryAt;
            if (!isZero) memoryAt += Math.Min(BlockBytes, memoryBytes - ((long)block * BlockBytes));
        }
        return places;
    }

    private static long PresentBytes(long[] places, long memoryBytes) => places
        .Select((place, block) => place < 0 ? 0 : Math.Min(BlockBytes, memoryBytes - ((long)block * BlockBytes))).Sum();
}

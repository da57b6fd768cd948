using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Core.Ports;

namespace Godwit.Agent.Saved;

/// <summary>Writes what <see cref="SavedGuest"/> reads; the layout is told there.</summary>
internal static class SavedGuestWriting
{
    /// <summary>
    /// Returns how many bytes the file has. The guest stands still: its memory is read from the file that its QEMU maps.
    /// </summary>
    public static async Task<long> WriteAsync(
        Stream file, SavedStateStamp stamp, ReadOnlyMemory<byte> state, IMemoryFile memory, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var json = JsonSerializer.SerializeToUtf8Bytes(stamp, SavedStateJson.Default.SavedStateStamp);
        var head = new byte[SavedGuest.FixedBytes];
        SavedGuest.Magic.CopyTo(head);
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(8), SavedGuest.Format);
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(12), (uint)json.Length);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(16), state.Length);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(24), memory.LengthBytes);
        var written = await AddAsync(head) + await AddAsync(json) + await AddAsync(state);

        var blocks = (int)((memory.LengthBytes + SavedGuest.BlockBytes - 1) / SavedGuest.BlockBytes);
        var table = new byte[blocks * SavedGuest.SumBytes];
        var block = new byte[SavedGuest.BlockBytes];
        // Holes are read, too: before Linux 6.4 memory seems to be one while the kernel gathers it into a huge page, and a read waits.
        // (Linux commit a2e17cc2efc7, "mm/khugepaged: maintain page cache uptodate flag".)
        for (var number = 0; number < blocks; number++)
        {
            var from = (long)number * SavedGuest.BlockBytes;
            var bytes = (int)Math.Min(SavedGuest.BlockBytes, memory.LengthBytes - from);
            memory.Read(from, block.AsSpan(0, bytes));
            if (!block.AsSpan(0, bytes).ContainsAnyExcept((byte)0)) continue; // Its sum stays zero.
            SHA256.HashData(block.AsSpan(0, bytes), table.AsSpan(number * SavedGuest.SumBytes));
            await file.WriteAsync(block.AsMemory(0, bytes), cancel);
            written += bytes;
        }

        var tableAt = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(tableAt, written);
        written += await AddAsync(table) + await AddAsync(tableAt);
        var sum = hash.GetHashAndReset();
        await file.WriteAsync(sum, cancel);
        return written + sum.Length;

        async Task<long> AddAsync(ReadOnlyMemory<byte> bytes)
        {
            hash.AppendData(bytes.Span);
            await file.WriteAsync(bytes, cancel);
            return bytes.Length;
        }
    }
}

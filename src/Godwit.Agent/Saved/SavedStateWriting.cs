using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Core.Ports;

namespace Godwit.Agent.Saved;

/// <summary>Writes what <see cref="SavedState"/> reads; the layout is told there.</summary>
internal static class SavedStateWriting
{
    /// <summary>
    /// Returns how many bytes the file has. The guest stands still: its memory is read from the file that its QEMU maps.
    /// </summary>
    public static async Task<long> WriteAsync(
        Stream file, SavedStateStamp stamp, ReadOnlyMemory<byte> state, IMemoryFile memory, CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var json = JsonSerializer.SerializeToUtf8Bytes(stamp, SavedStateJson.Default.SavedStateStamp);
        var head = new byte[SavedState.FixedBytes];
        SavedState.Magic.CopyTo(head);
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(8), SavedState.Format);
        BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(12), (uint)json.Length);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(16), state.Length);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(24), memory.LengthBytes);
        var written = await AddAsync(head) + await AddAsync(json) + await AddAsync(state);

        var blocks = (int)((memory.LengthBytes + SavedState.BlockBytes - 1) / SavedState.BlockBytes);
        var table = new byte[blocks * SavedState.SumBytes];
        var block = new byte[SavedState.BlockBytes];
        var present = memory.PresentRanges(SavedState.RangesMax);
        for (int number = 0, range = 0; number < blocks; number++)
        {
            var from = (long)number * SavedState.BlockBytes;
            var bytes = (int)Math.Min(SavedState.BlockBytes, memory.LengthBytes - from);
            while (range < present.Count && present[range].Offset + present[range].Bytes <= from) range++;
            if (range == present.Count || present[range].Offset >= from + bytes) continue; // Nothing but a hole: its sum stays zero.
            memory.Read(from, block.AsSpan(0, bytes));
            if (!block.AsSpan(0, bytes).ContainsAnyExcept((byte)0)) continue;
            SHA256.HashData(block.AsSpan(0, bytes), table.AsSpan(number * SavedState.SumBytes));
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

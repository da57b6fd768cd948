using System.Buffers.Binary;

namespace Godwit.Cli.Lab;

/// <summary>
/// The guest's own record on its disk: a ring of 4096 numbered blocks behind the boot partition (lab/guest/wire.h).
/// A number is acknowledged only after its write returned, so every acknowledged number that the ring can still hold
/// must be there; one that is missing is a lost write.
/// </summary>
public static class GuestDisk
{
    private const int Slots = 4096;
    private const int RecordBytes = 4096;
    private const long RingOffset = 64L << 20;
    private const ulong Magic = 0x31474e4952574721;
    private const ulong ChecksumStart = 0xcbf29ce484222325;
    private const ulong ChecksumPrime = 0x100000001b3;

    /// <summary>Reads the ring of a stopped VM's disk.</summary>
    /// <param name="imagePath">qcow2 image, its backing file where its header says.</param>
    public static async Task<GuestRing> ReadAsync(string imagePath, CancellationToken cancel = default)
    {
        var raw = Path.Combine(Path.GetTempPath(), $"godwit-ring-{Path.GetRandomFileName()}");
        try
        {
            // The whole image, not `qemu-img dd`: what its count= counts differs between QEMU versions.
            await LabShell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", imagePath, raw], cancel: cancel);
            await using var disk = File.OpenRead(raw);
            disk.Position = RingOffset;
            var ring = new byte[Slots * RecordBytes];
            await disk.ReadExactlyAsync(ring, cancel);
            return Parse(ring);
        }
        finally
        {
            File.Delete(raw);
        }
    }

    /// <summary>Sequence numbers by boot id, of whole records only: a torn one counts as not written.</summary>
    public static GuestRing Parse(ReadOnlySpan<byte> ring)
    {
        var sequences = new Dictionary<string, HashSet<long>>();
        for (var slot = 0; slot < Slots && (slot + 1) * RecordBytes <= ring.Length; slot++)
        {
            var record = ring.Slice(slot * RecordBytes, RecordBytes);
            var sequence = BinaryPrimitives.ReadInt64LittleEndian(record[8..]);
            if (BinaryPrimitives.ReadUInt64LittleEndian(record) != Magic || sequence % Slots != slot || !IsWhole(record))
                continue;
            var boot = Convert.ToHexStringLower(record.Slice(16, 16));
            if (!sequences.TryGetValue(boot, out var known)) sequences[boot] = known = [];
            known.Add(sequence);
        }
        return new GuestRing(sequences);
    }

    private static bool IsWhole(ReadOnlySpan<byte> record)
    {
        const int checksumAt = 32;
        var sum = ChecksumStart;
        for (var at = 0; at < RecordBytes; at += 8)
            sum = (sum ^ (at == checksumAt ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(record[at..]))) * ChecksumPrime;
        return sum == BinaryPrimitives.ReadUInt64LittleEndian(record[checksumAt..]);
    }
}

/// <summary>Which numbered writes are on a disk.</summary>
public sealed record GuestRing(IReadOnlyDictionary<string, HashSet<long>> SequencesByBoot)
{
    /// <summary>One slot may already hold the successor that nobody acknowledged yet.</summary>
    private const int SureSlots = 4095;

    /// <summary>Acknowledged numbers that should be on the disk and are not; empty is what everybody wants.</summary>
    /// <param name="acked">The last acknowledged number of this boot.</param>
    public IReadOnlyList<long> MissingUpTo(string bootId, long acked)
    {
        var known = SequencesByBoot.GetValueOrDefault(bootId) ?? [];
        return [.. Range(Math.Max(1, acked - SureSlots + 1), acked).Where(s => !known.Contains(s))];
    }

    private static IEnumerable<long> Range(long first, long last)
    {
        for (var number = first; number <= last; number++) yield return number;
    }
}

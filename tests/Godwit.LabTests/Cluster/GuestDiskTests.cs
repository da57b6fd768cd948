using System.Buffers.Binary;
using Godwit.Cli.Lab;
using Xunit;

namespace Godwit.LabTests.Cluster;

/// <summary>The checker of disk continuity must itself be able to find what is wrong.</summary>
public sealed class GuestDiskTests
{
    private const string Boot = "000102030405060708090a0b0c0d0e0f";

    [Fact]
    public void A_ring_with_every_acknowledged_write_has_nothing_missing() =>
        Assert.Empty(GuestDisk.Parse(RingUpTo(10_000)).MissingUpTo(Boot, 10_000));

    [Fact]
    public void The_write_after_the_last_acknowledged_one_may_already_be_there() =>
        Assert.Empty(GuestDisk.Parse(RingUpTo(10_001)).MissingUpTo(Boot, 10_000));

    [Fact]
    public void A_record_that_is_older_than_it_should_be_is_a_lost_write()
    {
        var ring = RingUpTo(10_000);
        Write(ring, 9_000 - 4096); // What the slot held a round earlier: the acknowledged write never came.
        Assert.Equal([9_000L], GuestDisk.Parse(ring).MissingUpTo(Boot, 10_000));
    }

    [Fact]
    public void A_torn_record_is_a_lost_write()
    {
        var ring = RingUpTo(100);
        ring[42 * 4096 + 2048] ^= 1;
        Assert.Equal([42L], GuestDisk.Parse(ring).MissingUpTo(Boot, 100));
    }

    [Fact]
    public void Records_of_another_boot_prove_nothing() =>
        Assert.Equal(3, GuestDisk.Parse(RingUpTo(3)).MissingUpTo(Boot.Replace('0', 'f'), 3).Count);

    private static byte[] RingUpTo(long last)
    {
        var ring = new byte[4096 * 4096];
        for (var sequence = Math.Max(1, last - 4095); sequence <= last; sequence++) Write(ring, sequence);
        return ring;
    }

    /// <summary>As lab/guest/disk_ring.c writes it.</summary>
    private static void Write(byte[] ring, long sequence)
    {
        var record = ring.AsSpan((int)(sequence % 4096) * 4096, 4096);
        record.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(record, 0x31474e4952574721);
        BinaryPrimitives.WriteInt64LittleEndian(record[8..], sequence);
        Convert.FromHexString(Boot).CopyTo(record[16..]);
        for (var at = 40; at < 4096; at += 8) BinaryPrimitives.WriteInt64LittleEndian(record[at..], sequence * at);
        var sum = 0xcbf29ce484222325;
        for (var at = 0; at < 4096; at += 8)
            sum = (sum ^ BinaryPrimitives.ReadUInt64LittleEndian(record[at..])) * 0x100000001b3;
        BinaryPrimitives.WriteUInt64LittleEndian(record[32..], sum);
    }
}

using System.Buffers.Binary;
using System.Text;
using CsCheck;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

public sealed class MultifdChannelReaderTests
{
    private const int HeaderBytes = 1344;

    [Fact]
    public void Packets_are_counted_however_they_are_cut() =>
        Gen.Select(Gen.Select(Gen.Int[0, 64], Gen.Int[0, 64], Gen.Bool).List[0, 6], Gen.Int[1, 3000].List[0, 40])
            .Sample((packets, cuts) =>
            {
                byte[] bytes = [.. Init(), .. packets.SelectMany(p => Packet(p.Item1, p.Item2, p.Item3 ? 1u : 0u))];
                var traffic = Traffic();
                var reader = new MultifdChannelReader(traffic).Feed(bytes, cuts);

                Assert.Equal("", reader.PassThroughReason);
                Assert.True(reader.IsBetweenPackets);
                Assert.Equal(packets.Count, reader.Packets);
                Assert.Equal(packets.Count(p => p.Item3), reader.Syncs);
                Assert.Equal(packets.Sum(p => p.Item1), reader.NormalPages);
                Assert.Equal(packets.Sum(p => p.Item2), reader.ZeroPages);
                Assert.Equal(reader.NormalPages + reader.ZeroPages,
                    traffic.Audit!.DistinctPages + traffic.Audit.RepeatedPages);
            }, iter: 200);

    [Fact]
    public void A_packet_cut_short_is_seen()
    {
        byte[] bytes = [.. Init(), .. Packet(2, 0, 0)];
        var reader = new MultifdChannelReader(Traffic());
        reader.Feed(bytes.AsSpan(0, bytes.Length - 1));
        Assert.False(reader.IsBetweenPackets);
        reader.Feed(bytes.AsSpan(bytes.Length - 1));
        Assert.True(reader.IsBetweenPackets);
    }

    [Theory]
    [InlineData(MultifdFlags.Sync)]
    [InlineData(MultifdFlags.Sync | MultifdFlags.Zstd)]
    public void An_old_size_in_a_packet_without_pages_is_ignored(MultifdFlags flags)
    {
        var sync = Packet(0, 0, (uint)flags);
        BinaryPrimitives.WriteUInt32BigEndian(sync.AsSpan(20), 400_000);
        var reader = new MultifdChannelReader(Traffic());
        reader.Feed([.. Init(), .. sync, .. sync]);
        Assert.Equal(("", 2), (reader.PassThroughReason, reader.Packets));
    }

    [Theory]
    [InlineData(0, 0x11223345u)] // Magic.
    [InlineData(4, 2u)] // Version.
    [InlineData(8, 64u)] // Device state: another layout.
    [InlineData(8, 128u)]
    [InlineData(16, 129u)] // More normal pages than fit.
    [InlineData(16, uint.MaxValue)]
    [InlineData(32, uint.MaxValue)] // Zero pages.
    [InlineData(64, 0u)] // No block.
    [InlineData(64, 0x7a7a0000u)] // A block nobody listed.
    [InlineData(324, 1u)] // An offset inside a page.
    [InlineData(320, 0x80000000u)] // An offset outside of the block.
    public void A_field_out_of_its_bounds_is_passed_through(int at, uint value)
    {
        var packet = Packet(1, 0, 0);
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(at), value);
        var reader = new MultifdChannelReader(Traffic());
        reader.Feed([.. Init(), .. packet]);
        Assert.EndsWith("at byte 64", reader.PassThroughReason, StringComparison.Ordinal);
        Assert.Equal(packet.Length, reader.UnreadBytes);
    }

    [Fact]
    public void A_compressed_packet_says_its_own_size()
    {
        var packet = Packet(1, 0, flags: 4)[..(HeaderBytes + 100)]; // zstd
        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(20), 100);
        var reader = new MultifdChannelReader(Traffic());
        reader.Feed([.. Init(), .. packet]);
        Assert.True(reader.IsBetweenPackets);

        BinaryPrimitives.WriteUInt32BigEndian(packet.AsSpan(20), uint.MaxValue);
        reader = new MultifdChannelReader(Traffic());
        reader.Feed([.. Init(), .. packet]);
        Assert.True(reader.IsPassThrough);
    }

    [Fact]
    public void Any_damage_throws_nothing() =>
        Gen.Select(Gen.Select(Gen.Int[0, 3000], Gen.Byte).List[1, 5], Gen.Int[1, 2000].List[0, 20]).Sample((damage, cuts) =>
        {
            byte[] bytes = [.. Init(), .. Packet(3, 2, 0), .. Packet(0, 0, 1)];
            foreach (var (at, value) in damage) bytes[at] = value;
            var reader = new MultifdChannelReader(Traffic()).Feed(bytes, cuts);
            Assert.Equal(bytes.Length, reader.BytesFed);
        }, iter: 1000);

    /// <summary>A main channel has listed block "r" of 1 MiB.</summary>
    private static RamTraffic Traffic()
    {
        var traffic = new RamTraffic(new PageAudit());
        new MigrationStreamReader(traffic).Feed(new StreamPlan("q", [new RamBlock("r", 1 << 20)], [[]], []).Write());
        return traffic;
    }

    private static byte[] Init() => [0x11, 0x22, 0x33, 0x44, 0, 0, 0, 1, .. new byte[16], 5, .. new byte[39]];

    private static byte[] Packet(int normal, int zero, uint flags)
    {
        var packet = new byte[HeaderBytes + (normal * 4096)];
        var fields = packet.AsSpan();
        BinaryPrimitives.WriteUInt32BigEndian(fields, MultifdInit.Magic);
        BinaryPrimitives.WriteUInt32BigEndian(fields[4..], 1);
        BinaryPrimitives.WriteUInt32BigEndian(fields[8..], flags);
        BinaryPrimitives.WriteUInt32BigEndian(fields[12..], 128);
        BinaryPrimitives.WriteUInt32BigEndian(fields[16..], (uint)normal);
        BinaryPrimitives.WriteUInt32BigEndian(fields[32..], (uint)zero);
        Encoding.ASCII.GetBytes("r", fields[64..]);
        for (var i = 0; i < normal + zero; i++)
            BinaryPrimitives.WriteUInt64BigEndian(fields[(320 + (8 * i))..], (ulong)i * 4096);
        return packet;
    }
}

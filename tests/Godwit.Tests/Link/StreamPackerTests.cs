using System.Buffers.Binary;
using Godwit.Agent.Link;
using Xunit;

namespace Godwit.Tests.Link;

public sealed class StreamPackerTests
{
    private readonly byte[] _payload = new byte[LinkFrame.DataBytesMax];

    [Theory]
    [InlineData(100)]
    [InlineData(16_000)]
    [InlineData(LinkFrame.DataBytesMax)]
    public void What_was_packed_unpacks_to_the_same_bytes(int length)
    {
        using var packer = new StreamPacker();
        using var unpacker = new StreamUnpacker();
        byte[] raw = [.. Enumerable.Range(0, length).Select(i => (byte)(i / 50))];

        int packed = packer.TryPack(raw, _payload);

        Assert.InRange(packed, 1, length - 1);
        Assert.Equal(raw, unpacker.Unpack(_payload.AsSpan(0, packed)).ToArray());
    }

    [Fact]
    public void Bytes_without_pattern_are_left_as_they_are_and_the_next_read_is_no_longer_than_the_room()
    {
        using var packer = new StreamPacker();
        packer.TryPack(new byte[16_000], _payload);
        Assert.Equal(8 * 4000, packer.RawBytesFor(4000));
        var noise = new byte[16_000];
        new Random(1).NextBytes(noise);

        Assert.Equal(0, packer.TryPack(noise, _payload));
        Assert.Equal(4000, packer.RawBytesFor(4000));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(999)]
    [InlineData(1001)]
    [InlineData(LinkFrame.DataBytesMax + 1)]
    [InlineData(int.MaxValue)]
    public void A_payload_that_lies_about_what_it_holds_is_refused(int claimed)
    {
        int packed = Packed(new byte[1000]);
        BinaryPrimitives.WriteInt32BigEndian(_payload, claimed);

        Refused(packed);
    }

    [Fact]
    public void A_payload_cut_anywhere_is_refused()
    {
        int packed = Packed([.. Enumerable.Range(0, 4096).Select(i => (byte)(i / 7))]);
        for (int length = 0; length < packed; length++) Refused(length);
    }

    [Fact]
    public void Random_payloads_are_refused_or_unpack_to_what_they_claim()
    {
        var random = new Random(7);
        using var unpacker = new StreamUnpacker();
        int packed = Packed([.. Enumerable.Range(0, 4096).Select(i => (byte)(i / 7))]);
        var good = _payload.AsSpan(0, packed).ToArray();
        for (int round = 0; round < 20_000; round++)
        {
            var bad = good.ToArray();
            for (int change = random.Next(1, 4); change > 0; change--) bad[random.Next(bad.Length)] = (byte)random.Next(256);
            try
            {
                Assert.Equal(BinaryPrimitives.ReadInt32BigEndian(bad), unpacker.Unpack(bad).Length);
            }
            catch (InvalidDataException)
            {
                // Refused, in the one way the link expects.
            }
        }
    }

    private int Packed(byte[] raw)
    {
        using var packer = new StreamPacker();
        return packer.TryPack(raw, _payload);
    }

    private void Refused(int length)
    {
        using var unpacker = new StreamUnpacker();
        Assert.Throws<InvalidDataException>(() => unpacker.Unpack(_payload.AsSpan(0, length)));
    }
}

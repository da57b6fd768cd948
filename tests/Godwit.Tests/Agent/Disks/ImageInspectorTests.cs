using System.Buffers.Binary;
using CsCheck;
using Godwit.Agent.Disks;
using Godwit.Core;
using Xunit;

namespace Godwit.Tests.Agent.Disks;

public sealed class ImageInspectorTests
{
    private const long FileBytes = 256 << 10;

    /// <summary>The header qemu-img writes for a blank 64 MiB qcow2.</summary>
    private static byte[] Header()
    {
        var head = new byte[ImageInspector.HeadBytes];
        Put32(head, 0, 0x514649fb);
        Put32(head, 4, 3);
        Put32(head, 20, 16);
        Put64(head, 24, 64 << 20);
        Put32(head, 36, 1);
        Put64(head, 40, 0x30000);
        Put64(head, 48, 0x10000);
        Put32(head, 56, 1);
        Put32(head, 96, 4);
        Put32(head, 100, 112);
        return head;
    }

    private static void Put32(byte[] head, int at, uint value) => BinaryPrimitives.WriteUInt32BigEndian(head.AsSpan(at), value);
    private static void Put64(byte[] head, int at, ulong value) => BinaryPrimitives.WriteUInt64BigEndian(head.AsSpan(at), value);

    [Fact]
    public void An_ordinary_qcow2_is_taken_with_the_size_the_guest_will_see() =>
        Assert.Equal(64 << 20, ImageInspector.Inspect(Header(), FileBytes, "qcow2"));

    [Theory]
    [InlineData("image-backing-file", 8, 0x200ul, 8)]
    [InlineData("image-data-file", 72, 4ul, 8)]
    [InlineData("image-corrupt", 72, 2ul, 8)]
    [InlineData("image-feature-unknown", 72, 1ul << 40, 8)]
    [InlineData("image-version", 4, 4ul, 4)]
    [InlineData("image-encrypted", 32, 2ul, 4)]
    [InlineData("image-size", 24, ulong.MaxValue, 8)]
    [InlineData("image-size", 24, 0ul, 8)]
    [InlineData("image-size", 24, 1000ul, 8)]
    [InlineData("image-cluster-size", 20, 63ul, 4)]
    [InlineData("image-tables", 36, 0xffff_fffful, 4)]
    [InlineData("image-tables", 56, 0xffff_fffful, 4)]
    [InlineData("image-tables", 60, 0xffff_fffful, 4)]
    [InlineData("image-short", 40, ulong.MaxValue, 8)]
    [InlineData("image-not-qcow2", 0, 0ul, 4)]
    public void A_qcow2_that_could_mislead_a_tool_is_refused_by_name(string code, int at, ulong value, int bytes)
    {
        var head = Header();
        if (bytes == 4) Put32(head, at, (uint)value);
        else Put64(head, at, value);
        var refused = Assert.Throws<RefusedException>(() => ImageInspector.Inspect(head, FileBytes, "qcow2"));
        Assert.Contains(refused.Reasons, r => r.Code == code);
    }

    [Fact]
    public void All_reasons_are_told_at_once()
    {
        var head = Header();
        Put64(head, 8, 1);
        Put64(head, 72, 4);
        var refused = Assert.Throws<RefusedException>(() => ImageInspector.Inspect(head, FileBytes, "qcow2"));
        Assert.Equal(["image-backing-file", "image-data-file"], refused.Reasons.Select(r => r.Code));
    }

    [Fact]
    public void A_qcow2_called_raw_is_refused_because_the_guest_would_see_its_header() =>
        Assert.Throws<RefusedException>(() => ImageInspector.Inspect(Header(), FileBytes, "raw"));

    [Theory]
    [InlineData(0)]
    [InlineData(513)]
    public void A_raw_disk_that_is_not_whole_sectors_is_refused(long bytes) =>
        Assert.Throws<RefusedException>(() => ImageInspector.Inspect(new byte[ImageInspector.HeadBytes], bytes, "raw"));

    [Fact]
    public void Any_bytes_are_either_taken_or_refused_and_never_anything_else()
    {
        var any = Gen.Byte.Array[0, ImageInspector.HeadBytes];
        Gen.Select(any, Gen.Int[0, 103], Gen.ULong, Gen.Long[0, 1L << 50], Gen.Bool).Sample((noise, at, value, fileBytes, ordinary) =>
        {
            var head = ordinary ? Header() : noise;
            if (head.Length >= at + 8) Put64(head, at, value);
            try { Assert.InRange(ImageInspector.Inspect(head, fileBytes, "qcow2"), 512, ImageInspector.VirtualBytesMax); }
            catch (RefusedException refused) { Assert.NotEmpty(refused.Reasons); }
        });
    }
}

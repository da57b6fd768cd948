using System.IO.Compression;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

/// <summary>
/// A live migration of QEMU 7.2.22 (pc-q35-7.2, 64 MiB, TCG, a firmware that writes to 112 pages for ever), recorded by
/// the lab's capture test.
/// </summary>
public sealed class RecordedStreamTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(13)]
    [InlineData(1 << 20)]
    public void A_recorded_live_migration_is_understood(int slice)
    {
        var stream = Recorded();
        var reader = new MigrationStreamReader(new RamTraffic(new PageAudit()));
        for (var at = 0; at < stream.Length; at += slice)
            reader.Feed(stream.AsSpan(at, Math.Min(slice, stream.Length - at)));

        Assert.Equal("", reader.PassThroughReason);
        Assert.Equal("pc-q35-7.2", reader.Configuration!.MachineType);
        Assert.Equal(64UL << 20, reader.Ram.Blocks[0].Block.UsedBytes);
        Assert.Equal(reader.Ram.ZeroPages + reader.Ram.NormalPages,
            reader.Ram.Audit!.DistinctPages + reader.Ram.Audit.RepeatedPages);
        Assert.InRange(reader.Ram.Audit.RepeatedPages, 2, 1000);
        Assert.IsType<SavedState.Complete>(SavedState.Of(reader));
        VmDescription.TryRead(reader.Description.Span, out var described);
        Assert.Equal("globalstate", described!.Devices[^1].Name);
    }

    internal static byte[] Recorded()
    {
        using var file = File.OpenRead(
            Path.Combine(RepositoryRulesTests.Root(), "tests/Godwit.Tests/Wire/Recorded/qemu-7.2.22-live.gz"));
        using var zip = new GZipStream(file, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        zip.CopyTo(bytes);
        return bytes.ToArray();
    }
}

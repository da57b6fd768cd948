using Godwit.Agent.Host;
using Xunit;

namespace Godwit.Tests.Agent.Host;

/// <summary>Looking into a real file of memory: holes are found, and stay holes.</summary>
public sealed class RealMemoryFileTests : IDisposable
{
    private readonly string path = Path.Combine(
        Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), $"godwit-look-{Guid.NewGuid():N}");

    [Fact]
    public void What_is_there_is_found_and_what_is_not_reads_as_zeros_and_stays_absent()
    {
        using (var file = File.Create(path))
        {
            file.SetLength(64 << 20);
            file.Position = 8 << 20;
            file.Write(Enumerable.Repeat((byte)7, 1 << 20).ToArray());
            file.Position = 40 << 20;
            file.Write(Enumerable.Repeat((byte)9, 4096).ToArray());
        }
        using var memory = new RealMemoryFile(path);
        Assert.Equal(64 << 20, memory.LengthBytes);
        Assert.Equal((1L << 20) + 4096, memory.AllocatedBytes);
        Assert.Equal([(8L << 20, 1L << 20), (40L << 20, 4096L)], memory.PresentRanges(10));
        Assert.Equal([(8L << 20, 56L << 20)], memory.PresentRanges(1)); // No more ranges than asked for: the rest counts as there.

        var page = new byte[4096];
        for (long at = 0; at < memory.LengthBytes; at += 1 << 20) memory.Read(at, page);
        memory.Read(8 << 20, page);
        Assert.All(page, b => Assert.Equal(7, b));
        Assert.Equal(2, memory.PresentRanges(10).Count);
        Assert.Throws<IOException>(() => memory.Read(64 << 20, page));
    }

    [Fact]
    public void Pages_are_given_to_a_file_of_ones_own_and_nothing_stays()
    {
        var directory = Directory.CreateDirectory(path).FullName;
        Assert.InRange(MemoryPages.GivenBytesPerSecond(directory), 1e6, 1e13);
        Assert.Empty(Directory.EnumerateFileSystemEntries(directory));
        Directory.Delete(directory);
        Assert.Equal(0, MemoryPages.GivenBytesPerSecond(directory));
    }

    [Fact]
    public void A_link_is_not_followed()
    {
        File.CreateSymbolicLink(path, "/etc/passwd");
        Assert.Throws<IOException>(() => new RealMemoryFile(path));
    }

    public void Dispose() => File.Delete(path);
}

using Godwit.Agent.Host;
using Xunit;

namespace Godwit.Tests.Agent.Host;

public sealed class RealDiskTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("godwit-disk-").FullName;
    private readonly RealDisk _disk = new();

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Fact]
    public async Task A_write_replaces_the_whole_old_content_and_leaves_nothing_beside_it()
    {
        var path = Path.Combine(_home, "a.json");
        await _disk.WriteDurablyAsync(path, "a long first content"u8.ToArray(), default);
        await _disk.WriteDurablyAsync(path, "short"u8.ToArray(), default);
        Assert.Equal("short"u8.ToArray(), await _disk.ReadAsync(path, 100, default));
        Assert.Equal(["a.json"], Directory.EnumerateFileSystemEntries(_home).Select(Path.GetFileName));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
    }

    [Fact]
    public async Task A_write_that_a_crash_left_half_done_is_neither_read_nor_listed()
    {
        var path = Path.Combine(_home, "a.json");
        await _disk.WriteDurablyAsync(path, "whole"u8.ToArray(), default);
        await File.WriteAllTextAsync(path + ".tmp", "ha");
        Assert.Equal("whole"u8.ToArray(), await _disk.ReadAsync(path, 100, default));
        Assert.Equal(["a.json"], _disk.List(_home));
        await _disk.WriteDurablyAsync(path, "next"u8.ToArray(), default);
        Assert.Equal("next"u8.ToArray(), await _disk.ReadAsync(path, 100, default));
    }

    [Fact]
    public async Task A_file_that_is_not_there_is_null_and_one_too_large_is_an_error()
    {
        var path = Path.Combine(_home, "b");
        Assert.Null(await _disk.ReadAsync(path, 10, default));
        Assert.Null(await _disk.ReadAsync(Path.Combine(_home, "no", "such"), 10, default));
        await _disk.WriteDurablyAsync(path, new byte[11], default);
        await Assert.ThrowsAsync<IOException>(() => _disk.ReadAsync(path, 10, default));
    }

    [Fact]
    public async Task Files_of_the_kernel_that_claim_no_length_are_read_to_their_end() =>
        Assert.NotEmpty((await _disk.ReadAsync("/proc/self/stat", 4096, default))!);

    [Fact]
    public void Deleting_twice_is_no_error_and_a_dangling_link_goes_too()
    {
        var link = Path.Combine(_home, "link");
        File.CreateSymbolicLink(link, "/nowhere/at/all");
        _disk.DeleteFile(link);
        _disk.DeleteFile(link);
        _disk.DeleteDirectory(Path.Combine(_home, "none"));
        Assert.Empty(_disk.List(_home));
    }

    [Fact]
    public async Task A_write_into_a_directory_that_is_not_there_is_an_error_not_a_silent_loss() =>
        await Assert.ThrowsAnyAsync<IOException>(() =>
            _disk.WriteDurablyAsync(Path.Combine(_home, "none", "a"), new byte[1], default));
}

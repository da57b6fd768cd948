using System.Diagnostics;
using Godwit.Agent.Host;
using Xunit;

namespace Godwit.Tests.Agent.Watchdog;

/// <summary>The device's own words, to a named pipe; and what is no watchdog is none. No real device was had (see fencing.md).</summary>
public sealed class RealWatchdogTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-watchdog-").FullName;
    private string Pipe => Path.Combine(_directory, "pipe");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_pipe_is_told_its_timeout_each_pet_and_the_end()
    {
        using var reader = Open();
        var watchdog = new RealWatchdog(Pipe);
        Assert.False(watchdog.Runs);
        Assert.Equal(TimeSpan.FromSeconds(30), watchdog.Arm(TimeSpan.FromSeconds(30)));
        Assert.Equal((true, "named pipe", false), (watchdog.Runs, watchdog.Identity, watchdog.NoWayOut));
        watchdog.Pet();
        watchdog.Pet();
        Assert.True(watchdog.TryStop());
        Assert.False(watchdog.Runs);
        Assert.Throws<IOException>(watchdog.Pet);
        Assert.Equal("timeout 30\n1\n1\nV\n", await ReadAsync(reader, 17));
    }

    [Fact]
    public void A_pipe_that_nobody_reads_is_nobody_who_watches()
    {
        Make();
        Assert.Contains("does not open", Assert.Throws<IOException>(() => new RealWatchdog(Pipe).Arm(TimeSpan.FromSeconds(30))).Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/dev/null", "is no watchdog")]
    [InlineData("/dev/godwit-has-no-such-device", "does not open")]
    public void What_is_no_watchdog_is_not_armed(string device, string why)
    {
        var watchdog = new RealWatchdog(device);
        Assert.Contains(why, Assert.Throws<IOException>(() => watchdog.Arm(TimeSpan.FromSeconds(30))).Message, StringComparison.Ordinal);
        Assert.False(watchdog.Runs);
        Assert.True(watchdog.TryStop()); // Nothing is open.
    }

    private void Make()
    {
        using var made = Process.Start("mkfifo", Pipe);
        made.WaitForExit();
        Assert.Equal(0, made.ExitCode);
    }

    /// <summary>Read and write, so that it opens without waiting and never ends.</summary>
    private FileStream Open()
    {
        Make();
        return new FileStream(Pipe, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
    }

    private static async Task<string> ReadAsync(FileStream pipe, int bytes)
    {
        var read = new byte[bytes];
        await pipe.ReadExactlyAsync(read);
        return System.Text.Encoding.ASCII.GetString(read);
    }
}

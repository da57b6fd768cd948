using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Core.Ports;
using Xunit;

namespace Godwit.Tests.Agent.Host;

/// <summary>Where guests' memory lies on a host as an agent found it: what is mounted, and what it is told of huge pages.</summary>
public sealed class HostPreparationTests
{
    private const string Vms = "/run/godwit/vms";
    private const string Own = $"mount -t tmpfs -o size=95%,mode=0711,nosuid,nodev,noexec godwit {Vms}";
    private const string Huge = $"mount -o remount,huge=advise {Vms}";
    private readonly MemoryDisk disk = new();

    [Fact]
    public async Task Under_run_guests_memory_gets_a_file_system_of_its_own_that_gives_huge_pages_to_who_asks() =>
        Assert.Equal(($"{Own}\n{Huge}", ""), await PrepareAsync("tmpfs", "/run"));

    [Fact]
    public async Task On_a_disk_too() => Assert.Equal(($"{Own}\n{Huge}", ""), await PrepareAsync("ext2/ext3", "/"));

    /// <summary>An agent that starts again, or one that is newer than the mount: guests that run keep what they have.</summary>
    [Fact]
    public async Task One_that_is_there_already_is_told_of_huge_pages_and_never_covered()
    {
        disk.Touch($"{Vms}/vm-0123456789ab/ram-1");
        Assert.Equal((Huge, ""), await PrepareAsync("tmpfs", Vms, source: "godwit"));
    }

    [Theory]
    [InlineData("tmpfs", Vms)]
    [InlineData("hugetlbfs", Vms)]
    [InlineData("tmpfs", "/run/godwit")]
    [InlineData("hugetlbfs", "/run/godwit")]
    public async Task What_somebody_else_mounted_is_left_as_it_is(string fileSystem, string mountPoint) =>
        Assert.Equal(("", ""), await PrepareAsync(fileSystem, mountPoint));

    [Fact]
    public async Task Never_over_guests_that_run()
    {
        disk.Touch($"{Vms}/vm-0123456789ab/ram-1");
        Assert.Equal(("", ""), await PrepareAsync("tmpfs", "/run"));
    }

    [Fact]
    public async Task A_kernel_without_huge_pages_is_told_of_and_guests_run_there()
    {
        var (_, notes) = await PrepareAsync("tmpfs", "/run", words => words.Contains("huge=", StringComparison.Ordinal));
        Assert.Equal($"guest memory lies in small pages, guests and moves are slower: {Vms} takes no huge=advise (no)", notes);
    }

    [Fact]
    public async Task Where_nothing_can_be_mounted_it_lies_where_it_is_and_that_is_told()
    {
        var (mounts, notes) = await PrepareAsync("ext2/ext3", "/", _ => true);
        Assert.Equal(Own, mounts);
        Assert.Equal($"guest memory lies on disk: {Vms} is not on tmpfs and mounting one failed (no)", notes);
    }

    /// <param name="refuses">Mounts, as typed.</param>
    /// <param name="source">What is mounted there, as its mount says.</param>
    /// <returns>Mounts as typed and notes, one a line.</returns>
    private async Task<(string Mounts, string Notes)> PrepareAsync(
        string fileSystem, string mountPoint, Func<string, bool>? refuses = null, string source = "none")
    {
        var processes = new ListeningProcesses(command => command switch
        {
            { Program: "stat" } => new CommandResult(0, command.Arguments.Contains("-f") ? fileSystem : mountPoint, ""),
            { Program: "findmnt" } when mountPoint == Vms => new CommandResult(0, $"{source} {fileSystem}\n", ""),
            { Program: "findmnt" } => new CommandResult(1, "", ""),
            { Program: "mount" } when refuses?.Invoke(Typed(command)) == true => new CommandResult(32, "", "no"),
            _ => new CommandResult(0, "", ""),
        });
        var layout = new HostLayout
        {
            RunDirectory = "/run/godwit", StateDirectory = "/var/lib/godwit", QemuPaths = [], Pools = new Dictionary<string, PoolPlace>(),
        };
        var notes = await new HostPreparation(processes, disk, layout).PrepareAsync(default);
        return (string.Join('\n', processes.Heard.Where(c => c.Program == "mount").Select(Typed)),
            string.Join('\n', notes.Where(note => note.StartsWith("guest memory", StringComparison.Ordinal)))); // For taps it looks here.

        static string Typed(Command command) => string.Join(' ', command.Arguments.Prepend(command.Program));
    }
}

using Godwit.Agent.Machines;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// What an agent sets right on its host before the first VM: memory-backed space for guest RAM, and a tap device
/// unprivileged QEMUs may open. Safe to repeat at every start.
/// </summary>
public sealed class HostPreparation(IProcesses processes, IDisk disk, HostLayout layout)
{
    private const string TunDevice = "/dev/net/tun";
    /// <summary>By which a mount of ours is known.</summary>
    private const string Source = "godwit";
    private static readonly TimeSpan CommandTimeout = TimeSpan.FromSeconds(20);

    /// <summary>What works only in part here, one sentence each.</summary>
    public async Task<IReadOnlyList<string>> PrepareAsync(CancellationToken cancel)
    {
        List<string> notes = [];
        disk.CreateDirectory(VmHome.VmsIn(layout.StateDirectory));
        disk.CreateDirectory(VmHome.VmsIn(layout.RunDirectory));
        if (await MemorySpaceAsync(cancel) is { } noMemory) notes.Add(noMemory);
        disk.DeleteLeftAside(VmHome.VmsIn(layout.RunDirectory));
        if (await OpenTunAsync(cancel) is { } noTun) notes.Add(noTun);
        return notes;
    }

    /// <summary>True for the file systems that keep files in memory: what guest RAM must lie on.</summary>
    public static bool IsMemoryBacked(string fileSystem) => fileSystem is "tmpfs" or "ramfs" or "hugetlbfs";

    /// <summary>
    /// A file system of its own, also where /run is in memory: that is sized for sockets, 10 to 20 % of it. Never over VMs
    /// that are there: a mount would hide the sockets and the memory of guests that run.
    /// </summary>
    private async Task<string?> MemorySpaceAsync(CancellationToken cancel)
    {
        var vms = VmHome.VmsIn(layout.RunDirectory);
        if (IsMemoryBacked(await StatAsync(["-f", "-c", "%T"], vms, cancel))
            && (disk.List(vms).Count > 0 || await StatAsync(["-c", "%m"], vms, cancel) != "/run"))
            return await IsOwnAsync(vms, cancel) ? await HugePagesAsync(vms, cancel) : null;
        // The size is a ceiling, not a reservation: admission counts memory, not this.
        var mounted = await MountAsync(["-t", "tmpfs", "-o", "size=95%,mode=0711,nosuid,nodev,noexec", Source, vms], cancel);
        return mounted.ExitCode == 0 ? await HugePagesAsync(vms, cancel)
            : $"guest memory lies on disk: {vms} is not on tmpfs and mounting one failed ({mounted.Error.Trim()})";
    }

    private async Task<bool> IsOwnAsync(string vms, CancellationToken cancel) => (await processes.RunAsync(
        new Command("findmnt", ["-rno", "SOURCE,FSTYPE", "--mountpoint", vms]), CommandTimeout, cancel)).Output.Trim() == $"{Source} tmpfs";

    /// <summary>
    /// For who asks for them (madvise), as QEMU does. Not for all: memory that arrives is written page by page, and must have holes where
    /// nothing was written yet (tmpfs(5), <c>huge=</c>).
    /// </summary>
    private async Task<string?> HugePagesAsync(string vms, CancellationToken cancel)
    {
        var mounted = await MountAsync(["-o", "remount,huge=advise", vms], cancel);
        return mounted.ExitCode == 0 ? null
            : $"guest memory lies in small pages, guests and moves are slower: {vms} takes no huge=advise ({mounted.Error.Trim()})";
    }

    private Task<CommandResult> MountAsync(string[] words, CancellationToken cancel) =>
        processes.RunAsync(new Command("mount", words), CommandTimeout, cancel);

    private async Task<string> StatAsync(string[] what, string path, CancellationToken cancel) =>
        (await processes.RunAsync(new Command("stat", [.. what, "--", path]), CommandTimeout, cancel)).Output.Trim();

    /// <summary>
    /// Everywhere else udev gives the device to all (mode 0666): opening it allows nothing without ownership of a tap.
    /// </summary>
    private async Task<string?> OpenTunAsync(CancellationToken cancel)
    {
        if (!File.Exists(TunDevice)) return $"{TunDevice} is missing: VMs with network cannot start ('modprobe tun')";
        const UnixFileMode forAll = UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
        if ((File.GetUnixFileMode(TunDevice) & forAll) == forAll) return null;
        var changed = await processes.RunAsync(new Command("chmod", ["0666", TunDevice]), CommandTimeout, cancel);
        return changed.ExitCode == 0 ? null : $"{TunDevice} cannot be opened by VMs: {changed.Error.Trim()}";
    }
}

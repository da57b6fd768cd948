using Godwit.Cli.Lab;

namespace Godwit.LabTests.Faults;

/// <summary>
/// One directory of a process on a small file system of its own for the time of a test, so that it can be full or
/// read-only. The process is killed and started again around the change.
/// </summary>
internal sealed class SmallDisk : IAsyncDisposable
{
    private const int BlockBytes = 4096;
    private readonly FaultLab lab;
    private readonly LabService service;
    private readonly string directory;
    private bool isReadOnly, isFrozen;
    private string? image;

    private SmallDisk(FaultLab lab, LabService service, string directory) =>
        (this.lab, this.service, this.directory) = (lab, service, directory);

    private string Filler => Path.Combine(directory, "filler");

    /// <param name="size">As tmpfs writes it: <c>4m</c>.</param>
    public static async Task<SmallDisk> UnderAsync(FaultLab lab, LabService service, string directory, string size)
    {
        var disk = new SmallDisk(lab, service, directory);
        await disk.ExchangeAsync(["mount", "-t", "tmpfs", "-o", $"size={size},mode=711", "tmpfs", directory]);
        return disk;
    }

    /// <summary>A real file system, which can hang: below it is a file in memory.</summary>
    public static async Task<SmallDisk> Ext4UnderAsync(FaultLab lab, LabService service, string directory)
    {
        var disk = new SmallDisk(lab, service, directory) { image = $"{lab.Cluster.Plan.RunDirectory}/{service.Name}.ext4" };
        await LabShell.RunAsync(["truncate", "-s", "32M", disk.image]);
        await LabShell.RunAsync(["mkfs.ext4", "-q", disk.image]);
        await disk.ExchangeAsync(["mount", "-o", "loop", disk.image, directory]);
        await LabShell.RunAsync(["chmod", "711", directory]);
        return disk;
    }

    /// <summary>From now on nothing that is written comes back; what is read does.</summary>
    public async Task FreezeAsync()
    {
        await LabShell.RunAsync(["fsfreeze", "--freeze", directory]);
        isFrozen = true;
    }

    public async Task ThawAsync()
    {
        if (!isFrozen) return;
        await LabShell.RunAsync(["fsfreeze", "--unfreeze", directory]);
        isFrozen = false;
    }

    /// <summary>Not one more block fits.</summary>
    public void Fill()
    {
        using var filler = new FileStream(Filler, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        var block = new byte[BlockBytes];
        try
        {
            while (true) filler.Write(block);
        }
        catch (IOException) { } // Full.
    }

    public void Free() => File.Delete(Filler);

    /// <summary>
    /// Also where files are open for writing, which a remount refuses: a read-only view of the directory is laid over it,
    /// where the process is.
    /// </summary>
    public async Task MakeReadOnlyAsync()
    {
        await InsideAsync("mount", "--bind", directory, directory);
        await InsideAsync("mount", "-o", "remount,bind,ro", directory);
        isReadOnly = true;
    }

    public async Task MakeWritableAsync()
    {
        if (!isReadOnly) return;
        await InsideAsync("umount", directory);
        isReadOnly = false;
    }

    private Task<string> InsideAsync(params IReadOnlyList<string> command) =>
        LabShell.RunAsync(["nsenter", "-t", $"{service.Pid}", "-m", .. command]);

    public async ValueTask DisposeAsync()
    {
        await ThawAsync();
        await MakeWritableAsync();
        Free();
        await ExchangeAsync(["umount", directory]);
        if (image is not null) File.Delete(image);
    }

    /// <summary>What is in the directory stays in it.</summary>
    private async Task ExchangeAsync(IReadOnlyList<string> mounting)
    {
        await service.KillAsync();
        var aside = $"{directory}.aside";
        await LabShell.RunAsync(["cp", "-a", directory, aside]);
        await LabShell.RunAsync(mounting);
        await LabShell.RunAsync(["cp", "-a", $"{aside}/.", directory]);
        await LabShell.RunAsync(["rm", "-rf", aside]);
        await lab.StartAsync(service);
    }
}

namespace Godwit.Cli.Lab;

/// <summary>The repository's <c>lab/</c>, and what its script makes in <c>lab/cache/</c>.</summary>
public sealed record LabFolder(string Path)
{
    private static readonly TimeSpan BuildMax = TimeSpan.FromMinutes(10);

    /// <summary>A bootable qcow2 image with the guest that proves its own continuity.</summary>
    public string Template => System.IO.Path.Combine(Path, "cache", "template.qcow2");
    /// <summary>The same guest with Debian's PostgreSQL beside it.</summary>
    public string Database => System.IO.Path.Combine(Path, "cache", "database.qcow2");
    public string Prober => System.IO.Path.Combine(Path, "cache", "prober");

    /// <exception cref="LabException">Not run from inside the repository.</exception>
    public static LabFolder Find()
    {
        for (var at = new DirectoryInfo(AppContext.BaseDirectory); at is not null; at = at.Parent)
            if (File.Exists(System.IO.Path.Combine(at.FullName, "lab", "build-guest.sh")))
                return new LabFolder(System.IO.Path.Combine(at.FullName, "lab"));
        throw new LabException(
            "the lab's own files (lab/build-guest.sh) are not above this program: run ./godwit from the repository.");
    }

    /// <summary>A newer QEMU than the machine's own, fetched (some 40 MB) where it is not in the cache yet.</summary>
    /// <exception cref="LabException">No Debian mirror can be reached, or it has no such QEMU.</exception>
    public async Task<string> FetchNewerQemuAsync(CancellationToken cancel) => (await LabShell.RunAsync(
        [System.IO.Path.Combine(Path, "fetch-qemu10.sh")], deadline: BuildMax, cancel: cancel)).Trim();

    /// <summary>The same, as the uids of VMs can run it.</summary>
    /// <param name="below">Where it is copied if the repository lies in a directory that others may not pass.</param>
    public async Task<string> NewerQemuAsync(string below, CancellationToken cancel)
    {
        var program = await FetchNewerQemuAsync(cancel);
        if (OthersMayPass(program)) return program;

        var home = System.IO.Path.GetFullPath(System.IO.Path.Combine(program, "..", ".."));
        await LabShell.RunAsync(["cp", "-a", home, below], cancel: cancel);
        return System.IO.Path.Combine(below, System.IO.Path.GetFileName(home), "bin", System.IO.Path.GetFileName(program));
    }

    private static bool OthersMayPass(string file)
    {
        for (var at = new FileInfo(file).Directory; at is not null; at = at.Parent)
            if (!at.UnixFileMode.HasFlag(UnixFileMode.OtherExecute)) return false;
        return true;
    }

    /// <summary>Makes guest and prober where they are not up to date; safe beside another that does the same.</summary>
    public Task BuildAsync(CancellationToken cancel) =>
        LabShell.RunAsync([System.IO.Path.Combine(Path, "build-guest.sh")], deadline: BuildMax, cancel: cancel);

    /// <summary>Makes <see cref="Database"/> where it is not up to date (some 70 MB of packages are fetched once).</summary>
    public Task BuildDatabaseAsync(CancellationToken cancel) =>
        LabShell.RunAsync([System.IO.Path.Combine(Path, "build-guest.sh"), "database"], deadline: BuildMax, cancel: cancel);
}

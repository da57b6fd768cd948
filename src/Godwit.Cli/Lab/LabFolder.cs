namespace Godwit.Cli.Lab;

/// <summary>The repository's <c>lab/</c>, and what its script makes in <c>lab/cache/</c>.</summary>
public sealed record LabFolder(string Path)
{
    private static readonly TimeSpan BuildMax = TimeSpan.FromMinutes(10);

    /// <summary>A bootable qcow2 image with the guest that proves its own continuity.</summary>
    public string Template => System.IO.Path.Combine(Path, "cache", "template.qcow2");
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

    /// <summary>Makes guest and prober where they are not up to date; safe beside another that does the same.</summary>
    public Task BuildAsync(CancellationToken cancel) =>
        LabShell.RunAsync([System.IO.Path.Combine(Path, "build-guest.sh")], deadline: BuildMax, cancel: cancel);
}

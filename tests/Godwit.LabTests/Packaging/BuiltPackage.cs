using Godwit.Cli.Lab;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Packaging;

[CollectionDefinition(Name)]
public sealed class PackageCollection : ICollectionFixture<BuiltPackage>
{
    public const string Name = "package";
}

/// <summary>Built once for all tests of it, and removed after them.</summary>
public sealed class BuiltPackage : IAsyncLifetime
{
    private static readonly TimeSpan buildMax = TimeSpan.FromMinutes(9);

    public string Work { get; } = Directory.CreateTempSubdirectory("godwit-package-").FullName;
    public string File { get; private set; } = "";
    public string Unpacked => Path.Combine(Work, "unpacked");
    public string Godwit => Path.Combine(Unpacked, "usr/bin/godwit");

    public async Task InitializeAsync()
    {
        if (PackageFactAttribute.WhyNot is not null) return;
        var script = Path.Combine(Path.GetDirectoryName(LabFolder.Find().Path)!, "eng", "package.sh");
        File = (await LabShell.RunAsync([script, "--quick"], deadline: buildMax)).TrimEnd().Split('\n')[^1];
        await LabShell.RunAsync(["dpkg-deb", "--extract", File, Unpacked]);
    }

    public Task DisposeAsync()
    {
        Directory.Delete(Work, recursive: true);
        return Task.CompletedTask;
    }
}

/// <summary>
/// Publishes everything and builds a package of it, which takes minutes: by <c>./test --package</c>, not with the others.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PackageFactAttribute : FactAttribute
{
    public PackageFactAttribute() => Skip = WhyNot;

    internal static string? WhyNot => RealQemuFactAttribute.WhyNot
        ?? (Environment.GetEnvironmentVariable("GODWIT_PACKAGE") == "1" ? null : "runs by ./test --package");
}

namespace Godwit.Cli.Commands;

/// <summary>A file with a private key in it: only its owner may ever read it, also while it is written.</summary>
internal static class BundleFile
{
    public static async Task WriteAsync(string path, byte[] content, CancellationToken cancel)
    {
        File.Delete(path); // An older file keeps its mode: the new one must not inherit it.
        await using var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        await file.WriteAsync(content, cancel);
    }
}

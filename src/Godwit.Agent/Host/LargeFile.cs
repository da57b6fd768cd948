using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>A large file under a temporary name until it is whole and durable.</summary>
internal sealed class LargeFile : ILargeFile
{
    private const int BufferBytes = 1 << 20;
    private readonly string path;
    private readonly string temporary;
    private readonly FileStream file;
    private bool committed;

    public LargeFile(string path, string temporaryEnd)
    {
        (this.path, temporary) = (path, path + temporaryEnd);
        file = new FileStream(temporary, new FileStreamOptions
        {
            Mode = FileMode.Create, Access = FileAccess.Write, Share = FileShare.None, BufferSize = BufferBytes,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
    }

    public Stream Content => file;

    public async Task CommitAsync()
    {
        await file.FlushAsync();
        await Task.Run(() => RandomAccess.FlushToDisk(file.SafeFileHandle));
        File.Move(temporary, path, overwrite: false);
        committed = true;
        RealDisk.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    public async ValueTask DisposeAsync()
    {
        await file.DisposeAsync();
        if (!committed) File.Delete(temporary);
    }
}

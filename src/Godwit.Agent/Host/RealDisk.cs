using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// Durable small files on a Linux file system. A write is: temporary file, fsync, rename, fsync of the directory; so a
/// reader sees the old content or the new one, and after return a power cut keeps the new one.
/// </summary>
public sealed class RealDisk : IDisk
{
    private const string TemporaryEnd = ".tmp";
    private const UnixFileMode FileMode600 = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Directory700 = FileMode600 | UnixFileMode.UserExecute;
    /// <summary>VM uids must reach their own directory below ours, and see nothing on the way.</summary>
    private const UnixFileMode Directory711 = Directory700 | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    public Task WriteDurablyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancel) =>
        Task.Run(() => WriteDurably(path, content.Span), cancel);

    public async Task<byte[]?> ReadAsync(string path, int bytesMax, CancellationToken cancel)
    {
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        }
        catch (Exception absent) when (absent is FileNotFoundException or DirectoryNotFoundException) { return null; }
        await using (file)
        {
            // To the end, not to Length: files of /proc and /sys have no length.
            using var content = new MemoryStream();
            var block = new byte[16 << 10];
            while (true)
            {
                var read = await file.ReadAsync(block, cancel);
                if (read == 0) return content.ToArray();
                if (content.Length + read > bytesMax) throw new IOException($"{path} has more than {bytesMax} bytes");
                content.Write(block, 0, read);
            }
        }
    }

    public IReadOnlyList<string> List(string directory)
    {
        try
        {
            var names = Directory.EnumerateFileSystemEntries(directory).Select(p => Path.GetFileName(p)!)
                .Where(n => !n.EndsWith(TemporaryEnd, StringComparison.Ordinal)).ToList();
            names.Sort(StringComparer.Ordinal);
            return names;
        }
        catch (DirectoryNotFoundException) { return []; }
    }

    public long? SizeOf(string path)
    {
        var file = new FileInfo(path);
        return file.Exists && file.LinkTarget is null ? file.Length : null;
    }

    public void CreateDirectory(string path)
    {
        if (Directory.Exists(path)) return;
        Directory.CreateDirectory(path, Directory711);
        SyncParent(path);
    }

    public Task CreateDirectoryAsync(string path) =>
        Directory.Exists(path) ? Task.CompletedTask : Task.Run(() => CreateDirectory(path));

    public void CreateOwnedDirectory(string path, int ownerUid)
    {
        CreateDirectory(Path.GetDirectoryName(path)!);
        Directory.CreateDirectory(path, Directory700);
        File.SetUnixFileMode(path, Directory700);
        if (Libc.LChown(path, ownerUid, ownerUid) != 0)
            throw new IOException($"{path} could not be given to uid {ownerUid}: {Libc.LastError()}");
        SyncParent(path);
    }

    public void Touch(string path) =>
        File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete).Dispose();

    public void DeleteFile(string path)
    {
        if (!Path.Exists(path) && new FileInfo(path).LinkTarget is null) return;
        File.Delete(path);
        SyncParent(path); // A record that comes back after a power cut would claim a VM that has moved away.
    }

    /// <summary>
    /// The kernel takes 85 ms to free 512 MiB, and whoever removes the file's directory waits for that too: so the file
    /// leaves its directory first. One that a crash leaves aside is removed by <see cref="HostPreparation"/>.
    /// </summary>
    public void DeleteMemory(string path)
    {
        var aside = Path.Combine(Path.GetDirectoryName(path)!, "..", $".{Guid.NewGuid():N}{TemporaryEnd}");
        try { File.Move(path, aside); }
        catch (Exception absent) when (absent is FileNotFoundException or DirectoryNotFoundException) { return; }
        _ = Task.Factory.StartNew(() => File.Delete(aside), TaskCreationOptions.LongRunning);
    }

    public void DeleteLeftAside(string directory)
    {
        foreach (var aside in Directory.EnumerateFiles(directory, ".*" + TemporaryEnd)) File.Delete(aside);
    }

    public void DeleteDirectory(string path)
    {
        if (!Directory.Exists(path)) return;
        Directory.Delete(path, recursive: true);
        SyncParent(path);
    }

    public Task<ILargeFile> CreateLargeAsync(string path, CancellationToken cancel)
    {
        if (Path.Exists(path)) throw new IOException($"{path} exists already");
        return Task.FromResult<ILargeFile>(new LargeFile(path, TemporaryEnd));
    }

    public Task<Stream> OpenLargeAsync(string path, CancellationToken cancel)
    {
        if (new FileInfo(path).LinkTarget is not null) throw new IOException($"{path} is a symbolic link; it is not followed");
        return Task.FromResult<Stream>(new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.Open, Access = FileAccess.Read, Share = FileShare.Read, BufferSize = 1 << 20,
            Options = FileOptions.Asynchronous | FileOptions.SequentialScan,
        }));
    }

    public string FileSystemOf(string directory) => new DriveInfo(directory).DriveFormat;

    public Task PopulateAsync(string path, CancellationToken cancel) => Task.Factory.StartNew(() =>
    {
        try { MemoryPages.Populate(path, cancel); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException) { } // A hint: no harm done.
    }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public double GivenBytesPerSecond(string directory) => MemoryPages.GivenBytesPerSecond(directory);

    public string? WhyNotByThePage(string directory) => MemoryPages.WhyNotByThePage(directory);

    public IMemoryFile OpenMemory(string path, bool toFill = false) => new RealMemoryFile(path, toFill);

    public Task PublishAsync(string from, string to, int ownerUid, UnixFileMode mode, CancellationToken cancel) =>
        Task.Run(() =>
        {
            File.SetUnixFileMode(from, mode);
            if (Libc.LChown(from, ownerUid, ownerUid) != 0)
                throw new IOException($"{from} could not be given to uid {ownerUid}: {Libc.LastError()}");
            Sync(from, Libc.OpenNoFollow);
            File.Move(from, to, overwrite: false);
            SyncParent(to);
        }, cancel);

    public Task<string?> WhyNotOpenableAsync(string path, int uid, bool write, CancellationToken cancel) =>
        OpenAsUid.WhyNotAsync(path, uid, write).WaitAsync(cancel);

    private static void WriteDurably(string path, ReadOnlySpan<byte> content)
    {
        var temporary = path + TemporaryEnd;
        var options = new FileStreamOptions
        {
            Mode = FileMode.Create, Access = FileAccess.Write, Share = FileShare.None,
            BufferSize = 0, UnixCreateMode = FileMode600,
        };
        using (var file = new FileStream(temporary, options))
        {
            RandomAccess.Write(file.SafeFileHandle, content, 0);
            RandomAccess.FlushToDisk(file.SafeFileHandle);
        }
        File.Move(temporary, path, overwrite: true);
        SyncParent(path);
    }

    private static void SyncParent(string path) => SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);

    /// <summary>.NET opens no directories, so this goes to the C library.</summary>
    internal static void SyncDirectory(string directory) => Sync(directory, Libc.OpenDirectory);

    private static void Sync(string path, int openFlags)
    {
        var descriptor = Libc.Open(path, Libc.OpenReadOnly | openFlags | Libc.OpenCloseOnExec);
        if (descriptor < 0) throw new IOException($"{path} could not be opened: {Libc.LastError()}");
        try
        {
            if (Libc.Fsync(descriptor) != 0) throw new IOException($"{path} could not be synced: {Libc.LastError()}");
        }
        finally { _ = Libc.Close(descriptor); }
    }
}

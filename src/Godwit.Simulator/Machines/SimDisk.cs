using System.Text;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Machines;

/// <summary>
/// One host's files. What a process sees and what survives a power cut are kept apart: a write is both at once (that
/// is the port's promise), a deletion survives only once its directory was synced. A cut in the middle of a write
/// leaves the old content or the new, by the seed.
/// </summary>
public sealed class SimDisk(SimHost host) : IDisk
{
    private sealed record Pending(string Path, byte[] Content);

    private static readonly string[] Volatile = ["/run/", "/sys/", "/proc/", "/dev/"];
    private readonly SortedDictionary<string, byte[]> _seen = new(StringComparer.Ordinal);
    private readonly Dictionary<string, byte[]> _durable = [];
    private readonly HashSet<string> _directories = ["/", "/run", "/sys", "/proc", "/dev", "/pool", SimStorage.Directory];
    private readonly List<Pending> _pending = [];
    private readonly SimRandom _random = SimRandom.Fork(host.Loop.Seed, $"disk {host.Name}");
    private readonly List<(SimContext? Writer, Action Go)> _hung = [];
    private int _powerCuts;
    private bool _hangs;

    /// <summary>So many of the next writes fail with EIO. Of those some were seen before they failed: fsync came last.</summary>
    public int FailingWrites { get; set; }
    public bool IsFull { get; set; }
    public bool IsReadOnly { get; set; }
    /// <summary>
    /// Writes to the host's own disk do not come back until it answers again; some of them can be read by then. The writes of a
    /// process that was killed meanwhile reach the disk then, or do not.
    /// </summary>
    public bool Hangs
    {
        get => _hangs;
        set
        {
            _hangs = value;
            if (value) return;
            foreach (var (_, go) in _hung) host.Loop.After(_random.NextTime(WriteTimeMin, WriteTimeMax), go);
            _hung.Clear();
        }
    }

    /// <summary>A killed process is not gone while a write of it hangs in the kernel.</summary>
    public bool HoldsTheDead => _hung.Any(h => h.Writer is { IsDead: true });
    public TimeSpan WriteTimeMin { get; set; } = TimeSpan.FromMicroseconds(300);
    public TimeSpan WriteTimeMax { get; set; } = TimeSpan.FromMilliseconds(4);

    /// <summary>Of each read from a large file: an image, a saved state.</summary>
    public TimeSpan LargeReadTime { get; set; } = TimeSpan.FromMilliseconds(0.5);
    public bool LargeReadsFail { get; set; }
    /// <summary>As a pool whose server takes this host's root for nobody.</summary>
    public bool RefusesNames { get; set; }
    /// <summary>As a tmpfs that gives huge pages to who does not ask.</summary>
    public string? BringsOtherPages { get; set; }
    public string? WhyNotByThePage(string directory) => BringsOtherPages;

    public IMemoryFile OpenMemory(string path, bool toFill = false) =>
        host.RamFiles.TryGetValue(path, out var ram) && ram.MappedBy.Count > 0
        ? new SimMemoryFile(ram.MappedBy.FirstOrDefault(qemu => qemu.IsRunning) ?? ram.MappedBy[^1])
        : throw new FileNotFoundException("No such file or directory", path);

    public void BeSlow(bool slow) => WriteTimeMax = slow ? TimeSpan.FromSeconds(3) : TimeSpan.FromMilliseconds(4);

    public async Task WriteDurablyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        DemandDirectoryOf(path);
        if (IsReadOnly) throw new IOException($"Read-only file system : '{path}'");
        if (IsFull) throw new IOException($"No space left on device : '{path}'");
        var pending = new Pending(path, content.ToArray());
        _pending.Add(pending);
        var written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var (writer, cuts) = (SimContext.Running, _powerCuts);
        host.Loop.After(_random.NextTime(WriteTimeMin, WriteTimeMax), Arrive);
        await written.Task;

        void Arrive()
        {
            if (cuts != _powerCuts) return;
            if (Hangs && !IsVolatile(path) && !SimStorage.Holds(path))
            {
                if (_random.Chance(0.3)) _seen[path] = pending.Content; // Renamed: only the sync of the directory hangs.
                _hung.Add((writer, Arrive));
                return;
            }
            _pending.Remove(pending);
            if (writer is { IsDead: true } && _random.Chance(0.5)) return; // Killed before the rename.
            if (FailingWrites > 0) written.SetException(Failed(pending));
            else
            {
                Put(pending);
                written.SetResult();
            }
        }
    }

    public async Task<byte[]?> ReadAsync(string path, int bytesMax, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        cancel.ThrowIfCancellationRequested();
        await Task.Yield();
        if (Find(path) is not { } content) return null;
        if (content.Length > bytesMax) throw new IOException($"{path} has {content.Length} bytes, more than {bytesMax}");
        return [.. content];
    }

    public IReadOnlyList<string> List(string directory)
    {
        host.Loop.DemandLoopThread();
        var prefix = directory.TrimEnd('/') + "/";
        return [.. _seen.Keys.Concat(_directories).Concat(host.UnixSockets.Keys).Concat(host.RamFiles.Keys).Concat(host.Storage.Paths)
            .Where(p => p.Length > prefix.Length && p.StartsWith(prefix, StringComparison.Ordinal))
            .Select(p => p[prefix.Length..].Split('/')[0]).Distinct().Order(StringComparer.Ordinal)];
    }

    public long? SizeOf(string path)
    {
        host.Loop.DemandLoopThread();
        return Find(path)?.Length ?? host.Storage.Find(path)?.Bytes ?? (host.RamFiles.ContainsKey(path) ? 0 : null);
    }

    public void CreateDirectory(string path)
    {
        host.Loop.DemandLoopThread();
        if (IsReadOnly && !IsVolatile(path)) throw new IOException($"Read-only file system : '{path}'");
        for (var at = path.TrimEnd('/'); at.Length > 0; at = at[..at.LastIndexOf('/')]) _directories.Add(at);
    }

    public async Task CreateDirectoryAsync(string path)
    {
        if (Hangs && !IsVolatile(path) && !_directories.Contains(path))
        {
            var answers = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _hung.Add((SimContext.Running, answers.SetResult));
            await answers.Task;
        }
        CreateDirectory(path);
    }

    public void CreateOwnedDirectory(string path, int ownerUid) => CreateDirectory(path);

    public void Touch(string path)
    {
        host.Loop.DemandLoopThread();
        DemandDirectoryOf(path);
        if (IsReadOnly && !IsVolatile(path)) throw new IOException($"Read-only file system : '{path}'");
        _seen.TryAdd(path, []);
    }

    public void DeleteFile(string path)
    {
        host.Loop.DemandLoopThread();
        _seen.Remove(path);
        host.Storage.Files.Remove(path);
        host.UnixSockets.Remove(path);
        host.RamFiles.Remove(path); // Processes that map it keep it.
        host.Storage.Delete(path);
    }

    public void DeleteDirectory(string path)
    {
        host.Loop.DemandLoopThread();
        var prefix = path.TrimEnd('/') + "/";
        foreach (var file in _seen.Keys.Concat(host.UnixSockets.Keys).ToList())
            if (file.StartsWith(prefix, StringComparison.Ordinal)) DeleteFile(file);
        _directories.RemoveWhere(d => (d + "/").StartsWith(prefix, StringComparison.Ordinal));
    }

    public async Task PublishAsync(string from, string to, int ownerUid, UnixFileMode mode, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        if (RefusesNames) throw new UnauthorizedAccessException($"Access to the path '{from}' is denied.");
        if (SizeOf(to) is not null) throw new IOException($"The file '{to}' already exists.");
        if (Find(from) is { } content)
        {
            await WriteDurablyAsync(to, content, cancel);
            DeleteFile(from);
        }
        else if (!host.Storage.Rename(from, to)) throw new FileNotFoundException($"Could not find file '{from}'.", from);
    }

    /// <summary>There is one owner of everything here: a file opens when it is there.</summary>
    public async Task<string?> WhyNotOpenableAsync(string path, int uid, bool write, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        await Task.Yield();
        return SizeOf(path) is null ? "No such file or directory" : write && IsReadOnly ? "Read-only file system" : null;
    }

    public Task<ILargeFile> CreateLargeAsync(string path, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        DemandDirectoryOf(path);
        if (IsFull) throw new IOException($"No space left on device : '{path}'");
        return Task.FromResult<ILargeFile>(new LargeFile(this, path));
    }

    public Task<Stream> OpenLargeAsync(string path, CancellationToken cancel)
    {
        host.Loop.DemandLoopThread();
        if (Find(path) is not { } content) throw new FileNotFoundException($"Could not find file '{path}'.", path);
        return Task.FromResult<Stream>(new SimLargeFile(host, content));
    }

    /// <summary>Kept in memory until it is committed; a simulated image is small.</summary>
    private sealed class LargeFile(SimDisk disk, string path) : ILargeFile
    {
        private readonly MemoryStream _content = new();

        public Stream Content => _content;
        public Task CommitAsync() => disk.WriteDurablyAsync(path, _content.ToArray(), CancellationToken.None);
        public ValueTask DisposeAsync() => _content.DisposeAsync();
    }

    /// <summary>As a program other than the agent writes: seen at once, durable never.</summary>
    public void AppendAsProgram(string path, ReadOnlySpan<byte> content)
    {
        var before = _seen.GetValueOrDefault(path) ?? [];
        _seen[path] = [.. before, .. content];
    }

    /// <summary>Set, not appended: files of /proc and /sys.</summary>
    internal void Show(string path, string content)
    {
        CreateDirectory(path[..path.LastIndexOf('/')]);
        _seen[path] = Encoding.ASCII.GetBytes(content);
    }

    /// <summary>What is seen there, for a look from above.</summary>
    internal byte[]? Look(string path) => Find(path);

    internal void DemandDirectoryOf(string path)
    {
        var directory = path[..path.LastIndexOf('/')];
        if (!_directories.Contains(directory.Length == 0 ? "/" : directory))
            throw new DirectoryNotFoundException($"Could not find a part of the path '{path}'.");
    }

    internal void LosePower()
    {
        _powerCuts++;
        foreach (var pending in _pending)
            if (_random.Chance(0.5)) _durable[pending.Path] = pending.Content;
        _pending.Clear();
        _hung.Clear();

        var deleted = _durable.Keys.Where(p => !_seen.ContainsKey(p)).Order(StringComparer.Ordinal);
        foreach (var path in deleted.ToList())
            if (_random.Chance(0.5)) _durable.Remove(path); // Its directory happened to reach the disk.
        foreach (var path in _seen.Keys.Where(p => !p.StartsWith("/proc/", StringComparison.Ordinal)).ToList()) _seen.Remove(path);
        foreach (var (path, content) in _durable.Where(f => !IsVolatile(f.Key))) _seen[path] = content;
        _directories.RemoveWhere(d => d.StartsWith("/run/", StringComparison.Ordinal));
    }

    private byte[]? Find(string path) => (SimStorage.Holds(path) ? host.Storage.Files : _seen).GetValueOrDefault(path);

    private void Put(Pending write)
    {
        if (SimStorage.Holds(write.Path))
        {
            host.Storage.Files[write.Path] = write.Content;
            return;
        }
        Tell(write);
        _seen[write.Path] = write.Content;
        _durable[write.Path] = write.Content;
        var directory = write.Path[..(write.Path.LastIndexOf('/') + 1)];
        foreach (var path in _durable.Keys.Where(p => !_seen.ContainsKey(p)).ToList())
            if (path[..(path.LastIndexOf('/') + 1)] == directory) _durable.Remove(path); // This write synced the directory.
    }

    /// <summary>Journal writes are moments worth a line.</summary>
    private void Tell(Pending write)
    {
        const string Moves = "/moves/", Owner = "/owner.json", Mark = "\"Mark\": \"";
        if (write.Path.EndsWith(Owner, StringComparison.Ordinal)) host.Loop.Trace(host.Name, $"synced owner {write.Path}");
        if (write.Path.LastIndexOf(Moves, StringComparison.Ordinal) is var at && at < 0) return;
        var text = Encoding.UTF8.GetString(write.Content);
        var mark = text.IndexOf(Mark, StringComparison.Ordinal) is var from and >= 0 ? text[(from + Mark.Length)..].Split('"')[0] : "?";
        host.Loop.Trace(host.Name, $"synced moves/{write.Path[(at + Moves.Length)..]}: {mark}");
    }

    private IOException Failed(Pending write)
    {
        FailingWrites--;
        if (_random.Chance(0.3)) _seen[write.Path] = write.Content; // Renamed, then the sync of the directory failed.
        return new IOException($"Input/output error : '{write.Path}'");
    }

    private static bool IsVolatile(string path) => Volatile.Any(v => path.StartsWith(v, StringComparison.Ordinal));
}

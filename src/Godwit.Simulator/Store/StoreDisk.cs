using System.Collections.Concurrent;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Store;

/// <summary>What a call to the disk came to; the numbers are SQLite's.</summary>
internal enum DiskAnswer
{
    Done = 0,
    WriteFailed = 10 | (3 << 8),
    SyncFailed = 10 | (4 << 8),
    Gone = 10 | (9 << 8),
    Full = 13,
}

/// <summary>
/// The disk under the server's store, beneath the real SQLite: what its process sees, and what a power cut leaves. A write
/// is seen at once and durable once its file was synced; of those that were not, a cut keeps some, drops some, tears some.
/// After a failed sync the kernel counts the pages as written: seen still, durable never (what Linux does).
/// </summary>
internal sealed class StoreDisk : IDisposable
{
    private static readonly ConcurrentDictionary<string, StoreDisk> Disks = new(StringComparer.Ordinal);
    private static int _count;

    private readonly SimRandom _random;
    private readonly SortedDictionary<string, StoreFile> _files = new(StringComparer.Ordinal);

    public StoreDisk(SimRandom random)
    {
        _random = random;
        Root = $"/store-{Interlocked.Increment(ref _count)}";
        Disks[Root] = this;
        StoreVfs.Register();
    }

    public string Root { get; }
    /// <summary>What <c>SqliteDatabase</c> takes for a path.</summary>
    public string DataSource => $"file:{Root}/godwit.db?vfs={StoreVfs.Name}";
    /// <summary>Grows with each process that ends: what an earlier one has open does nothing any more.</summary>
    public int Generation { get; private set; }
    /// <summary>So many of the next writes and syncs fail with EIO.</summary>
    public int FailingCalls { get; set; }
    public bool IsFull { get; set; }
    /// <summary>When positive: at this write or sync, counted from now, <see cref="Deadly"/> is called and nothing is done.</summary>
    public int DeadlyCall { get; set; }
    public Action? Deadly { get; set; }

    public static StoreDisk? Under(string path) =>
        path.LastIndexOf('/') is var at and > 0 ? Disks.GetValueOrDefault(path[..at]) : null;

    public StoreFile Open(string path)
    {
        if (!_files.TryGetValue(path, out var file)) _files[path] = file = new StoreFile(this);
        return file;
    }

    public bool Has(string path) => _files.ContainsKey(path);

    public void Delete(string path) => _files.Remove(path);

    /// <summary>The process that had it open is dead; what it wrote is still seen.</summary>
    public void Abandon() => (Generation, DeadlyCall) = (Generation + 1, 0);

    /// <summary>The disk is another one: nothing of the store is on it. For a server that is down.</summary>
    public void Replace()
    {
        Abandon();
        _files.Clear();
    }

    /// <summary>A copy of all that is on it, as a backup takes it.</summary>
    public IReadOnlyDictionary<string, byte[]> Copy() => _files.ToDictionary(f => f.Key, f => f.Value.Content());

    /// <summary>What a backup had takes the place of everything. For a server that is down.</summary>
    public void PutBack(IReadOnlyDictionary<string, byte[]> backup)
    {
        Replace();
        foreach (var (path, content) in backup)
        {
            var file = Open(path);
            file.WriteAt(0, content);
            file.Sync();
        }
    }

    public void LosePower()
    {
        Abandon();
        foreach (var file in _files.Values) file.LosePower(_random);
    }

    public void Dispose() => Disks.TryRemove(Root, out _);

    /// <summary>Asked before each write and sync: why it does not happen, or null.</summary>
    internal DiskAnswer? Trouble(DiskAnswer kind)
    {
        if (DeadlyCall > 0 && --DeadlyCall == 0)
        {
            Deadly?.Invoke();
            return DiskAnswer.Gone;
        }
        if (FailingCalls > 0)
        {
            FailingCalls--;
            return kind;
        }
        return IsFull && kind == DiskAnswer.WriteFailed ? DiskAnswer.Full : null;
    }
}

/// <summary>One file, twice: as it is seen, and as it is on the disk.</summary>
/// <param name="disk">Null for a temporary file, which nothing outlives.</param>
internal sealed class StoreFile(StoreDisk? disk)
{
    private readonly record struct Write(long Offset, byte[]? Bytes);

    private readonly List<Write> _unsynced = [];
    private byte[] _seen = [], _durable = [];
    private long _durableLength;

    public long Length { get; private set; }

    /// <summary>How many bytes there were; the rest of <paramref name="target"/> becomes zero.</summary>
    public int Read(long offset, Span<byte> target)
    {
        var count = (int)Math.Clamp(Length - offset, 0, target.Length);
        _seen.AsSpan((int)Math.Min(offset, Length), count).CopyTo(target);
        target[count..].Clear();
        return count;
    }

    public byte[] Content() => _seen[..(int)Length];

    public DiskAnswer WriteAt(long offset, ReadOnlySpan<byte> bytes)
    {
        if (disk?.Trouble(DiskAnswer.WriteFailed) is { } trouble) return trouble;
        Length = Put(ref _seen, Length, offset, bytes);
        if (disk is not null) _unsynced.Add(new(offset, bytes.ToArray()));
        return DiskAnswer.Done;
    }

    public DiskAnswer Truncate(long length)
    {
        if (disk?.Trouble(DiskAnswer.WriteFailed) is { } trouble) return trouble;
        Length = Cut(_seen, Length, length);
        if (disk is not null) _unsynced.Add(new(length, null));
        return DiskAnswer.Done;
    }

    public DiskAnswer Sync()
    {
        if (disk?.Trouble(DiskAnswer.SyncFailed) is { } trouble)
        {
            if (trouble == DiskAnswer.SyncFailed) _unsynced.Clear(); // Marked clean, and never written.
            return trouble;
        }
        foreach (var write in _unsynced) Harden(write);
        _unsynced.Clear();
        return DiskAnswer.Done;
    }

    public void LosePower(SimRandom random)
    {
        foreach (var write in _unsynced)
        {
            if (random.Chance(0.5)) continue;
            var torn = write.Bytes is { Length: > 1 } bytes && random.Chance(0.2) ? bytes[..random.Next(bytes.Length)] : write.Bytes;
            Harden(write with { Bytes = torn });
        }
        _unsynced.Clear();
        (_seen, Length) = ([.. _durable], _durableLength);
    }

    private void Harden(Write write) => _durableLength = write.Bytes is { } bytes
        ? Put(ref _durable, _durableLength, write.Offset, bytes) : Cut(_durable, _durableLength, write.Offset);

    private static long Put(ref byte[] content, long length, long offset, ReadOnlySpan<byte> bytes)
    {
        var end = checked((int)(offset + bytes.Length));
        if (end > content.Length) Array.Resize(ref content, Math.Max(end, content.Length * 2));
        bytes.CopyTo(content.AsSpan((int)offset));
        return Math.Max(length, end);
    }

    /// <summary>What is cut off reads as zero, should the file grow again.</summary>
    private static long Cut(byte[] content, long length, long to)
    {
        if (to < length) content.AsSpan((int)to, (int)(length - to)).Clear();
        return Math.Min(length, to);
    }
}

using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Machines;

/// <summary>
/// The pool all hosts share: disk images by path. An image knows which QEMUs hold it for writing, and the guest's last
/// acknowledged write.
/// </summary>
public sealed class SimStorage
{
    /// <summary>Where every host mounts it.</summary>
    public const string Directory = "/pool/shared";

    private readonly SortedDictionary<string, SimImage> _images = new(StringComparer.Ordinal);

    /// <summary>False: the file system keeps no locks between hosts, as with images on raw block devices.</summary>
    public bool LocksWork { get; set; } = true;

    public SimImage? Find(string path) => _images.GetValueOrDefault(path);

    public SimImage Create(string path, long bytes)
    {
        if (!_images.TryGetValue(path, out var image)) _images[path] = image = new SimImage(path, bytes);
        return image;
    }

    /// <summary>False where there is no such image, or the other name is taken.</summary>
    public bool Rename(string from, string to)
    {
        if (_images.ContainsKey(to) || !_images.Remove(from, out var image)) return false;
        (_images[to], image.Path) = (image, to);
        return true;
    }

    public void Delete(string path) => _images.Remove(path);

    /// <summary>Plain files of the pool (saved guests, nonces): the file server keeps what it acknowledged.</summary>
    internal SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal);

    internal IEnumerable<string> Paths => _images.Keys.Concat(Files.Keys);

    internal static bool Holds(string path) => path.StartsWith(Directory + "/", StringComparison.Ordinal);
}

public sealed class SimImage(string path, long bytes)
{
    private readonly HashSet<SimQemu> _writers = [];

    public string Path { get; internal set; } = path;
    public long Bytes => bytes;
    /// <summary>The guest's counter at its last acknowledged write.</summary>
    public long LastWrite { get; internal set; }
    /// <summary>By name: the counter as it was.</summary>
    public SortedDictionary<string, long> Snapshots { get; } = new(StringComparer.Ordinal);
    /// <summary>It became what it was, by a person's word, and no guest has run from it since.</summary>
    internal bool IsReverted { get; set; }
    /// <summary>A QEMU has it open for writing.</summary>
    internal bool IsHeld => _writers.Count > 0;

    /// <summary>Null: <paramref name="qemu"/> holds it now. Otherwise who does, where locks work.</summary>
    internal SimQemu? TryLock(SimQemu qemu, bool locksWork)
    {
        if (locksWork && _writers.FirstOrDefault(w => w != qemu) is { } other) return other;
        _writers.Add(qemu);
        return null;
    }

    internal void Unlock(SimQemu qemu) => _writers.Remove(qemu);
}

using Godwit.Core.Ports;

namespace Godwit.Tests.Agent;

/// <summary>Files in memory, enough for what reads and writes whole files.</summary>
internal sealed class MemoryDisk : IDisk
{
    public SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal);
    public Dictionary<string, (int Uid, UnixFileMode Mode)> Published { get; } = [];
    /// <summary>The answer of an open, by path; null where it opens.</summary>
    public Func<string, int, bool, string?> Opens { get; set; } = (_, _, _) => null;

    public Task WriteDurablyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancel)
    {
        Files[path] = content.ToArray();
        return Task.CompletedTask;
    }

    public Task<byte[]?> ReadAsync(string path, int bytesMax, CancellationToken cancel) =>
        Task.FromResult(Files.GetValueOrDefault(path));

    public IReadOnlyList<string> List(string directory) => [.. Files.Keys
        .Where(f => f.StartsWith(directory + "/", StringComparison.Ordinal))
        .Select(f => f[(directory.Length + 1)..].Split('/')[0]).Distinct()];

    public long? SizeOf(string path) => Files.TryGetValue(path, out var file) ? file.Length : null;
    public void CreateDirectory(string path) { }
    public void CreateOwnedDirectory(string path, int ownerUid) { }
    public void Touch(string path) => Files.TryAdd(path, []);
    public void DeleteFile(string path) => Files.Remove(path);
    public void DeleteDirectory(string path)
    {
        foreach (var file in Files.Keys.Where(f => f.StartsWith(path + "/", StringComparison.Ordinal)).ToList()) Files.Remove(file);
    }

    public Task PublishAsync(string from, string to, int ownerUid, UnixFileMode mode, CancellationToken cancel)
    {
        if (Files.ContainsKey(to)) throw new IOException($"{to} is there");
        (Files[to], Published[to]) = (Files[from], (ownerUid, mode));
        Files.Remove(from);
        return Task.CompletedTask;
    }

    public Task<string?> WhyNotOpenableAsync(string path, int uid, bool write, CancellationToken cancel) =>
        Task.FromResult(Opens(path, uid, write));

    public Task<ILargeFile> CreateLargeAsync(string path, CancellationToken cancel) =>
        Task.FromResult<ILargeFile>(new Large(this, path));

    public Task<Stream> OpenLargeAsync(string path, CancellationToken cancel) =>
        Task.FromResult<Stream>(new MemoryStream(Files[path], writable: false));

    private sealed class Large(MemoryDisk disk, string path) : ILargeFile
    {
        private readonly MemoryStream _content = new();
        public Stream Content => _content;
        public Task CommitAsync() => disk.WriteDurablyAsync(path, _content.ToArray(), default);
        public ValueTask DisposeAsync() => _content.DisposeAsync();
    }
}

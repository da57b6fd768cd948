using System.Formats.Tar;
using System.IO.Compression;
using System.Text;

namespace Godwit.Cli.Support;

/// <summary>What of a bundle was written, as its reader sees it.</summary>
/// <param name="Bytes">Before it was packed.</param>
/// <param name="Note">Why it is not there, or not whole; null: it is.</param>
internal sealed record BundlePart(string Name, long Bytes, string? Note);

/// <summary>
/// A tar.gz of texts, each without secrets (<see cref="Redaction"/>) and no longer than <see cref="PartBytesMax"/>, together no more
/// than <see cref="BytesMax"/>: what does not fit is named, not sent.
/// </summary>
internal sealed class BundleFile : IAsyncDisposable
{
    public const int PartBytesMax = 4 << 20, BytesMax = 32 << 20;

    private readonly GZipStream packed;
    private readonly TarWriter tar;
    private readonly string directory;
    private readonly DateTimeOffset now;
    private readonly List<BundlePart> parts = [];
    private long bytes;

    /// <param name="directory">What the archive unpacks into.</param>
    public BundleFile(Stream to, string directory, DateTimeOffset now)
    {
        (this.directory, this.now) = (directory, now);
        packed = new GZipStream(to, CompressionLevel.Optimal, leaveOpen: true);
        tar = new TarWriter(packed, TarEntryFormat.Pax);
    }

    public IReadOnlyList<BundlePart> Parts => parts;

    public Task AddTextAsync(string name, string text, bool keepEnd = false) => AddAsync(name, Redaction.Text(text), keepEnd);

    public Task AddJsonAsync(string name, string json) => AddAsync(name, Redaction.Json(json), keepEnd: false);

    /// <summary>It was to be in it and could not.</summary>
    public void Miss(string name, string why) => parts.Add(new BundlePart(name, 0, Redaction.Text(why)));

    public async ValueTask DisposeAsync()
    {
        await tar.DisposeAsync();
        await packed.DisposeAsync();
    }

    /// <param name="keepEnd">Of a log the end matters, of all else the beginning.</param>
    private async Task AddAsync(string name, string text, bool keepEnd)
    {
        var whole = Encoding.UTF8.GetBytes(text);
        var kept = whole.Length <= PartBytesMax ? whole.AsMemory()
            : keepEnd ? whole.AsMemory(whole.Length - PartBytesMax) : whole.AsMemory(0, PartBytesMax);
        if (bytes + kept.Length > BytesMax)
        {
            Miss(name, $"the bundle is full: it holds {BytesMax >> 20} MiB");
            return;
        }
        bytes += kept.Length;
        using var content = new MemoryStream(kept.ToArray());
        await tar.WriteEntryAsync(new PaxTarEntry(TarEntryType.RegularFile, $"{directory}/{name}")
        {
            DataStream = content, ModificationTime = now, Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        parts.Add(new BundlePart(name, kept.Length,
            kept.Length == whole.Length ? null : $"{(keepEnd ? "the end" : "the beginning")} of {whole.Length >> 20} MiB"));
    }
}

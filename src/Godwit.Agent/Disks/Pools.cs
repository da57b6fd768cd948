using System.Text;
using System.Text.RegularExpressions;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Disks;

/// <summary>
/// Directory pools: a name the cluster knows, a directory on this host. Whether two hosts share one is tested by a
/// nonce that one writes and the other sees, never asked.
/// </summary>
public sealed partial class Pools(HostLayout layout, IDisk disk)
{
    private const int NonceBytesMax = 256;

    public string StateDirectory => layout.StateDirectory;

    /// <summary>Full path of a plain file name in a pool. Throws <see cref="RefusedException"/> for anything else.</summary>
    public string PathOf(string pool, string file)
    {
        if (!FileForm().IsMatch(file))
            throw new RefusedException("file-name-invalid", $"'{file}' is no plain file name",
                "files in pools have names of a-z, 0-9, '.', '-'");
        return Path.Combine(DirectoryOf(pool), file);
    }

    public string DirectoryOf(string pool) => layout.Pools.TryGetValue(pool, out var place) ? place.Directory
        : throw new RefusedException("pool-unknown", $"this host has no pool '{pool}'",
            $"it has: {string.Join(", ", layout.Pools.Keys.Order(StringComparer.Ordinal))}; give its agent --pool {pool}=DIRECTORY");

    public Task WriteNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        disk.WriteDurablyAsync(NoncePath(pool, nonce), Encoding.ASCII.GetBytes(Checked(nonce)), cancel);

    public async Task<bool> SeesNonceAsync(string pool, string nonce, CancellationToken cancel) =>
        layout.Pools.ContainsKey(pool)
        && await disk.ReadAsync(NoncePath(pool, nonce), NonceBytesMax, cancel) is { } seen
        && Encoding.ASCII.GetString(seen) == Checked(nonce);

    /// <summary>One of 256 files, by the nonce: two tests at once seldom meet, and nothing piles up.</summary>
    private string NoncePath(string pool, string nonce) => PathOf(pool, $"godwit-nonce-{Checked(nonce)[..2]}");

    private static string Checked(string nonce) => nonce.Length is > 1 and <= NonceBytesMax && nonce.All(char.IsAsciiHexDigitLower)
        ? nonce : throw new RefusedException("nonce-invalid", "the nonce is not lower-case hex", "this is a fault of the caller");

    [GeneratedRegex("^[a-z0-9][a-z0-9.-]{0,127}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex FileForm();
}

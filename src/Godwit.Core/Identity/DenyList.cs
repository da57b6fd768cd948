using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Godwit.Core.Identity;

/// <param name="BeganUntil">Certificates of this host that began to hold then or earlier are refused; later ones are good.</param>
public sealed record DeniedHost(HostId Host, DateTimeOffset BeganUntil);

/// <summary>
/// Hosts' certificates that are valid by their dates and yet let nobody in. One line a host, kept until the last certificate
/// it could mean has expired: short, because certificates live 30 days. Pure.
/// </summary>
public sealed class DenyList
{
    /// <summary>Twice the hosts a cluster may have: more would have to be removed within 30 days.</summary>
    public const int HostsMax = 2_000;
    public static readonly DenyList Empty = new([]);

    private readonly Dictionary<HostId, DateTimeOffset> _until;

    public DenyList(IEnumerable<DeniedHost> hosts)
    {
        Hosts = [.. hosts.OrderBy(denied => denied.Host.Value, StringComparer.Ordinal)];
        if (Hosts.Count > HostsMax) throw new InvalidDataException($"a deny list of {Hosts.Count} hosts; at most {HostsMax} are possible");
        _until = Hosts.ToDictionary(denied => denied.Host, denied => denied.BeganUntil);
        Text = string.Concat(Hosts.Select(Line));
        Digest = Hosts.Count == 0 ? "" : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Text)));
    }

    /// <summary>Sorted by name.</summary>
    public IReadOnlyList<DeniedHost> Hosts { get; }
    /// <summary>A line a host: its name, a space, Unix seconds. How it lies on a host's disk.</summary>
    public string Text { get; }
    /// <summary>The same for the same list; empty for the empty one.</summary>
    public string Digest { get; }

    /// <summary>Null, or why this certificate of the host is refused.</summary>
    public string? Problem(HostId host, X509Certificate2 certificate) =>
        _until.TryGetValue(host, out var until) && certificate.NotBefore.ToUniversalTime() <= until
            ? $"the certificate of host {host} was revoked: let the host join again with a token made for it" : null;

    /// <summary>What <see cref="Text"/> wrote.</summary>
    /// <exception cref="RefusedException">It is something else; <paramref name="origin"/> is named.</exception>
    public static DenyList Parse(ReadOnlySpan<byte> text, string origin)
    {
        var hosts = new List<DeniedHost>();
        foreach (var line in Encoding.UTF8.GetString(text).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var words = line.Split(' ');
            if (words.Length != 2 || !Names.IsValid(words[0])
                || !long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
                throw new RefusedException("deny-list-unusable", $"{origin} does not say which hosts are denied: '{line}'",
                    "remove the file: the server sends the list again");
            hosts.Add(new(new(words[0]), DateTimeOffset.FromUnixTimeSeconds(seconds)));
        }
        return new DenyList(hosts);
    }

    private static string Line(DeniedHost denied) =>
        FormattableString.Invariant($"{denied.Host} {denied.BeganUntil.ToUnixTimeSeconds()}\n");
}

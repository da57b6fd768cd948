using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Godwit.Core.Identity;

/// <summary>
/// What one part of a cluster is and trusts, as one PEM file: its certificate, its private key, the cluster's CA
/// certificate, in this order. The file is a secret (0600).
/// </summary>
public sealed class IdentityBundle
{
    /// <summary>Three PEM blocks are about 2 KiB.</summary>
    public const int FileBytesMax = 64 * 1024;
    private readonly DenyList _denied;

    private IdentityBundle(X509Certificate2 own, X509Certificate2 ca, CertificateRole role, DenyList denied) =>
        (Own, Ca, Role, _denied) = (own, ca, role, denied);

    /// <summary>With its private key: good for both ends of TLS. (On Linux a key held in memory is enough.)</summary>
    public X509Certificate2 Own { get; }
    public X509Certificate2 Ca { get; }
    public CertificateRole Role { get; }

    public CertificateLife Life => CertificateLife.Of(Own);

    /// <summary>The same identity, which trusts these hosts no longer.</summary>
    public IdentityBundle Denying(DenyList denied) => new(Own, Ca, Role, denied);

    /// <summary>Throws <see cref="RefusedException"/> naming <paramref name="origin"/> (a path) when it is not a bundle.</summary>
    public static IdentityBundle Parse(ReadOnlySpan<byte> pem, string origin)
    {
        if (pem.Length > FileBytesMax) throw Unusable(origin, $"it has {pem.Length} bytes, at most {FileBytesMax} are allowed");
        try
        {
            string text = Encoding.UTF8.GetString(pem);
            var certificates = new X509Certificate2Collection();
            certificates.ImportFromPem(text);
            if (certificates.Count != 2)
                throw Unusable(origin, $"it holds {certificates.Count} certificates, not the two of a bundle");
            var own = X509Certificate2.CreateFromPem(text, text);
            if (SubjectUri.Read(own) is not { } uri || !CertificateRole.TryParse(uri, out var role))
                throw Unusable(origin, "its first certificate does not say which part of a cluster it is");
            return new(own, certificates[1], role, DenyList.Empty);
        }
        catch (Exception reason) when (reason is CryptographicException or ArgumentException)
        {
            throw Unusable(origin, reason.Message);
        }
    }

    /// <summary>Who the peer is, seen from here.</summary>
    public PeerVerdict Check(X509Certificate? peer, DateTimeOffset now)
    {
        var verdict = PeerIdentity.Check(peer, Ca, Role.Cluster, now);
        if (verdict is not PeerVerdict.Accepted { Role: CertificateRole.Host host }) return verdict;
        return _denied.Problem(host.Name, PeerIdentity.Read(peer!)) is { } problem ? new PeerVerdict.Refused(problem) : verdict;
    }

    private static RefusedException Unusable(string origin, string cause) => new("identity-unusable",
        $"The identity file {origin} cannot be used: {cause}", "let the host join anew: godwit host token, then godwit agent join");
}

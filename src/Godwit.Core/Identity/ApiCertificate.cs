using System.Formats.Asn1;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Godwit.Core.Identity;

/// <summary>
/// The certificate a server shows to people's clients. Signed by the cluster's CA like all others, but marked
/// <c>godwit://CLUSTER/api</c>: a host of the cluster, whose certificate lacks the mark, cannot pass for the server. It is
/// no <see cref="CertificateRole"/> either: no agent obeys it.
/// </summary>
public static class ApiCertificate
{
    public const string FingerprintPrefix = "sha256:";
    private static readonly Asn1Tag UriTag = new(TagClass.ContextSpecific, 6);

    /// <summary>The names in it: the mark, and where clients that check names (curl, browsers) may look for it.</summary>
    public static X509Extension Names(string cluster, IEnumerable<IPAddress> addresses, IEnumerable<string> names)
    {
        var builder = new SubjectAlternativeNameBuilder();
        builder.AddUri(new Uri(Mark(cluster)));
        foreach (var address in addresses) builder.AddIpAddress(address);
        foreach (var name in names) builder.AddDnsName(name);
        return builder.Build();
    }

    /// <summary>Null, or why <paramref name="peer"/> is not the server of the cluster whose CA is pinned.</summary>
    public static string? Problem(X509Certificate? peer, X509Certificate2 ca, DateTimeOffset now)
    {
        if (peer is null) return "it showed no certificate";
        var certificate = peer as X509Certificate2 ?? X509CertificateLoader.LoadCertificate(peer.GetRawCertData());
        if (PeerIdentity.ChainProblem(certificate, ca, now) is { } problem)
            return $"its certificate \"{certificate.Subject}\" is not valid under the pinned CA: {problem}";
        var mark = Mark(ca.GetNameInfo(X509NameType.SimpleName, forIssuer: false));
        return UrisOf(certificate).Contains(mark, StringComparer.Ordinal) ? null
            : $"its certificate \"{certificate.Subject}\" is of the cluster, but not of its server";
    }

    /// <summary>Of the CA's certificate, for a person to compare: <c>sha256:</c> and 64 lower-case hex digits.</summary>
    public static string Fingerprint(X509Certificate2 ca) =>
        FingerprintPrefix + Convert.ToHexStringLower(SHA256.HashData(ca.RawDataMemory.Span));

    private static string Mark(string cluster) => $"godwit://{cluster}/api";

    private static List<string> UrisOf(X509Certificate2 certificate)
    {
        var uris = new List<string>();
        var extension = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SingleOrDefault();
        if (extension is null) return uris;
        try
        {
            var names = new AsnReader(extension.RawData, AsnEncodingRules.DER).ReadSequence();
            while (names.HasData)
            {
                if (names.PeekTag().HasSameClassAndValue(UriTag)) uris.Add(names.ReadCharacterString(UniversalTagNumber.IA5String, UriTag));
                else names.ReadEncodedValue();
            }
            return uris;
        }
        catch (AsnContentException)
        {
            return []; // Not what we write.
        }
    }
}

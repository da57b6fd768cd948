using System.Security.Cryptography.X509Certificates;

namespace Godwit.Core.Identity;

/// <summary>What a peer's certificate proves.</summary>
public abstract record PeerVerdict
{
    private PeerVerdict() { }

    public sealed record Accepted(CertificateRole Role) : PeerVerdict;
    /// <param name="Reason">For the log and the operator of the refusing side.</param>
    public sealed record Refused(string Reason) : PeerVerdict;
}

/// <summary>
/// Who is on the other side of a TLS connection. Pure: certificates and a time in, a verdict out. Trusts the cluster's
/// CA and nothing else: no system store, no network look-ups, no names in DNS.
/// </summary>
public static class PeerIdentity
{
    /// <summary>As TLS hands it over; null where the peer sent none.</summary>
    public static PeerVerdict Check(X509Certificate? peer, X509Certificate2 ca, string cluster, DateTimeOffset now)
    {
        if (peer is null) return new PeerVerdict.Refused("the peer showed no certificate");

        var certificate = Read(peer);
        if (ChainProblem(certificate, ca, now) is { } problem)
            return new PeerVerdict.Refused($"{Name(certificate)} is not valid in this cluster: {problem}");
        if (SubjectUri.Read(certificate) is not { } uri || !CertificateRole.TryParse(uri, out var role))
            return new PeerVerdict.Refused($"{Name(certificate)} does not say which part of a cluster it is");
        if (role.Cluster != cluster)
            return new PeerVerdict.Refused($"the peer is {role}, this is cluster {cluster}");
        return new PeerVerdict.Accepted(role);
    }

    /// <summary>The policy for TLS itself, so that it never consults the system's certificates.</summary>
    public static X509ChainPolicy ChainPolicy(X509Certificate2 ca, DateTimeOffset now)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // Certificates live 30 days; the CA has no list server.
            DisableCertificateDownloads = true,
            VerificationTime = now.UtcDateTime,
            VerificationTimeIgnored = false,
        };
        policy.CustomTrustStore.Add(ca);
        return policy;
    }

    internal static string? ChainProblem(X509Certificate2 certificate, X509Certificate2 ca, DateTimeOffset now)
    {
        if (certificate.RawDataMemory.Span.SequenceEqual(ca.RawDataMemory.Span)) return "it is the CA itself";
        using var chain = new X509Chain { ChainPolicy = ChainPolicy(ca, now) };
        if (!chain.Build(certificate))
        {
            var problems = chain.ChainStatus.Select(s => s.Status).Distinct().ToList();
            var wrongTime = problems is [X509ChainStatusFlags.NotTimeValid] ? CertificateLife.Of(certificate).Problem(now) : null;
            return wrongTime ?? string.Join(", ", problems);
        }
        // Issued by the CA directly: our CA makes no others, so anything longer is not ours.
        return chain.ChainElements.Count == 2 ? null : "it was not issued by the cluster's CA directly";
    }

    /// <summary>Not to be disposed: it may be TLS's own object.</summary>
    internal static X509Certificate2 Read(X509Certificate peer) =>
        peer as X509Certificate2 ?? X509CertificateLoader.LoadCertificate(peer.GetRawCertData());

    private static string Name(X509Certificate2 certificate) => $"the certificate \"{certificate.Subject}\"";
}

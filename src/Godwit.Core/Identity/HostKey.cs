using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Godwit.Core.Identity;

/// <summary>
/// A host's private key before anybody has vouched for it. It is made on the host and never leaves it: only the signing
/// request does, and the certificate comes back.
/// </summary>
public sealed class HostKey : IDisposable
{
    /// <summary>A request for a P-256 key is about 400 bytes in PEM.</summary>
    public const int RequestCharsMax = 4 * 1024;
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public HostKey()
    {
        // Signed by the key itself: whoever sends it holds the key. The CA writes the name, so none is asked for here.
        var request = new CertificateRequest(new X500DistinguishedName("CN=host"), _key, HashAlgorithmName.SHA256);
        Request = request.CreateSigningRequestPem();
    }

    /// <summary>PKCS #10, PEM.</summary>
    public string Request { get; }

    /// <summary>The identity file's content: certificate, this key, CA.</summary>
    /// <exception cref="RefusedException">The certificate is for another key, or none at all.</exception>
    public byte[] Complete(string certificatePem, string caPem)
    {
        try
        {
            using var certificate = X509Certificate2.CreateFromPem(certificatePem);
            using var itsKey = certificate.GetECDsaPublicKey();
            if (itsKey is null || !itsKey.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(_key.ExportSubjectPublicKeyInfo()))
                throw new RefusedException("certificate-for-other-key", "the certificate that came is not for the key this host made",
                    "let the host ask again");
            return Encoding.ASCII.GetBytes(string.Join('\n',
                certificate.ExportCertificatePem(), _key.ExportPkcs8PrivateKeyPem(), caPem.Trim(), ""));
        }
        catch (CryptographicException reason)
        {
            throw new RefusedException("certificate-unusable", $"what came is no certificate: {reason.Message}", "let the host ask again");
        }
    }

    public void Dispose() => _key.Dispose();

    /// <summary>The key that a request asks to be signed; it proves to hold it.</summary>
    /// <exception cref="RefusedException">It is no request for a P-256 key, or not signed by that key.</exception>
    public static PublicKey KeyOf(string requestPem)
    {
        if (requestPem.Length > RequestCharsMax)
            throw Unusable($"it has {requestPem.Length} characters, at most {RequestCharsMax} are allowed");
        try
        {
            var request = CertificateRequest.LoadSigningRequestPem(requestPem, HashAlgorithmName.SHA256); // Checks its signature.
            using var key = request.PublicKey.GetECDsaPublicKey() ?? throw Unusable("its key is no elliptic curve's");
            if (key.ExportParameters(includePrivateParameters: false).Curve.Oid.Value != ECCurve.NamedCurves.nistP256.Oid.Value)
                throw Unusable("its key is not of the curve P-256");
            return request.PublicKey;
        }
        catch (Exception reason) when (reason is CryptographicException or ArgumentException)
        {
            throw Unusable(reason.Message);
        }
    }

    private static RefusedException Unusable(string cause) => new("signing-request-unusable",
        $"the signing request cannot be used: {cause}", "let 'godwit agent join' make it");
}

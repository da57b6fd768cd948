using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Core.Ports;

namespace Godwit.Server.Identity;

/// <summary>
/// The cluster's own certificate authority: made once, kept in one file (certificate and key, 0600), signs the
/// certificates of the control plane and of the hosts. Its public part is the only thing anyone in the cluster trusts.
/// </summary>
public sealed class ClusterCa
{
    private const string FileName = "cluster-ca.pem";
    public static readonly TimeSpan LeafLife = TimeSpan.FromDays(30);
    /// <summary>Hosts whose clocks are a little behind must not find a fresh certificate not yet valid.</summary>
    private static readonly TimeSpan ClockSlack = TimeSpan.FromHours(1);
    private static readonly TimeSpan CaLife = TimeSpan.FromDays(3650);
    private static readonly OidCollection ServerEnd = [new Oid("1.3.6.1.5.5.7.3.1")];
    private static readonly OidCollection BothEnds = [new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")];

    private readonly X509Certificate2 _ca;
    private readonly IRandomness _randomness;
    private readonly TimeProvider _time;

    private ClusterCa(X509Certificate2 ca, string cluster, IRandomness randomness, TimeProvider time) =>
        (_ca, Cluster, _randomness, _time) = (ca, cluster, randomness, time);

    /// <summary>The cluster's id: <c>cl-</c> and 12 lower-case hex digits, made with the CA.</summary>
    public string Cluster { get; }
    public string CertificatePem => _ca.ExportCertificatePem();
    public string Fingerprint => ApiCertificate.Fingerprint(_ca);

    /// <summary>Reads the CA from <paramref name="directory"/>, or makes it. A broken file is a <see cref="RefusedException"/>.</summary>
    public static async Task<ClusterCa> OpenOrCreateAsync(
        string directory, IDisk disk, IRandomness randomness, TimeProvider time, CancellationToken cancel)
    {
        string path = Path.Combine(directory, FileName);
        disk.CreateDirectory(directory);
        byte[]? pem = await disk.ReadAsync(path, IdentityBundle.FileBytesMax, cancel);
        if (pem is null)
        {
            pem = Create(randomness, time);
            await disk.WriteDurablyAsync(path, pem, cancel);
        }
        return Read(pem, path, randomness, time);
    }

    /// <summary>Reads the CA that is there, and never makes one: a new CA is another cluster's, and its hosts obey nobody else.</summary>
    /// <exception cref="RefusedException">There is none, or it is broken.</exception>
    public static async Task<ClusterCa> OpenAsync(
        string directory, IDisk disk, IRandomness randomness, TimeProvider time, CancellationToken cancel)
    {
        string path = Path.Combine(directory, FileName);
        byte[] pem = await disk.ReadAsync(path, IdentityBundle.FileBytesMax, cancel) ?? throw new RefusedException("ca-missing",
            $"there is no {path}: without the cluster's CA no host lets anybody in",
            $"put the backup of it back (godwit server backup-identity made it) and give it mode 0600; where there is none, start an empty "
            + "server and let every host join again: godwit host token; their VMs go on meanwhile, and are taken in as each host joins");
        return Read(pem, path, randomness, time);
    }

    /// <summary>The file as it is, for a backup: certificate and key.</summary>
    public static Task<byte[]?> ReadFileAsync(string directory, IDisk disk, CancellationToken cancel) =>
        disk.ReadAsync(Path.Combine(directory, FileName), IdentityBundle.FileBytesMax, cancel);

    private static ClusterCa Read(byte[] pem, string path, IRandomness randomness, TimeProvider time)
    {
        try
        {
            string text = Encoding.UTF8.GetString(pem);
            var ca = X509Certificate2.CreateFromPem(text, text);
            return new(ca, ca.GetNameInfo(X509NameType.SimpleName, forIssuer: false), randomness, time);
        }
        catch (Exception reason) when (reason is CryptographicException or ArgumentException)
        {
            // Never replaced: a new CA would lock every host out of its cluster.
            throw new RefusedException("ca-unusable", $"The cluster's CA in {path} cannot be read: {reason.Message}",
                "restore the file from a backup; without it every host must be added again");
        }
    }

    /// <summary>The server's own identity. Made anew at each start: it needs no file.</summary>
    public IdentityBundle IssueControlPlane() =>
        IdentityBundle.Parse(Issue(new CertificateRole.ControlPlane(Cluster)), "of the control plane");

    /// <summary>A host's certificate, PEM. Of what the host asked for only its key counts: the name is the server's word.</summary>
    /// <param name="requestPem">As <see cref="HostKey.Request"/>.</param>
    /// <param name="denied">What was denied to this host before: the new certificate is not.</param>
    public string SignHost(HostId host, string requestPem, DeniedHost? denied = null)
    {
        if (!Names.IsValid(host.Value))
            throw new RefusedException("name-invalid", $"\"{host}\" is no valid host name", $"use {Names.Rule}");
        var role = new CertificateRole.Host(Cluster, host);
        var from = _time.GetUtcNow() - ClockSlack;
        // X.509 counts whole seconds: a later fraction of the same one would be denied too.
        if (denied?.BeganUntil.AddSeconds(1) is { } next && from < next) from = next;
        using var certificate = Sign(HostKey.KeyOf(requestPem), CommonName(role), BothEnds, SubjectUri.ToExtension(role.ToUri()), from);
        return certificate.ExportCertificatePem();
    }

    /// <summary>Denies the host every certificate that was signed until now.</summary>
    public DeniedHost Deny(HostId host) =>
        new(host, DateTimeOffset.FromUnixTimeSeconds((_time.GetUtcNow() - ClockSlack).ToUnixTimeSeconds()));

    /// <summary>What the server shows to people's clients; kept in memory only.</summary>
    /// <param name="addresses">And <paramref name="names"/>: where clients that check names may look for it.</param>
    public X509Certificate2 IssueApi(IEnumerable<IPAddress> addresses, IEnumerable<string> names)
    {
        string pem = Encoding.ASCII.GetString(Issue("godwit-api", ServerEnd, ApiCertificate.Names(Cluster, addresses, names)));
        return X509Certificate2.CreateFromPem(pem, pem);
    }

    private byte[] Issue(CertificateRole role) => Issue(CommonName(role), BothEnds, SubjectUri.ToExtension(role.ToUri()));

    private byte[] Issue(string commonName, OidCollection uses, X509Extension names)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = Sign(new PublicKey(key), commonName, uses, names, _time.GetUtcNow() - ClockSlack);
        return Encoding.ASCII.GetBytes(string.Join('\n',
            certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem(), _ca.ExportCertificatePem(), ""));
    }

    private X509Certificate2 Sign(PublicKey key, string commonName, OidCollection uses, X509Extension names, DateTimeOffset from)
    {
        var request = new CertificateRequest(new X500DistinguishedName($"CN={commonName}"), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(uses, critical: false));
        request.CertificateExtensions.Add(names);
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_ca, true, false));
        byte[] serial = Convert.FromHexString("00" + _randomness.NextHex(15)); // Positive, as X.509 demands.
        return request.Create(_ca, from, Earlier(_time.GetUtcNow() + LeafLife, _ca.NotAfter), serial);
    }

    private static byte[] Create(IRandomness randomness, TimeProvider time)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var name = new X500DistinguishedName($"CN=cl-{randomness.NextHex(6)}");
        var request = new CertificateRequest(name, key, HashAlgorithmName.SHA256);
        // No CA below it: what it signs cannot sign others.
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        var now = time.GetUtcNow();
        using var ca = request.CreateSelfSigned(now - ClockSlack, now + CaLife);
        return Encoding.ASCII.GetBytes(string.Join('\n', ca.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem(), ""));
    }

    private static string CommonName(CertificateRole role) => role switch
    {
        CertificateRole.Host host => host.Name.Value,
        _ => "control-plane",
    };

    private static DateTimeOffset Earlier(DateTimeOffset left, DateTime right) =>
        left < right.ToUniversalTime() ? left : right.ToUniversalTime();
}

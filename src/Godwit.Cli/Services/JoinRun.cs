using System.Security.Cryptography.X509Certificates;
using Godwit.Agent.Host;
using Godwit.Cli.Api;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Api;

namespace Godwit.Cli.Services;

/// <summary>How a machine becomes a host. In this order, so that nothing secret leaves before it may:
///
///   whose server    its CA must be the one in the token; over TLS the server has proved that already
///   key             made here, stays here
///   certificate     the token's secret and a signing request go, the certificate comes
///   identity file   certificate, key, CA; 0600, durable before this returns
///
/// The rest is the server's: it dials the agent, which proves that it is there and holds the key.</summary>
internal static class JoinRun
{
    /// <param name="server">Trusts nobody but the CA of the token, or is the local socket.</param>
    /// <param name="endpoint">Where the server reaches the agent: <c>address:port</c>, or <c>:port</c> where it is asked from.</param>
    public static async Task<JoinedView> RunAsync(
        ApiClient server, JoinToken token, string name, string endpoint, string identityFile, TimeProvider time, CancellationToken cancel)
    {
        using var ca = X509Certificate2.CreateFromPem(await new AccessApi(server).CaAsync(cancel));
        if (ApiCertificate.Fingerprint(ca) != token.CaFingerprint)
            throw new RefusedException("server-not-trusted",
                $"this server's CA is {ApiCertificate.Fingerprint(ca)}, the token is of {token.CaFingerprint}",
                "make the token on the server that this host shall belong to: godwit host token");
        using var key = new HostKey();
        var joined = await new GodwitApi(server).JoinAsync(new JoinRequest(token.Id, token.Secret, name, key.Request, endpoint), cancel);
        var pem = key.Complete(joined.Certificate, ca.ExportCertificatePem());
        var disk = new RealDisk();
        disk.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(identityFile))!);
        await disk.WriteDurablyAsync(identityFile, pem, cancel);

        var bundle = IdentityBundle.Parse(pem, identityFile);
        if (bundle.Check(bundle.Own, time.GetUtcNow()) is PeerVerdict.Refused refused)
            throw new RefusedException("certificate-refused",
                $"{refused.Reason} (the server's clock says {CertificateLife.Text(joined.Clock)})",
                "let both machines follow the same time server (chrony), then start it: godwit agent");
        return joined;
    }
}

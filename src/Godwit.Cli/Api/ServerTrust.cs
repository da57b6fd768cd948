using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Godwit.Core.Identity;

namespace Godwit.Cli.Api;

/// <summary>
/// Talks TLS 1.3 to the one server whose cluster's CA is pinned: no system certificates, no names. With a fingerprint the
/// CA's certificate is fetched first, without the token, and is worth nothing unless it is the one. The token goes only to a server
/// that has proved itself.
/// </summary>
internal sealed class ServerTrust : DelegatingHandler
{
    private const int CaBytesMax = 16 * 1024;
    private static readonly TimeSpan connectMax = TimeSpan.FromSeconds(10);

    private readonly ServerAddress address;
    private readonly RemoteSettings settings;
    private readonly TimeProvider time;
    private X509Certificate2? ca;

    public ServerTrust(ServerAddress address, RemoteSettings settings, TimeProvider time)
    {
        (this.address, this.settings, this.time) = (address, settings, time);
        InnerHandler = Tls(peer => (Distrust = ApiCertificate.Problem(peer, ca!, time.GetUtcNow())) is null);
    }

    /// <summary>Why the last server that answered was not the one.</summary>
    public string? Distrust { get; private set; }

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        ca ??= await LoadAsync(cancel);
        if (settings.ReadToken() is { } token) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return await base.SendAsync(request, cancel);
    }

    private Task<X509Certificate2> LoadAsync(CancellationToken cancel) =>
        settings.Ca.StartsWith(ApiCertificate.FingerprintPrefix, StringComparison.Ordinal)
            ? FetchAsync(cancel) : Task.FromResult(ReadFile());

    private X509Certificate2 ReadFile()
    {
        const string next = "on the server's machine: godwit ca --out ca.pem; then "
            + $"set {RemoteSettings.CaVariable} to a copy of that file, or to the sha256:… it shows";
        if (!File.Exists(settings.Ca))
            throw new ApiException(new ApiError("ca-unknown",
                $"{address.Place} cannot be told from an impostor: there is no CA certificate {settings.Ca}")
            { Next = next });
        return Parse(File.ReadAllText(settings.Ca), settings.Ca, next);
    }

    /// <summary>Anybody may answer here: only the fingerprint counts.</summary>
    private async Task<X509Certificate2> FetchAsync(CancellationToken cancel)
    {
        using var anybody = new HttpClient(Tls(peer => peer is not null))
        { MaxResponseContentBufferSize = CaBytesMax, Timeout = connectMax };
        var text = await anybody.GetStringAsync(new Uri(address.Url!, "/ca.pem"), cancel);
        var fetched = Parse(text, $"{address.Place}/ca.pem", "see whether that is a godwit server");
        if (string.Equals(ApiCertificate.Fingerprint(fetched), settings.Ca, StringComparison.OrdinalIgnoreCase)) return fetched;
        throw new ApiException(new ApiError("server-not-trusted",
            $"{address.Place} shows the CA {ApiCertificate.Fingerprint(fetched)}, not {settings.Ca}")
        {
            Next = $"if the cluster is a new one, compare with 'godwit ca' on its machine and set {RemoteSettings.CaVariable}; "
                + "else somebody is in between",
        });
    }

    private static X509Certificate2 Parse(string pem, string origin, string next)
    {
        try
        {
            return X509Certificate2.CreateFromPem(pem);
        }
        catch (CryptographicException reason)
        {
            throw new ApiException(new ApiError("ca-unusable", $"{origin} is no CA certificate: {reason.Message}") { Next = next }, reason);
        }
    }

    private static SocketsHttpHandler Tls(Func<X509Certificate?, bool> accept) => new()
    {
        UseProxy = false,
        AllowAutoRedirect = false,
        ConnectTimeout = connectMax,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(30),
        SslOptions =
        {
            EnabledSslProtocols = System.Security.Authentication.SslProtocols.Tls13,
            RemoteCertificateValidationCallback = (_, peer, _, _) => accept(peer),
        },
    };
}

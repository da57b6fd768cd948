using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Godwit.Tests.Access;

/// <summary>An OpenID Connect issuer in the test's own process: discovery, keys, authorization, token. Tests bend what it signs.</summary>
internal sealed class FakeIssuer : IAsyncDisposable
{
    public const string Client = "godwit-cli";
    private readonly ConcurrentDictionary<string, (string Challenge, string Nonce, string Redirect)> _codes = new();
    private readonly WebApplication _web;

    private FakeIssuer(WebApplication web) => _web = web;

    public static async Task<FakeIssuer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        var issuer = new FakeIssuer(builder.Build());
        issuer._web.MapGet("/.well-known/openid-configuration", () => new
        {
            issuer = issuer.CallsItself ?? issuer.Url,
            authorization_endpoint = $"{issuer.Url}/authorize", token_endpoint = $"{issuer.Url}/token",
            jwks_uri = $"{issuer.Url}/keys", response_types_supported = new[] { "code" },
        });
        issuer._web.MapGet("/keys", () => Results.Text($$"""{"keys":[{{Jwk(issuer.Key)}}]}""", "application/json"));
        issuer._web.MapGet("/authorize", issuer.Authorize);
        issuer._web.MapPost("/token", (Delegate)issuer.TokenAsync);
        await issuer._web.StartAsync();
        return issuer;
    }

    public string Url => _web.Urls.Single();
    public ECDsaSecurityKey Key { get; set; } = NewKey("k1");
    public string? CallsItself { get; set; }
    /// <summary>Claims of the person who is logged in there.</summary>
    public Dictionary<string, object> Person { get; } = new()
    {
        ["sub"] = "248289761001", ["preferred_username"] = "ann", ["groups"] = new[] { "ops", "staff" },
    };

    public OidcSettings Settings => new(Url, Client, [("admins", Role.Admin), ("ops", Role.Operator)]);

    public static ECDsaSecurityKey NewKey(string id) => new(ECDsa.Create(ECCurve.NamedCurves.nistP256)) { KeyId = id };

    /// <summary>A right token for this log-in, unless the test changes something of it.</summary>
    public string Sign(string? nonce, Action<SecurityTokenDescriptor>? bend = null)
    {
        var claims = new Dictionary<string, object>(Person);
        if (nonce is not null) claims["nonce"] = nonce;
        var now = DateTime.UtcNow;
        var descriptor = new SecurityTokenDescriptor
        {
            Issuer = Url, Audience = Client, Claims = claims, NotBefore = now, IssuedAt = now, Expires = now.AddMinutes(5),
            SigningCredentials = new SigningCredentials(Key, SecurityAlgorithms.EcdsaSha256),
        };
        bend?.Invoke(descriptor);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(descriptor);
    }

    public async ValueTask DisposeAsync() => await _web.DisposeAsync();

    /// <summary>What a browser does with the address it was shown: asks here, is sent back to loopback with a code.</summary>
    public static async Task<string> BrowseAsync(string address, Func<string, string>? bend = null)
    {
        using var browser = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false });
        using var sent = await browser.GetAsync(address);
        var back = sent.Headers.Location!.ToString();
        using var answer = await browser.GetAsync(bend?.Invoke(back) ?? back);
        return await answer.Content.ReadAsStringAsync();
    }

    private IResult Authorize(HttpContext http)
    {
        var query = http.Request.Query;
        if (query["client_id"] != Client || query["response_type"] != "code" || query["code_challenge_method"] != "S256")
            return Results.BadRequest();
        var code = WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(16));
        _codes[code] = (query["code_challenge"]!, query["nonce"]!, query["redirect_uri"]!);
        return Results.Redirect(QueryHelpers.AddQueryString(query["redirect_uri"]!, new Dictionary<string, string?>
        {
            ["code"] = code, ["state"] = query["state"], ["iss"] = Url,
        }));
    }

    private async Task<IResult> TokenAsync(HttpContext http)
    {
        var form = await http.Request.ReadFormAsync();
        var verifier = WebEncoders.Base64UrlEncode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString())));
        var isRight = _codes.TryRemove(form["code"].ToString(), out var begun) && begun.Challenge == verifier
            && begun.Redirect == form["redirect_uri"] && form["client_id"] == Client && form["grant_type"] == "authorization_code";
        return isRight ? Results.Json(new { token_type = "Bearer", access_token = "unused", id_token = Sign(begun.Nonce) })
            : Results.Json(new { error = "invalid_grant" }, statusCode: 400);
    }

    private static string Jwk(ECDsaSecurityKey key)
    {
        var point = key.ECDsa.ExportParameters(includePrivateParameters: false).Q;
        var (x, y) = (WebEncoders.Base64UrlEncode(point.X!), WebEncoders.Base64UrlEncode(point.Y!));
        return $$"""{"kty":"EC","crv":"P-256","use":"sig","kid":"{{key.KeyId}}","x":"{{x}}","y":"{{y}}"}""";
    }
}

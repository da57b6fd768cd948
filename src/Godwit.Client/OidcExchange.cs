using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Godwit.Server.Api;
using Microsoft.AspNetCore.WebUtilities;

namespace Godwit.Client;

/// <summary>
/// One log-in at an issuer (OpenID Connect, authorization code with PKCE, RFC 7636): the question a browser takes there, and the code it
/// brings back turned into an ID token. That token is not read here: the server proves it, with the nonce it gave.
/// </summary>
/// <param name="State">Ties the answer to our question.</param>
/// <param name="Verifier">Ties the code to us.</param>
public sealed record OidcExchange(OidcBeginView Issuer, string State, string Verifier)
{
    private const int AnswerBytesMax = 1 << 20;
    private static readonly TimeSpan tokenMax = TimeSpan.FromSeconds(30);

    public static OidcExchange Begin(OidcBeginView issuer) => new(issuer, Random(16), Random(32));

    /// <summary>Where the browser goes.</summary>
    /// <param name="redirect">Where it comes back to.</param>
    public string Question(string redirect) => QueryHelpers.AddQueryString(Issuer.AuthorizationEndpoint, new Dictionary<string, string?>
    {
        ["response_type"] = "code", ["client_id"] = Issuer.ClientId, ["redirect_uri"] = redirect, ["scope"] = Issuer.Scope,
        ["state"] = State, ["nonce"] = Issuer.Nonce, ["code_challenge_method"] = "S256",
        ["code_challenge"] = WebEncoders.Base64UrlEncode(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))),
    });

    public bool IsAnswerTo(string? state) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(state ?? ""), Encoding.UTF8.GetBytes(State));

    /// <summary>Why the issuer's answer brings nobody in; null: it may.</summary>
    /// <param name="answered">The <c>iss</c> of the answer (RFC 9207: two issuers must not be mixed up); empty where it says none.</param>
    public ApiException? Problem(string answered, string error, string description) =>
        answered.Length > 0 && answered != Issuer.Issuer ? Failed($"the answer came from {Plain(answered)}, not from {Issuer.Issuer}")
        : error.Length > 0 ? Failed($"{Issuer.Issuer} says {Plain(error)}: {Plain(description)}") : null;

    /// <returns>The issuer's ID token.</returns>
    public async Task<string> RedeemAsync(string code, string redirect, CancellationToken cancel)
    {
        using var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        { Timeout = tokenMax, MaxResponseContentBufferSize = AnswerBytesMax };
        using var form = new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = redirect,
            ["client_id"] = Issuer.ClientId, ["code_verifier"] = Verifier,
        });
        try
        {
            using var answer = await client.PostAsync(new Uri(Issuer.TokenEndpoint), form, cancel);
            var tokens = await answer.Content.ReadFromJsonAsync<Tokens>(cancel);
            return answer.IsSuccessStatusCode && tokens?.IdToken is { Length: > 0 } id ? id
                : throw Failed($"{Issuer.TokenEndpoint} gave no ID token: {(int)answer.StatusCode} {Plain(tokens?.Error ?? "")}");
        }
        catch (Exception reason) when (reason is HttpRequestException or JsonException
            || (reason is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            throw Failed($"{Issuer.TokenEndpoint} does not answer as an issuer does: {reason.Message}");
        }
    }

    public static ApiException Failed(string why) => new(new ApiError("login-failed", why) { Next = "try again: godwit login --oidc" });

    private static string Random(int bytes) => WebEncoders.Base64UrlEncode(RandomNumberGenerator.GetBytes(bytes));

    private static string Plain(string text) => string.Concat(text.Take(200).Select(c => char.IsControl(c) ? ' ' : c));

    private sealed record Tokens(
        [property: JsonPropertyName("id_token")] string? IdToken, [property: JsonPropertyName("error")] string? Error);
}

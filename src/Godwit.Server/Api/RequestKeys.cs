using System.Security.Cryptography;
using System.Text;
using Godwit.Core;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Http;

namespace Godwit.Server.Api;

/// <summary>
/// <c>Idempotency-Key</c>: the same key with the same request may be sent again and does nothing twice; with another
/// request it is refused. Which operation a key began is remembered with the operation.
/// </summary>
public sealed class RequestKeys(RequestDelegate next, OperationStore operations)
{
    public const string Header = "Idempotency-Key";

    public async Task InvokeAsync(HttpContext http)
    {
        if (HttpMethods.IsPost(http.Request.Method) && Of(http) is { } key)
        {
            Check(key);
            // Of a password nothing may be kept, not even a hash that can be guessed at fast.
            if (http.GetEndpoint().Needs()?.Traits.HasFlag(Traits.Secret) is true)
                throw new RefusedException("bad-idempotency-key", "this request holds a secret and is not remembered",
                    $"send it without {Header}");
            if (!await operations.RememberRequestAsync(key, await FingerprintAsync(http)))
                throw new RefusedException("bad-idempotency-key", $"the key {key} was used for another request",
                    "use a new key for a new request, and the same only to repeat one");
        }
        await next(http);
    }

    public static string? Of(HttpContext http) =>
        http.Request.Headers.TryGetValue(Header, out var values) ? values.ToString() : null;

    private static void Check(string key)
    {
        if (key.Length is 0 or > ApiLimits.RequestKeyCharsMax || !key.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            throw new RefusedException("bad-idempotency-key", "the Idempotency-Key cannot be used",
                $"1 to {ApiLimits.RequestKeyCharsMax} of A-Z a-z 0-9 - _");
    }

    /// <summary>Of method, path, query and body.</summary>
    private static async Task<string> FingerprintAsync(HttpContext http)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{http.Request.Method} {http.Request.Path}{http.Request.QueryString}\n"));
        var body = await KeptBody.OfAsync(http);
        hash.AppendData(body.GetBuffer(), 0, (int)body.Length);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}

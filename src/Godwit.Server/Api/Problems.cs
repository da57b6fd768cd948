using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;

namespace Godwit.Server.Api;

/// <summary>Every failure as what a person is told: made here and nowhere else, so that none lacks its next step.</summary>
public static class Problems
{
    public static ApiProblem From(Exception failure, ProblemPlace place) => failure switch
    {
        RefusedException refused => Of(refused.Reasons, place),
        AgentUnreachableException silent => Make(StatusCodes.Status503ServiceUnavailable, new Refusal("host-unreachable",
            silent.Message,
            $"what was asked may have been done: look with 'godwit host show {silent.Host}' and ask again when it is ready"),
            place with { Side = "host" }),
        StoreFailedException => Make(StatusCodes.Status503ServiceUnavailable, new Refusal("store-failed",
            failure.Message, "free space on the server's disk and look at its log; VMs go on running meanwhile"),
            place with { Side = "server" }),
        BadHttpRequestException bad => OfStatus(bad.StatusCode, (bad.InnerException as JsonException)?.Message ?? bad.Message),
        _ => Make(StatusCodes.Status500InternalServerError, new Refusal("internal-error",
            $"{failure.GetType().Name}: {failure.Message}",
            "this is a bug in Godwit: the server's log has the details, please report it; running VMs are not touched"),
            place with { Side = "server" }),
    };

    /// <summary>For what ASP.NET answers by itself: no such route, wrong method, wrong type, too much.</summary>
    public static ApiProblem OfStatus(int status, string? cause = null) => Make(status, status switch
    {
        StatusCodes.Status404NotFound => new Refusal("route-not-found", cause ?? "there is nothing at this path",
            "see the API's document at /openapi/v1.json; is the server as new as the client?"),
        StatusCodes.Status405MethodNotAllowed => new Refusal("bad-method", cause ?? "this path does not take that method",
            "see the API's document at /openapi/v1.json"),
        StatusCodes.Status408RequestTimeout => new Refusal("request-slow", cause ?? "the request came too slowly",
            "send it again"),
        StatusCodes.Status413PayloadTooLarge => new Refusal("body-too-large",
            cause ?? $"a request has at most {ApiLimits.BodyBytesMax} bytes", "send less; images go to PUT /api/v1/templates/NAME"),
        StatusCodes.Status415UnsupportedMediaType => new Refusal("bad-content-type",
            cause ?? "the body is of a type this path does not take",
            "send application/json, and images as application/octet-stream"),
        StatusCodes.Status429TooManyRequests => new Refusal("too-many-streams", cause ?? "too many event streams are open",
            "close some, or ask again in a while"),
        >= 500 => new Refusal("internal-error", cause ?? "the server failed", "the server's log says more"),
        _ => new Refusal("bad-request", cause ?? "the request cannot be understood", "see the API's document at /openapi/v1.json"),
    }, new ProblemPlace());

    public static ApiProblem Of(IReadOnlyList<Refusal> reasons, ProblemPlace place)
    {
        Invariant.Holds(reasons.Count > 0);
        var status = StatusOf(reasons[0].Code);
        var isCheck = status == StatusCodes.Status409Conflict && reasons[0].Code != "vm-busy";
        return Make(status, new Refusal(reasons[0].Code,
            string.Join("; ", reasons.Take(ApiLimits.ReasonsMax).Select(r => OneLine.Of(r.Cause))),
            string.Join("; ", reasons.Take(ApiLimits.ReasonsMax).Select(r => OneLine.Of(r.Fix)).Distinct())), place) with
        {
            Reasons = reasons.Count > 1 || isCheck ? [.. reasons.Take(ApiLimits.ReasonsMax).Select(Shown)] : [],
        };
    }

    /// <summary>A cause quotes what was sent, which may be made to deface a terminal, or a megabyte long.</summary>
    private static Refusal Shown(Refusal reason) => reason with { Cause = OneLine.Of(reason.Cause), Fix = OneLine.Of(reason.Fix) };

    private static int StatusOf(string code) =>
        code.EndsWith("-not-found", StringComparison.Ordinal) ? StatusCodes.Status404NotFound
        : code.StartsWith("bad-", StringComparison.Ordinal) ? StatusCodes.Status422UnprocessableEntity
        : code is "too-many-streams" or "too-many-logins" ? StatusCodes.Status429TooManyRequests
        : code is "token-missing" or "token-invalid" or "ticket-invalid"
            or "login-failed" or "oidc-no-role" ? StatusCodes.Status401Unauthorized
        : code == "role-lacks-permission" || code.StartsWith("join-token-", StringComparison.Ordinal) ? StatusCodes.Status403Forbidden
        : code is "audit-failed" or "oidc-issuer-silent" ? StatusCodes.Status503ServiceUnavailable
        : StatusCodes.Status409Conflict;

    private static ApiProblem Make(int status, Refusal refusal, ProblemPlace place)
    {
        const int all = OneLine.CharsMax * ApiLimits.ReasonsMax;
        refusal = refusal with { Cause = OneLine.Of(refusal.Cause, all), Fix = OneLine.Of(refusal.Fix, all) };
        Invariant.Holds(refusal.Fix.Length > 0 && refusal.Cause.Length > 0);
        return new ApiProblem
        {
            Title = ReasonPhrases.GetReasonPhrase(status),
            Status = status,
            Detail = refusal.Cause,
            Code = refusal.Code,
            Cause = refusal.Cause,
            Next = refusal.Fix,
            Phase = place.Phase,
            Side = place.Side ?? "server",
            Vm = place.Vm is { } vm ? OneLine.Of(vm) : null,
            From = place.From,
            To = place.To,
        };
    }
}

/// <summary>Where something failed. Names, not ids.</summary>
public sealed record ProblemPlace(
    string? Vm = null, string? From = null, string? To = null, Core.Migration.Phase? Phase = null, string? Side = null);

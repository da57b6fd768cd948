using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Godwit.Server.Audit;
using Godwit.Server.Store;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>
/// Every request passes here: who is it, may they, and is it on record? In this order; then it is let through.
/// A token, where one is sent, is who the caller is; without one the local socket is the machine's admin, and
/// anybody else is nobody. What the policy does not allow is refused.
/// </summary>
public sealed class Gate(RequestDelegate next, ControlPlane control, GatePorts ports)
{
    private static readonly TimeSpan askAgainEvery = TimeSpan.FromMinutes(1);

    public async Task InvokeAsync(HttpContext http)
    {
        var needs = http.GetEndpoint().Needs();
        Invariant.Holds(needs is not null || http.GetEndpoint() is not RouteEndpoint);
        // That there is nothing at a path, too, is told only to those who are somebody.
        var permission = needs?.Permission ?? Permission.OwnAccount;
        var request = $"rq-{ports.Randomness.NextHex(6)}";
        http.Response.Headers[GateHeaders.Request] = request;

        var isPage = needs?.Traits.HasFlag(Traits.Page) is true;
        var (actor, unknown) = await WhoAsync(http, isPage, needs?.Traits.HasFlag(Traits.Ticket) is true);
        if (!Policy.Allows(actor?.Role, permission))
        {
            if (isPage && PageRequests.SendToLogIn(http)) return;
            await control.Audit.RefusedAsync(AuditNotes.Entry(http, request, actor));
            throw Refused(http, actor, permission, unknown);
        }
        http.Features.Set(actor);
        using var watch = actor?.Token is null ? null : Watch(http, actor);
        if (needs is null || isPage || !AuditNotes.IsAction(http, permission)) await next(http);
        else if (permission == Permission.Anyone) await RecordedOnceProvedAsync(http, AuditNotes.Entry(http, request, actor));
        else await RecordedAsync(http, AuditNotes.Entry(http, request, actor), needs.Traits);
    }

    /// <summary>Whoever an endpoint's caller is; never nobody but where anyone may call.</summary>
    public static Actor ActorOf(HttpContext http) =>
        http.Features.Get<Actor>() ?? throw new InvariantBrokenException("an endpoint asks for its caller, who is nobody");

    private async Task<(Actor? Actor, Refusal? Unknown)> WhoAsync(HttpContext http, bool isPage, bool takesTicket)
    {
        if (takesTicket && http.Request.Query["ticket"] is [{ Length: > 0 } ticket])
        {
            // Whose token was taken back since the ticket was made is nobody, too.
            if (control.ConsoleTickets.Take(ticket) is { } taken && await control.Access.IsStillAsync(taken.Actor))
            {
                http.Features.Set(taken);
                return (taken.Actor, null);
            }
            return (null, new Refusal("ticket-invalid",
                "the ticket is unknown, used or too old", "ask for a new one: it opens one console or display, once"));
        }
        var source = AuditNotes.SourceOf(http);
        var token = BearerOf(http) ?? (isPage ? ports.Console?.TokenOf(http) : null);
        if (token is not null)
        {
            var actor = await control.Access.IdentifyAsync(token, source);
            return actor is not null ? (actor, null) : (null, new Refusal("token-invalid",
                "the token is unknown, revoked or expired", "log in again (godwit login NAME), or ask an admin for a token"));
        }
        var isOwn = !isPage && PageRequests.PersonAtOf(http) is null;
        if (isOwn && http.Features.Get<LocalPeer>() is { } local) return (new Actor($"uid {local.Uid}", Role.Admin, source), null);
        return (null, new Refusal("token-missing", "this server wants to know who asks",
            "log in: godwit login NAME; or set GODWIT_TOKEN to a token an admin made: godwit token create NAME --role ROLE"));
    }

    /// <summary>Null: the request names no token. Empty: it names something else.</summary>
    private static string? BearerOf(HttpContext http)
    {
        if (http.Request.Headers.Authorization.Count == 0) return null;
        var header = http.Request.Headers.Authorization.ToString();
        const string scheme = "Bearer ";
        return header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase) ? header[scheme.Length..].Trim() : "";
    }

    private static RefusedException Refused(HttpContext http, Actor? actor, Permission permission, Refusal? unknown)
    {
        if (unknown is not null) return new RefusedException([unknown]);
        var able = Enum.GetValues<Role>().Where(role => Policy.Allows(role, permission)).Select(Fields.Word);
        return new RefusedException("role-lacks-permission",
            $"{actor!.Name} has the role {Fields.Word(actor.Role)}, which may not {AuditNotes.ActionOf(http)}",
            $"use a token of one of the roles {string.Join(", ", able)}, or ask an admin");
    }

    /// <summary>
    /// Strangers call this, without end if they like: nothing is written for them but what <see cref="AuditTrail.RefusedAsync"/>
    /// bounds. The endpoint says when somebody has been proved, before anything is done.
    /// </summary>
    private async Task RecordedOnceProvedAsync(HttpContext http, AuditEntry entry)
    {
        var isProved = false;
        http.Features.Set(new Proved(async () =>
        {
            await control.Audit.BeginAsync(entry with { Object = AuditNotes.ObjectOf(http) }, isSafety: false);
            isProved = true;
        }));
        http.Response.OnStarting(() =>
        {
            var end = entry with { Object = AuditNotes.ObjectOf(http), Result = AuditNotes.ResultOf(http) };
            end = end with { Detail = AuditNotes.EndOf(http) };
            return isProved ? control.Audit.EndAsync(end) : control.Audit.RefusedAsync(end);
        });
        await next(http);
    }

    private async Task RecordedAsync(HttpContext http, AuditEntry entry, Traits traits)
    {
        string? asked = null;
        try
        {
            if (traits.HasFlag(Traits.Recorded)) asked = await AuditNotes.BodyAsync(http);
        }
        catch (BadHttpRequestException unreadable)
        {
            await control.Audit.EndAsync(entry with { Result = AuditResult.Failed, Detail = $"{unreadable.StatusCode} body" });
            throw;
        }
        await control.Audit.BeginAsync(entry with { Detail = asked }, traits.HasFlag(Traits.Safety));
        var ended = 0;
        http.Response.OnStarting(() => EndAsync(AuditNotes.ResultOf(http), AuditNotes.EndOf(http)));
        try
        {
            await next(http);
        }
        finally
        {
            if (http.RequestAborted.IsCancellationRequested) await EndAsync(AuditResult.Unanswered, null);
        }

        Task EndAsync(string result, string? detail) => Interlocked.Exchange(ref ended, 1) != 0 ? Task.CompletedTask
            : control.Audit.EndAsync(entry with { Object = AuditNotes.ObjectOf(http), Result = result, Detail = detail });
    }

    /// <summary>Event streams and consoles stay open: whose token is taken back is cut off within a minute.</summary>
    private ITimer Watch(HttpContext http, Actor actor) =>
        ports.Time.CreateTimer(_ => _ = AskAgainAsync(http, actor), null, askAgainEvery, askAgainEvery);

    private async Task AskAgainAsync(HttpContext http, Actor actor)
    {
        try
        {
            if (!await control.Access.IsStillAsync(actor)) http.Abort();
        }
        catch (Exception reason) when (reason is StoreFailedException or ObjectDisposedException)
        {
            http.Abort(); // Not known is not allowed; or the answer was just over.
        }
    }
}

/// <summary>Lets an endpoint that strangers may call say that its caller is known now, and what follows is to be on record.</summary>
/// <param name="BeginAsync">Throws where it cannot be recorded.</param>
internal sealed record Proved(Func<Task> BeginAsync);

/// <param name="Randomness">For ids of requests.</param>
/// <param name="Console">Reads cookies of pages; null: there are no pages.</param>
public sealed record GatePorts(Core.Ports.IRandomness Randomness, TimeProvider Time, IWebConsole? Console = null);

public static class GateHeaders
{
    /// <summary>On every answer: the id under which the audit has it.</summary>
    public const string Request = "Godwit-Request-Id";
}

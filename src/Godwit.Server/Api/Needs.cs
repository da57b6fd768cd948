using Godwit.Core;
using Godwit.Core.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>What is special about an endpoint, for the audit.</summary>
[Flags]
public enum Traits
{
    None = 0,
    /// <summary>Its body goes into the audit: it says what was asked for. Never together with <see cref="Secret"/>.</summary>
    Recorded = 1,
    /// <summary>Done even if it cannot be recorded: it ends a guest's standing still.</summary>
    Safety = 2,
    /// <summary>Its body holds a password.</summary>
    Secret = 4,
    /// <summary>
    /// Of the console: who calls is told by a cookie too, and never by the socket. It does nothing by itself, so nothing of it is on
    /// record: what a person does there is, as any call of the API.
    /// </summary>
    Page = 8,
    /// <summary>Who calls may be told by a one-use ticket instead of a token, where a browser cannot send one.</summary>
    Ticket = 16,
}

/// <summary>The one permission an endpoint needs. An endpoint without is a bug: the server does not start with it.</summary>
public sealed record EndpointNeeds(Permission Permission, Traits Traits);

public static class NeedsExtensions
{
    public static TBuilder Needs<TBuilder>(this TBuilder endpoint, Permission permission, Traits traits = Traits.None)
        where TBuilder : IEndpointConventionBuilder
    {
        Invariant.Holds(!traits.HasFlag(Traits.Recorded) || !traits.HasFlag(Traits.Secret));
        return endpoint.WithMetadata(new EndpointNeeds(permission, traits));
    }

    /// <summary>Null: there is nothing at that path, or (a bug) it names no permission.</summary>
    public static EndpointNeeds? Needs(this Endpoint? endpoint) => endpoint?.Metadata.GetMetadata<EndpointNeeds>();

    /// <summary>Throws where a route names no permission, or several.</summary>
    public static void CheckNeeds(this IEnumerable<Endpoint> endpoints)
    {
        var wrong = endpoints.OfType<RouteEndpoint>()
            .Where(e => e.Metadata.GetOrderedMetadata<EndpointNeeds>().Count != 1)
            .Select(e => e.DisplayName).ToList();
        if (wrong.Count > 0)
            throw new InvariantBrokenException($"each route needs exactly one permission; not so: {string.Join(", ", wrong)}");
    }
}

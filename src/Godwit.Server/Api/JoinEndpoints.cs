using System.Net;
using System.Net.Sockets;
using Godwit.Core;
using Godwit.Core.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>How a host comes in: a token for it, and what it does with the token.</summary>
internal static class JoinEndpoints
{
    public static void MapJoining(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapPost("/join-tokens", async Task<Created<NewJoinTokenView>> (CreateJoinTokenRequest wish, HttpContext http) =>
        {
            var made = await control.Joins.CreateTokenAsync(wish, Gate.ActorOf(http));
            return TypedResults.Created($"/api/v1/join-tokens/{made.Id}", made);
        }).Needs(Permission.RunHosts, Traits.Recorded);
        api.MapPost("/join", (JoinRequest wish, HttpContext http) =>
        {
            var isToken = wish.Token.Length <= 32 && wish.Token.All(char.IsAsciiHexDigitLower);
            AuditNotes.Name(http, $"hosts/{(Names.IsValid(wish.Name) ? wish.Name : "?")} with token {(isToken ? wish.Token : "?")}");
            var placed = wish with { Endpoint = WithAddress(wish.Endpoint, http.Connection.RemoteIpAddress) };
            return control.Joins.JoinAsync(placed, http.Features.Get<Proved>()!.BeginAsync);
        }).Needs(Permission.Anyone, Traits.Secret);
    }

    /// <summary>An agent that listens on every address knows its port only: its address is where it calls from.</summary>
    private static string WithAddress(string endpoint, IPAddress? from)
    {
        if (!endpoint.StartsWith(':') || from is null) return endpoint;
        var address = from.IsIPv4MappedToIPv6 ? from.MapToIPv4() : from;
        return address.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{address}]{endpoint}" : $"{address}{endpoint}";
    }
}

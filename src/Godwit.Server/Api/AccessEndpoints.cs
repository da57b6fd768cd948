using System.Security.Cryptography.X509Certificates;
using Godwit.Core.Access;
using Godwit.Server.Identity;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>Who may call, and who is calling.</summary>
internal static class AccessEndpoints
{
    /// <summary>Public as every CA certificate: a client that knows its fingerprint fetches it before it trusts anything.</summary>
    public static void MapCa(this IEndpointRouteBuilder web, ClusterCa ca) =>
        web.MapGet("/ca.pem", () => TypedResults.Text(ca.CertificatePem, "application/x-pem-file"))
            .ExcludeFromDescription().Needs(Permission.Anyone);

    public static void MapAccess(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapPost("/login", async (LogInRequest wish, HttpContext http) =>
        {
            var known = await control.Access.IsUserAsync(wish.Name);
            AuditNotes.Name(http, known ? $"users/{wish.Name}" : "(no such user)");
            return await control.Access.LogInAsync(wish, AuditNotes.SourceOf(http), http.Features.Get<Proved>()!.BeginAsync);
        }).Needs(Permission.Anyone, Traits.Secret);
        api.MapPost("/logout", async Task<NoContent> (HttpContext http) =>
        {
            await control.Access.LogOutAsync(Gate.ActorOf(http));
            return TypedResults.NoContent();
        }).Needs(Permission.OwnAccount);
        api.MapPost("/password", async Task<NoContent> (ChangePasswordRequest wish, HttpContext http) =>
        {
            await control.Access.ChangeOwnPasswordAsync(wish, Gate.ActorOf(http));
            return TypedResults.NoContent();
        }).Needs(Permission.OwnAccount, Traits.Secret);
        api.MapGet("/whoami", (HttpContext http) =>
        {
            var actor = Gate.ActorOf(http);
            return new ActorView(actor.Name, actor.Role, actor.Source, actor.Token, actor.ExpiresAt);
        }).Needs(Permission.OwnAccount);
        api.MapTokens(control);
        api.MapUsers(control);
    }

    private static void MapTokens(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/tokens", () => control.Access.TokensAsync()).Needs(Permission.ManageAccess);
        api.MapPost("/tokens", async Task<Created<NewTokenView>> (CreateTokenRequest wish, HttpContext http) =>
        {
            var made = await control.Access.CreateTokenAsync(wish, Gate.ActorOf(http));
            return TypedResults.Created($"/api/v1/tokens/{made.Token.Id}", made);
        }).Needs(Permission.ManageAccess, Traits.Recorded);
        api.MapDelete("/tokens/{token}", async Task<NoContent> (string token) =>
        {
            await control.Access.RevokeAsync(token);
            return TypedResults.NoContent();
        }).Needs(Permission.ManageAccess);
    }

    private static void MapUsers(this IEndpointRouteBuilder api, ControlPlane control)
    {
        api.MapGet("/users", () => control.Access.UsersAsync()).Needs(Permission.ManageAccess);
        api.MapPost("/users", async Task<Created<UserView>> (AddUserRequest wish, HttpContext http) =>
        {
            var user = await control.Access.AddUserAsync(wish, Gate.ActorOf(http));
            AuditNotes.Name(http, $"users/{user.Name} as {Store.Fields.Word(user.Role)}");
            return TypedResults.Created($"/api/v1/users/{user.Name}", user);
        }).Needs(Permission.ManageAccess, Traits.Secret);
        api.MapDelete("/users/{user}", async Task<NoContent> (string user) =>
        {
            await control.Access.RemoveUserAsync(user);
            return TypedResults.NoContent();
        }).Needs(Permission.ManageAccess);
        api.MapPost("/users/{user}/password", async Task<NoContent> (string user, SetPasswordRequest wish) =>
        {
            await control.Access.SetPasswordAsync(user, wish.Password);
            return TypedResults.NoContent();
        }).Needs(Permission.ManageAccess, Traits.Secret);
    }
}

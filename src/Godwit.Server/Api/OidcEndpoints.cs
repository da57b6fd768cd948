using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Access;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Godwit.Server.Api;

/// <summary>Log-in through an issuer, where one is configured.</summary>
internal static class OidcEndpoints
{
    /// <param name="oidc">Null: none is configured.</param>
    public static void MapOidc(this IEndpointRouteBuilder api, OidcLogIn? oidc)
    {
        api.MapGet("/login/oidc", (CancellationToken leave) => Configured(oidc).BeginAsync(leave)).Needs(Permission.Anyone);
        api.MapPost("/login/oidc", (OidcLogInRequest wish, HttpContext http, CancellationToken leave) =>
        {
            AuditNotes.Name(http, "(nobody yet)");
            return Configured(oidc).LogInAsync(wish.IdToken, async (name, role) =>
            {
                AuditNotes.Name(http, $"{name} as {Store.Fields.Word(role)}");
                await http.Features.Get<Proved>()!.BeginAsync();
            }, leave);
        }).Needs(Permission.Anyone, Traits.Secret);
    }

    private static OidcLogIn Configured(OidcLogIn? oidc) => oidc ?? throw new RefusedException("oidc-not-found",
        "this server knows no OpenID Connect issuer", "log in with a name: godwit login NAME; or start it with --oidc-issuer");
}

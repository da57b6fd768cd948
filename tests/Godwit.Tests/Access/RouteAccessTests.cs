using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Server.Api;
using Godwit.Tests.Control;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Xunit;

namespace Godwit.Tests.Access;

/// <summary>Every route the server maps, asked by every role and by nobody, over TLS, against a table written by hand.</summary>
public sealed class RouteAccessTests
{
    private const string Everyone = "viewer console operator vm-admin host-admin admin auditor metrics", Anyone = $"{Everyone} nobody";
    private const string Lookers = "viewer operator vm-admin host-admin admin", Movers = "operator vm-admin host-admin admin";
    private const string Runners = "operator vm-admin admin", Makers = "vm-admin admin", Hosters = "host-admin admin";

    /// <summary>Written out, not computed from the policy: whoever changes either must mean it.</summary>
    private static readonly Dictionary<string, string> May = new()
    {
        ["GET /ca.pem"] = Anyone,
        ["GET /openapi/{documentName}.json"] = Everyone,
        ["GET /metrics"] = $"{Lookers} metrics",
        ["POST /api/v1/login"] = Anyone,
        ["GET /api/v1/login/oidc"] = Anyone,
        ["POST /api/v1/login/oidc"] = Anyone,
        ["POST /api/v1/logout"] = Everyone,
        ["POST /api/v1/password"] = Everyone,
        ["GET /api/v1/whoami"] = Everyone,
        ["GET /api/v1/hosts"] = Lookers,
        ["GET /api/v1/hosts/{host}"] = Lookers,
        ["POST /api/v1/hosts"] = Hosters,
        ["POST /api/v1/hosts/{host}/cordon"] = Hosters,
        ["POST /api/v1/hosts/{host}/uncordon"] = Hosters,
        ["POST /api/v1/hosts/{host}/revoke"] = Hosters,
        ["GET /api/v1/load"] = Lookers,
        ["GET /api/v1/stats/promises"] = Lookers,
        ["GET /api/v1/links"] = Lookers,
        ["POST /api/v1/links/test"] = Hosters,
        ["POST /api/v1/balance/plan"] = Lookers,
        ["POST /api/v1/balance/replay"] = Lookers,
        ["GET /api/v1/balancer"] = Lookers,
        ["POST /api/v1/balancer"] = Hosters,
        ["POST /api/v1/balancer/vms/{vm}"] = Makers,
        ["POST /api/v1/balancer/recommendations/{id}/apply"] = Movers,
        ["POST /api/v1/balancer/recommendations/{id}/dismiss"] = Movers,
        ["GET /api/v1/power"] = Lookers,
        ["POST /api/v1/power"] = Hosters,
        ["POST /api/v1/power/hold"] = Hosters,
        ["POST /api/v1/power/recommendations/{id}/apply"] = Hosters,
        ["POST /api/v1/power/recommendations/{id}/dismiss"] = Hosters,
        ["POST /api/v1/hosts/{host}/standby"] = Hosters,
        ["POST /api/v1/hosts/{host}/wake"] = Hosters,
        ["GET /api/v1/vms/{vm}/placement"] = Lookers,
        ["GET /api/v1/placement"] = Lookers,
        ["POST /api/v1/placement"] = Hosters,
        ["GET /api/v1/rules"] = Lookers,
        ["GET /api/v1/rules/{rule}"] = Lookers,
        ["POST /api/v1/rules"] = Hosters,
        ["DELETE /api/v1/rules/{rule}"] = Hosters,
        ["GET /api/v1/hosts/{host}/load"] = Lookers,
        ["GET /api/v1/vms/{vm}/load"] = Lookers,
        ["GET /api/v1/hosts/{host}/drain"] = Lookers,
        ["POST /api/v1/hosts/{host}/drain"] = Hosters,
        ["POST /api/v1/hosts/{host}/drain/cancel"] = Hosters,
        ["POST /api/v1/hosts/{host}/restore"] = Hosters,
        ["POST /api/v1/hosts/{host}/settings"] = Hosters,
        ["POST /api/v1/hosts/{host}/fence"] = Hosters,
        ["POST /api/v1/hosts/{host}/recover"] = Hosters,
        ["GET /api/v1/hosts/{host}/recovery"] = Lookers,
        ["DELETE /api/v1/hosts/{host}"] = Hosters,
        ["POST /api/v1/join-tokens"] = Hosters,
        ["POST /api/v1/join"] = Anyone,
        ["GET /api/v1/templates"] = Lookers,
        ["GET /api/v1/templates/{template}"] = Lookers,
        ["GET /api/v1/templates/{template}/versions"] = Lookers,
        ["PUT /api/v1/templates/{template}"] = Makers,
        ["DELETE /api/v1/templates/{template}"] = Makers,
        ["GET /api/v1/vms"] = Lookers,
        ["GET /api/v1/vms/{vm}"] = Lookers,
        ["POST /api/v1/vms"] = Makers,
        ["DELETE /api/v1/vms/{vm}"] = Makers,
        ["POST /api/v1/vms/{vm}/settings"] = Makers,
        ["POST /api/v1/vms/{vm}/start"] = Runners,
        ["POST /api/v1/vms/{vm}/stop"] = Runners,
        ["POST /api/v1/vms/{vm}/restart"] = Runners,
        ["POST /api/v1/vms/{vm}/pause"] = Runners,
        ["POST /api/v1/vms/{vm}/save"] = Runners,
        ["POST /api/v1/vms/{vm}/resume"] = Runners,
        ["GET /api/v1/vms/{vm}/snapshots"] = Lookers,
        ["POST /api/v1/vms/{vm}/snapshots"] = Runners,
        ["POST /api/v1/vms/{vm}/snapshots/{snapshot}/revert"] = Runners,
        ["DELETE /api/v1/vms/{vm}/snapshots/{snapshot}"] = Runners,
        ["POST /api/v1/vms/{vm}/migrate"] = Movers,
        ["POST /api/v1/vms/{vm}/refresh"] = Movers,
        ["GET /api/v1/vms/{vm}/console"] = "console operator vm-admin admin",
        ["POST /api/v1/vms/{vm}/console/ticket"] = "console operator vm-admin admin",
        ["GET /api/v1/vms/{vm}/display"] = "console operator vm-admin admin",
        ["POST /api/v1/vms/{vm}/display/ticket"] = "console operator vm-admin admin",
        ["GET /api/v1/migrations"] = Lookers,
        ["GET /api/v1/migrations/{move}"] = Lookers,
        ["GET /api/v1/migrations/{move}/events"] = Lookers,
        ["POST /api/v1/migrations/{move}/cancel"] = Movers,
        ["POST /api/v1/migrations/{move}/repair"] = Hosters,
        ["GET /api/v1/events"] = Lookers,
        ["GET /api/v1/check"] = Lookers,
        ["POST /api/v1/check"] = Hosters,
        ["POST /api/v1/vms/{vm}/adopt"] = Hosters,
        ["GET /api/v1/tokens"] = "admin",
        ["POST /api/v1/tokens"] = "admin",
        ["DELETE /api/v1/tokens/{token}"] = "admin",
        ["GET /api/v1/users"] = "admin",
        ["POST /api/v1/users"] = "admin",
        ["DELETE /api/v1/users/{user}"] = "admin",
        ["POST /api/v1/users/{user}/password"] = "admin",
        ["GET /api/v1/audit"] = "auditor admin",
        ["GET /api/v1/audit/verify"] = "auditor admin",
    };

    /// <summary>Of the console, by any method. Strangers get no circuit: what they may open is plain HTML and files.</summary>
    private static readonly Dictionary<string, string> mayPages = new()
    {
        ["/login"] = Anyone,
        ["/login/issuer"] = Anyone,
        ["/login/issuer/answer"] = Anyone,
        ["/assets/{version}/{**name}"] = Anyone,
        ["/logout"] = Everyone,
        ["/"] = Everyone,
        ["/moves"] = Everyone,
        ["/moves/{Id}"] = Everyone,
        ["/vms/{Name}"] = Everyone,
        ["/hosts/{Name}"] = Everyone,
        ["/hosts/{Name}/drain"] = Everyone,
        ["/console/{vm}"] = "console operator vm-admin admin",
        ["/console/{vm}/ticket"] = "console operator vm-admin admin",
        ["/display/{vm}"] = "console operator vm-admin admin",
        ["/display/{vm}/ticket"] = "console operator vm-admin admin",
        ["/upload/templates/{template}"] = Makers,
        ["/templates"] = Everyone,
        ["/balance"] = Everyone,
        ["/hosts"] = Everyone,
        ["/events"] = Everyone,
        ["/not-found"] = Everyone,
    };

    /// <summary>What Blazor maps for its circuits.</summary>
    private static readonly string[] ofBlazor = ["/_blazor", "/_framework/"];

    private static readonly string[] notLetIn = ["token-missing", "token-invalid", "role-lacks-permission"];

    [Fact]
    public async Task Every_route_lets_in_exactly_the_roles_of_its_row()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        var routes = server.Endpoints.OfType<RouteEndpoint>().SelectMany(Routes).ToList();
        Assert.Equal([], routes.Where(route => RowOf(route) is null)); // A new route needs a row.
        Assert.Equal([], May.Keys.Except(routes));
        Assert.Equal([], mayPages.Keys.Except(routes.Select(route => route.Split(' ')[1])));

        var wrong = new List<string>();
        foreach (var caller in Anyone.Split(' '))
        {
            var token = caller == "nobody" ? null : await server.TokenAsync(RoleOf(caller), $"for-{caller}");
            using var client = await server.RemoteAsync(token);
            foreach (var route in routes)
            {
                var allowed = RowOf(route)!.Split(' ').Contains(caller);
                if (await IsLetInAsync(client, route) != allowed) wrong.Add($"{caller} {(allowed ? "may" : "may not")} {route}");
            }
        }
        Assert.Equal([], wrong);
    }

    [Fact]
    public async Task What_is_not_there_is_told_only_to_those_who_are_somebody()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var nobody = await server.RemoteAsync(null);
        using var viewer = await server.RemoteAsync(await server.TokenAsync(Role.Viewer));
        foreach (var (method, path) in new[] { ("GET", "no/such/thing"), ("PATCH", "vms"), ("GET", "../../etc/passwd"), ("TRACE", "vms") })
        {
            Assert.False(await IsLetInAsync(nobody, $"{method} /api/v1/{path}"));
            Assert.True(await IsLetInAsync(viewer, $"{method} /api/v1/{path}"));
        }
    }

    [Fact]
    public void A_route_without_a_permission_or_with_two_stops_the_server_from_starting()
    {
        var web = WebApplication.CreateSlimBuilder().Build();
        web.MapGet("/good", () => "x").Needs(Permission.SeeCluster);
        Check(web);
        web.MapGet("/forgotten", () => "x");
        Assert.Contains("/forgotten", Assert.Throws<InvariantBrokenException>(() => Check(web)).Message);

        var twice = WebApplication.CreateSlimBuilder().Build();
        twice.MapGet("/twice", () => "x").Needs(Permission.SeeCluster).Needs(Permission.Anyone);
        Assert.Throws<InvariantBrokenException>(() => Check(twice));

        static void Check(IEndpointRouteBuilder web) => web.DataSources.SelectMany(s => s.Endpoints).CheckNeeds();
    }

    [Fact]
    public void The_policy_knows_no_roles_or_permissions_that_nobody_named()
    {
        foreach (var permission in Enum.GetValues<Permission>())
        {
            Assert.True(Policy.Allows(Role.Admin, permission), $"admin may not {permission}");
            Assert.Equal(permission == Permission.Anyone, Policy.Allows(null, permission));
            Assert.Equal(permission == Permission.Anyone, Policy.Allows((Role)99, permission));
            Assert.Equal(permission == Permission.Anyone, Policy.Allows((Role)(-1), permission));
        }
        Assert.All(Enum.GetValues<Role>(), role => Assert.False(Policy.Allows(role, (Permission)99)));
        Assert.Equal(May.Values.SelectMany(row => row.Split(' ')).Distinct().Count() - 1, Enum.GetValues<Role>().Length);
    }

    private static string? RowOf(string route)
    {
        var path = route.Split(' ')[1];
        return May.GetValueOrDefault(route) ?? mayPages.GetValueOrDefault(path)
            ?? (ofBlazor.Any(prefix => path.StartsWith(prefix, StringComparison.Ordinal)) ? Everyone : null);
    }

    private static IEnumerable<string> Routes(RouteEndpoint endpoint) =>
        (endpoint.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? ["GET"])
            .Select(method => $"{method} /{endpoint.RoutePattern.RawText!.TrimStart('/')}");

    /// <summary>True where the answer, good or bad, came from behind the gate. Names nothing that is there, so nothing is done.</summary>
    private static async Task<bool> IsLetInAsync(HttpClient client, string route)
    {
        var (method, path) = (route.Split(' ')[0], route.Split(' ')[1].Replace("{documentName}", "v1"));
        using var request = new HttpRequestMessage(new HttpMethod(method), Regex.Replace(path, "{[a-zA-Z]+}", "no--such"));
        if (method == "POST") request.Content = new StringContent("{\"nonsense\":1}", Encoding.UTF8, "application/json");
        request.Headers.Accept.Add(new("application/json")); // Events as a list, which ends.
        using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        if (answer.IsSuccessStatusCode || answer.Content.Headers.ContentType?.MediaType != ApiErrors.ContentType) return true;
        var problem = JsonSerializer.Deserialize<ApiProblem>(await answer.Content.ReadAsStringAsync(), ApiJson.Lenient)!;
        Assert.NotEqual(500, problem.Status);
        return !notLetIn.Contains(problem.Code);
    }

    private static Role RoleOf(string word) => Enum.GetValues<Role>().Single(role => Godwit.Server.Store.Fields.Word(role) == word);
}

using System.Net;
using System.Text;
using System.Text.Json;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Godwit.Server.Store;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Every way to be refused has the same shape, and says what to do next (checked in <see cref="ServerUnderTest"/>).</summary>
public sealed class ApiErrorTests
{
    [Fact]
    public async Task Every_route_of_the_document_answers_an_unknown_name_or_bad_body_with_a_next_step()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        using var document = JsonDocument.Parse(await server.Http.GetStringAsync("/openapi/v1.json"));
        var asked = 0;
        foreach (var path in document.RootElement.GetProperty("paths").EnumerateObject())
        foreach (var method in path.Value.EnumerateObject())
        {
            var takesBody = method.Value.TryGetProperty("requestBody", out _);
            var namesSomething = path.Name.Contains('{') && !path.Name.EndsWith("/bundle", StringComparison.Ordinal);
            if (!takesBody && !namesSomething) continue; // Lists: they cannot fail but by the store.
            var url = System.Text.RegularExpressions.Regex.Replace(path.Name, "{[a-z]+}", "no--such").TrimStart('/');
            using var answer = await server.SendAsync(method.Name.ToUpperInvariant(), "/" + url, takesBody ? "{\"nonsense\":1}" : null);
            await ServerUnderTest.ReadProblemAsync(answer);
            asked++;
        }
        Assert.InRange(asked, 18, 100);
    }

    [Theory]
    [InlineData("{\"name\":\"web\",\"cpuz\":2}", "cpuz")]
    [InlineData("{\"name\":\"web\",\"name\":\"mail\"}", "name")]
    [InlineData("{\"Name\":\"web\"}", "Name")]
    [InlineData("{\"cpus\":1}", "name")]
    [InlineData("{\"name\":null}", "name")]
    [InlineData("{\"name\":\"web\",\"cpus\":\"2\"}", "cpus")]
    [InlineData("{\"name\":\"web\",\"memoryBytes\":1e400}", "memoryBytes")]
    [InlineData("{\"name\":\"web\"", "")]
    [InlineData("[1,2", "")]
    [InlineData("", "")]
    public async Task A_body_that_is_not_exactly_a_request_is_refused(string body, string named)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var problem = await server.ProblemAsync("POST", "vms", body);
        Assert.Equal(("bad-request", 400), (problem.Code, problem.Status));
        Assert.Contains(named, problem.Cause);
        Assert.Empty(await server.OkAsync<VmView[]>("GET", "vms"));
    }

    [Fact]
    public async Task Bodies_too_deep_too_large_or_of_another_type_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var deep = $"{{\"name\":\"web\",\"bridges\":{new string('[', 40)}{new string(']', 40)}}}";
        Assert.Equal(400, (await server.ProblemAsync("POST", "vms", deep)).Status);
        using var large = new HttpRequestMessage(HttpMethod.Post, "vms");
        var longName = new string('a', (int)ApiLimits.BodyBytesMax);
        large.Content = new StringContent($"{{\"name\":\"{longName}\"}}", Encoding.UTF8, "application/json");
        large.Headers.ExpectContinue = true; // The answer comes before the body is sent.
        using var tooLarge = await server.Http.SendAsync(large);
        Assert.Equal(("body-too-large", 413), Both(await ServerUnderTest.ReadProblemAsync(tooLarge)));
        using var form = new StringContent("name=web", Encoding.UTF8, "application/x-www-form-urlencoded");
        using var answer = await server.Http.PostAsync("vms", form);
        Assert.Equal(("bad-content-type", 415), Both(await ServerUnderTest.ReadProblemAsync(answer)));
    }

    [Fact]
    public async Task Paths_methods_and_queries_that_are_not_there_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        Assert.Equal(("route-not-found", 404), Both(await server.ProblemAsync("GET", "no/such/thing")));
        Assert.Equal(("bad-method", 405), Both(await server.ProblemAsync("PATCH", "vms")));
        Assert.Equal(("bad-request", 400), Both(await server.ProblemAsync("GET", "migrations?limit=many")));
        Assert.Equal(("bad-format", 422), Both(await server.ProblemAsync("PUT", "templates/base?format=vdi")));
        Assert.Equal("bad-upgrade", (await server.ProblemAsync("GET", "vms/web/console")).Code);
    }

    [Theory]
    [InlineData("""{"name":"../../etc"}""", "bad-name")]
    [InlineData("""{"name":"a,b=c"}""", "bad-name")]
    [InlineData("""{"name":"vm-0123456789ab"}""", "bad-name")]
    [InlineData("""{"name":"w","cpus":0}""", "bad-cpus")]
    [InlineData("""{"name":"w","cpus":1000000}""", "bad-cpus")]
    [InlineData("""{"name":"w","memoryBytes":-1}""", "bad-memory")]
    [InlineData("""{"name":"w","memoryBytes":9223372036854775807}""", "bad-memory")]
    [InlineData("""{"name":"w","memoryBytes":16777217}""", "bad-memory")]
    [InlineData("""{"name":"w","diskBytes":0}""", "bad-disk")]
    [InlineData("""{"name":"w","diskBytes":1125899906842624}""", "bad-disk")]
    [InlineData("""{"name":"w","bridges":["br0,script=/bin/sh"]}""", "bad-bridge")]
    [InlineData("""{"name":"w","template":"none"}""", "template-not-found")]
    [InlineData("""{"name":"w","host":"none"}""", "host-not-found")]
    [InlineData("""{"name":"w","pool":"none"}""", "pool-missing")]
    [InlineData("""{"name":"w","memoryBytes":17179869184}""", "memory-short")]
    public async Task A_vm_that_cannot_be_is_refused_before_anything_is_made(string body, string code)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        Assert.Equal(code, (await server.ProblemAsync("POST", "vms", body)).Code);
        Assert.Equal(0, server.Cluster["h1"].Count("CreateDisk"));
    }

    [Fact]
    public async Task All_broken_rules_are_told_at_once()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        var problem = await server.ProblemAsync("POST", "vms", new { name = "-", cpus = 0, memoryBytes = 1 });
        Assert.Equal(["bad-name", "bad-cpus", "bad-memory"], problem.Reasons.Select(r => r.Code));
        Assert.Equal(422, problem.Status);
    }

    [Theory]
    [InlineData("no port")]
    [InlineData("h1:0")]
    [InlineData("h1:70000")]
    [InlineData("h1/../x:7443")]
    [InlineData("")]
    public async Task A_host_without_a_usable_endpoint_is_refused(string endpoint)
    {
        await using var server = await ServerUnderTest.StartAsync();
        Assert.Equal("bad-endpoint", (await server.ProblemAsync("POST", "hosts", new { name = "h1", endpoint })).Code);
    }

    [Fact]
    public async Task A_host_that_does_not_answer_is_named_and_not_added()
    {
        await using var server = await ServerUnderTest.StartAsync();
        server.Cluster["h1"].Silent = true;
        var problem = await server.ProblemAsync("POST", "hosts", new { name = "h1", endpoint = "h1:7443" });
        Assert.Equal(("host-unreachable", 503, "host"), (problem.Code, problem.Status, problem.Side));
        Assert.Contains("h1", problem.Cause);
        Assert.Empty(await server.OkAsync<HostView[]>("GET", "hosts"));
    }

    [Fact]
    public async Task What_an_agent_refuses_reaches_the_person_word_for_word()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        server.Cluster["h1"].Fails["CreateDisk"] = new RefusedException(
            [new("pool-full", "pool default has 3 MiB left", "delete something"), new("pool-slow", "it is slow", "wait")]);
        var problem = await server.ProblemAsync("POST", "vms", new { name = "web" });
        Assert.Equal(("pool-full", 409, "web"), (problem.Code, problem.Status, problem.Vm));
        Assert.Equal(["delete something", "wait"], problem.Reasons.Select(r => r.Fix));
        Assert.Empty(await server.OkAsync<VmView[]>("GET", "vms"));
    }

    [Fact]
    public void Every_kind_of_failure_has_a_code_a_cause_and_a_next_step()
    {
        Exception[] failures =
        [
            new RefusedException("code", "cause", "fix"), new AgentUnreachableException(new HostId("h1"), "why"),
            new StoreFailedException("full", new IOException()), new InvariantBrokenException("x"), new InvalidOperationException(""),
            new Microsoft.AspNetCore.Http.BadHttpRequestException("bad", 400),
        ];
        foreach (var failure in failures)
        {
            var problem = Problems.From(failure, new ProblemPlace("web"));
            Assert.All(new[] { problem.Code, problem.Cause, problem.Next, problem.Title }, Assert.NotEmpty);
        }
        foreach (var status in Enum.GetValues<HttpStatusCode>().Where(s => (int)s >= 400).Distinct())
            Assert.NotEmpty(Problems.OfStatus((int)status).Next);
    }

    private static (string, int) Both(ApiProblem problem) => (problem.Code, problem.Status);
}

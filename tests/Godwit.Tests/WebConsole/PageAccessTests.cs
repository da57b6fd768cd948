using System.Net;
using System.Net.Http.Json;
using System.Text.RegularExpressions;
using Godwit.Core.Access;
using Godwit.Server.Api;
using Godwit.Server.Audit;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Pages;

/// <summary>Who gets to see a page, and what a browser is told to do with it.</summary>
public sealed class PageAccessTests
{
    private const string Password = "four words for pages";

    [Fact]
    public async Task A_stranger_with_a_browser_is_led_to_the_log_in_and_from_there_to_the_page_they_wanted()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var browser = Browser(server);
        using var answer = await browser.GetAsync("/moves?x=1");
        Assert.Equal(HttpStatusCode.Redirect, answer.StatusCode);
        Assert.Equal("/login?to=%2Fmoves%3Fx%3D1", answer.Headers.Location!.ToString());

        await server.OkAsync<UserView>("POST", "users", new { name = "alice", role = "viewer", password = Password });
        using var taken = await LogInAsync(browser, "/login?to=%2Fmoves", "alice", Password);
        Assert.Equal("/moves", At(server, taken));
        using var page = await browser.GetAsync("/moves");
        Assert.Equal(HttpStatusCode.OK, page.StatusCode);
    }

    [Fact]
    public async Task A_log_in_leads_to_no_other_site()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "alice", role = "viewer", password = Password });
        foreach (var elsewhere in new[] { "https://evil.example/", "//evil.example/", "/\\evil.example/" })
        {
            using var browser = Browser(server);
            using var taken = await LogInAsync(browser, $"/login?to={Uri.EscapeDataString(elsewhere)}", "alice", Password);
            Assert.Equal("/", At(server, taken));
        }
    }

    [Fact]
    public async Task The_cookie_of_a_page_is_worth_nothing_at_the_api()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "alice", role = "admin", password = Password });
        using var browser = Browser(server);
        (await LogInAsync(browser, "/login", "alice", Password)).Dispose();
        using var answer = await browser.GetAsync("/api/v1/hosts");
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
    }

    [Fact]
    public async Task Guessing_through_the_page_is_bounded_by_where_the_browser_is_and_is_on_record_with_it()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        await server.OkAsync<UserView>("POST", "users", new { name = "alice", role = "viewer", password = Password });
        using var browser = Browser(server);
        var last = "";
        for (var tries = 0; tries < 6; tries++)
        {
            using var answer = await LogInAsync(browser, "/login", "alice", "not the password");
            last = await answer.Content.ReadAsStringAsync();
        }
        Assert.Contains("too many tries", last, StringComparison.Ordinal);
        var rows = await server.OkAsync<IReadOnlyList<AuditRow>>("GET", "audit?limit=100");
        Assert.Contains(rows, row => row.Entry is { Action: "POST login", Source: "127.0.0.1" });
    }

    [Fact]
    public async Task Whoever_says_to_ask_for_somebody_else_is_nobody_without_a_token()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "hosts");
        request.Headers.Add("Godwit-Person-At", "192.0.2.7");
        using var answer = await server.Http.SendAsync(request); // On the socket, where silence would be the machine's admin.
        Assert.Equal("token-missing", (await answer.Content.ReadFromJsonAsync<ApiProblem>(ApiJson.Lenient))!.Code);
    }

    [Fact]
    public async Task From_afar_nobody_can_say_to_be_somewhere_else()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var remote = await server.RemoteAsync(await server.TokenAsync(Role.Viewer));
        remote.DefaultRequestHeaders.Add("Godwit-Person-At", "192.0.2.7");
        Assert.Equal("127.0.0.1", (await remote.GetFromJsonAsync<ActorView>("whoami", ApiJson.Lenient))!.Source);
    }

    [Fact]
    public async Task Pages_let_a_browser_run_no_script_but_ours_and_another_site_begin_nothing()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var browser = Browser(server);
        using var page = await browser.GetAsync("/login");
        var policy = Assert.Single(page.Headers.GetValues("Content-Security-Policy"));
        Assert.Contains("script-src 'self';", policy, StringComparison.Ordinal);
        Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotMatch("unsafe-eval|style-src[^-;]*unsafe-inline", policy);
        Assert.DoesNotMatch(@"<style|<script(?![^>]*\ssrc=)|\son[a-z]+=", await page.Content.ReadAsStringAsync());

        using var forged = new HttpRequestMessage(HttpMethod.Post, "/logout") { Content = new FormUrlEncodedContent([]) };
        forged.Headers.Add("Origin", "https://evil.example");
        forged.Headers.Authorization = new("Bearer", await server.TokenAsync(Role.Viewer));
        using var refused = await browser.SendAsync(forged);
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
    }

    [Fact]
    public async Task What_a_page_needs_is_named_by_its_content_kept_for_good_and_small()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var browser = Browser(server);
        var page = await browser.GetStringAsync("/login");
        var named = Regex.Matches(page, "(?:href|src)=\"(assets/[^\"]+)\"").Select(match => match.Groups[1].Value).Distinct().ToList();
        Assert.True(named.Count >= 4, page);
        browser.DefaultRequestHeaders.AcceptEncoding.ParseAdd("br");
        foreach (var address in named)
        {
            using var asset = await browser.GetAsync("/" + address);
            Assert.Equal(HttpStatusCode.OK, asset.StatusCode);
            Assert.Contains("immutable", asset.Headers.CacheControl!.ToString(), StringComparison.Ordinal);
            Assert.InRange((await asset.Content.ReadAsByteArrayAsync()).Length, 100, 200_000);
            using var other = await browser.GetAsync("/assets/0000000000000000/" + address.Split('/')[^1]);
            Assert.Equal(HttpStatusCode.NotFound, other.StatusCode);
        }
    }

    /// <summary>noVNC's modules load each other by relative paths: they lie where those lead, beside each other, whoever asks.</summary>
    [Fact]
    public async Task The_page_of_a_display_may_do_no_more_than_others_and_its_viewer_finds_all_its_parts()
    {
        await using var server = await ServerUnderTest.StartRemoteAsync();
        using var browser = Browser(server);
        browser.DefaultRequestHeaders.Authorization = new("Bearer", await server.TokenAsync(Role.Console));
        using var page = await browser.GetAsync("/display/web1");
        var policy = Assert.Single(page.Headers.GetValues("Content-Security-Policy"));
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Contains("default-src 'none'; script-src 'self'; style-src 'self';", policy, StringComparison.Ordinal);

        var first = Regex.Match(await page.Content.ReadAsStringAsync(), "data-viewer=\"([^\"]+)\"").Groups[1].Value;
        var (found, open) = (new HashSet<string> { first }, new Queue<string>([first]));
        while (open.TryDequeue(out var address))
        {
            using var module = await browser.GetAsync(address);
            Assert.True(module.StatusCode == HttpStatusCode.OK, address);
            Assert.Equal("text/javascript", module.Content.Headers.ContentType!.MediaType);
            var text = await module.Content.ReadAsStringAsync();
            foreach (Match import in Regex.Matches(text, "^(?:import|\\}).*from ['\"]([^'\"]+)", RegexOptions.Multiline))
            {
                var next = new Uri(new Uri($"https://{server.Listening}{address}"), import.Groups[1].Value).AbsolutePath;
                if (found.Add(next)) open.Enqueue(next);
            }
        }
        Assert.InRange(found.Count, 45, 60);
    }

    /// <summary>Where on this server an answer leads; fails where it leads elsewhere.</summary>
    private static string At(ServerUnderTest server, HttpResponseMessage answer)
    {
        var to = new Uri(new Uri($"https://{server.Listening}/"), answer.Headers.Location!);
        Assert.Equal(server.Listening.ToString(), to.Authority);
        return to.PathAndQuery;
    }

    private static HttpClient Browser(ServerUnderTest server)
    {
        var client = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false, CookieContainer = new CookieContainer(),
            SslOptions = { RemoteCertificateValidationCallback = (_, peer, _, _) => peer is not null },
        })
        { BaseAddress = new Uri($"https://{server.Listening}/"), Timeout = TimeSpan.FromSeconds(60) };
        client.DefaultRequestHeaders.Accept.ParseAdd("text/html");
        return client;
    }

    private static async Task<HttpResponseMessage> LogInAsync(HttpClient browser, string path, string name, string password)
    {
        var form = await browser.GetStringAsync(path);
        return await browser.PostAsync(path, new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["_handler"] = "login", ["Wish.Name"] = name, ["Wish.Password"] = password,
            ["__RequestVerificationToken"] = Regex.Match(form, "name=\"__RequestVerificationToken\" value=\"([^\"]+)\"").Groups[1].Value,
        }));
    }
}

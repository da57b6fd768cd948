using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Godwit.LabTests.Browser;

/// <summary>People of an organisation log in at its own issuer (OpenID Connect): a real browser goes there and comes back.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class IssuerTests(ConsoleFixture lab) : IAsyncLifetime
{
    private readonly List<string> complaints = [];
    private LabIssuer? issuer;

    public async Task InitializeAsync()
    {
        if (lab.Cluster is null) return;
        issuer = await LabIssuer.StartAsync(lab.Cluster.Plan.ServerNamespace, ConsoleFixture.IssuerAt);
    }

    public async Task DisposeAsync()
    {
        if (issuer is not null) await issuer.DisposeAsync();
    }

    [BrowserFact]
    public async Task Who_says_at_the_issuer_who_they_are_comes_back_with_the_role_of_their_group()
    {
        var page = await ToIssuerAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "ann of ops", Exact = true }).ClickAsync();

        await Expect(page.Locator(".gw-vm")).ToHaveCountAsync(3);
        await Expect(page.Locator(".gw-person")).ToContainTextAsync("ann");
        await Expect(page.Locator(".gw-person")).ToHaveAttributeAsync("title", "Operator");
        await page.GotoAsync("/templates"); // An operator makes none.
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Templates", Exact = true })).ToBeVisibleAsync();
        await Expect(page.Locator("form[data-upload]")).ToHaveCountAsync(0);
        var cookies = await page.Context.CookiesAsync();
        Assert.DoesNotContain(cookies, cookie => cookie.Name == "__Host-godwit-issuer"); // It was for the way there and back.
        Assert.True(cookies.Single(cookie => cookie.Name == "__Host-godwit") is
            { HttpOnly: true, Secure: true, SameSite: SameSiteAttribute.Strict });
        await page.GetByRole(AriaRole.Button, new() { Name = "Log out" }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("/login"));
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task Who_is_in_no_group_that_has_a_role_is_told_so_and_not_let_in()
    {
        var page = await ToIssuerAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "bob of guests" }).ClickAsync();

        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Not logged in" })).ToBeVisibleAsync();
        await page.GotoAsync("/");
        await Expect(page).ToHaveURLAsync(new Regex("/login"));
    }

    [BrowserFact]
    public async Task An_answer_to_a_log_in_that_was_begun_in_another_browser_lets_nobody_in()
    {
        var asking = await ToIssuerAsync();
        await asking.GetByRole(AriaRole.Link, new() { Name = "ann, who only wants to see the answer" }).ClickAsync();
        await Expect(asking.Locator("body")).ToContainTextAsync("code=");
        var answer = await asking.Locator("body").InnerTextAsync();

        var other = await lab.OpenAsync(complaints);
        await other.GotoAsync(answer);
        await Expect(other.GetByText("this is no answer to a log-in that was begun in this browser")).ToBeVisibleAsync();
        await other.GotoAsync("/");
        await Expect(other).ToHaveURLAsync(new Regex("/login"));
    }

    private async Task<IPage> ToIssuerAsync()
    {
        var page = await lab.OpenAsync(complaints);
        await page.GotoAsync("/login");
        await page.GetByRole(AriaRole.Link, new() { Name = "Log in at your organisation" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Who are you?" })).ToBeVisibleAsync();
        return page;
    }
}

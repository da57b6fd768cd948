using System.Text.RegularExpressions;
using Deque.AxeCore.Playwright;
using Godwit.Core.Migration;
using Godwit.Server.Api;
using Microsoft.Playwright;
using Xunit;
using Xunit.Abstractions;
using static Microsoft.Playwright.Assertions;

namespace Godwit.LabTests.Browser;

/// <summary>The console as a person uses it: a real browser, a real cluster, real moves.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class ConsoleTests(ConsoleFixture lab, ITestOutputHelper output) : IAsyncLifetime
{
    private const long PageBytesMax = 1_000_000;
    private const double BusyLoadMsMax = 5_000;
    private readonly List<string> complaints = [];

    public Task InitializeAsync() => lab.Cluster is null ? Task.CompletedTask : lab.BringAsync("host1");

    public Task DisposeAsync() => Task.CompletedTask;

    [BrowserFact]
    public async Task A_wrong_password_is_told_as_the_api_tells_it_and_the_right_one_leads_to_the_page_that_was_wanted()
    {
        var page = await lab.OpenAsync(complaints);
        await page.GotoAsync("/moves");
        await Expect(page).ToHaveURLAsync(new Regex("/login"));
        await page.GetByLabel("Name").FillAsync(ConsoleFixture.Person);
        await page.GetByLabel("Password").FillAsync("not the password");
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("the name or the password is wrong");
        await Screens.KeepAsync(page, "log-in");

        await page.GetByLabel("Password").FillAsync(ConsoleFixture.Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Moves", Exact = true })).ToBeVisibleAsync();

        var cookie = Assert.Single(await page.Context.CookiesAsync(), one => one.Name == "__Host-godwit");
        Assert.True(cookie is { HttpOnly: true, Secure: true, SameSite: SameSiteAttribute.Strict });
        Assert.DoesNotContain("gwt_", cookie.Value, StringComparison.Ordinal);
        await page.GetByRole(AriaRole.Button, new() { Name = "Log out" }).ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("/login"));
        await page.GotoAsync("/");
        await Expect(page).ToHaveURLAsync(new Regex("/login"));
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task A_vm_that_is_dragged_onto_a_host_shows_its_quote_moves_and_leaves_a_receipt_with_its_pause()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 64, 20);
        var page = await lab.LoggedInAsync(complaints);
        await Card(page, ConsoleFixture.VmName).DragToAsync(Host(page, "host2"));
        var panel = page.GetByRole(AriaRole.Dialog);
        await Expect(panel.GetByText("may move", new() { Exact = true })).ToBeVisibleAsync();
        await Expect(panel.Locator(".gw-quote dd").First).ToContainTextAsync("ms");
        await Expect(panel.GetByText("host1 → host2")).ToBeVisibleAsync();
        await Screens.KeepAsync(page, "check-panel");
        await panel.GetByRole(AriaRole.Button, new() { Name = "Migrate" }).ClickAsync();

        await Expect(panel).ToHaveCountAsync(0); // It has begun; it may be over before anybody could click on it among those under way.
        await page.GotoAsync("/moves");
        await page.Locator("tbody tr").First.GetByRole(AriaRole.Link).First.ClickAsync();
        await Expect(page.Locator(".gw-head .gw-chip")).ToHaveTextAsync("done", new() { Timeout = 60_000 });
        await Expect(page.Locator(".gw-pause-figure")).ToContainTextAsync("paused");
        await Expect(page.Locator(".gw-legend")).ToContainTextAsync("last pass");
        await Screens.KeepAsync(page, "receipt");

        var id = new Uri(page.Url).Segments[^1];
        var receipt = (await lab.Cluster.Api.MoveAsync(id, default)).Receipt!;
        await Expect(page.Locator(".gw-pause-figure b")).ToHaveTextAsync(Amounts.Milliseconds(receipt.PauseMs!.Value));
        await page.GotoAsync("/");
        await Expect(Host(page, "host2").Locator($"[data-vm={ConsoleFixture.VmName}]")).ToBeVisibleAsync();
        await page.GotoAsync("/moves");
        await Expect(page.Locator("tbody tr", new() { HasText = id })).ToContainTextAsync("done");
        await Screens.KeepAsync(page, "moves");
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task A_move_that_does_not_converge_says_so_and_cancel_tells_where_the_guest_is()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 128, 900);
        var page = await lab.LoggedInAsync(complaints);
        var move = await lab.Cluster.Api.MigrateAsync(
            ConsoleFixture.VmName, new MigrateRequest("host2", BandwidthBytesPerSecond: 24 << 20), default);
        await page.GotoAsync("/");
        await Expect(Card(page, ConsoleFixture.VmName).Locator(".gw-vm-move")).ToContainTextAsync("to host2 · memory");
        await page.WaitForTimeoutAsync(3_000); // So that load has been measured.
        await Screens.KeepAsync(page, "cluster");
        await page.GotoAsync($"/moves/{move.Id}");
        await Expect(page.Locator(".gw-chart polyline.remaining")).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await page.WaitForTimeoutAsync(4_000); // So that there is a line to look at.
        await Screens.KeepAsync(page, "move");

        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel move" }).ClickAsync();
        var question = page.GetByRole(AriaRole.Dialog);
        await Expect(question).ToContainTextAsync($"Cancel the move of {ConsoleFixture.VmName}?");
        await question.GetByRole(AriaRole.Button, new() { Name = "Cancel the move" }).ClickAsync();
        await Expect(page.GetByText("Cancelled: the guest is at host1 as before.")).ToBeVisibleAsync();
        Assert.Equal(MoveEnd.Cancelled, (await lab.Cluster.Api.MoveAsync(move.Id.Value, default)).End);
        Assert.Equal("host1", (await lab.Cluster.Api.VmAsync(ConsoleFixture.VmName, default)).Owner.Value);
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task Everything_a_drag_does_is_done_with_the_keyboard_too()
    {
        var page = await lab.LoggedInAsync(complaints);
        await page.GetByLabel($"Pick {ConsoleFixture.VmName}").FocusAsync();
        await page.Keyboard.PressAsync("Space");
        await page.GetByRole(AriaRole.Button, new() { Name = "Move to…" }).FocusAsync();
        await page.Keyboard.PressAsync("Enter");
        var panel = page.GetByRole(AriaRole.Dialog);
        await Expect(panel.GetByText("may move", new() { Exact = true })).ToBeVisibleAsync();
        await panel.GetByRole(AriaRole.Radio).First.FocusAsync();
        await page.Keyboard.PressAsync("ArrowDown");
        // "auto" names host2 too: what it has "free after" is told of a host that was chosen.
        await Expect(panel.Locator(".gw-target.chosen")).ToContainTextAsync("free after");
        await Expect(panel.GetByRole(AriaRole.Button, new() { Name = "Migrate" })).ToBeEnabledAsync();
        await panel.GetByRole(AriaRole.Button, new() { Name = "Migrate" }).FocusAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(Host(page, "host2").Locator($"[data-vm={ConsoleFixture.VmName}]")).ToBeVisibleAsync(new() { Timeout = 60_000 });
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task A_host_that_may_not_take_what_is_dragged_greys_out_with_the_reason()
    {
        await lab.Cluster.Api.ActOnHostAsync("host2", "cordon", default);
        try
        {
            var page = await lab.LoggedInAsync(complaints);
            await Card(page, ConsoleFixture.VmName).HoverAsync();
            await page.Mouse.DownAsync();
            await Host(page, "host2").HoverAsync();
            await Host(page, "host2").HoverAsync(); // Chromium begins a drag with the second movement.
            await Expect(Host(page, "host2")).ToHaveClassAsync(new Regex("refused"));
            await Expect(Host(page, "host2").Locator(".gw-refused")).ToContainTextAsync("cordoned");
            await page.Mouse.UpAsync();
            await Expect(page.GetByRole(AriaRole.Dialog)).ToHaveCountAsync(0);
            Assert.Equal([], complaints);
        }
        finally
        {
            await lab.Cluster.Api.ActOnHostAsync("host2", "uncordon", default);
        }
    }

    [BrowserFact]
    public async Task Every_page_passes_the_accessibility_checks_by_day_and_night_on_a_laptop_and_a_phone()
    {
        foreach (var (width, height, colours) in new[]
            { (1440, 860, ColorScheme.Light), (1440, 860, ColorScheme.Dark), (390, 844, ColorScheme.Light), (390, 844, ColorScheme.Dark) })
        {
            var page = await lab.LoggedInAsync(complaints, width, height, colours);
            foreach (var path in (string[])["/", "/moves", "/templates", "/balance", "/hosts", "/events"])
            {
                await page.GotoAsync(path);
                await Expect(page.Locator("h1")).ToBeVisibleAsync();
                await page.WaitForTimeoutAsync(600);
                await Screens.KeepAsync(page, $"{(path == "/" ? "cluster" : path[1..])}-{width}-{colours.ToString().ToLowerInvariant()}");
                var found = (await page.RunAxe()).Violations.Where(broken => broken.Impact is "serious" or "critical").ToList();
                var told = found.Select(broken => $"{broken.Id}: {broken.Help} {string.Join(' ', broken.Nodes.Select(n => n.Html))}");
                Assert.True(found.Count == 0, $"{path} {width} {colours}: {string.Join("\n", told)}");
            }
            await page.Context.CloseAsync();
        }
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task The_first_visit_takes_less_than_a_megabyte_and_its_pages_stand_at_once()
    {
        var page = await lab.OpenAsync(complaints);
        var session = await page.Context.NewCDPSessionAsync(page);
        await session.SendAsync("Network.enable");
        var bytes = 0L;
        session.Event("Network.loadingFinished").OnEvent += (_, finished) =>
            Interlocked.Add(ref bytes, (long)finished!.Value.GetProperty("encodedDataLength").GetDouble());
        await page.GotoAsync("/");
        var logIn = await TimesAsync(page, "log-in");
        await page.GetByLabel("Name").FillAsync(ConsoleFixture.Person);
        await page.GetByLabel("Password").FillAsync(ConsoleFixture.Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
        await Expect(page.Locator(".gw-vm")).ToHaveCountAsync(3);
        var shownMs = await page.EvaluateAsync<double>("() => performance.now()");
        output.WriteLine($"{bytes:N0} bytes on the wire; the cluster stood {shownMs:0} ms after its page was asked for");
        var cluster = await TimesAsync(page, "cluster");
        await session.SendAsync("Network.setCacheDisabled", new() { ["cacheDisabled"] = true });
        await page.ReloadAsync();
        await Expect(page.Locator(".gw-vm")).ToHaveCountAsync(3);
        var again = await TimesAsync(page, "cluster, nothing kept by the browser");
        Assert.InRange(bytes, 50_000, PageBytesMax);
        // Less than a second on a machine that does nothing else (bench/console.cs); here two processors carry a cluster, its guests,
        // a browser, and a server that is not compiled ahead.
        Assert.All([logIn, cluster, again], loadMs => Assert.InRange(loadMs, 1, BusyLoadMsMax));
    }

    /// <summary>By the browser's own clock, from when the page was asked for: when it had loaded, with scripts, fonts and styles.</summary>
    private async Task<double> TimesAsync(IPage page, string name)
    {
        await page.WaitForFunctionAsync("() => performance.getEntriesByType('navigation')[0].loadEventEnd > 0");
        var loadMs = await page.EvaluateAsync<double>("() => performance.getEntriesByType('navigation')[0].loadEventEnd");
        var paintMs = await page.EvaluateAsync<double>(
            "() => (performance.getEntriesByName('first-contentful-paint')[0] ?? { startTime: 0 }).startTime");
        output.WriteLine($"{name}: first paint after {paintMs:0} ms, loaded after {loadMs:0} ms");
        return loadMs;
    }

    private static ILocator Card(IPage page, string vm) => page.Locator($".gw-vm[data-vm={vm}]");

    private static ILocator Host(IPage page, string host) => page.Locator($"[data-host={host}]");
}

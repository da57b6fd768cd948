using Godwit.Core.Migration;
using Godwit.Server.Api;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Godwit.LabTests.Browser;

/// <summary>What a guest draws, in a real browser, through a real move.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class DisplayTests(ConsoleFixture lab) : IAsyncLifetime
{
    private const string Vm = ConsoleFixture.VmName;
    /// <summary>The canvas's size, and how many of its points are not black; null before there is one.</summary>
    private const string Seen = """
        () => {
            const canvas = document.querySelector('#display canvas');
            if (!canvas || canvas.width === 0) return null;
            const points = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let lit = 0;
            for (let at = 0; at < points.length; at += 4) if (points[at] + points[at + 1] + points[at + 2] > 96) lit++;
            return [canvas.width, canvas.height, lit];
        }
        """;
    private readonly List<string> complaints = [];

    public Task InitializeAsync() => lab.Cluster is null ? Task.CompletedTask : lab.BringAsync("host1");

    public Task DisposeAsync() => Task.CompletedTask;

    [BrowserFact]
    public async Task What_the_guest_draws_is_seen_before_a_move_and_after_it_and_what_is_typed_then_is_heard()
    {
        var page = await lab.LoggedInAsync(complaints);
        await page.GotoAsync($"/vms/{Vm}");
        await Expect(Link(page)).ToHaveAttributeAsync("href", $"/display/{Vm}");
        var line = await page.Context.NewPageAsync(); // What is drawn is ordered over the serial line.
        await line.GotoAsync($"/console/{Vm}");
        await Expect(line.Locator("#terminal")).ToHaveAttributeAsync("data-state", "open");

        await page.GotoAsync($"/display/{Vm}");
        await Expect(page.Locator("#display")).ToHaveAttributeAsync("data-state", "open");
        await Expect(page.Locator("#state")).ToHaveTextAsync("on host1");
        await DrawAsync(line, "clear");
        var (width, height, before) = await SeenAsync(page, points => points >= 0);
        Assert.InRange(width, 640, 1280);
        Assert.InRange(height, 400, 1024);
        await DrawAsync(line, "here");
        var (_, _, drawn) = await SeenAsync(page, points => points > before + 2_000);
        await Screens.KeepAsync(page, "display");

        Assert.Equal(MoveEnd.Done, (await lab.FollowAsync(
            await lab.Cluster.Api.MigrateAsync(Vm, new MigrateRequest("host2"), default))).End);
        await Expect(page.Locator("#state")).ToHaveTextAsync("on host2", new() { Timeout = 60_000 });
        await Expect(page.Locator("#said")).ToHaveTextAsync("moved to host2; the display goes on there");
        // What was drawn before came along; what is drawn now is seen, so it is the new one that is looked at.
        var (_, _, after) = await SeenAsync(page, points => points > before + 2_000);
        Assert.InRange(after, drawn / 2, drawn * 2);
        await Expect(line.Locator("#state")).ToHaveTextAsync("on host2", new() { Timeout = 60_000 });
        await DrawAsync(line, "there");
        await SeenAsync(page, points => points > after + 2_000);
        await TypedAsync(page, line);
        // The connections that the move cut are told by the browser and the viewer, and nothing else.
        Assert.Equal([], complaints.Where(said => !said.Contains("WebSocket", StringComparison.Ordinal)
            && !said.Contains("Connection closed", StringComparison.Ordinal)));
    }

    [BrowserFact]
    public async Task A_vm_that_was_made_without_a_display_says_so_and_how_one_is_had()
    {
        var page = await lab.LoggedInAsync(complaints);
        await page.GotoAsync("/vms/db1");
        await Expect(page.Locator(".gw-facts")).ToContainTextAsync("none: it was made without one");
        await Expect(Link(page)).ToHaveCountAsync(0);
        await page.GotoAsync("/display/db1");
        await Expect(page.Locator("#state")).ToContainTextAsync("db1 has no display");
        await Expect(page.Locator("#state")).ToContainTextAsync("--display vnc");
    }

    private static ILocator Link(IPage page) => page.GetByRole(AriaRole.Link, new() { Name = "Display", Exact = true });

    /// <summary>Eight more lines on the guest's first terminal, which is what its card shows.</summary>
    private static async Task DrawAsync(IPage line, string word)
    {
        var order = word == "clear" ? "printf '\\033c' > /dev/tty1"
            : "for n in 1 2 3 4 5 6 7 8; do echo MMMMMMMMMMMMMMMMMMMMMMMM; done > /dev/tty1";
        await line.Locator(".xterm-helper-textarea").PressSequentiallyAsync($"{order}; echo {word}-$((6*7))\n");
        await Expect(line.Locator(".xterm-rows")).ToContainTextAsync($"{word}-42");
    }

    /// <summary>What is typed at the display, the guest's first terminal hears; its shell says so on the serial line.</summary>
    private static async Task TypedAsync(IPage page, IPage line)
    {
        await line.Locator(".xterm-helper-textarea").PressSequentiallyAsync(
            "echo ready-$((6*7)); read word < /dev/tty1; echo heard-$word\n");
        await Expect(line.Locator(".xterm-rows")).ToContainTextAsync("ready-42");
        await page.BringToFrontAsync();
        await page.Locator("#display canvas").FocusAsync();
        await page.Keyboard.TypeAsync("godwit\n", new() { Delay = 100 });
        await line.BringToFrontAsync();
        await Expect(line.Locator(".xterm-rows")).ToContainTextAsync("heard-godwit");
    }

    private static async Task<(int Width, int Height, int Lit)> SeenAsync(IPage page, Func<int, bool> isEnough)
    {
        int[]? seen = null;
        for (var tries = 0; tries < 120; tries++)
        {
            seen = await page.EvaluateAsync<int[]?>(Seen);
            if (seen is [_, _, var lit] && isEnough(lit)) return (seen[0], seen[1], lit);
            await Task.Delay(500);
        }
        throw new Xunit.Sdk.XunitException($"within 60 s no more was seen than [{string.Join(", ", seen ?? [])}]");
    }
}

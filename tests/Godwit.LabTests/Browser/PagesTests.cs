using System.Text.RegularExpressions;
using Deque.AxeCore.Playwright;
using Godwit.Core.Balance;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Server.Balancing;
using Godwit.Server.Power;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Godwit.LabTests.Browser;

/// <summary>The pages of a VM and its console, a host and its drain, templates, the balance: a real browser on a real cluster.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class PagesTests(ConsoleFixture lab) : IAsyncLifetime
{
    private const string Vm = ConsoleFixture.VmName;
    private readonly List<string> complaints = [];

    public Task InitializeAsync() => lab.Cluster is null ? Task.CompletedTask : lab.BringAsync("host1");

    public Task DisposeAsync() => Task.CompletedTask;

    [BrowserFact]
    public async Task A_vm_is_paused_and_resumed_measured_and_stopped_only_after_a_question_that_names_it()
    {
        await lab.Cluster.Guests.LoadAsync(lab.Guest, 64, 20);
        var page = await OpenAsync($"/vms/{Vm}");
        await Button(page, "Measure memory now").ClickAsync();
        await Expect(page.Locator(".gw-quote-line")).ToContainTextAsync("A live move to host2 would pause it");
        await Screens.KeepAsync(page, "vm");

        await Button(page, "Pause").ClickAsync();
        await Expect(page.Locator(".gw-head .gw-chip")).ToHaveTextAsync("paused");
        await Button(page, "Resume").ClickAsync();
        await Expect(page.Locator(".gw-head .gw-chip")).ToHaveTextAsync("running");

        await Button(page, "Stop").ClickAsync();
        var question = page.GetByRole(AriaRole.Dialog);
        await Expect(question).ToContainTextAsync($"Stop {Vm}?");
        await Button(question, "No").ClickAsync();
        await Expect(question).ToHaveCountAsync(0);
        Assert.Equal(VmState.Running, (await lab.Cluster.Api.VmAsync(Vm, default)).State);
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task A_snapshot_is_made_on_the_page_and_deleted_only_after_a_question_that_names_it()
    {
        var page = await OpenAsync($"/vms/{Vm}");
        var card = page.Locator("section[aria-label=Snapshots]");
        await card.GetByLabel("Name").FillAsync("before");
        await card.GetByLabel("Note").FillAsync("the upgrade");
        await Button(card, "Snapshot now").ClickAsync();
        var row = card.Locator("[data-snapshot=before]");
        await Expect(row).ToContainTextAsync("the upgrade");
        await Expect(row).ToContainTextAsync("made while it ran");
        await Expect(Button(row, "Revert")).ToBeDisabledAsync(); // Its guest runs.
        await Screens.KeepAsync(page, "vm-snapshots");
        await Button(row, "Delete").ClickAsync();
        var question = page.GetByRole(AriaRole.Dialog);
        await Expect(question).ToContainTextAsync("Delete snapshot before?");
        await Button(question, "Delete").ClickAsync();
        await Expect(row).ToHaveCountAsync(0);
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task What_is_typed_into_the_console_during_a_move_is_answered_and_after_it_from_the_new_owner()
    {
        var page = await OpenAsync($"/console/{Vm}");
        await Expect(page.Locator("#terminal")).ToHaveAttributeAsync("data-state", "open");
        await Expect(page.Locator("#state")).ToHaveTextAsync("on host1");
        await TypeAsync(page, "before");

        await lab.Cluster.Guests.LoadAsync(lab.Guest, 64, 5);
        var move = await lab.Cluster.Api.MigrateAsync(Vm, new MigrateRequest("host2", BandwidthBytesPerSecond: 24 << 20), default);
        await TypeAsync(page, "during");
        Assert.Null((await lab.Cluster.Api.MoveAsync(move.Id.Value, default)).End); // It was asked and answered while the move ran.
        Assert.Equal(MoveEnd.Done, (await lab.FollowAsync(move)).End);

        await Expect(page.Locator("#state")).ToHaveTextAsync("on host2", new() { Timeout = 60_000 });
        await Expect(page.Locator(".xterm-rows")).ToContainTextAsync("moved to host2; the console goes on there");
        await TypeAsync(page, "after");
        await Expect(page.Locator(".xterm-rows")).ToContainTextAsync("before-42"); // The session is the same: nothing was cleared.
        await Screens.KeepAsync(page, "console");
        // The one connection that the move cut is told by the browser, and nothing else.
        Assert.Equal([], complaints.Where(said => !said.Contains("WebSocket", StringComparison.Ordinal)));
    }

    [BrowserFact]
    public async Task A_host_is_drained_told_to_be_safe_to_power_off_and_gets_its_vms_back()
    {
        var page = await OpenAsync("/hosts/host1");
        await Expect(page.Locator(".gw-compat")).ToContainTextAsync("pc-q35");
        await Screens.KeepAsync(page, "host");
        await page.GetByRole(AriaRole.Link, new() { Name = "Drain…" }).ClickAsync();
        await Expect(page.Locator("tbody tr", new() { HasText = Vm })).ToContainTextAsync("live");
        await Screens.KeepAsync(page, "drain-plan");
        await Button(page, "Drain host1").ClickAsync();
        await Expect(page.GetByText("Safe to power off.")).ToBeVisibleAsync(new() { Timeout = 90_000 });
        await Expect(page.Locator($"tr[data-vm={Vm}]")).ToContainTextAsync("moved");
        await Screens.KeepAsync(page, "drain");
        Assert.Equal("host2", (await lab.Cluster.Api.VmAsync(Vm, default)).Owner.Value);

        await Button(page, "Bring VMs back").ClickAsync();
        await Expect(page.Locator(".gw-head .gw-chip")).ToHaveTextAsync("ready", new() { Timeout = 90_000 });
        Assert.Equal("host1", (await lab.Cluster.Api.VmAsync(Vm, default)).Owner.Value);
        Assert.Equal(HostState.Ready, (await lab.Cluster.Api.HostAsync("host1", default)).State);
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task A_broken_rule_is_a_recommendation_that_is_applied_by_its_tick()
    {
        var api = lab.Cluster.Api;
        await api.SetVmAsync(Vm, new VmSettingsRequest(Tag: ["fast"]), default);
        await api.SetHostAsync("host2", new HostSettingsRequest(Tag: ["fast"]), default);
        await api.AddRuleAsync(new RuleRecord("fast-on-fast", RuleKind.OnHosts, "fast", "fast"), default);
        try
        {
            await UntilAsync(async () =>
                (await api.PlanBalanceAsync(new BalanceWish(), default)).Plan.Moves.Any(move => move.Goal == MoveGoal.Repair));
            var page = await OpenAsync("/balance");
            var row = page.Locator($"[data-recommendations] tr[data-vm={Vm}]");
            await Expect(row).ToContainTextAsync("repair");
            await row.GetByRole(AriaRole.Checkbox).CheckAsync();
            await Screens.KeepAsync(page, "balance");
            await Button(page, "Apply 1 move").ClickAsync();
            await Expect(page.GetByText("1 VM is on its way")).ToBeVisibleAsync();
            await UntilAsync(async () => (await api.VmAsync(Vm, default)).Owner.Value == "host2");
            await Button(page, "Look again").ClickAsync();
            await Expect(row).ToHaveCountAsync(0);
            Assert.Equal([], complaints);
        }
        finally
        {
            await api.RemoveRuleAsync("fast-on-fast", default);
            await api.SetVmAsync(Vm, new VmSettingsRequest(Untag: ["fast"]), default);
            await api.SetHostAsync("host2", new HostSettingsRequest(Untag: ["fast"]), default);
        }
    }

    [BrowserFact]
    public async Task A_template_is_uploaded_cloned_and_deleted_and_what_is_no_image_is_refused_with_its_reason()
    {
        var page = await OpenAsync("/templates");
        var form = page.Locator("form[data-upload]");
        await UploadAsync(form, "broken.qcow2", [0x51, 0x46, 0x49, 0xFB, .. new byte[4096]]);
        await Expect(form.Locator("[data-upload-said]")).ToHaveClassAsync(new Regex("bad"));
        await Expect(form.Locator("[data-upload-said]")).ToContainTextAsync("Next:");

        await UploadAsync(form, "Plain Disk.raw", new byte[1 << 20]);
        await Expect(form.Locator("[data-upload-said]")).ToHaveTextAsync("plain-disk is there.");
        var row = page.Locator("tr[data-template=plain-disk]");
        await Expect(row).ToContainTextAsync("host2");
        await Screens.KeepAsync(page, "templates");

        await Button(row, "Clone…").ClickAsync();
        var dialog = page.GetByRole(AriaRole.Dialog);
        await dialog.GetByLabel("Name").FillAsync("clone1");
        await dialog.GetByLabel("Start it at once").UncheckAsync();
        await Button(dialog, "Create").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "clone1", Exact = true })).ToBeVisibleAsync();
        await Button(page, "Delete").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Dialog)).ToContainTextAsync("Delete clone1?");
        await Button(page.GetByRole(AriaRole.Dialog), "Delete").ClickAsync();
        await Expect(page).ToHaveURLAsync(ConsoleFixture.Url);

        await page.GotoAsync("/templates");
        await form.GetByLabel("New version of").SelectOptionAsync("plain-disk");
        await form.GetByLabel("Note").FillAsync("twice as large");
        await form.Locator("[name=file]").SetInputFilesAsync(
            new FilePayload { Name = "other.raw", MimeType = "application/octet-stream", Buffer = new byte[2 << 20] });
        await Button(form, "Upload").ClickAsync();
        await Expect(form.Locator("[data-upload-said]")).ToHaveTextAsync("plain-disk version 2 is there.");
        await Button(row, "2 versions, latest 2").ClickAsync();
        await Expect(page.Locator("[data-version='plain-disk:2']")).ToContainTextAsync("twice as large");
        await Screens.KeepAsync(page, "template-versions");
        await Button(page.Locator("[data-version='plain-disk:1']"), "Delete").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Dialog)).ToContainTextAsync("Delete version 1 of plain-disk?");
        await Button(page.GetByRole(AriaRole.Dialog), "Delete").ClickAsync();
        await Expect(row).ToContainTextAsync("version 2");
        await Expect(page.Locator("[data-version]")).ToHaveCountAsync(0);

        await Button(row, "Delete").ClickAsync();
        await Button(page.GetByRole(AriaRole.Dialog), "Delete").ClickAsync();
        await Expect(row).ToHaveCountAsync(0);
        Assert.Equal([], complaints.Where(said => !said.Contains("409", StringComparison.Ordinal))); // The refusal.
    }

    [BrowserFact]
    public async Task Who_keeps_hosts_from_being_turned_off_stands_on_the_hosts_page()
    {
        await lab.Cluster.Api.HoldPowerAsync(new PowerHoldWish(60, "a rolling upgrade"), default);
        var page = await OpenAsync("/hosts");
        await Expect(page.Locator("[data-power]")).ToContainTextAsync("a rolling upgrade");
        Assert.Equal([], complaints);
    }

    [BrowserFact]
    public async Task The_pages_of_one_thing_pass_the_accessibility_checks_by_day_and_night_on_a_laptop_and_a_phone()
    {
        var wrong = new List<string>();
        foreach (var (width, height, colours) in new[]
            { (1440, 860, ColorScheme.Light), (1440, 860, ColorScheme.Dark), (390, 844, ColorScheme.Light), (390, 844, ColorScheme.Dark) })
        {
            var page = await lab.LoggedInAsync(complaints, width, height, colours);
            foreach (var (path, name) in new[]
                { ($"/vms/{Vm}", "vm"), ("/hosts/host1", "host"), ("/hosts/host1/drain", "drain"), ($"/console/{Vm}", "console"),
                  ($"/display/{Vm}", "display"),
                  ("/balance", "balance"), ("/templates", "templates") })
            {
                await page.GotoAsync(path);
                await Expect(page.Locator("h1")).ToBeVisibleAsync();
                await page.WaitForTimeoutAsync(800);
                await Screens.KeepAsync(page, $"{name}-{width}-{colours.ToString().ToLowerInvariant()}", full: true);
                foreach (var broken in (await page.RunAxe()).Violations.Where(one => one.Impact is "serious" or "critical"))
                    wrong.Add($"{path} {width} {colours}: {broken.Id}: {broken.Help}\n  "
                        + string.Join("\n  ", broken.Nodes.Take(3).Select(node => node.Html)));
            }
            await page.Context.CloseAsync();
        }
        Assert.Equal([], wrong);
    }

    private async Task<IPage> OpenAsync(string path)
    {
        var page = await lab.LoggedInAsync(complaints);
        await page.GotoAsync(path);
        return page;
    }

    /// <summary>The answer is not in what was typed: the guest's shell has to work it out.</summary>
    private static async Task TypeAsync(IPage page, string word)
    {
        await page.Locator(".xterm-helper-textarea").PressSequentiallyAsync($"echo {word}-$((6*7))\n");
        await Expect(page.Locator(".xterm-rows")).ToContainTextAsync($"{word}-42");
    }

    private static async Task UploadAsync(ILocator form, string file, byte[] content)
    {
        await form.GetByLabel("Name").FillAsync("");
        await form.GetByLabel("Disk image").SetInputFilesAsync(
            new FilePayload { Name = file, MimeType = "application/octet-stream", Buffer = content });
        await Button(form, "Upload").ClickAsync();
    }

    private static async Task UntilAsync(Func<Task<bool>> isSo)
    {
        for (var tries = 0; tries < 180; tries++)
        {
            if (await isSo()) return;
            await Task.Delay(500);
        }
        Assert.Fail("it did not become so within 90 s");
    }

    private static ILocator Button(IPage page, string name) => page.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });

    private static ILocator Button(ILocator part, string name) => part.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });
}

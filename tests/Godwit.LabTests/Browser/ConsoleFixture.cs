using System.Net;
using Godwit.Cli.Lab;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.LabTests.Cluster;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Microsoft.Playwright;
using Xunit;

namespace Godwit.LabTests.Browser;

[CollectionDefinition(Name)]
public sealed class ConsoleCollection : ICollectionFixture<ConsoleFixture>
{
    public const string Name = "one lab cluster with a console";
}

/// <summary>A lab of two hosts and three VMs, and a real browser inside its management network.</summary>
public sealed class ConsoleFixture : IAsyncLifetime
{
    public const string Person = "alice", Password = "four words of the lab";
    /// <summary>The one that is moved; it has work to do, and a display.</summary>
    public const string VmName = "web1";
    private const int Port = 7445;

    /// <summary>In the server's namespace: over plain http an issuer is believed on loopback only.</summary>
    internal static readonly IPEndPoint IssuerAt = new(IPAddress.Loopback, 7480);

    private readonly List<IBrowserContext> opened = [];
    private IPlaywright playwright = null!;
    private IBrowser browser = null!;

    public LabCluster Cluster { get; private set; } = null!;
    internal string Guest { get; private set; } = "";
    public static string Url => $"https://{LabPlan.ServerAddress}:{Port}/";

    public async Task InitializeAsync()
    {
        if (BrowserFactAttribute.WhyNot is not null) return; // All its tests are skipped.
        Cluster = await LabCluster.StartAsync(LabPlan.Of(Environment.GetEnvironmentVariable("GODWIT_LAB_TAG") ?? "test", 2),
            new LabOptions
            {
                ServerArguments =
                [
                    "--listen", $"{LabPlan.ServerAddress}:{Port}", "--oidc-issuer", $"http://{IssuerAt}", "--oidc-client", LabIssuer.Client,
                    "--oidc-role", "ops=operator",
                ],
            }, default);
        await Cluster.Access.AddUserAsync(new AddUserRequest(Person, Role.Admin, Password), default);
        var vm = await MakeAsync(VmName, 256, start: true, display: Display.Vnc);
        await MakeAsync("db1", 1024, start: false);
        await MakeAsync("cache1", 512, start: false, host: "host2");
        Guest = LabCluster.AddressOf(vm);
        await Cluster.Guests.WaitUntilUpAsync(Guest, TimeSpan.FromMinutes(3)); // A loaded machine boots it slowly.
        Assertions.SetDefaultExpectTimeout(30_000); // Two processors, four QEMUs and a browser.
        playwright = await Playwright.CreateAsync();
        browser = await playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions { ExecutablePath = await InsideAsync() });
    }

    public async Task DisposeAsync()
    {
        if (browser is not null) await browser.DisposeAsync();
        playwright?.Dispose();
        if (Cluster is not null) await Cluster.DisposeAsync();
    }

    /// <summary>A browser of somebody else: no cookies. What its pages complained about is in <paramref name="complaints"/>.</summary>
    internal async Task<IPage> OpenAsync(List<string> complaints, int width = 1440, int height = 860,
        ColorScheme colours = ColorScheme.Light)
    {
        var context = await browser.NewContextAsync(new BrowserNewContextOptions
        {
            IgnoreHTTPSErrors = true, // The lab's CA is made anew each time.
            ViewportSize = new ViewportSize { Width = width, Height = height }, ColorScheme = colours, BaseURL = Url,
            ReducedMotion = ReducedMotion.Reduce, HasTouch = width < 600,
        });
        opened.Add(context);
        context.SetDefaultTimeout(30_000);
        var page = await context.NewPageAsync();
        page.Console += (_, said) =>
        {
            if (said.Type == "error") complaints.Add(said.Text);
        };
        page.PageError += (_, broke) => complaints.Add(broke);
        return page;
    }

    internal async Task<IPage> LoggedInAsync(List<string> complaints, int width = 1440, int height = 860,
        ColorScheme colours = ColorScheme.Light)
    {
        var page = await OpenAsync(complaints, width, height, colours);
        await page.GotoAsync("/");
        await page.GetByLabel("Name").FillAsync(Person);
        await page.GetByLabel("Password").FillAsync(Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
        await Assertions.Expect(page.Locator(".gw-vm")).ToHaveCountAsync(3);
        return page;
    }

    /// <summary>It runs, does nothing, nobody looks at it (a serial line has one reader), and it is on <paramref name="host"/>.</summary>
    internal async Task BringAsync(string host)
    {
        foreach (var context in opened) await context.CloseAsync();
        opened.Clear();
        await Cluster.Guests.LoadAsync(Guest, 0, 0);
        if ((await Cluster.Api.VmAsync(VmName, default)).Owner.Value == host) return;
        var move = await FollowAsync(await Cluster.Api.MigrateAsync(VmName, new MigrateRequest(host), default));
        Assert.Equal(MoveEnd.Done, move.End);
    }

    internal async Task<Migration> FollowAsync(Migration move)
    {
        using var tooLong = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        await foreach (var now in Cluster.Api.WatchMoveAsync(move.Id, tooLong.Token)) move = now;
        return move;
    }

    private Task<VmView> MakeAsync(string name, int memoryMiB, bool start, string host = "host1", Display display = Display.None) =>
        Cluster.Api.CreateVmAsync(new CreateVmRequest(name)
        {
            Template = LabCluster.TemplateName, Host = host, MemoryBytes = (long)memoryMiB << 20, Start = start, Display = display,
        }, default);

    /// <summary>Chromium, started in the server's namespace: the machine's own has no way there.</summary>
    private async Task<string> InsideAsync()
    {
        var script = Path.Combine(Cluster.Plan.DataDirectory, "chromium");
        await File.WriteAllTextAsync(script,
            $"#!/bin/sh\nexec ip netns exec {Cluster.Plan.ServerNamespace} {BrowserFactAttribute.Chromium} \"$@\"\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return script;
    }
}

/// <summary>Needs what the lab needs, and Debian's chromium.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class BrowserFactAttribute : FactAttribute
{
    public const string Chromium = "/usr/bin/chromium";

    public BrowserFactAttribute() => Skip = WhyNot;

    internal static string? WhyNot => RealQemuFactAttribute.WhyNot ?? (!File.Exists(Chromium) ? $"needs {Chromium}"
        : Environment.GetEnvironmentVariable("GODWIT_BROWSER") == "1" ? null : "runs by ./test --browser");
}

#!/usr/bin/env dotnet
#:package Microsoft.Playwright
#:property PublishAot=false
#:property RestorePackagesWithLockFile=false
// How long the pages of a console take that runs already, by the browser's own clock: dotnet bench/console.cs URL USER PASSWORD
// Each visit begins with nothing kept by the browser; of the log-in most is the password's hash, which is slow on purpose.
using System.Globalization;
using Microsoft.Playwright;

if (args is not [var url, var user, var password])
{
    Console.Error.WriteLine("dotnet bench/console.cs https://HOST:7445/ USER PASSWORD");
    return 2;
}
using var playwright = await Playwright.CreateAsync();
await using var browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = "/usr/bin/chromium", Args = ["--no-sandbox"] });
Console.WriteLine("| visit | page | loaded, ms | first paint, ms | hosts drawn, ms |\n|---|---|---|---|---|");
for (var visit = 1; visit <= 5; visit++)
{
    await using var context = await browser.NewContextAsync(new() { IgnoreHTTPSErrors = true });
    var page = await context.NewPageAsync();
    await page.GotoAsync(url);
    await TellAsync("log-in", hosts: false);
    await page.GetByLabel("Name").FillAsync(user);
    await page.GetByLabel("Password").FillAsync(password);
    await page.GetByRole(AriaRole.Button, new() { Name = "Log in" }).ClickAsync();
    await TellAsync("cluster, after the log-in", hosts: true);
    await page.ReloadAsync();
    await TellAsync("cluster", hosts: true);

    async Task TellAsync(string name, bool hosts)
    {
        if (hosts) await page.Locator("[data-host]").First.WaitForAsync();
        var drawn = hosts ? Whole(await page.EvaluateAsync<double>("() => performance.now()")) : "";
        await page.WaitForFunctionAsync("() => performance.getEntriesByType('navigation')[0].loadEventEnd > 0");
        var loaded = await page.EvaluateAsync<double>("() => performance.getEntriesByType('navigation')[0].loadEventEnd");
        var painted = await page.EvaluateAsync<double>(
            "() => (performance.getEntriesByName('first-contentful-paint')[0] ?? { startTime: 0 }).startTime");
        Console.WriteLine($"| {visit} | {name} | {Whole(loaded)} | {Whole(painted)} | {drawn} |");
    }
}
return 0;

static string Whole(double ms) => ms.ToString("0", CultureInfo.InvariantCulture);

using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.JSInterop;
using MudBlazor;
using MudBlazor.Services;

namespace Godwit.WebConsole.Look;

/// <summary>
/// The theme as a style sheet of its own. MudBlazor's provider writes it into the page, where our policy forbids style elements; so it is
/// let write it once, here, and browsers get it as a file: dark where the system is, or where a person chose it.
/// </summary>
public static partial class ThemeSheet
{
    public static string Of(MudTheme theme)
    {
        var (light, dark) = (Written(theme, isDark: false), Written(theme, isDark: true));
        return $"{light}\n@media (prefers-color-scheme: dark) {{\n{Scoped(dark, ":root:not([data-theme=light])")}\n}}\n"
            + $"{Scoped(dark, ":root[data-theme=dark]")}\n";
    }

    private static string Written(MudTheme theme, bool isDark)
    {
        using var services = new ServiceCollection().AddLogging().AddMudServices().AddSingleton<IJSRuntime, NoScript>()
            .BuildServiceProvider();
        using var renderer = new HtmlRenderer(services, services.GetRequiredService<ILoggerFactory>());
        var html = renderer.Dispatcher.InvokeAsync(async () => (await renderer.RenderComponentAsync<MudThemeProvider>(
            ParameterView.FromDictionary(new Dictionary<string, object?>
            {
                [nameof(MudThemeProvider.Theme)] = theme, [nameof(MudThemeProvider.IsDarkMode)] = isDark,
                [nameof(MudThemeProvider.ObserveSystemDarkModeChange)] = false,
            }))).ToHtmlString()).GetAwaiter().GetResult();
        return string.Join('\n', StyleElement().Matches(html).Select(match => match.Groups["css"].Value.Trim()));
    }

    private static string Scoped(string css, string root) => css.Replace(":root", root, StringComparison.Ordinal);

    [GeneratedRegex("<style[^>]*>(?<css>.*?)</style>", RegexOptions.Singleline)]
    private static partial Regex StyleElement();

    /// <summary>There is no browser here.</summary>
    private sealed class NoScript : IJSRuntime
    {
        public ValueTask<T> InvokeAsync<T>(string identifier, object?[]? args) => new(default(T)!);

        public ValueTask<T> InvokeAsync<T>(string identifier, CancellationToken cancel, object?[]? args) => new(default(T)!);
    }
}

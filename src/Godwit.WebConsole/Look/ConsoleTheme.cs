using MudBlazor;

namespace Godwit.WebConsole.Look;

/// <summary>Colours and type, light and dark. Texts keep 4.5:1 to what they stand on (WCAG AA).</summary>
public static class ConsoleTheme
{
    private static readonly string[] fonts = ["Inter", "system-ui", "sans-serif"];

    public static readonly MudTheme Made = new()
    {
        PaletteLight = new PaletteLight
        {
            Primary = "#3350c8", PrimaryContrastText = "#ffffff", Secondary = "#5b6472", Info = "#1d5fa8", Success = "#1f7a46",
            Warning = "#8a5a00", Error = "#b3261e", Background = "#f5f6f8", Surface = "#ffffff", AppbarBackground = "#ffffff",
            AppbarText = "#1b2130", DrawerBackground = "#ffffff", DrawerText = "#3c4454", DrawerIcon = "#5b6472",
            TextPrimary = "#1b2130", TextSecondary = "#535c6b", ActionDefault = "#535c6b", Divider = "#e3e6eb", LinesDefault = "#e3e6eb",
            LinesInputs = "#8a93a1", TableLines = "#e9ecf0", TableHover = "#f3f5f9",
        },
        PaletteDark = new PaletteDark
        {
            Primary = "#93a8ff", PrimaryContrastText = "#0e1430", Secondary = "#a5adba", Info = "#7db7f0", InfoContrastText = "#0b1a29",
            Success = "#6fcf97", SuccessContrastText = "#08210f", Warning = "#e5b454", WarningContrastText = "#231700",
            Error = "#f2938c", ErrorContrastText = "#2b0805", Background = "#12151c", Surface = "#1a1e27", AppbarBackground = "#161a22",
            AppbarText = "#e6e9ef", DrawerBackground = "#161a22", DrawerText = "#c3c9d4", DrawerIcon = "#a5adba", TextPrimary = "#e6e9ef",
            TextSecondary = "#a5adba", ActionDefault = "#a5adba", Divider = "#2a303c", LinesDefault = "#2a303c", LinesInputs = "#6d7686",
            TableLines = "#252b36", TableHover = "#20252f",
        },
        LayoutProperties = new LayoutProperties { DefaultBorderRadius = "8px", AppbarHeight = "52px", DrawerWidthLeft = "208px" },
        Typography = new Typography
        {
            Default = new DefaultTypography { FontFamily = fonts, FontSize = "0.875rem", LineHeight = "1.45", LetterSpacing = "normal" },
            H5 = new H5Typography { FontFamily = fonts, FontSize = "1.25rem", FontWeight = "620", LetterSpacing = "-0.01em" },
            H6 = new H6Typography { FontFamily = fonts, FontSize = "1rem", FontWeight = "620", LetterSpacing = "-0.005em" },
            Body1 = new Body1Typography { FontFamily = fonts, FontSize = "0.875rem", LineHeight = "1.45", LetterSpacing = "normal" },
            Body2 = new Body2Typography { FontFamily = fonts, FontSize = "0.8125rem", LineHeight = "1.45", LetterSpacing = "normal" },
            Button = new ButtonTypography
            { FontFamily = fonts, FontSize = "0.8125rem", FontWeight = "560", TextTransform = "none", LetterSpacing = "normal" },
            Caption = new CaptionTypography { FontFamily = fonts, FontSize = "0.75rem", LetterSpacing = "normal" },
        },
    };
}

using System.Globalization;

namespace Godwit.Core.Vms;

/// <summary>What people type where a template is chosen: <c>NAME</c>, which is its latest version, or <c>NAME:VERSION</c>.</summary>
/// <param name="Version">From 1; null: the latest.</param>
public readonly record struct TemplateChoice(string Name, int? Version)
{
    private const int DigitsMax = 9;

    /// <summary>Text of another form is a name, as it is: nobody has a template of that name.</summary>
    public static TemplateChoice Parse(string text)
    {
        var colon = text.LastIndexOf(':');
        return colon > 0 && text.Length - colon - 1 is >= 1 and <= DigitsMax
            && int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var version) && version > 0
            ? new TemplateChoice(text[..colon], version) : new TemplateChoice(text, null);
    }

    public override string ToString() => Version is { } version ? Text(Name, version) : Name;

    public static string Text(string name, int version) => string.Create(CultureInfo.InvariantCulture, $"{name}:{version}");
}

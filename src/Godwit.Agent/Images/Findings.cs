using System.Text;
using Godwit.Core;

namespace Godwit.Agent.Images;

/// <summary>The reasons against an image, as they are found; at most <see cref="ReasonsMax"/> of them are kept.</summary>
public sealed class Findings
{
    public const int ReasonsMax = 16;
    /// <summary>Causes quote what is in the image.</summary>
    private const int NameCharsMax = 80, CauseCharsMax = 300;
    private const string Flatten = "flatten it where it comes from: qemu-img convert -O qcow2 IN OUT";
    private readonly List<Refusal> _reasons = [];

    public IReadOnlyList<Refusal> Reasons => _reasons;
    public bool IsClean => _reasons.Count == 0;

    public void Add(string code, string cause, string fix = Flatten)
    {
        if (_reasons.Count < ReasonsMax) _reasons.Add(new Refusal(code, $"the image is refused: {OneLine.Of(cause, CauseCharsMax)}", fix));
    }

    /// <summary>The file ends before something its header names.</summary>
    public void AddShort(string what, ImageBytes image) =>
        Add("image-short", $"{what} lies beyond the end of the file, at {image.Length} bytes", "check that the file is complete");

    /// <summary>A stranger's bytes as one line of a terminal may show them.</summary>
    public static string Printable(ReadOnlySpan<byte> name)
    {
        var shown = new StringBuilder();
        foreach (var b in name[..Math.Min(name.Length, NameCharsMax)]) shown.Append(b is >= 0x20 and < 0x7f ? (char)b : '?');
        return name.Length > NameCharsMax ? shown.Append('…').ToString() : shown.ToString();
    }
}

namespace Godwit.Agent.Images;

/// <summary>What this version takes. Raw and qcow2 are stored as they come; the others are converted to qcow2.</summary>
public enum ImageFormat
{
    Raw,
    Qcow2,
    Vmdk,
    Vhdx,
    Vhd,
    Ova,
}

public static class ImageFormats
{
    /// <summary>The wish that leaves it to the content.</summary>
    public const string Auto = "auto";
    public const string Words = "raw, qcow2, vmdk, vhdx, vhd or ova";

    /// <summary>The one word for it everywhere: API, CLI, QEMU's block drivers (but VHD, which QEMU calls vpc).</summary>
    public static string Word(this ImageFormat format) => format.ToString().ToLowerInvariant();

    /// <summary>Null for a word that is none of <see cref="Words"/>.</summary>
    public static ImageFormat? Of(string word) => Enum.GetValues<ImageFormat>().Cast<ImageFormat?>().FirstOrDefault(f =>
        f!.Value.Word() == word);
}

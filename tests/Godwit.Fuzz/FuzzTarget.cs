namespace Godwit.Fuzz;

/// <summary>One reader of strangers' bytes, and what it promises.</summary>
/// <param name="Try">Throws <see cref="PromiseBrokenException"/>, or whatever escapes the reader, where it breaks one.</param>
/// <param name="Seeds">Good inputs, small ones, to begin from.</param>
/// <param name="Code">Assembly and beginning of the names of the code that a fuzzer watches.</param>
internal sealed record FuzzTarget(string Name, Action<byte[]> Try, Func<IEnumerable<byte[]>> Seeds, (string Assembly, string Prefix) Code)
{
    public const int InputBytesMax = 1 << 20;

    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        new("image", ImageTargets.Any, ImageTargets.Seeds, ImageTargets.Code),
        new("vhd", ImageTargets.Vhd, () => [MadeImages.VhdDynamic(), MadeImages.VhdDynamic()[..2048]], ImageTargets.Code),
        new("vhdx", ImageTargets.Vhdx, () => [ImageTargets.VhdxPieces()], ImageTargets.Code),
        new("ova", ImageTargets.Ova, () => [MadeImages.Ova(), ImageTargets.OvaWithManifest()], ImageTargets.Code),
        new("qmp", QmpTarget.Try, QmpTarget.Seeds, ("Godwit.Qmp.dll", "Godwit.Qmp")),
        new("stream", StreamTarget.Try, StreamTarget.Seeds, ("Godwit.Wire.dll", "Godwit.Wire")),
    ];

    public static FuzzTarget Of(string name) => All.FirstOrDefault(t => t.Name == name)
        ?? throw new ArgumentException($"there is no target {name}; there are {string.Join(", ", All.Select(t => t.Name))}");
}

internal sealed class PromiseBrokenException(string promise) : Exception(promise)
{
    public static void Unless(bool kept, string promise)
    {
        if (!kept) throw new PromiseBrokenException(promise);
    }
}

namespace Godwit.Tests;

/// <summary>How many inputs made to hurt were tried in this run, and how many were refused, for the end of ./test.</summary>
internal static class BadInputFigures
{
    private static readonly Lock Gate = new();
    private static int tried, refused, damaged;

    public static void Tried(bool wasRefused)
    {
        lock (Gate)
        {
            tried++;
            if (wasRefused) refused++;
            Write();
        }
    }

    /// <summary>Damaged by seed: some are still right by chance, and none may break a promise of what reads them.</summary>
    public static void Damaged(int inputs)
    {
        lock (Gate)
        {
            damaged += inputs;
            Write();
        }
    }

    private static void Write() => TestFigures.Write("bad-inputs",
        $"bad-inputs-tried {tried}", $"bad-inputs-refused {refused}", $"damaged-inputs-without-harm {damaged}");
}

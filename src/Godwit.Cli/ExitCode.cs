namespace Godwit.Cli;

/// <summary>What a script may rely on.</summary>
internal static class ExitCode
{
    public const int All = 0;
    public const int Failed = 1;
    public const int Partial = 2;
    /// <summary>The plan was refused: nothing was changed.</summary>
    public const int Refused = 3;

    /// <summary>One code for several things asked for at once.</summary>
    public static int Of(int done, int failed, int refused) => (done, failed, refused) switch
    {
        (_, 0, 0) => All,
        (> 0, _, _) => Partial,
        (_, 0, _) => Refused,
        _ => Failed,
    };
}

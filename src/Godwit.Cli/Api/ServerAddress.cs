namespace Godwit.Cli.Api;

/// <summary>Where the server's socket is: GODWIT_SERVER, else where `godwit up` and `godwit lab up` put theirs.</summary>
internal sealed record ServerAddress(string SocketPath, bool IsChosen)
{
    public const string Variable = "GODWIT_SERVER";
    public const string UpSocket = "/run/godwit/server.sock";
    public const string LabSocket = "/run/godwit-lab/server.sock";
    private static readonly string[] usualPlaces = [UpSocket, LabSocket];

    /// <param name="chosen">Value of the variable; a path, or the same after <c>unix:</c>.</param>
    public static ServerAddress Find(string? chosen, Func<string, bool> exists)
    {
        if (!string.IsNullOrEmpty(chosen))
            return new(chosen.StartsWith("unix:", StringComparison.Ordinal) ? chosen[5..] : chosen, IsChosen: true);
        return new(usualPlaces.FirstOrDefault(exists) ?? UpSocket, IsChosen: false);
    }

    public ApiError NobodyListens()
    {
        var what = File.Exists(SocketPath) ? $"nobody listens at {SocketPath}" : $"there is no socket {SocketPath}";
        return new("server-not-reachable", IsChosen
            ? $"no godwit server where {Variable} points: {what}" : $"no godwit server runs on this machine: {what}")
        {
            Next = IsChosen ? $"start the server there, or unset {Variable}"
                : "sudo ./godwit up (this machine as a host), or sudo ./godwit lab up (a lab of several hosts)",
        };
    }
}

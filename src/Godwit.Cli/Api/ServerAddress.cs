namespace Godwit.Cli.Api;

/// <summary>Where the server is: GODWIT_SERVER, else where `godwit up` and `godwit lab up` put their socket.</summary>
/// <param name="SocketPath">Of the server on this machine; unused where <see cref="Url"/> is given.</param>
internal sealed record ServerAddress(string SocketPath, bool IsChosen)
{
    public const string Variable = "GODWIT_SERVER";
    public const string UpSocket = "/run/godwit/server.sock";
    public const string LabSocket = "/run/godwit-lab/server.sock";
    public const int Port = 7445;
    internal const string Unit = "/lib/systemd/system/godwit-server.service";
    private static readonly string[] usualPlaces = [UpSocket, LabSocket];

    /// <summary>A server elsewhere: <c>https://host:port/</c>. Null: the socket.</summary>
    public Uri? Url { get; init; }
    /// <summary>Why what was chosen is no address; whoever asks the server is told then.</summary>
    public ApiError? Unusable { get; init; }
    /// <summary>Whether the package is here: it is systemd that starts servers then.</summary>
    public bool IsService { get; init; }
    /// <summary>For people.</summary>
    public string Place => Url is null ? SocketPath : $"https://{Url.Authority}";

    /// <param name="chosen">Value of the variable: a path, the same after <c>unix:</c>, or <c>https://host[:port]</c>.</param>
    public static ServerAddress Find(string? chosen, Func<string, bool> exists)
    {
        if (string.IsNullOrEmpty(chosen))
            return new(usualPlaces.FirstOrDefault(exists) ?? UpSocket, IsChosen: false) { IsService = exists(Unit) };
        if (chosen.Contains("://", StringComparison.Ordinal)) return OfUrl(chosen);
        return new(chosen.StartsWith("unix:", StringComparison.Ordinal) ? chosen[5..] : chosen, IsChosen: true);
    }

    public ApiError NobodyListens(string? why)
    {
        if (Url is not null)
            return new("server-not-reachable", $"no godwit server answers at {Place}: {why}")
            { Next = $"see that it runs with --listen and that nothing stands between; {Variable} says where it is" };
        var what = File.Exists(SocketPath) ? $"nobody listens at {SocketPath}" : $"there is no socket {SocketPath}";
        return new("server-not-reachable", IsChosen
            ? $"no godwit server where {Variable} points: {what}" : $"no godwit server runs on this machine: {what}")
        {
            Next = IsChosen ? $"start the server there, or unset {Variable}"
                : IsService ? $"where it runs elsewhere: {Variable}=https://HOST; if this is its machine: systemctl enable --now "
                    + "godwit-server, and why it ended: journalctl -u godwit-server"
                : "sudo ./godwit up (this machine as a host), or sudo ./godwit lab up (a lab of several hosts)",
        };
    }

    private static ServerAddress OfUrl(string chosen)
    {
        if (chosen.StartsWith("http://", StringComparison.OrdinalIgnoreCase))
            return Wrong(chosen, "is not encrypted, and no godwit server listens so", "write https://");
        if (!Uri.TryCreate(chosen, UriKind.Absolute, out var url) || url.Scheme != Uri.UriSchemeHttps || url.Host.Length == 0
            || url.PathAndQuery != "/" || url.UserInfo.Length > 0)
            return Wrong(chosen, "is no address of a server", $"give a socket's path, or https://HOST:PORT (port {Port} if left out)");
        var isBare = url.IsDefaultPort && !chosen.TrimEnd('/').EndsWith(":443", StringComparison.Ordinal);
        return new("", IsChosen: true) { Url = isBare ? new UriBuilder(url) { Port = Port }.Uri : url };
    }

    private static ServerAddress Wrong(string chosen, string why, string next) => new("", IsChosen: true)
    {
        Unusable = new ApiError("bad-server-address", $"{Variable} is {chosen}: that {why}") { Next = next },
    };
}

namespace Godwit.Cli.Api;

/// <summary>From a command line: the server's socket on this machine, or TLS to a server elsewhere.</summary>
/// <param name="remote">Needed for a server elsewhere only.</param>
internal sealed class ServerWay(ServerAddress address, RemoteSettings remote, TimeProvider time) : IServerWay
{
    private ServerTrust? trust;

    public Uri Base { get; } = address.Url ?? new Uri("http://godwit");
    public string Place => address.Place;
    public ApiError? Unusable => address.Unusable;

    public static ApiClient Client(ServerAddress address, RemoteSettings? remote = null, TimeProvider? time = null) =>
        new(new ServerWay(address, remote ?? RemoteSettings.Of(_ => null), time ?? TimeProvider.System));

    public HttpMessageHandler NewHandler() => address.Url is null ? LocalSocket.Handler(address.SocketPath)
        : trust = new ServerTrust(address, remote, time);

    public ApiError NobodyListens(string? why) => address.NobodyListens(why);

    public ApiError NotTrusted(string why) =>
        new("server-not-trusted", $"what answers at {address.Place} is not the server: {trust?.Distrust ?? why}")
        {
            Next = $"compare with 'godwit ca' on the server's machine; {RemoteSettings.CaVariable} says which CA is trusted",
        };
}

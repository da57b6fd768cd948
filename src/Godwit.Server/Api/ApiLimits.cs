namespace Godwit.Server.Api;

/// <summary>What one client, or all of them, may ask of the server at most.</summary>
public static class ApiLimits
{
    public const long BodyBytesMax = 1L << 20;
    /// <summary>Of an image being uploaded: the largest disk an agent accepts.</summary>
    public const long ImageBytesMax = 64L << 40;
    public const int ConnectionsMax = 1_000;
    /// <summary>Of them over the network.</summary>
    public const int RemoteConnectionsMax = 900;
    /// <summary>Server-sent event streams, consoles and displays, each.</summary>
    public const int StreamsMax = 200;
    public const int ListMax = 1_000;
    public const int RequestKeyCharsMax = 100;
    /// <summary>Of one refusal: more help nobody.</summary>
    public const int ReasonsMax = 32;
}

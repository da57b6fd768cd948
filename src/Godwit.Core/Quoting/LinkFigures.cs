namespace Godwit.Core.Quoting;

/// <summary>What a link test between two hosts found.</summary>
public sealed record LinkFigures
{
    public required DateTimeOffset At { get; init; }
    /// <summary>On the wire, nothing packed, all acknowledged.</summary>
    public required long BytesPerSecond { get; init; }
    public required long Bytes { get; init; }
    /// <summary>The shortest seen while the link opened and carried.</summary>
    public required double RoundTripMs { get; init; }
    /// <summary>As read from the connection: "TLS 1.3, TLS_AES_128_GCM_SHA256".</summary>
    public required string Security { get; init; }
}

/// <summary>What a target lets in for one test.</summary>
/// <param name="Endpoint"><c>address:port</c> of its link.</param>
public sealed record LinkTestReady(MoveId Name, string Endpoint, string Ticket);

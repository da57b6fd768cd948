namespace Godwit.Client;

/// <summary>How one gets to a server: the command line by its socket or over TLS, the console from inside.</summary>
public interface IServerWay
{
    /// <summary><c>http</c> where the way itself is private.</summary>
    Uri Base { get; }
    /// <summary>For people.</summary>
    string Place { get; }
    /// <summary>Why what was chosen leads nowhere; whoever asks the server is told then.</summary>
    ApiError? Unusable { get; }
    /// <summary>A new one each time: connections of its own.</summary>
    HttpMessageHandler NewHandler();
    ApiError NobodyListens(string? why);
    /// <param name="why">What the transport said; the way may know better.</param>
    ApiError NotTrusted(string why);
}

using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Host;

public sealed partial class RealNetwork
{
    [LoggerMessage(Level = LogLevel.Warning, Message = "Refused a link connection from {Peer}: {Cause}")]
    private partial void LogRefused(string peer, string cause);
}

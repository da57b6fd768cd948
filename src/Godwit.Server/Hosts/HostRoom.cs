using Godwit.Core.Hosts;

namespace Godwit.Server.Hosts;

/// <summary>A host with what is promised there, as of one moment.</summary>
/// <param name="Shares">Share of each pool of this host by the pool's name.</param>
public sealed record HostRoom(Host Host, long PromisedBytes, int Vms, IReadOnlyDictionary<string, string> Shares);

using System.Globalization;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Server.Agents;
using Godwit.Server.Store;

namespace Godwit.Server.Hosts;

/// <summary>host add, cordon. Each is safe to repeat.</summary>
public sealed class HostVerbs(HostStore hosts, AgentDirectory agents, PoolSharing sharing)
{
    /// <summary>Asks the agent what the host is, writes it down, and proves which pools it shares.</summary>
    public async Task<Host> AddAsync(HostId id, string endpoint, CancellationToken cancel)
    {
        Check(id, endpoint);
        var known = await hosts.FindAsync(id);
        try
        {
            var facts = await agents.Put(id, endpoint).DescribeAsync(cancel);
            await hosts.SaveAsync(id, endpoint, facts);
            await sharing.ProveAsync(id, facts, cancel);
        }
        catch (Exception)
        {
            if (known is null && await hosts.FindAsync(id) is null) agents.Remove(id);
            else if (known is not null && (await hosts.FindAsync(id))!.Endpoint == known.Endpoint) agents.Put(id, known.Endpoint);
            throw;
        }
        return (await hosts.FindAsync(id))!;
    }

    public async Task CordonAsync(HostId id, bool cordoned)
    {
        if (!await hosts.SetCordonedAsync(id, cordoned)) throw NotFound(id);
    }

    public static RefusedException NotFound(HostId id) =>
        new("host-not-found", $"there is no host {id}", "see 'godwit host list'");

    internal static void Check(HostId id, string endpoint)
    {
        var reasons = new List<Refusal>();
        if (!Names.IsValid(id.Value))
            reasons.Add(new("bad-name", $"'{id}' cannot be a host's name", $"a name is {Names.Rule}"));
        var colon = endpoint.LastIndexOf(':');
        var port = colon < 1 ? 0 : int.TryParse(
            endpoint.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var p) ? p : 0;
        if (port is < 1 or > 65535 || endpoint.Length > 260
            || Uri.CheckHostName(endpoint[..colon].Trim('[', ']')) == UriHostNameType.Unknown)
            reasons.Add(new("bad-endpoint", $"'{endpoint}' is no address and port", "write it as 192.0.2.7:7443 or [2001:db8::7]:7443"));
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }
}

using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Network;

/// <summary>All wires of the world: one link for each ordered pair of hosts. Knows which connections run over which.</summary>
public sealed class SimNet(SimLoop loop)
{
    private readonly SimRandom _random = SimRandom.Fork(loop.Seed, "network");
    private readonly Dictionary<(string From, string To), SimLink> _links = [];
    private readonly Dictionary<string, SimHost> _hosts = [];
    private readonly List<(string One, string Other, SimSocket Socket)> _connections = [];

    /// <summary>What a link is before anyone changes it: 1 Gbit/s, 0.1 to 0.2 ms.</summary>
    public Action<SimLink> LinkDefaults { get; set; } = link =>
        (link.Delay, link.Jitter, link.BytesPerSecond) = (TimeSpan.FromMicroseconds(100), TimeSpan.FromMicroseconds(100), 125_000_000);

    internal void Add(SimHost host) => _hosts.Add(host.Address, host);

    internal SimHost? HostAt(string address) => _hosts.GetValueOrDefault(address);

    public SimLink Link(string from, string to)
    {
        if (_links.TryGetValue((from, to), out var link)) return link;
        link = new SimLink(loop, _random, $"{from}->{to}");
        if (from == to) (link.Delay, link.Jitter) = (TimeSpan.FromMicroseconds(5), TimeSpan.FromMicroseconds(30));
        else LinkDefaults(link);
        return _links[(from, to)] = link;
    }

    /// <summary>Nothing passes from one to the other; the other way goes on.</summary>
    public void CutOneWay(string from, string to)
    {
        loop.Trace("network", $"cut {from} -> {to}");
        Link(from, to).Cut();
    }

    public void Cut(string one, string other)
    {
        CutOneWay(one, other);
        CutOneWay(other, one);
    }

    public void Heal(string one, string other)
    {
        if (!Link(one, other).IsCut && !Link(other, one).IsCut) return;
        loop.Trace("network", $"heal {one} <-> {other}");
        Link(one, other).Heal();
        Link(other, one).Heal();
    }

    public void HealAll()
    {
        foreach (var (from, to) in _links.Keys.Where(l => l.From != l.To).ToList())
        {
            Heal(from, to);
            Restore(from, to);
        }
    }

    /// <summary>As it was at first, but for a cut.</summary>
    public void Restore(string from, string to)
    {
        var link = Link(from, to);
        link.Loss = 0;
        LinkDefaults(link);
    }

    /// <summary>In one of the connections a host has opened, one byte of the next large segment comes out wrong.</summary>
    internal void FlipBit(string host, SimRandom random)
    {
        var mine = _connections.Where(c => c.One == host && c.Socket.IsOpen).ToList();
        if (mine.Count > 0) mine[random.Next(mine.Count)].Socket.FlipAt = random.Next(1 << 20);
    }

    /// <summary>Every connection between the two breaks, both sides see it.</summary>
    public void Reset(string one, string other)
    {
        loop.Trace("network", $"reset {one} <-> {other}");
        foreach (var (a, b, socket) in _connections.ToList())
            if ((a, b) == (one, other) || (a, b) == (other, one)) socket.Reset();
    }

    /// <summary>Two joined ends; each belongs to the process that will hold it.</summary>
    internal (SimSocket Client, SimSocket Server) Connect(
        SimProcess client, SimProcess server, int capacityBytes, string name)
    {
        var (from, to) = (client.Host, server.Host);
        var near = new SimSocket(from, Link(from.Name, to.Name).NewFlow(), capacityBytes, name);
        var far = new SimSocket(to, Link(to.Name, from.Name).NewFlow(), capacityBytes, name);
        SimSocket.Join(near, far);
        client.Own(near);
        server.Own(far);
        if (from != to)
        {
            _connections.RemoveAll(c => !c.Socket.IsOpen);
            _connections.Add((from.Name, to.Name, near));
        }
        return (near, far);
    }
}

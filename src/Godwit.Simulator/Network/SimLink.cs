using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Network;

/// <summary>
/// One direction between two hosts (or inside one): delay, rate, and whether anything passes. Connections that share
/// it share its rate. A cut loses nothing for ever: as TCP does, what was lost is sent again after the cut heals.
/// </summary>
public sealed class SimLink(SimLoop loop, SimRandom random, string name)
{
    /// <summary>A retransmission timer that has backed off may be this far away when a cut heals.</summary>
    private static readonly TimeSpan RetransmitMin = TimeSpan.FromMilliseconds(200), RetransmitMax = TimeSpan.FromSeconds(8);

    private readonly List<Flow> _flows = [];
    private TimeSpan _freeAt;

    public string Name => name;
    public TimeSpan Delay { get; set; }
    public TimeSpan Jitter { get; set; }
    /// <summary>0: without limit.</summary>
    public long BytesPerSecond { get; set; }
    /// <summary>How often a packet is lost and sent again.</summary>
    public double Loss { get; set; }
    public bool IsCut { get; private set; }

    public void Cut()
    {
        if (IsCut) return;
        IsCut = true;
        _freeAt = loop.Now;
        foreach (var flow in _flows) flow.Recall();
    }

    public void Heal()
    {
        if (!IsCut) return;
        IsCut = false;
        foreach (var flow in _flows) flow.Retransmit(random.NextTime(RetransmitMin, RetransmitMax));
    }

    internal Flow NewFlow()
    {
        var flow = new Flow(loop, this);
        _flows.Add(flow);
        return flow;
    }

    internal void Forget(Flow flow) => _flows.Remove(flow);

    /// <summary>When <paramref name="bytes"/> sent now are there.</summary>
    internal TimeSpan ArrivalOf(int bytes)
    {
        _freeAt = _freeAt > loop.Now ? _freeAt : loop.Now;
        if (BytesPerSecond > 0) _freeAt += TimeSpan.FromSeconds(bytes / (double)BytesPerSecond);
        return _freeAt + Delay + random.NextTime(TimeSpan.Zero, Jitter) + Resent();
    }

    /// <summary>The wait for a lost packet: 200 ms, doubled each time it is lost again.</summary>
    private TimeSpan Resent()
    {
        if (Loss == 0) return TimeSpan.Zero;
        var wait = TimeSpan.Zero;
        for (var next = RetransmitMin; random.Chance(Loss) && next < RetransmitMax; next *= 2) wait += next;
        return wait;
    }

    /// <summary>What one side of one connection sends, in order.</summary>
    internal sealed class Flow(SimLoop loop, SimLink link)
    {
        private readonly record struct Packet(int Bytes, Action Arrive);

        private Queue<Packet> _waiting = new();
        private readonly Queue<Packet> _flying = new();
        private TimeSpan _lastArrival;
        private int _flight;
        private bool _retransmitting;

        public void Send(int bytes, Action arrive)
        {
            _waiting.Enqueue(new(bytes, arrive));
            Pump();
        }

        public void Recall()
        {
            _flight++;
            _waiting = new([.. _flying, .. _waiting]);
            _flying.Clear();
            _lastArrival = TimeSpan.Zero;
        }

        public void Retransmit(TimeSpan after)
        {
            _retransmitting = true;
            var flight = _flight;
            loop.After(after, () =>
            {
                if (flight != _flight) return; // Cut again meanwhile.
                _retransmitting = false;
                Pump();
            });
        }

        private void Pump()
        {
            while (!link.IsCut && !_retransmitting && _waiting.TryDequeue(out var packet))
            {
                _flying.Enqueue(packet);
                var arrival = link.ArrivalOf(packet.Bytes);
                if (arrival > _lastArrival) _lastArrival = arrival;
                var flight = _flight;
                loop.After(_lastArrival - loop.Now, () =>
                {
                    if (flight == _flight) _flying.Dequeue().Arrive();
                });
            }
        }
    }
}

using Godwit.Core.Ports;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Network;

/// <summary>A listening socket: connections wait in its backlog until someone takes them.</summary>
internal sealed class SimListener(SimProcess owner, string endpoint) : IListener, IPeerListener
{
    private const int BacklogMax = 128;

    private readonly Queue<PeerConnection> _backlog = new();
    private readonly Waiter _waiter = new("accept from");

    public SimProcess Owner => owner;
    public bool IsOpen { get; private set; } = true;
    public string Endpoint => endpoint;

    /// <summary>False: nobody listens here any more.</summary>
    public bool TryQueue(PeerConnection connection)
    {
        if (!IsOpen || owner.HasExited || _backlog.Count >= BacklogMax) return false;
        _backlog.Enqueue(connection);
        _waiter.Wake();
        return true;
    }

    async Task<Stream> IListener.AcceptAsync(CancellationToken cancel) => (await AcceptAsync(cancel)).Stream;

    public async Task<PeerConnection> AcceptAsync(CancellationToken cancel)
    {
        owner.Host.Loop.DemandLoopThread();
        while (_backlog.Count == 0)
        {
            ObjectDisposedException.ThrowIf(!IsOpen, this);
            await _waiter.WaitAsync(cancel);
        }
        return _backlog.Dequeue();
    }

    public void Close()
    {
        IsOpen = false;
        foreach (var connection in _backlog) connection.Stream.Dispose();
        _backlog.Clear();
        _waiter.Wake();
    }

    public ValueTask DisposeAsync()
    {
        Close();
        return ValueTask.CompletedTask;
    }
}

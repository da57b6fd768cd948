using System.Diagnostics.CodeAnalysis;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Saved;

/// <summary>Which memory this host still expects from others: by move, from the target's first preparation until all is here.</summary>
internal sealed class RemoteMemories(LinkTickets tickets, TimeProvider time)
{
    private readonly Lock gate = new();
    private readonly Dictionary<MoveId, RemoteMemory> expected = [];

    /// <summary>Safe to repeat: the first one's.</summary>
    public RemoteMemory Expect(MoveId move, HostId source, string ticket, long memoryBytes)
    {
        lock (gate)
        {
            if (expected.TryGetValue(move, out var there)) return there;
            var memory = new RemoteMemory(move, source, memoryBytes, time);
            tickets.Expect(MemoryLink.Of(move), ticket, source);
            expected.Add(move, memory);
            return memory;
        }
    }

    public bool TryFind(MoveId move, [NotNullWhen(true)] out RemoteMemory? memory)
    {
        lock (gate)
        {
            memory = expected.GetValueOrDefault(move);
            return memory is not null;
        }
    }

    /// <summary>The source hears that nothing of it is wanted any more.</summary>
    public async Task ForgetAsync(MoveId move)
    {
        if (!TryFind(move, out var memory)) return;
        lock (gate) expected.Remove(move);
        tickets.Forget(MemoryLink.Of(move));
        await memory.SayAllHereAsync();
    }

    /// <summary>A link whose ticket was good. It may break: the next one is let in at once.</summary>
    public async Task ServeAsync(LinkReceiver link)
    {
        var move = MemoryLink.MoveOf(link.Move);
        if (!TryFind(move, out var there))
        {
            await link.SayAllHereAsync(CancellationToken.None);
            await link.DisposeAsync();
            return;
        }
        await there.ServeAsync(link);
    }
}

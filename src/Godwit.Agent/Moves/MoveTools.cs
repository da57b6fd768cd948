using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>What every move on this host works with.</summary>
internal sealed record MoveTools(
    HostMachines Machines, MoveJournal Journal, INetwork Network, LinkTickets Tickets, TimeProvider Time, IRandomness Randomness)
{
    private const int StubbornTriesMax = 600;
    private static readonly TimeSpan StubbornPause = TimeSpan.FromSeconds(1);

    public SafetyRules Rules => Machines.Rules;
    public FailPoints FailPoints { get; init; } = new(null, Time);
    /// <summary>Memory that guests here still have elsewhere.</summary>
    public RemoteMemories Remote { get; } = new(Tickets, Time);
    public KeptMemories Kept { get; } = new(Machines.Disk, Time);
    public HandOvers HandOvers { get; } = new();
    /// <summary>Places of pages in a guest's memory that were seen to change; none where nobody has looked.</summary>
    public Func<VmId, IReadOnlyList<long>> PagesThatChange { get; init; } = static _ => [];

    /// <summary>
    /// For what is so already and is only to be written down or tidied up: a disk that fails for a while must not leave
    /// the guest locked in a move that is over. Never for the word that allows a step: that is written once, or the
    /// step is not taken.
    /// </summary>
    public async Task StubbornlyAsync(Func<Task> write)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await write();
                return;
            }
            catch (IOException) when (attempt < StubbornTriesMax) { } // Tried again, for ten minutes.
            await Task.Delay(StubbornPause, Time);
        }
    }
}

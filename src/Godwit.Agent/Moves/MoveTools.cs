using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>What every move on this host works with.</summary>
internal sealed record MoveTools(
    HostMachines Machines, MoveJournal Journal, INetwork Network, LinkTickets Tickets, TimeProvider Time, IRandomness Randomness)
{
    public FailPoints FailPoints { get; init; } = new(null, Time);
}

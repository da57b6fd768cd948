using System.Security.Cryptography;
using System.Text;
using Godwit.Core;

namespace Godwit.Agent.Link;

/// <summary>
/// Which moves this agent expects over its link. A ticket opens the link once: a second connection with the same
/// ticket is refused, so nobody can slip a second stream into a move. Only the link of a guest's memory is opened again and again, by
/// the one host it is expected from. Thread-safe.
/// </summary>
public sealed class LinkTickets
{
    /// <summary>More moves than this into one host at once is a mistake somewhere.</summary>
    public const int ExpectedMax = 256;

    private readonly Lock _gate = new();
    private readonly Dictionary<MoveId, Expected> _expected = [];

    /// <summary>Replaces an earlier ticket of the same move.</summary>
    public void Expect(MoveId move, string ticket, HostId source)
    {
        lock (_gate)
        {
            // Never a guest's memory: it runs already, or its move was let in.
            if (_expected.Count >= ExpectedMax && !_expected.ContainsKey(move) && !MemoryLink.IsOne(move))
                throw new RefusedException("too-many-incoming",
                    $"{ExpectedMax} moves into this host are waiting for their link",
                    "wait for some to end, or clean up with: godwit migration list");
            _expected[move] = new(ticket, source);
        }
    }

    /// <summary>True once every link is expected by which memory left behind is still to come: of any other, nothing is wanted.</summary>
    public bool KnowsMemory { get; set; }

    /// <summary>Moves whose link has not come.</summary>
    public IReadOnlyList<MoveId> Waiting
    {
        get { lock (_gate) return [.. _expected.Keys]; }
    }

    public bool IsExpected(MoveId move)
    {
        lock (_gate) return _expected.ContainsKey(move);
    }

    public void Forget(MoveId move)
    {
        lock (_gate) _expected.Remove(move);
    }

    /// <summary>
    /// Null and the ticket is used up; or why not. A wrong ticket uses nothing up, or a stranger could spoil a move.
    /// The reason never says how a ticket was wrong.
    /// </summary>
    public string? TryTake(MoveId move, string ticket, HostId peer)
    {
        lock (_gate)
        {
            if (!_expected.TryGetValue(move, out var expected)) return $"no move {move} is expected here";
            if (expected.Source != peer) return $"move {move} is expected from another host than {peer}";
            if (!Same(expected.Ticket, ticket)) return $"the ticket for move {move} is not valid";

            if (!MemoryLink.IsOne(move)) _expected.Remove(move);
            return null;
        }
    }

    private static bool Same(string left, string right) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(left), Encoding.UTF8.GetBytes(right));

    private sealed record Expected(string Ticket, HostId Source);
}

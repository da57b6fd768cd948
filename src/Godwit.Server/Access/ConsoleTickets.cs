using System.Security.Cryptography;
using System.Text;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Server.Access;

/// <summary>What of a guest somebody sits down at.</summary>
public enum GuestSeat { Console, Display }

/// <summary>Who may open which console or display, by a ticket that was taken.</summary>
internal sealed record ConsoleTicket(Actor Actor, VmId Vm, GuestSeat Seat, DateTimeOffset Until);

/// <summary>In the answer to POST …/console/ticket and …/display/ticket.</summary>
/// <param name="Ticket">For <c>GET …/console?ticket=</c> or <c>GET …/display?ticket=</c>, once.</param>
/// <param name="Vm">The only VM it is for.</param>
public sealed record ConsoleTicketView(string Ticket, VmId Vm, DateTimeOffset ExpiresAt);

/// <summary>
/// Tickets for consoles and displays: a browser's WebSocket cannot carry a token in a header, and a token in an address ends up in logs.
/// A ticket may: it is good for one of the two of one VM, for one person, once, and for a few seconds. Kept in memory, as hashes: a
/// server that starts anew knows none.
/// </summary>
public sealed class ConsoleTickets(IRandomness randomness, TimeProvider time)
{
    public static readonly TimeSpan Life = TimeSpan.FromSeconds(20);
    private const int TicketsMax = 1_000, Bytes = 24;

    private readonly Lock one = new();
    private readonly Dictionary<string, ConsoleTicket> open = [];

    /// <summary>Throws <see cref="RefusedException"/> where too many are open.</summary>
    public ConsoleTicketView Issue(Actor actor, VmId vm, GuestSeat seat)
    {
        var text = randomness.NextHex(Bytes);
        var ticket = new ConsoleTicket(actor, vm, seat, time.GetUtcNow() + Life);
        lock (one)
        {
            var now = time.GetUtcNow();
            foreach (var (old, _) in open.Where(known => known.Value.Until <= now).ToList()) open.Remove(old);
            if (open.Count >= TicketsMax)
                throw new RefusedException("too-many-streams",
                    $"{TicketsMax} tickets for consoles wait to be used", "ask again in half a minute");
            open.Add(HashOf(text), ticket);
        }
        return new ConsoleTicketView(text, vm, ticket.Until);
    }

    /// <summary>Uses it up. Null: unknown, used, or too old.</summary>
    internal ConsoleTicket? Take(string text)
    {
        lock (one) return open.Remove(HashOf(text), out var ticket) && ticket.Until > time.GetUtcNow() ? ticket : null;
    }

    private static string HashOf(string text) => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}

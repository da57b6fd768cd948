using System.Globalization;
using Godwit.Core.Power;

namespace Godwit.Client;

/// <summary>What is said of hosts that are turned off and on, the same in the terminal and in the console. Pure.</summary>
public static class PowerNotes
{
    public static string Held(PowerHold hold) => string.Create(CultureInfo.InvariantCulture,
        $"No host is turned off before {hold.Until.UtcDateTime:HH:mm:ss} UTC: {hold.Because}.");
}

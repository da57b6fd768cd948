using System.Globalization;

namespace Godwit.Cli.Lab;

/// <summary>The lab guest's address follows from its MAC; the same rule is in lab/guest/init.c.</summary>
public static class GuestAddress
{
    /// <param name="mac">Six hex bytes with colons: <c>52:54:00:0a:0b:0c</c> gives 10.77.11.12.</param>
    public static string Of(string mac)
    {
        var bytes = mac.Split(':').Select(b => int.Parse(b, NumberStyles.HexNumber, CultureInfo.InvariantCulture)).ToArray();
        if (bytes.Length != 6) throw new LabException($"'{mac}' is no MAC address");

        var (x, y) = (bytes[4], bytes[5]);
        if (x == 255) x = 254; // 10.77.255.0/24 is the prober's.
        if (x == 0 && y == 0) y = 1;
        return $"10.77.{x}.{y}";
    }
}

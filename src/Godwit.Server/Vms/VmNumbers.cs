using System.Globalization;
using Godwit.Core;
using Godwit.Core.Ports;

namespace Godwit.Server.Vms;

/// <summary>Ids, addresses and uids given out. Random, so that two servers, or a rebuilt one, never give out the same.</summary>
public sealed class VmNumbers(IRandomness randomness)
{
    /// <summary>Far from the ranges that distributions, containers and directories use (systemd's UIDS-GIDS list).</summary>
    public const int UidMin = 1_900_000_000, UidSpan = 100_000_000;

    public VmId VmId() => new($"vm-{randomness.NextHex(6)}");
    public MoveId MoveId() => new($"mv-{randomness.NextHex(6)}");
    public string RecommendationId() => $"rm-{randomness.NextHex(6)}";
    public string DrainId() => $"dr-{randomness.NextHex(6)}";
    public string OperationId() => $"op-{randomness.NextHex(6)}";

    public string RecoveryId() => $"rc-{randomness.NextHex(6)}";
    public string ArmingId() => $"wd-{randomness.NextHex(6)}";
    public string ProofId() => $"fp-{randomness.NextHex(6)}";

    public int Uid() => UidMin + (int)(uint.Parse(
        randomness.NextHex(4), NumberStyles.HexNumber, CultureInfo.InvariantCulture) % UidSpan);

    /// <summary>QEMU's own prefix: locally administered, unicast.</summary>
    public string Mac()
    {
        var hex = randomness.NextHex(3);
        return $"52:54:00:{hex[..2]}:{hex[2..4]}:{hex[4..6]}";
    }

    /// <summary>RFC 4122 version 4.</summary>
    public string Uuid()
    {
        var hex = randomness.NextHex(16).ToCharArray();
        hex[12] = '4';
        hex[16] = "89ab"[Convert.ToInt32(hex[16].ToString(), 16) & 3];
        var text = new string(hex);
        return $"{text[..8]}-{text[8..12]}-{text[12..16]}-{text[16..20]}-{text[20..]}";
    }
}

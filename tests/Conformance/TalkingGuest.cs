namespace Godwit.Conformance;

/// <summary>
/// A guest of one boot sector: it says ACK (06) on its serial port when it is up, powers itself off at a <c>p</c>, and
/// resets itself at an <c>r</c>. The simulated guest does the same.
/// </summary>
internal static class TalkingGuest
{
    public const int Bytes = 1 << 20;
    /// <summary>No firmware says it.</summary>
    public const byte Up = 0x06;

    public static byte[] BootSector()
    {
        byte[] code =
        [
            0xFA,                                                // cli: the firmware's timer reads COM1, too
            0xB0, Up, 0xBA, 0xF8, 0x03, 0xEE,                   // out COM1, ACK
            0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF8,      // wait: until COM1 has a byte
            0xBA, 0xF8, 0x03, 0xEC,                              // in al, COM1
            0x3C, (byte)'p', 0x74, 0x06, 0x3C, (byte)'r', 0x74, 0x0C, 0xEB, 0xEA, // 'p': power, 'r': reset, else wait
            0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xF4, 0xEB, 0xFD, // power: PM1a_CNT of q35 := S5
            0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xF4, 0xEB, 0xFD,       // reset: port CF9
        ];
        var sector = new byte[512];
        code.CopyTo(sector, 0);
        (sector[510], sector[511]) = (0x55, 0xAA);
        return sector;
    }
}

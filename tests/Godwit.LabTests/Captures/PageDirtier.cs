namespace Godwit.LabTests.Captures;

/// <summary>
/// A 64 KiB firmware of our own that writes to one byte of each page between 128 KiB and 576 KiB for ever: memory that
/// changes all the time, with nobody's code in the capture.
/// </summary>
internal static class PageDirtier
{
    public const int DirtyPages = 112;

    private static readonly byte[] Code =
    [
        0xBB, 0x00, 0x20,       // 0000      mov bx, 2000h       first segment: 128 KiB
        0x8E, 0xC3,             // 0003 next: mov es, bx
        0x31, 0xFF,             // 0005      xor di, di
        0x26, 0xFE, 0x05,       // 0007 page: inc byte [es:di]
        0x81, 0xC7, 0x00, 0x10, // 000A      add di, 1000h       one page on
        0x75, 0xF7,             // 000E      jnz page
        0x81, 0xC3, 0x00, 0x10, // 0010      add bx, 1000h       64 KiB on
        0x81, 0xFB, 0x00, 0x90, // 0014      cmp bx, 9000h
        0x75, 0xE9,             // 0018      jne next
        0xEB, 0xE4,             // 001A      jmp 0000
    ];

    public static byte[] Firmware()
    {
        var rom = new byte[64 << 10];
        Code.CopyTo(rom, 0);
        byte[] reset = [0xEA, 0x00, 0x00, 0x00, 0xF0]; // jmp F000:0000, where the last 64 KiB of firmware are seen.
        reset.CopyTo(rom, 0xFFF0);
        return rom;
    }
}

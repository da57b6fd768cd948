namespace Godwit.Wire;

/// <summary>First byte of every top-level element of a stream.</summary>
public enum StreamElement : byte
{
    Eof = 0x00,
    SectionStart = 0x01,
    SectionPart = 0x02,
    SectionEnd = 0x03,
    SectionFull = 0x04,
    /// <summary>Inside device state and the configuration only.</summary>
    Subsection = 0x05,
    Description = 0x06,
    Configuration = 0x07,
    Command = 0x08,
    /// <summary>Ends every section.</summary>
    Footer = 0x7e,
}

/// <summary>Low 12 bits of a RAM record's word.</summary>
[Flags]
public enum RamFlags : uint
{
    None = 0,
    Zero = 0x002,
    MemSize = 0x004,
    Page = 0x008,
    Eos = 0x010,
    /// <summary>Modifier: same block as the record before.</summary>
    Continue = 0x020,
    Xbzrle = 0x040,
    Hook = 0x080,
    CompressPage = 0x100,
    MultifdFlush = 0x200,
}

/// <summary>Commands from source to target inside the stream.</summary>
public enum StreamCommand : ushort
{
    OpenReturnPath = 1,
    Ping = 2,
    PostcopyAdvise = 3,
    PostcopyListen = 4,
    PostcopyRun = 5,
    PostcopyRamDiscard = 6,
    /// <summary>Followed by a nested stream outside of the command's own length.</summary>
    Packaged = 7,
    EnableColo = 8,
    PostcopyResume = 9,
    ReceivedBitmap = 10,
    SwitchoverStart = 11,
}

[Flags]
public enum BitmapFlags : uint
{
    None = 0,
    Eos = 0x01,
    Zeroes = 0x02,
    BitmapName = 0x04,
    DeviceName = 0x08,
    Start = 0x10,
    Complete = 0x20,
    Bits = 0x40,
    /// <summary>More flag bytes follow.</summary>
    Extra = 0x80,
}

[Flags]
public enum MultifdFlags : uint
{
    None = 0,
    Sync = 1,
    Zlib = 2,
    Zstd = 4,
    Qpl = 8,
    Uadk = 16,
    Qatzip = 32,
    DeviceState = 64,
}

using System.Buffers.Binary;
using System.Text;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The migration stream, version 3, as QEMU 7.2 writes it for a machine with one RAM block: header, configuration,
/// RAM sections with page and zero records, device sections, EOF. One device section ("sim-guest") carries the guest's
/// numbers; its bytes are device state to everyone but the simulator.
/// </summary>
internal static class SimRamStream
{
    public const uint Magic = 0x5145564D, Version = 3;
    public const byte Eof = 0, Start = 1, Part = 2, End = 3, Full = 4, Configuration = 7, Footer = 0x7E;
    public const long Zero = 0x02, MemSize = 0x04, Page = 0x08, EndOfSection = 0x10, Continue = 0x20;
    public const int RamSection = 2, GuestSection = 3;
    public const string Block = "ram0", Guest = "sim-guest", Ram = "ram";
    public const int GuestBytes = 32;
    /// <summary>A guest with a handful of virtio devices has some 30 KB of device state.</summary>
    public const int OtherDeviceBytes = 24 << 10;

    public static byte[] Header(string machineType)
    {
        var output = new Output();
        output.U32(Magic);
        output.U32(Version);
        output.U8(Configuration);
        output.U32((uint)machineType.Length);
        output.Text(machineType);
        return output.ToArray();
    }

    /// <summary>START of the RAM section: which blocks there are.</summary>
    public static byte[] RamStart(long memoryBytes)
    {
        var output = new Output();
        output.U8(Start);
        output.U32(RamSection);
        output.Name(Ram);
        output.U32(0); // instance
        output.U32(4); // version
        output.U64(memoryBytes | MemSize);
        output.Name(Block);
        output.U64(memoryBytes);
        output.U64(EndOfSection);
        EndSection(output, RamSection);
        return output.ToArray();
    }

    /// <summary>PART (or END) with the pages given by number.</summary>
    public static byte[] RamPages(byte kind, IEnumerable<int> pages, Func<int, bool> isZero, long version)
    {
        var output = new Output();
        output.U8(kind);
        output.U32(RamSection);
        var first = true;
        foreach (var page in pages)
        {
            var offset = (long)page * GuestLoad.PageBytes;
            output.U64(offset | (isZero(page) ? Zero : Page) | (first ? 0 : Continue));
            if (first) output.Name(Block);
            first = false;
            if (isZero(page)) output.U8(0);
            else output.Content(page, version);
        }
        output.U64(EndOfSection);
        EndSection(output, RamSection);
        return output.ToArray();
    }

    /// <summary>All device state and the EOF byte. <paramref name="runState"/> is QEMU's globalstate.</summary>
    public static byte[] Devices(GuestState state, long deviceRuns, bool running, bool describe)
    {
        var output = new Output();
        output.U8(Full);
        output.U32(GuestSection);
        output.Name(Guest);
        output.U32(0);
        output.U32(1);
        output.U64(state.Life);
        output.U64(state.Runs);
        output.U64(state.Counter);
        output.U64((deviceRuns << 1) | (running ? 1L : 0));
        for (var i = 0; i < OtherDeviceBytes; i++) output.U8((byte)(i * 7));
        EndSection(output, GuestSection);
        output.U8(Eof);
        if (!describe) return output.ToArray();
        output.U8(6);
        output.U32(2);
        output.Text("{}");
        return output.ToArray();
    }

    private static void EndSection(Output output, int section)
    {
        output.U8(Footer);
        output.U32((uint)section);
    }

    private sealed class Output
    {
        private readonly MemoryStream _bytes = new();

        public void U8(byte value) => _bytes.WriteByte(value);
        public void U32(uint value)
        {
            Span<byte> word = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32BigEndian(word, value);
            _bytes.Write(word);
        }
        public void U64(long value)
        {
            Span<byte> word = stackalloc byte[8];
            BinaryPrimitives.WriteInt64BigEndian(word, value);
            _bytes.Write(word);
        }
        public void Text(string text) => _bytes.Write(Encoding.ASCII.GetBytes(text));
        public void Name(string name)
        {
            U8((byte)name.Length);
            Text(name);
        }
        public void Content(int page, long version)
        {
            Span<byte> content = stackalloc byte[GuestLoad.PageBytes];
            content.Fill((byte)(page + 1));
            BinaryPrimitives.WriteInt64BigEndian(content, version);
            _bytes.Write(content);
        }
        public byte[] ToArray() => _bytes.ToArray();
    }
}

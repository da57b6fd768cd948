using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Godwit.Wire;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The migration stream as QEMU 7.2 writes it for a machine with one RAM block, by the product's own codec (which is
/// proved on recordings of real QEMUs). One device section carries the guest's numbers; its bytes are device state to
/// everyone but the simulator.
/// </summary>
internal sealed class SimRamStream
{
    public const uint RamSection = 2, GuestSection = 3;
    public const string Block = "ram0", Guest = "sim-guest";
    /// <summary>A guest with a handful of virtio devices has some 30 KB of device state.</summary>
    public const int DeviceBytes = 24 << 10;
    public const int SmallDeviceBytes = 16, GlobalStateBytes = 32;
    private const string IgnoreShared = "x-ignore-shared";

    private readonly ArrayBufferWriter<byte> _bytes = new();
    private readonly MigrationStreamWriter _writer;
    private readonly byte[] _page = new byte[GuestLoad.PageBytes];

    public SimRamStream() => _writer = new MigrationStreamWriter(_bytes);

    public byte[] Begin(QemuOptions options, bool ignoreShared)
    {
        _writer.WriteHeader();
        _writer.WriteConfiguration(new StreamConfiguration
        {
            MachineType = options.MachineType, Capabilities = ignoreShared ? [IgnoreShared] : [],
        });
        _writer.WriteRamStart(RamSection, [new RamBlock(Block, (ulong)options.MemoryBytes, null, ignoreShared ? 0 : null)]);
        return Take();
    }

    /// <summary>PART (or END) with the pages given by number; a page's content tells its number and version.</summary>
    public byte[] Pages(bool isEnd, IEnumerable<int> pages, Func<int, bool> isZero, Func<int, long> version)
    {
        _writer.BeginRam(RamSection, isEnd);
        foreach (var page in pages)
        {
            var offset = (ulong)page * GuestLoad.PageBytes;
            if (isZero(page)) _writer.WriteZeroPage(Block, offset);
            else
            {
                FillWithNoise(_page, page);
                BinaryPrimitives.WriteInt64LittleEndian(_page, version(page));
                _writer.WritePage(Block, offset, _page);
            }
        }
        _writer.EndRam();
        return Take();
    }

    /// <summary>All device state and the end of the stream.</summary>
    /// <param name="globalState">QEMU's word for what the guest was before the switch-over.</param>
    /// <param name="devices">Each has a section of its own, which the other side must have too.</param>
    public byte[] Devices(GuestState state, long deviceRuns, string globalState, IEnumerable<string> devices, bool describe)
    {
        var section = GuestSection;
        foreach (var name in devices) _writer.WriteDevice(++section, name, new byte[SmallDeviceBytes]);
        var device = new byte[DeviceBytes];
        FillWithNoise(device, state.Life);
        BinaryPrimitives.WriteInt64BigEndian(device, state.Life);
        BinaryPrimitives.WriteInt64BigEndian(device.AsSpan(8), state.Runs);
        BinaryPrimitives.WriteInt64BigEndian(device.AsSpan(16), state.Counter);
        BinaryPrimitives.WriteInt64BigEndian(device.AsSpan(24), deviceRuns);
        device.AsSpan(32, GlobalStateBytes).Clear();
        Encoding.ASCII.GetBytes(globalState, device.AsSpan(32, GlobalStateBytes));
        _writer.WriteDevice(GuestSection, Guest, device);
        _writer.WriteEof();
        if (describe) _writer.WriteDescription("{}"u8);
        return Take();
    }

    /// <summary>Nothing a link can pack: how long a stream takes is for the world's knobs to say.</summary>
    internal static void FillWithNoise(Span<byte> target, long seed)
    {
        var noise = (ulong)seed * 0x9e3779b97f4a7c15 + 1;
        foreach (ref var word in MemoryMarshal.Cast<byte, ulong>(target))
        {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word = noise;
        }
    }

    private byte[] Take()
    {
        var taken = _bytes.WrittenSpan.ToArray();
        _bytes.ResetWrittenCount();
        return taken;
    }
}

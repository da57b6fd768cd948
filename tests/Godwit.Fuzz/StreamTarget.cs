using System.Buffers;
using Godwit.Wire;

namespace Godwit.Fuzz;

/// <summary>
/// The readers of a migration: they throw nothing, account for every byte, allocate little whatever a stream claims, and
/// understand the same however it is cut.
/// </summary>
internal static class StreamTarget
{
    private const long AllocatedBytesMax = 64 << 20;
    private const int HeldBytesMax = 4096;

    public static IEnumerable<byte[]> Seeds()
    {
        byte[] json = [.. """{"page_size": 4096, "devices": [{"name": "cpu", "instance_id": 0}]}"""u8];
        foreach (var capabilities in (string[][])[[], ["multifd"]])
        {
            var output = new ArrayBufferWriter<byte>();
            var writer = new MigrationStreamWriter(output);
            writer.WriteHeader();
            writer.WriteConfiguration(new StreamConfiguration { MachineType = "pc-q35-7.2", Capabilities = capabilities });
            writer.WriteRamStart(2, [new RamBlock("ram0", 64 << 10), new RamBlock("rom", 4096)]);
            writer.BeginRam(2, isEnd: false);
            writer.WriteZeroPage("ram0", 0);
            writer.WritePage("ram0", 4096, new byte[4096]);
            writer.EndRam();
            writer.WriteCommand(StreamCommand.OpenReturnPath, []);
            writer.BeginRam(2, isEnd: true);
            writer.WriteZeroPage("rom", 0);
            writer.EndRam();
            writer.WriteDevice(7, "cpu", [1, 2, 3, 4]);
            writer.WriteEof();
            writer.WriteDescription(json);
            yield return output.WrittenSpan.ToArray();
        }
    }

    public static void Try(byte[] bytes)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        var whole = new MigrationStreamReader();
        whole.Feed(bytes);
        var cut = new MigrationStreamReader();
        var slice = 1 + (bytes.Length > 0 ? bytes[^1] % 61 : 0);
        for (var at = 0; at < bytes.Length; at += slice) cut.Feed(bytes.AsSpan(at, Math.Min(slice, bytes.Length - at)));
        _ = SavedState.Of(whole);
        new MultifdChannelReader(whole.Ram).Feed(bytes);
        PromiseBrokenException.Unless(GC.GetAllocatedBytesForCurrentThread() - before < AllocatedBytesMax, "little memory is used");

        PromiseBrokenException.Unless(
            (whole.PassThroughReason, whole.UnreadBytes, whole.Standing, whole.Ending, whole.Ram.ZeroPages)
            == (cut.PassThroughReason, cut.UnreadBytes, cut.Standing, cut.Ending, cut.Ram.ZeroPages),
                "how bytes are cut changes nothing");
        var accounted = Enum.GetValues<StreamPart>().Sum(whole.BytesIn) + whole.UnreadBytes;
        PromiseBrokenException.Unless(whole.BytesFed == bytes.Length && bytes.Length - accounted is >= 0 and <= HeldBytesMax,
            "every byte is accounted for");
    }
}

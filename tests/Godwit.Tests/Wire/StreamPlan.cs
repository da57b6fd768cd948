using System.Buffers;
using CsCheck;
using Godwit.Wire;

namespace Godwit.Tests.Wire;

/// <summary>A made-up migration: what is written, so that a test knows what must be read.</summary>
internal sealed record StreamPlan(
    string Machine,
    IReadOnlyList<RamBlock> Blocks,
    IReadOnlyList<IReadOnlyList<PlannedPage>> Sections,
    byte[] DeviceState)
{
    public const int PageBytes = 4096;

    public static readonly byte[] Json = """{"page_size": 4096, "devices": [{"name": "cpu", "instance_id": 0}]}"""u8.ToArray();

    public static Gen<StreamPlan> Gen { get; } =
        from machine in CsCheck.Gen.Char['a', 'z'].Array[1, 20]
        from sizes in CsCheck.Gen.Int[1, 40].Array[1, 4]
        from sections in GenPage(sizes).List[0, 12].Select(l => (IReadOnlyList<PlannedPage>)l).List[1, 5]
        from device in CsCheck.Gen.Byte.Array[0, 400]
        select new StreamPlan(
            new string(machine), [.. sizes.Select((pages, i) => new RamBlock($"block{i}", (ulong)pages * PageBytes))],
            sections, device);

    public IEnumerable<PlannedPage> Pages => Sections.SelectMany(s => s);

    public byte[] Write()
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(output);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = Machine });
        writer.WriteRamStart(2, Blocks);
        for (var i = 0; i < Sections.Count; i++)
        {
            writer.BeginRam(2, isEnd: i == Sections.Count - 1);
            foreach (var page in Sections[i])
            {
                var block = Blocks[page.Block].Name;
                if (page.IsZero) writer.WriteZeroPage(block, (ulong)page.Number * PageBytes);
                else writer.WritePage(block, (ulong)page.Number * PageBytes, Content(page));
            }
            writer.EndRam();
        }
        writer.WriteDevice(7, "made-up", DeviceState);
        writer.WriteEof();
        writer.WriteDescription(Json);
        return output.WrittenSpan.ToArray();
    }

    private static byte[] Content(PlannedPage page)
    {
        var content = new byte[PageBytes];
        content.AsSpan().Fill((byte)(page.Number + 1));
        return content;
    }

    private static Gen<PlannedPage> GenPage(int[] sizes) =>
        from block in CsCheck.Gen.Int[0, sizes.Length - 1]
        from page in CsCheck.Gen.Int[0, sizes[block] - 1]
        from zero in CsCheck.Gen.Bool
        select new PlannedPage(block, page, zero);
}

internal sealed record PlannedPage(int Block, int Number, bool IsZero);

internal static class Fed
{
    /// <summary>Feeds in pieces of the given sizes, the rest at once.</summary>
    public static T Feed<T>(this T reader, ReadOnlySpan<byte> bytes, IEnumerable<int> cuts) where T : WireReader
    {
        foreach (var cut in cuts)
        {
            var size = Math.Min(cut, bytes.Length);
            reader.Feed(bytes[..size]);
            bytes = bytes[size..];
        }
        reader.Feed(bytes);
        return reader;
    }
}

using System.Buffers;
using System.Net.Sockets;
using Godwit.Qmp;
using Godwit.Wire;
using Xunit;

namespace Godwit.LabTests.Captures;

/// <summary>Our writer against a real target QEMU: it loads memory that we wrote, in an order of our own.</summary>
public sealed class WrittenStreamTests : IDisposable
{
    private static readonly TimeSpan Deadline = CapturedQemu.Deadline;

    private readonly string directory = Directory.CreateTempSubdirectory("godwit-capture-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task A_real_QEMU_loads_a_stream_of_our_writer_and_sends_the_same_memory_on()
    {
        byte[] original;
        await using (var source = await CapturedQemu.StartAsync(directory, "source"))
        {
            await source.Qmp.StopAsync(Deadline, default);
            original = (await Capture.TakeAsync(source)).Main;
        }
        var memory = MemoryImage.Of(original);
        var rewritten = Rewrite(original, memory);

        await using var target = await CapturedQemu.StartAsync(directory, "target", "-S", "-incoming", "defer");
        Assert.Equal(QmpMigrationStatus.Completed, await LoadAsync(target, rewritten));
        var again = (await Capture.TakeAsync(target)).Main;
        Assert.Equal(memory.Pages.Count, MemoryImage.Of(again).Pages.Count);
        foreach (var (at, page) in MemoryImage.Of(again).Pages)
            Assert.True(memory.Pages[at].AsSpan().SequenceEqual(page), $"page {at} differs");
    }

    /// <summary>Blocks as they were, pages from the last to the first, device state copied.</summary>
    private static byte[] Rewrite(byte[] original, MemoryImage memory)
    {
        var state = Assert.IsType<SavedState.Complete>(SavedState.Of(original));
        var output = new ArrayBufferWriter<byte>(original.Length);
        var writer = new MigrationStreamWriter(output);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = state.MachineType });
        writer.WriteRamStart(2, state.Blocks);
        writer.BeginRam(2, isEnd: false);
        foreach (var ((block, offset), page) in memory.Pages.Reverse())
        {
            if (page.AsSpan().ContainsAnyExcept((byte)0)) writer.WritePage(block, offset, page);
            else writer.WriteZeroPage(block, offset);
        }
        writer.EndRam();
        writer.BeginRam(2, isEnd: true);
        writer.EndRam();
        output.Write(original.AsSpan((int)state.DeviceStateStartsAt)); // Up to VMDESCRIPTION and with it.
        return output.WrittenSpan.ToArray();
    }

    private async Task<string> LoadAsync(CapturedQemu target, byte[] stream)
    {
        var ended = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var subscription = target.Qmp.Subscribe(e =>
        {
            if (e.MigrationStatus() is { } status && QmpMigrationStatus.IsEnded(status)) ended.TrySetResult(status);
        });
        var path = Path.Combine(directory, "incoming.sock");
        await target.Qmp.MigrateIncomingAsync($"unix:{path}", exitOnError: true, Deadline, default);
        using var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await connection.ConnectAsync(new UnixDomainSocketEndPoint(path));
        await using (var link = new NetworkStream(connection)) await link.WriteAsync(stream);
        connection.Shutdown(SocketShutdown.Send);
        return await ended.Task.WaitAsync(Deadline);
    }

    /// <summary>Every page of a stream by block and offset, the last content winning.</summary>
    private sealed record MemoryImage(SortedDictionary<(string Block, ulong Offset), byte[]> Pages)
    {
        public static MemoryImage Of(byte[] stream)
        {
            var image = new MemoryImage(new SortedDictionary<(string, ulong), byte[]>());
            var ramStart = stream.AsSpan().IndexOf("\u0003ram"u8) - 5;
            var at = ramStart;
            while ((StreamElement)stream[at] is StreamElement.SectionStart or StreamElement.SectionPart or StreamElement.SectionEnd)
            {
                Read(SectionHeader.TryRead(stream.AsSpan(at), out var header, out var used), ref at, used);
                if (header!.Element == StreamElement.SectionStart) at = SkipBlockList(stream, at);
                image.TakeRecords(stream, ref at);
                Read(SectionFooter.TryRead(stream.AsSpan(at), out _, out used), ref at, used);
            }
            return image;
        }

        private void TakeRecords(byte[] stream, ref int at)
        {
            while (true)
            {
                Read(RamRecord.TryRead(stream.AsSpan(at), 4096, out var record, out var used), ref at, used);
                if (record.Kind == RamFlags.Eos) return;
                if (!record.Continues) block = System.Text.Encoding.ASCII.GetString(record.BlockId);
                Pages[(block, record.Offset)] =
                    record.Kind == RamFlags.Zero ? new byte[4096] : stream.AsSpan(at, 4096).ToArray();
                at += record.PayloadBytes;
            }
        }

        private string block = "";

        private static int SkipBlockList(byte[] stream, int at)
        {
            Read(RamRecord.TryRead(stream.AsSpan(at), 4096, out var list, out var used), ref at, used);
            for (var left = list.Offset; left > 0;)
            {
                Read(RamBlock.TryRead(stream.AsSpan(at), false, out var listed, out used), ref at, used);
                left -= listed!.UsedBytes;
            }
            return at;
        }

        private static void Read(OperationStatus status, ref int at, int used)
        {
            Assert.Equal(OperationStatus.Done, status);
            at += used;
        }
    }
}

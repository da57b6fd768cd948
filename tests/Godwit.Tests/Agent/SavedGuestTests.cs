using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Godwit.Agent.Saved;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Agent;

/// <summary>The file a VM is saved to: each mebibyte of memory can be believed by itself, and nothing that is not as written is.</summary>
public sealed class SavedGuestTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public async Task Memory_comes_back_mebibyte_by_mebibyte_and_zeros_take_no_room()
    {
        var memory = new Memory((5 * MiB) + 8192);
        memory.Bytes[0] = 1;
        memory.Bytes[(3 * MiB) + 77] = 2;
        memory.Bytes[^1] = 3;
        var file = await WriteAsync(memory);
        Assert.InRange(file.Length, (2 * MiB) + 8192, (2 * MiB) + 8192 + 3000);

        var saved = (await SavedGuest.OpenAsync(new MemoryStream(file), "f", default))!;
        Assert.Equal(("web", 7, 6), (saved.Stamp.Spec.Name, saved.Stamp.Epoch, saved.Blocks));
        Assert.Equal([false, true, true, false, true, false], Enumerable.Range(0, 6).Select(saved.IsZero));
        var block = new byte[MiB];
        foreach (var number in new[] { 3, 0, 5 }) // In any order.
        {
            await saved.ReadBlockAsync(number, block, default);
            Assert.True(block.AsSpan(0, saved.BytesOf(number)).SequenceEqual(memory.Bytes.AsSpan(number * MiB, saved.BytesOf(number))));
        }
    }

    [Fact]
    public async Task A_wrong_byte_is_found_where_it_is()
    {
        var memory = new Memory(2 * MiB);
        memory.Bytes.AsSpan().Fill(9);
        var good = await WriteAsync(memory);
        var memoryAt = good.AsSpan().IndexOf(memory.Bytes.AsSpan(0, 4096));
        foreach (var at in new[] { 0, 9, 13, 20, 28, 40, memoryAt - 1, good.Length - 1, good.Length - 33, good.Length - 60 })
        {
            var wrong = good.ToArray();
            wrong[at] ^= 1;
            Assert.Equal("saved-state-broken", (await RefusedAsync(async () =>
            {
                if (await SavedGuest.OpenAsync(new MemoryStream(wrong), "f", default) is null) // Its format is another: read as format 1.
                    await SavedStateFile.VerifyAsync(new MemoryStream(wrong), "f", default);
            })).Code);
        }

        var inMemory = good.ToArray();
        inMemory[memoryAt + MiB + 5] ^= 1;
        var saved = (await SavedGuest.OpenAsync(new MemoryStream(inMemory), "f", default))!;
        await saved.ReadBlockAsync(0, new byte[MiB], default);
        var refused = await RefusedAsync(() => saved.ReadBlockAsync(1, new byte[MiB], default));
        Assert.Contains("mebibyte 1", refused.Cause, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_ends_early_is_refused()
    {
        var memory = new Memory(2 * MiB);
        memory.Bytes.AsSpan().Fill(9);
        var good = await WriteAsync(memory);
        foreach (var length in new[] { 0, 7, 31, 32, 100, 500, MiB, good.Length - 1 })
            Assert.Equal("saved-state-broken",
                (await RefusedAsync(async () => await SavedGuest.OpenAsync(new MemoryStream(good[..length]), "f", default))).Code);
    }

    /// <summary>Written by agents before format 2: head, QEMU's stream, its length, the checksum of all.</summary>
    [Fact]
    public async Task A_file_of_format_1_is_still_read()
    {
        var stamp = "{\"Spec\":" + System.Text.Json.JsonSerializer.Serialize(Spec, SavedStateJson.Default.VmSpec) + ",\"Epoch\":7,"
            + "\"QemuVersion\":\"7.2.22\",\"Devices\":[],\"SavedAt\":\"2026-11-29T00:00:00+00:00\",\"WasPaused\":true}";
        var content = new ArrayBufferWriter<byte>();
        content.Write("GODWITSV"u8);
        Number32(1);
        Number32((uint)stamp.Length);
        content.Write(Encoding.ASCII.GetBytes(stamp));
        content.Write("QEMU's own words"u8);
        Number32(0);
        Number32(16);
        content.Write(SHA256.HashData(content.WrittenSpan));
        var file = new MemoryStream(content.WrittenSpan.ToArray());

        Assert.Null(await SavedGuest.OpenAsync(file, "f", default));
        await SavedStateFile.VerifyAsync(file, "f", default);
        file.Position = 0;
        Assert.True((await SavedStateFile.ReadStampAsync(file, "f", default)).WasPaused);
        var fed = new MemoryStream();
        await SavedStateFile.FeedAsync(file, fed, default);
        Assert.Equal("QEMU's own words", Encoding.ASCII.GetString(fed.ToArray()));

        void Number32(uint value)
        {
            BinaryPrimitives.WriteUInt32BigEndian(content.GetSpan(4), value);
            content.Advance(4);
        }
    }

    private static VmSpec Spec => new()
    {
        Id = new VmId("vm-000000000001"), Name = "web", Uuid = "11111111-1111-1111-1111-111111111111", Cpus = 1, MemoryBytes = 5 * MiB,
        MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg, Uid = 64055, Disks = [], Nics = [],
    };

    private static async Task<byte[]> WriteAsync(Memory memory)
    {
        var file = new MemoryStream();
        var stamp = new SavedStateStamp
        {
            Spec = Spec, Epoch = 7, QemuVersion = "7.2.22", Devices = ["a"], SavedAt = DateTimeOffset.UnixEpoch, WasPaused = false,
        };
        var written = await SavedGuestWriting.WriteAsync(file, stamp, State(), memory, default);
        Assert.Equal(file.Length, written);
        return file.ToArray();
    }

    private static byte[] State()
    {
        var bytes = new ArrayBufferWriter<byte>();
        var writer = new MigrationStreamWriter(bytes);
        writer.WriteHeader();
        writer.WriteConfiguration(new StreamConfiguration { MachineType = "pc-q35-7.2", Capabilities = ["x-ignore-shared"] });
        writer.WriteRamStart(2, [new RamBlock("ram0", 2 * MiB, null, 0)]);
        writer.BeginRam(2, isEnd: true);
        writer.EndRam();
        writer.WriteDevice(3, "timer", [1, 2, 3]);
        writer.WriteEof();
        return bytes.WrittenSpan.ToArray();
    }

    private static async Task<Refusal> RefusedAsync(Func<Task> act) => (await Assert.ThrowsAsync<RefusedException>(act)).Reasons.Single();

    private sealed class Memory(int length) : IMemoryFile
    {
        public byte[] Bytes { get; } = new byte[length];
        public long LengthBytes => Bytes.Length;
        /// <summary>As a kernel before 6.4 tells while it gathers all of it into huge pages.</summary>
        public IReadOnlyList<(long Offset, long Bytes)> PresentRanges(int rangesMax) => [];
        public void Read(long offset, Span<byte> into) => Bytes.AsSpan((int)offset, into.Length).CopyTo(into);
        public void Dispose() { }
    }
}

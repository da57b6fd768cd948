using System.Buffers;
using System.Collections;
using System.Threading.Channels;
using Godwit.Core;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>
/// Gives a QEMU the memory of its guest while the guest runs: what it asks for at once, and the rest behind that, a block at a time.
/// To QEMU this is the source of a post-copy migration; its pages come out of a saved state, or from the host it left. Every page is
/// given once, pages of zeros only if they are asked for: what is never given reads as zeros.
/// </summary>
/// <remarks>
/// QEMU asks before the guest runs, too: its devices look into their rings as they load, on its main loop, and its monitor is silent until
/// they have seen them. So nothing here waits for the monitor.
/// </remarks>
internal sealed class LazyMemory(IGuestMemory memory, Stream qemu, string block, TimeProvider time)
{
    private const int PageBytes = DetachedState.PageBytes;
    private const int ReadTriesMax = 600;
    /// <summary>QEMU asks once for a page, for 2048 pages a second at most measured; more than this at once is no QEMU.</summary>
    private const int AskedMax = 1 << 16;
    private static readonly TimeSpan ReadPause = TimeSpan.FromSeconds(1), EndMax = TimeSpan.FromMinutes(1);

    private readonly BitArray given = new((int)(memory.MemoryBytes / PageBytes));
    private readonly bool[] blocksGiven = new bool[memory.CountOf()];
    private readonly byte[] content = new byte[memory.BlockBytes];
    private readonly Channel<long> asked = Channel.CreateBounded<long>(new BoundedChannelOptions(AskedMax));
    private readonly TaskCompletionSource mayPush = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<uint> shut = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ArrayBufferWriter<byte> bytes = new();
    private DetachedStateWriter? writer;
    private long requests;

    private int PagesPerBlock => memory.BlockBytes / PageBytes;
    private DetachedStateWriter Writer => writer ??= new DetachedStateWriter(bytes, memory.State);

    /// <summary>Completes when QEMU has loaded every device: it will not refuse this guest any more.</summary>
    public Task DevicesLoaded => loaded.Task;

    /// <summary>How often the guest had to wait for a page.</summary>
    public long Requests => Interlocked.Read(ref requests);

    /// <summary>From now on the rest is sent, too: the guest runs.</summary>
    public void Push() => mayPush.TrySetResult();

    /// <summary>
    /// Devices, then pages, until QEMU has all and says so. Throws <see cref="IOException"/> where it is gone or has said something else,
    /// <see cref="RefusedException"/> (<c>saved-state-broken</c>) where the file is not what it was.
    /// </summary>
    public async Task ServeAsync(CancellationToken cancel)
    {
        _ = HearAsync();
        try { await GiveAllAsync(cancel); }
        finally { asked.Writer.TryComplete(); }
    }

    private async Task GiveAllAsync(CancellationToken cancel)
    {
        Writer.WriteOpeningForLazyMemory(block);
        await SendAsync(cancel);
        for (var next = 0; ;)
        {
            if (asked.Reader.TryRead(out var page)) await AnswerAsync(page, cancel);
            else if (!mayPush.Task.IsCompleted) await AnyAskedAsync(cancel);
            else if (next == blocksGiven.Length) break;
            else await GiveAsync(next++, first: -1, cancel);
            if (shut.Task.IsCompleted) throw new IOException($"QEMU ended the arrival of its memory early ({await shut.Task})");
        }
        Writer.WriteEndOfMemory();
        await SendAsync(cancel);
        var error = await shut.Task.Joinable().WaitAsync(EndMax, time, cancel);
        if (error != 0) throw new IOException($"QEMU ended the arrival of its memory with error {error}");
    }

    private async Task AnyAskedAsync(CancellationToken cancel)
    {
        var more = asked.Reader.WaitToReadAsync(cancel).Joinable();
        await Joining.AnyAsync(more, mayPush.Task, shut.Task);
        cancel.ThrowIfCancellationRequested();
    }

    private async Task AnswerAsync(long page, CancellationToken cancel)
    {
        if (page >= given.Length) throw new IOException($"QEMU asks for page {page} of {given.Length}");
        var number = (int)(page / PagesPerBlock);
        if (!memory.IsZero(number) && !blocksGiven[number]) await GiveAsync(number, (int)page, cancel);
        if (given[(int)page]) return; // It crossed with what it asks for.
        Begin();
        Add((int)page, []);
        await EndAsync(cancel);
    }

    /// <summary>A block: first the page that is waited for, by itself, then what else of it is no page of zeros.</summary>
    private async Task GiveAsync(int number, int first, CancellationToken cancel)
    {
        if (blocksGiven[number] || memory.IsZero(number)) return;
        await ReadAsync(number, isWaitedFor: first >= 0, cancel);
        var from = number * PagesPerBlock;
        if (first >= 0 && Page(first - from) is { IsEmpty: false } wanted)
        {
            Begin();
            Add(first, wanted.Span);
            await EndAsync(cancel);
        }
        var hasBegun = false;
        for (var i = 0; i < memory.BytesOf(number) / PageBytes; i++)
        {
            if (given[from + i] || Page(i) is not { IsEmpty: false } page) continue;
            if (!hasBegun) Begin();
            hasBegun = true;
            Add(from + i, page.Span);
        }
        blocksGiven[number] = true;
        if (hasBegun) await EndAsync(cancel); // Nothing is said of a block of zeros.

        ReadOnlyMemory<byte> Page(int i)
        {
            var page = content.AsMemory(i * PageBytes, PageBytes);
            return page.Span.ContainsAnyExcept((byte)0) ? page : default;
        }
    }

    /// <summary>The guest waits for it: what cannot be had for a while is asked for again, for ten minutes at least.</summary>
    private async Task ReadAsync(int number, bool isWaitedFor, CancellationToken cancel)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await memory.ReadBlockAsync(number, content, isWaitedFor, cancel);
                return;
            }
            catch (IOException) when (attempt < ReadTriesMax && !shut.Task.IsCompleted) { await Task.Delay(ReadPause, time, cancel); }
        }
    }

    private void Begin() => Writer.BeginPages();

    private void Add(int page, ReadOnlySpan<byte> with)
    {
        given[page] = true;
        Writer.WritePage(block, (ulong)page * PageBytes, with);
    }

    private Task EndAsync(CancellationToken cancel)
    {
        Writer.EndPages();
        return SendAsync(cancel);
    }

    private async Task SendAsync(CancellationToken cancel)
    {
        await qemu.WriteAsync(bytes.WrittenMemory, cancel);
        bytes.ResetWrittenCount();
    }

    /// <summary>Never faults: what it meets is told to who serves.</summary>
    private async Task HearAsync()
    {
        try
        {
            var reader = new ReturnPathReader();
            var part = new byte[16 << 10];
            for (int read; (read = await qemu.ReadAsync(part)) > 0;)
            {
                foreach (var word in reader.Feed(part.AsSpan(0, read)))
                {
                    if (word is { Kind: ReturnPathKind.Pong, Value: DetachedStateWriter.DevicesLoaded }) loaded.TrySetResult();
                    else if (word.Kind == ReturnPathKind.Shut) shut.TrySetResult(word.Value);
                    else if (word.Kind is ReturnPathKind.RequestPages or ReturnPathKind.RequestPagesOf) await TakeAsync(word);
                }
                if (reader.Fault.Length > 0) throw new IOException($"QEMU says {reader.Fault}");
            }
            throw new IOException("QEMU closed the connection its memory comes by");
        }
        catch (Exception broken) when (broken is IOException or ObjectDisposedException or ChannelClosedException)
        {
            shut.TrySetException(new IOException(broken.Message, broken));
            _ = shut.Task.Exception; // Seen: not everybody waits for it.
        }
    }

    private async Task TakeAsync(ReturnPathWord word)
    {
        if (word.Block != block) throw new IOException($"QEMU asks for memory of '{word.Block}'");
        Interlocked.Increment(ref requests);
        for (ulong at = 0; at < word.Bytes; at += PageBytes) await asked.Writer.WriteAsync((long)((word.Offset + at) / PageBytes));
    }
}

using System.Collections;
using System.Collections.Concurrent;
using System.Numerics;
using Godwit.Agent.Link;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>
/// Memory that a lazy move left at its source, asked for over a <see cref="MemoryLink"/>. The source opens that link, and opens it again
/// when it breaks; until then whoever reads waits, and is told to try again.
/// </summary>
internal sealed class RemoteMemory(MoveId move, HostId source, long memoryBytes, TimeProvider time) : IGuestMemory
{
    /// <summary>For a link to come, and for an answer over one: after that the reader is told, and the link is given up.</summary>
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(10);
    /// <summary>Of those fetched ahead: a page that is waited for is behind them. Fewer where answers come late, more where soon.</summary>
    private const int AheadFirst = 4, AheadMax = 64;
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(10), Late = TimeSpan.FromMilliseconds(25);

    private readonly Lock gate = new();
    private readonly ConcurrentDictionary<int, Asked> asked = [];
    /// <summary>Blocks that the guest waited for: the row that is fetched in order passes over them.</summary>
    private readonly BitArray came = new((int)((memoryBytes + MemoryLink.BlockBytes - 1) / MemoryLink.BlockBytes));
    private IMemoryFile? here;
    private long alikeBytes;
    private DetachedState? state;
    private LinkReceiver? link;
    private TaskCompletionSource linked = NewBell();
    private string? lost;
    /// <summary>The first block, in order, that was not asked for ahead.</summary>
    private int askedTo;
    private int ahead = AheadFirst;
    private bool isAllHere;

    public MoveId Move => move;
    public HostId Source => source;
    public long MemoryBytes => memoryBytes;
    public int BlockBytes => MemoryLink.BlockBytes;
    public DetachedState State
    {
        get => state ?? throw new InvalidOperationException("its devices have not come");
        set => state = value;
    }

    public bool IsZero(int block) => false;

    /// <summary>What of it was here before, page by page as it was once: only what is unlike is asked for. Owned by this object.</summary>
    public void IsPartlyIn(IMemoryFile? file)
    {
        here = file;
        if (file is not null) MemoryLink.WarmUp();
    }

    /// <summary>That did not have to cross.</summary>
    public long AlikeBytes => Interlocked.Read(ref alikeBytes);

    /// <summary>Serves what is asked by this link until it ends. Never throws.</summary>
    public async Task ServeAsync(LinkReceiver fresh)
    {
        LinkReceiver? old;
        List<Asked> open;
        lock (gate)
        {
            (old, link, open) = (link, fresh, [.. asked.Values]);
            asked.Clear(); // What was asked by another link is answered by none.
            linked.TrySetResult();
        }
        foreach (var waiting in open) waiting.Break("another link took its place");
        if (old is not null) await old.DisposeAsync();
        if (Volatile.Read(ref isAllHere)) await fresh.SayAllHereAsync(CancellationToken.None);
        var (why, isLost) = await fresh.HearMemoryAsync(Arrived, ArrivedUnlike, ArrivedSame, CancellationToken.None);
        if (isLost) lost = why;
        await DropAsync(fresh, why);
    }

    public async Task ReadBlockAsync(int block, byte[] into, bool isWaitedFor, CancellationToken cancel)
    {
        var by = await LinkAsync(cancel);
        if (!isWaitedFor) await AskAheadAsync(by, block, cancel);
        var mine = await AskAsync(by, block, cancel);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var first = await Joining.AnyAsync(mine.Content.Task, Task.Delay(AnswerMax, time, late.Token));
        late.Cancel();
        cancel.ThrowIfCancellationRequested();
        if (first != mine.Content.Task)
        {
            await DropAsync(by, $"{source} did not answer for {AnswerMax.TotalSeconds:0} s");
            throw new IOException($"{source}, where part of the memory is, did not answer for {AnswerMax.TotalSeconds:0} s");
        }
        var content = await mine.Content.Task;
        asked.TryRemove(block, out _);
        if (content.Length == 0) into.AsSpan(0, this.BytesOf(block)).Clear();
        else content.CopyTo(into, 0);
        if (isWaitedFor) came[block] = true;
        here?.Free((long)block * BlockBytes, this.BytesOf(block)); // It is in the guest's memory from now on.
        if (isWaitedFor) return;
        if (mine.Took < Soon) ahead = Math.Min(AheadMax, ahead + 1);
        else if (mine.Took > Late) ahead = Math.Max(1, ahead / 2);
    }

    /// <summary>The source may forget it. It is told now, or as soon as it asks.</summary>
    public async Task SayAllHereAsync()
    {
        LinkReceiver? now;
        lock (gate) (isAllHere, now) = (true, link);
        Interlocked.Exchange(ref here, null)?.Dispose();
        if (now is not null) await now.SayAllHereAsync(CancellationToken.None);
    }

    private async Task<LinkReceiver> LinkAsync(CancellationToken cancel)
    {
        Task coming;
        lock (gate)
        {
            if (lost is { } why) throw new RefusedException("memory-lost", $"{source} no longer has it: {why}", "start the VM again");
            if (link is { } there) return there;
            coming = linked.Task;
        }
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var first = await Joining.AnyAsync(coming, Task.Delay(AnswerMax, time, late.Token));
        late.Cancel();
        cancel.ThrowIfCancellationRequested();
        lock (gate)
            return first == coming && link is { } came ? came
                : throw new IOException($"{source}, where part of the memory is, cannot be reached");
    }

    /// <summary>
    /// Fetches in order, so many blocks ahead as come in time: in rows, or one by one where the source knows no rows.
    /// </summary>
    private async Task AskAheadAsync(LinkReceiver by, int block, CancellationToken cancel)
    {
        if (!asked.ContainsKey(block)) askedTo = block; // Another link, or the first of all.
        if (askedTo - block > ahead / 2) return;
        var end = Math.Min(Math.Min(block + 1 + ahead, askedTo + MemoryRow.BlocksMax), (int)(memoryBytes / BlockBytes));
        if (!by.KnowsUnlike)
            for (; askedTo < end; askedTo++)
                if (!came[askedTo] || askedTo == block) await AskAsync(by, askedTo, cancel);
        if (askedTo >= end) return;
        var first = askedTo;
        var row = Enumerable.Range(first, end - first).Where(b => (!came[b] || b == block) && !asked.ContainsKey(b))
            .Select(b => (Block: b, Here: ReadHere(b))).ToList();
        var compares = row.Exists(one => one.Here is not null);
        var wanted = 0ul;
        List<byte[]> there = [];
        lock (gate)
        {
            if (link != by) throw new IOException($"the link to {source} broke");
            askedTo = end;
            foreach (var (b, here) in row)
            {
                var content = compares ? here ?? new byte[BlockBytes] : null;
                asked[b] = new Asked(time.GetTimestamp(), content) { IsHere = here is not null };
                wanted |= 1ul << (b - first);
                if (content is not null) there.Add(content);
            }
        }
        if (wanted != 0) await by.AskRowAsync((long)first * BlockBytes, wanted, compares ? there : null, cancel);
    }

    private async Task<Asked> AskAsync(LinkReceiver by, int block, CancellationToken cancel)
    {
        lock (gate)
            if (link == by && asked.TryGetValue(block, out var already)) return already; // As most of those ahead.
        var mine = new Asked(time.GetTimestamp(), by.KnowsUnlike ? ReadHere(block) : null) { IsHere = true };
        lock (gate)
        {
            if (link != by) throw new IOException($"the link to {source} broke");
            if (!asked.TryAdd(block, mine)) return asked[block];
        }
        var offset = (long)block * BlockBytes;
        await (mine.Here is { } there ? by.AskUnlikeAsync(offset, there, cancel) : by.AskMemoryAsync(offset, this.BytesOf(block), cancel));
        return mine;
    }

    /// <summary>Null where nothing but zeros is here: these are told as shortly as a hash.</summary>
    private byte[]? ReadHere(int block)
    {
        if (here is not { } file || (long)block * BlockBytes + this.BytesOf(block) > file.LengthBytes) return null;
        var content = new byte[this.BytesOf(block)];
        try { file.Read((long)block * BlockBytes, content); }
        catch (Exception gone) when (gone is IOException or ObjectDisposedException) { return null; }
        return content.AsSpan().ContainsAnyExcept((byte)0) ? content : null;
    }

    /// <summary>On the link's own thread.</summary>
    private void Arrived(long offset, ReadOnlyMemory<byte> content)
    {
        var block = offset < memoryBytes ? (int)(offset / BlockBytes) : throw new InvalidDataException("there is no such memory");
        if (offset % BlockBytes != 0 || (content.Length != 0 && content.Length != this.BytesOf(block)))
            throw new InvalidDataException("the source sent memory that was not asked for");
        if (!asked.TryGetValue(block, out var waiting)) return; // Of an older link.
        waiting.Took = time.GetElapsedTime(waiting.Since);
        waiting.Content.TrySetResult(content.ToArray());
    }

    /// <summary>As <see cref="Arrived"/>: what is alike is taken from here.</summary>
    private void ArrivedUnlike(long offset, byte mask, ReadOnlyMemory<byte> pages)
    {
        var block = offset < memoryBytes ? (int)(offset / BlockBytes) : throw new InvalidDataException("there is no such memory");
        if (!asked.TryGetValue(block, out var waiting)) return;
        if (waiting.Here is not { } whole || offset % BlockBytes != 0 || (mask >> (whole.Length / MemoryLink.PageBytes)) != 0)
            throw new InvalidDataException("the source sent memory that was not asked for");
        for (var (page, from) = (0, 0); from < pages.Length; page++)
        {
            if ((mask & (1 << page)) == 0) continue;
            pages.Slice(from, MemoryLink.PageBytes).CopyTo(whole.AsMemory(page * MemoryLink.PageBytes));
            from += MemoryLink.PageBytes;
        }
        if (waiting.IsHere) Interlocked.Add(ref alikeBytes, whole.Length - pages.Length);
        waiting.Took = time.GetElapsedTime(waiting.Since);
        waiting.Content.TrySetResult(whole);
    }

    /// <summary>As <see cref="Arrived"/>, of a row: blocks of zeros, and those that are here as they were.</summary>
    private void ArrivedSame(long offset, ulong same)
    {
        if (offset >= memoryBytes || offset % BlockBytes != 0) throw new InvalidDataException("there is no such memory");
        for (; same != 0; same &= same - 1)
        {
            if (!asked.TryGetValue((int)(offset / BlockBytes) + BitOperations.TrailingZeroCount(same), out var waiting)) continue;
            if (waiting is { Here: { } all, IsHere: true }) Interlocked.Add(ref alikeBytes, all.Length);
            waiting.Took = time.GetElapsedTime(waiting.Since);
            waiting.Content.TrySetResult(waiting.Here ?? []);
        }
    }

    private async Task DropAsync(LinkReceiver gone, string why)
    {
        List<Asked> open = [];
        lock (gate)
        {
            if (link == gone)
            {
                (link, linked) = (null, NewBell());
                open = [.. asked.Values];
                asked.Clear();
            }
        }
        foreach (var waiting in open) waiting.Break(why);
        await gone.DisposeAsync();
    }

    private static TaskCompletionSource NewBell() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="Here">What is here of it already, and was told by its hashes; null: all of it is asked for.</param>
    private sealed record Asked(long Since, byte[]? Here)
    {
        public TaskCompletionSource<byte[]> Content { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TimeSpan Took { get; set; }
        /// <summary>False where it is zeros here, and told so only because others of its row are not.</summary>
        public bool IsHere { get; init; }

        public void Break(string why)
        {
            Content.TrySetException(new IOException(why));
            _ = Content.Task.Exception; // Seen: of those fetched ahead nobody waits for all.
        }
    }
}

using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;

namespace Godwit.Agent.Moves;

/// <summary>
/// The source of a lazy move gives the memory its guest left: from before the guest stops until the target has all of it. The link is
/// opened by this side, and again whenever it breaks. The QEMU stays meanwhile, stopped for good: its file is the memory.
/// </summary>
internal sealed class MemoryGiving : IAsyncDisposable
{
    private static readonly TimeSpan AgainAfter = TimeSpan.FromSeconds(1);
    /// <summary>Three days: after that it is for a person to say what becomes of a guest that waits for its memory.</summary>
    private const int TriesMax = 260_000;

    private readonly MoveRecord record;
    private readonly MoveTools tools;
    private readonly IMemoryFile file;
    private readonly MemoryLeft memory;
    private readonly TaskCompletionSource mayBeGiven = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource linked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource ending = new();
    private readonly Task giving;

    /// <summary>Throws <see cref="IOException"/> where the guest's memory is not to be had.</summary>
    public MemoryGiving(MoveRecord record, string memoryPath, MoveTools tools)
    {
        (this.record, this.tools) = (record, tools);
        file = tools.Machines.Disk.OpenMemory(memoryPath);
        MemoryLink.WarmUp();
        memory = new MemoryLeft(file, mayBeGiven.Task, record.BandwidthBytesPerSecond);
        giving = GiveAsync();
    }

    /// <summary>So far, pages of zeros left out.</summary>
    public long GivenBytes => memory.GivenBytes;

    /// <summary>Completes when the target has a link to ask by: before that the guest is not stopped.</summary>
    public Task Linked => linked.Task;

    /// <summary>Completes when nothing of it is wanted any more, or it was stopped. Never faults.</summary>
    public Task Completion => giving;

    /// <summary>The token leaves, or may have left: the guest does not write to this memory any more.</summary>
    public void Allow() => mayBeGiven.TrySetResult();

    /// <summary>To a target that waits for memory which is no more, for as long as it would have been given.</summary>
    public static async Task TellLostAsync(MoveRecord record, string reason, MoveTools tools)
    {
        for (var attempt = 0; attempt < TriesMax; attempt++)
        {
            try
            {
                var connection = await tools.Network.ConnectPeerAsync(record.Endpoint!, new HostId(record.Peer), CancellationToken.None);
                await using var link = await LinkSender.OpenAsync(
                    connection, MemoryLink.Of(new MoveId(record.Move)), record.Ticket!, tools.Time, CancellationToken.None);
                await link.SendMemoryLostAsync(reason, CancellationToken.None);
                return;
            }
            catch (NotWantedException) { return; }
            catch (IOException) { } // Again.
            await Task.Delay(AgainAfter, tools.Time);
        }
    }

    public async ValueTask DisposeAsync()
    {
        ending.Cancel();
        await giving;
        file.Dispose();
    }

    private async Task GiveAsync()
    {
        for (var attempt = 0; attempt < TriesMax && !ending.IsCancellationRequested; attempt++)
        {
            try
            {
                if (await GiveOnceAsync()) return;
            }
            catch (NotWantedException) { return; }
            catch (Exception broken) when (broken is IOException or OperationCanceledException) { } // Again.
            await Joining.AnyAsync(Task.Delay(AgainAfter, tools.Time), EndedAsync());
        }
    }

    /// <summary>True where the target has said that it needs no more.</summary>
    private async Task<bool> GiveOnceAsync()
    {
        var connection = await tools.Network.ConnectPeerAsync(record.Endpoint!, new HostId(record.Peer), ending.Token);
        await using var link = await LinkSender.OpenForMemoryAsync(
            connection, new MoveId(record.Move), record.Ticket!, memory, tools.Time, ending.Token);
        linked.TrySetResult();
        await tools.FailPoints.HitAsync("giving.linked");
        var first = await Joining.AnyAsync(link.Answer, link.SilentAsync(), EndedAsync());
        return first == link.Answer && await link.Answer is LinkAnswer.AllHere;
    }

    private async Task EndedAsync()
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var bell = ending.Token.UnsafeRegister(static t => ((TaskCompletionSource)t!).TrySetResult(), ended);
        await ended.Task;
    }
}

using System.Buffers.Binary;
using Godwit.Wire;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// A target whose devices came before its memory. It asks for the pages that its devices, and then its guest, touch first; one of its
/// threads waits for each, and sometimes that is the main loop, with every monitor behind it. A source that is gone leaves it waiting.
/// </summary>
internal sealed class SimPostcopy(SimQemu qemu, SimIncoming incoming, SimIncoming.Guest guest, uint ping)
{
    private const int DevicePagesMax = 3;
    private static readonly TimeSpan TouchMin = TimeSpan.FromMilliseconds(1), TouchMax = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(0.2), LongLook = TimeSpan.FromMilliseconds(20);

    private readonly ArrivingPages _pages = new(qemu.Load, guest.State);
    private Stream? _source;

    public SimIncoming.Guest Guest => guest;
    public bool IsCorrupt { get; set; }

    public void Begin(Stream source)
    {
        (_source, qemu.Ram.Arriving) = (source, _pages);
        _ = RunAsync();
    }

    public bool Place(int page, (long First, long Second) words) => _pages.Place(page, words.First, words.Second);

    public void LoseSource() => _source = null;

    /// <summary>What is still waited for is asked for again.</summary>
    public async Task ComeBackAsync(Stream source)
    {
        _source = source;
        await SayAsync(ReturnPathKind.ResumeAck, 1);
        if (_pages.MainLoopWaitsFor is { } page) await AskAsync(page);
    }

    /// <summary>The last element has passed: what is missing now is zeros for ever.</summary>
    public async Task FinishAsync()
    {
        if (IsCorrupt || _pages.IsCorrupt || !_pages.IsComplete) qemu.Ledger.Record(qemu, GuestFactKind.Corrupt, qemu.State);
        (qemu.Ram.Arriving, _pages.MainLoopWaitsFor) = (null, null);
        incoming.Say("completed");
        await SayAsync(ReturnPathKind.Shut, 0);
    }

    private async Task RunAsync()
    {
        for (var left = qemu.Random.Next(DevicePagesMax + 1); left > 0 && !_pages.IsComplete; left--) await TouchAsync(holdsMainLoop: true);
        var delay = qemu.Random.NextTime(TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(20));
        qemu.BusyFor(delay);
        await qemu.Host.Loop.SleepAsync(delay);
        if (incoming.RefusesToLoad)
        {
            qemu.Die("Unknown savevm section or instance 'extra' 0");
            return;
        }
        await SayAsync(ReturnPathKind.Pong, ping);
        qemu.IsCorrupt = IsCorrupt;
        incoming.Loaded(guest);
        while (!_pages.IsComplete && !qemu.Process.HasExited)
        {
            await qemu.SleepAsync(TouchMin, TouchMax);
            if (qemu.IsRunning && !_pages.IsComplete) await TouchAsync(holdsMainLoop: qemu.Random.Chance(0.3));
        }
    }

    private async Task TouchAsync(bool holdsMainLoop)
    {
        var page = _pages.Draw(qemu.Random);
        if (holdsMainLoop) _pages.MainLoopWaitsFor = page;
        await AskAsync(page);
        for (var looks = 0; _pages.IsMissed(page) && !qemu.Process.HasExited; looks++)
            await qemu.Host.Loop.SleepAsync(looks < 100 ? Look : LongLook);
        if (holdsMainLoop) _pages.MainLoopWaitsFor = null;
    }

    private async Task AskAsync(int page)
    {
        var payload = new byte[12 + 1 + SimRamStream.Block.Length];
        BinaryPrimitives.WriteInt64BigEndian(payload, (long)page * GuestLoad.PageBytes);
        BinaryPrimitives.WriteInt32BigEndian(payload.AsSpan(8), GuestLoad.PageBytes);
        payload[12] = (byte)SimRamStream.Block.Length;
        System.Text.Encoding.ASCII.GetBytes(SimRamStream.Block, payload.AsSpan(13));
        await SendAsync(ReturnPathKind.RequestPagesOf, payload);
    }

    private Task SayAsync(ReturnPathKind kind, uint value)
    {
        var payload = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(payload, value);
        return SendAsync(kind, payload);
    }

    private async Task SendAsync(ReturnPathKind kind, byte[] payload)
    {
        if (_source is not { } source) return;
        var message = new byte[4 + payload.Length];
        BinaryPrimitives.WriteUInt16BigEndian(message, (ushort)kind);
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(2), (ushort)payload.Length);
        payload.CopyTo(message.AsSpan(4));
        try { await source.WriteAsync(message); }
        catch (Exception broken) when (broken is IOException or ObjectDisposedException) { } // Who reads from it finds out.
    }
}

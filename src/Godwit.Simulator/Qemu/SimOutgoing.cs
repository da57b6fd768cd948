using System.IO.Hashing;
using System.Text.Json.Nodes;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The source's side of a migration, return-path off: passes over dirty memory until the rest fits the downtime limit
/// at the measured rate, then stop, the rest, device state. "failed" restarts the guest by itself (7.2: even if the
/// disks cannot be had again), "completed" leaves it in postmigrate for ever, unless someone says cont.
/// </summary>
internal sealed class SimOutgoing(SimQemu qemu)
{
    private const int PagesPerChunk = 32;
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(100);
    private const double MemoryBytesPerSecond = 2e9;

    private const string SocketBroke = "Unable to write to socket: Broken pipe";

    private SimRamStream _content = new();
    private XxHash64 _hash = new();
    private Stream? _stream;
    private TaskCompletionSource? _goOn;
    private int _remaining, _totalPages;
    private TimeSpan _syncedAt, _sliceFrom, _startedAt, _stoppedAt, _endedAt;
    private long _sent, _sliceBytes, _normal, _zero, _syncs, _dirtyRate;
    private double _rate;
    private string? _error;

    private SimLoop Loop => qemu.Host.Loop;
    public string Status { get; private set; } = "none";
    private bool IsActive => Status is "setup" or "active" or "pre-switchover" or "device" or "cancelling";

    public void Start(string uri)
    {
        if (IsActive) throw new QemuErrorException("There's a migration process in progress");
        if (qemu.RunState == "inmigrate") throw new QemuErrorException("Guest is waiting for an incoming migration");
        if (qemu.RunState == "postmigrate")
            throw new QemuErrorException("Can't migrate the vm that was paused due to previous migration");
        if (!uri.StartsWith("unix:", StringComparison.Ordinal)) throw new QemuErrorException($"unknown migration protocol: {uri}");
        (_sent, _sliceBytes, _normal, _zero, _syncs, _rate, _error) = (0, 0, 0, 0, 0, 0, null);
        (_startedAt, _content, _hash) = (Loop.Now, new SimRamStream(), new XxHash64());
        Say("setup");
        _ = RunAsync(uri["unix:".Length..]);
    }

    /// <summary>No error where nothing is under way, and no effect after "completed".</summary>
    public void Cancel()
    {
        if (!IsActive || Status == "cancelling") return;
        Say("cancelling");
        _stream?.Dispose(); // The socket is shut down: a write that hangs comes back.
        _goOn?.TrySetResult();
    }

    public void Continue(string state)
    {
        if (Status != state || _goOn is null) throw new QemuErrorException($"Migration not in expected state: {Status}");
        _goOn.TrySetResult();
    }

    public JsonObject Query()
    {
        if (Status == "none") return [];
        var info = new JsonObject { ["status"] = Status };
        if (_error is not null && Status == "failed") info["error-desc"] = _error;
        var going = IsActive;
        info["total-time"] = (long)((going ? Loop.Now : _endedAt) - _startedAt).TotalMilliseconds;
        if (Status == "completed") info["downtime"] = (long)(_endedAt - _stoppedAt).TotalMilliseconds;
        info["ram"] = new JsonObject
        {
            ["transferred"] = _sent, ["remaining"] = going ? RemainingBytes : 0, ["total"] = qemu.Options.MemoryBytes,
            ["duplicate"] = _zero, ["skipped"] = 0, ["normal"] = _normal, ["normal-bytes"] = _normal * GuestLoad.PageBytes,
            ["dirty-pages-rate"] = going ? _dirtyRate : 0, ["mbps"] = _rate * 8 / 1e6, ["dirty-sync-count"] = _syncs,
            ["postcopy-requests"] = 0, ["page-size"] = GuestLoad.PageBytes, ["multifd-bytes"] = 0,
            ["pages-per-second"] = (long)(_rate / GuestLoad.PageBytes), ["precopy-bytes"] = _sent, ["downtime-bytes"] = 0,
            ["postcopy-bytes"] = 0,
        };
        return info;
    }

    private long RemainingBytes => (long)_remaining * GuestLoad.PageBytes;
    private bool SkipsRam => qemu.Capabilities.GetValueOrDefault("x-ignore-shared");

    private async Task RunAsync(string path)
    {
        try
        {
            _stream = await qemu.Process.Network.ConnectUnixAsync(path, CancellationToken.None);
            if (Status == "cancelling") throw new IOException("cancelled");
            await SendAsync(_content.Begin(qemu.Options, SkipsRam));
            _totalPages = SkipsRam ? 0 : (int)(qemu.Options.MemoryBytes / GuestLoad.PageBytes);
            (_remaining, _syncedAt, _sliceFrom) = (_totalPages, Loop.Now, Loop.Now);
            CountPass();
            Say("active");
            await IterateAsync();
        }
        catch (IOException)
        {
            _error = SocketBroke;
            await EndAsync(Status == "cancelling" ? "cancelled" : "failed", wasRunning: qemu.IsRunning);
            return;
        }
        await CompleteAsync();
    }

    /// <summary>As migration_iteration_run: while what is left would take longer than the limit, send it.</summary>
    private async Task IterateAsync()
    {
        var next = 0;
        while (true)
        {
            ThrowIfCancelled();
            MeasureRate();
            var threshold = _rate * qemu.Parameters.DowntimeLimitMs / 1000;
            if (RemainingBytes < threshold)
            {
                Sync(qemu.IsRunning ? Loop.Now : _syncedAt);
                next = 0;
            }
            if (_remaining == 0 || RemainingBytes < threshold) return;
            var count = Math.Min(PagesPerChunk, _remaining);
            await SendPagesAsync(isEnd: false, next, count);
            next += count;
            await LimitRateAsync();
        }
    }

    /// <summary>Stop, the rest, device state. Nothing here is limited but by the socket.</summary>
    private async Task CompleteAsync()
    {
        var wasRunning = qemu.IsRunning;
        var globalState = qemu.RunState;
        _stoppedAt = Loop.Now;
        qemu.StopVcpus("finish-migrate");
        try
        {
            await StopDelayAsync();
            if (qemu.Capabilities.GetValueOrDefault("pause-before-switchover")) await WaitForContinueAsync();
            ThrowIfCancelled();
            Sync(wasRunning ? _stoppedAt : _syncedAt);
            var next = 0;
            while (_remaining > PagesPerChunk)
            {
                await SendPagesAsync(isEnd: false, next, PagesPerChunk);
                next += PagesPerChunk;
                ThrowIfCancelled();
            }
            await SendPagesAsync(isEnd: true, next, _remaining);
            var devices = _content.Devices(
                qemu.Ram.State, qemu.DeviceRuns, globalState, qemu.Options.DeviceIds, !qemu.Options.SuppressDescription);
            if (SkipsRam) qemu.Ledger.Devices.Add((qemu.Options.Name, XxHash64.HashToUInt64(devices.AsSpan(1..^1))));
            await SendAsync(devices, isLast: true);
            qemu.InactivateDisks();
            ThrowIfCancelled();
        }
        catch (IOException)
        {
            _error = SocketBroke;
            await EndAsync(Status == "cancelling" ? "cancelled" : "failed", wasRunning);
            return;
        }
        await EndAsync("completed", wasRunning);
    }

    /// <summary>
    /// The event comes first; the run state and the end of the socket follow a moment later, and who asks in between
    /// meets finish-migrate.
    /// </summary>
    private async Task EndAsync(string status, bool wasRunning)
    {
        _endedAt = Loop.Now;
        Say(status);
        await qemu.SleepAsync(TimeSpan.Zero, TimeSpan.FromMilliseconds(1));
        if (status == "completed") qemu.SetRunState("postmigrate");
        else if (qemu.RunState == "finish-migrate")
        {
            if (qemu.ActivateDisks() is { } refused) qemu.Log(refused); // 7.2 prints it and runs the guest all the same.
            if (wasRunning) qemu.StartVcpus();
            else qemu.SetRunState("postmigrate");
        }
        _stream?.Dispose();
        _stream = null;
    }

    private async Task WaitForContinueAsync()
    {
        _goOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Say("pre-switchover");
        await _goOn.Task;
        _goOn = null;
        ThrowIfCancelled();
        Say("device");
    }

    private async Task StopDelayAsync()
    {
        var delay = qemu.Random.NextTime(TimeSpan.FromMilliseconds(0.5), TimeSpan.FromMilliseconds(6));
        qemu.BusyFor(delay);
        await qemu.Host.Loop.SleepAsync(delay);
    }

    /// <summary>What was written since the last look, up to <paramref name="ranUntil"/>, is to be sent again.</summary>
    private void Sync(TimeSpan ranUntil)
    {
        var passed = ranUntil - _syncedAt;
        var dirtied = SkipsRam || passed <= TimeSpan.Zero ? 0 : qemu.Load.DirtiedIn(passed, qemu.State.Counter);
        if (passed > TimeSpan.Zero) _dirtyRate = (long)(dirtied / passed.TotalSeconds);
        _remaining = Math.Min(_totalPages, _remaining + dirtied);
        _syncedAt = Loop.Now;
        CountPass();
    }

    private void CountPass()
    {
        _syncs++;
        if (qemu.Capabilities.GetValueOrDefault("events"))
            qemu.SendEvent("MIGRATION_PASS", new JsonObject { ["pass"] = _syncs });
    }

    private async Task SendPagesAsync(bool isEnd, int first, int count)
    {
        bool IsZero(int page) => _syncs == 1 && page >= qemu.Load.UsedPages;
        var pages = Enumerable.Range(first, count).ToList();
        var bytes = _content.Pages(isEnd, pages.Where(p => p < _totalPages), IsZero, page => SimMemoryFile.TimesWritten(qemu, page));
        var zeroes = pages.Count(IsZero);
        (_zero, _normal) = (_zero + zeroes, _normal + count - zeroes);
        await SendAsync(bytes);
        _remaining -= count;
    }

    private async Task SendAsync(byte[] bytes, bool isLast = false)
    {
        _hash.Append(bytes);
        if (isLast) qemu.Ledger.Streams.Add((qemu.Options.Name, _hash.GetCurrentHashAsUInt64()));
        await _stream!.WriteAsync(bytes);
        _sent += bytes.Length;
        _sliceBytes += bytes.Length;
        await qemu.Host.Loop.SleepAsync(TimeSpan.FromSeconds(bytes.Length / MemoryBytesPerSecond));
    }

    private void MeasureRate()
    {
        var passed = Loop.Now - _sliceFrom;
        if (passed < Slice) return;
        _rate = _sliceBytes / passed.TotalSeconds;
        (_sliceBytes, _sliceFrom) = (0, Loop.Now);
    }

    private async Task LimitRateAsync()
    {
        var limit = qemu.Parameters.MaxBandwidthBytesPerSecond;
        if (limit == 0 || _sliceBytes < limit / 10) return;
        var rest = _sliceFrom + Slice - Loop.Now;
        if (rest > TimeSpan.Zero) await qemu.Host.Loop.SleepAsync(rest);
    }

    private void ThrowIfCancelled()
    {
        if (Status == "cancelling") throw new IOException("cancelled");
    }

    private void Say(string status)
    {
        Status = status;
        Loop.Trace(qemu.Host.Name, $"{qemu.Options.Name} pid {qemu.Process.Pid}: outgoing migration {status}");
        if (qemu.Capabilities.GetValueOrDefault("events"))
            qemu.SendEvent("MIGRATION", new JsonObject { ["status"] = status });
    }
}

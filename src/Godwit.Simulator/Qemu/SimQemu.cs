using System.Text;
using System.Text.Json.Nodes;
using Godwit.Core.Ports;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// A QEMU 7.2 process as Godwit meets it: monitor, run states, disks with locks, a guest that counts. What it does in
/// each trouble follows what the real one was measured to do: the failed source restarts its guest by itself, the
/// completed one never does, a target that cannot load exits.
/// </summary>
public sealed class SimQemu
{
    private readonly SimHost _host;
    private readonly List<SimMonitor> _monitors = [];
    private readonly List<SimImage> _images = [];
    private readonly string _logPath;
    private readonly SimConsole _console;
    private TimeSpan _ranSince, _busyUntil;
    private bool _locked, _hasRun;

    private SimQemu(SimProcess process, QemuOptions options, GuestLedger ledger, string logPath)
    {
        (Process, _host, Options, Ledger, _logPath) = (process, process.Host, options, ledger, logPath);
        Random = SimRandom.Fork(_host.Random.NextUInt64(), "qemu");
        Ram = options.IsProbe ? new SimRam() : _host.MapRam(options.MemoryPath);
        Load = ledger.LoadOf(options.Name);
        Ram.MappedBy.Add(this);
        _console = new SimConsole(this);
        Outgoing = new SimOutgoing(this);
        Incoming = new SimIncoming(this);
    }

    public SimProcess Process { get; }
    public SimHost Host => _host;
    public QemuOptions Options { get; }
    public GuestLoad Load { get; set; }
    /// <summary>QEMU's word: prelaunch, inmigrate, running, paused, finish-migrate, postmigrate, shutdown.</summary>
    public string RunState { get; private set; } = "prelaunch";
    public bool IsRunning => RunState == "running";
    /// <summary>Set by announce-self: the switches have heard of the guest here.</summary>
    public bool HasAnnounced { get; internal set; }

    /// <summary>Its outgoing stream is complete: it can no longer restart by itself.</summary>
    public bool HasSentAll => Outgoing.Status == "completed";

    internal GuestLedger Ledger { get; }
    internal bool IsCorrupt { get; set; }
    internal SimRam Ram { get; }
    /// <summary>Device state is each process's own: the run it belongs to. Memory may be shared with another process.</summary>
    internal long DeviceRuns { get; set; }
    internal SimRandom Random { get; }
    internal SimOutgoing Outgoing { get; }
    internal SimIncoming Incoming { get; }
    internal Dictionary<string, bool> Capabilities { get; } = [];
    internal MigrationParameters Parameters { get; } = new();
    /// <summary>-S clears it; <c>cont</c> during an incoming migration sets it, <c>stop</c> clears it.</summary>
    internal bool AutoStart { get; set; }

    /// <summary>Memory as it is now, also between two moments the ledger saw.</summary>
    public GuestState State => IsRunning
        ? Ram.State with { Counter = Ram.State.Counter + (long)(_host.Loop.Now - _ranSince).TotalMilliseconds }
        : Ram.State;

    internal static SimQemu Start(SimProcess process, Command command, GuestLedger ledger, string logPath)
    {
        var qemu = new SimQemu(process, QemuOptions.Parse(command), ledger, logPath);
        if (!qemu.Options.IsProbe)
        {
            process.OnExit = qemu.Gone;
            ledger.Add(qemu);
        }
        _ = process.Context.CallAsync(qemu.RunAsync);
        return qemu;
    }

    private async Task RunAsync()
    {
        await SleepAsync(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(120));
        var commands = new QemuCommands(this);
        if (Options.Incoming) RunState = "inmigrate";
        AutoStart = !Options.StartsStopped;
        if (!OpenDisks() || !OpenTaps()) return;
        foreach (var path in Options.SocketPaths) _ = _console.ServeAsync(await Process.Network.ListenUnixAsync(path, 0, default));
        if (Options.DisplayPath is { } display) _ = SimDisplay.ServeAsync(await Process.Network.ListenUnixAsync(display, 0, default));
        foreach (var path in Options.MonitorPaths)
        {
            var monitor = new SimMonitor(this, commands);
            _monitors.Add(monitor);
            _ = monitor.ServeAsync(await Process.Network.ListenUnixAsync(path, 0, default));
        }
        if (AutoStart && !Options.Incoming) StartVcpus();
    }

    /// <summary>As vm_start: nothing where it runs already.</summary>
    internal void StartVcpus()
    {
        if (IsRunning) return;
        if (Ram.State.IsBlank)
        {
            if (_images.Any(i => i.IsReverted)) Ledger.Record(this, GuestFactKind.Reverted, Ram.State with { Counter = LastWrite() });
            foreach (var image in _images) image.IsReverted = false;
            Ram.State = new GuestState(Ledger.NextLife(Options.Name), 0, LastWrite());
            _console.Boot();
        }
        else if (DeviceRuns != Ram.State.Runs) Ledger.Record(this, GuestFactKind.Torn, Ram.State);
        if (IsCorrupt) Ledger.Record(this, GuestFactKind.Corrupt, Ram.State);
        Ram.State = Ram.State with { Runs = Ram.State.Runs + 1 };
        DeviceRuns = Ram.State.Runs;
        (RunState, _ranSince, _hasRun) = ("running", _host.Loop.Now, true);
        Ledger.Record(this, GuestFactKind.Runs, Ram.State);
        SendEvent("RESUME", null);
        if (StorageFails) _ = FailStorageAsync();
    }

    /// <summary>As vm_stop: the event only where vCPUs ran; what the guest wrote is flushed.</summary>
    internal void StopVcpus(string state)
    {
        var ran = IsRunning;
        if (ran)
        {
            Ram.State = State;
            foreach (var image in _images) image.LastWrite = Math.Max(image.LastWrite, Ram.State.Counter);
        }
        RunState = state;
        if (!ran) return;
        Ledger.Record(this, GuestFactKind.Stops, Ram.State);
        SendEvent("STOP", null);
    }

    /// <summary>A fault: what the guest writes from now on fails, and QEMU stops it, again after each <c>cont</c>.</summary>
    public bool StorageFails { get; set; }

    /// <summary>The guest writes all the time: it does not get far.</summary>
    public async Task FailStorageAsync()
    {
        StorageFails = true;
        await SleepAsync(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(50));
        if (!StorageFails || !IsRunning) return;
        SendEvent("BLOCK_IO_ERROR", new JsonObject
        {
            ["device"] = "", ["node-name"] = "disk0", ["operation"] = "write", ["action"] = "stop", ["reason"] = "Input/output error",
        });
        StopVcpus("io-error");
    }

    internal void SetRunState(string state) => RunState = state;

    /// <summary>All or none, of what the guest has written by now.</summary>
    internal void MakeSnapshots(IReadOnlyList<(string Node, string Name)> wished)
    {
        var images = wished.Select(one => (Image: ImageOf(one.Node), one.Name)).ToList();
        if (images.FirstOrDefault(one => one.Image.Snapshots.ContainsKey(one.Name)) is { Image: not null } taken)
            throw new QemuErrorException($"Snapshot with name '{taken.Name}' already exists on device");
        foreach (var (image, name) in images)
        {
            if (IsRunning) image.LastWrite = Math.Max(image.LastWrite, State.Counter);
            image.Snapshots[name] = image.LastWrite;
        }
    }

    internal void DropSnapshot(string node, string name)
    {
        if (!ImageOf(node).Snapshots.Remove(name)) throw new QemuErrorException($"Snapshot with name '{name}' does not exist on device");
    }

    private SimImage ImageOf(string node) => Options.Disks.FirstOrDefault(d => d.Node == node + QemuInventory.FileNode) is { } disk
        && _images.FirstOrDefault(i => i.Path == disk.File) is { } image ? image
        : throw new QemuErrorException($"Cannot find device '{node}'");

    /// <summary>As bdrv_activate_all: null, or the reason why a disk cannot be had.</summary>
    internal string? ActivateDisks()
    {
        if (_locked) return null;
        foreach (var image in _images)
        {
            if (image.TryLock(this, _host.Storage.LocksWork) is not { } holder) continue;
            InactivateDisks();
            // A target that has loaded and never run holds the image and still shares it; a second writer may not share.
            return holder.Options.Incoming && !holder._hasRun ? "Failed to get shared \"write\" lock" : "Failed to get \"write\" lock";
        }
        _locked = true;
        return null;
    }

    internal void InactivateDisks()
    {
        foreach (var image in _images) image.Unlock(this);
        _locked = false;
    }

    /// <summary>The guest ends itself (poweroff inside). With -no-shutdown the process stays, in run state "shutdown".</summary>
    public void GuestPowersOff() => Shutdown("guest-shutdown", guest: true, Options.StaysAfterShutdown);

    /// <summary>
    /// A reboot inside: the same QEMU, the same life as far as the world counts lives. The firmware, woken up in memory it
    /// has used before, resets once more by itself.
    /// </summary>
    public void GuestResets()
    {
        var reset = new JsonObject { ["guest"] = true, ["reason"] = "guest-reset" };
        SendEvent("RESET", reset);
        SendEvent("RESET", reset);
        _console.Boot();
    }

    /// <summary>A fault: the incoming stream will not load, as with a device that only the source has.</summary>
    public void RefuseToLoad() => Incoming.RefusesToLoad = true;

    /// <summary>Presses the power button; a guest that listens ends within a second.</summary>
    internal async Task PowerButtonAsync()
    {
        SendEvent("POWERDOWN", null);
        await SleepAsync(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1));
        if (IsRunning) GuestPowersOff();
    }

    internal void Quit() => _ = QuitAsync();

    internal void SendEvent(string name, JsonObject? data)
    {
        foreach (var monitor in _monitors) monitor.SendEvent(name, data);
    }

    /// <summary>Ends with words in the log, as a QEMU that cannot go on.</summary>
    internal void Die(string words)
    {
        Log(words);
        Process.Exit(ProcessEnd.Exited);
    }

    internal void Log(string words) => _host.Disk.AppendAsProgram(_logPath, Encoding.UTF8.GetBytes($"qemu-system-x86_64: {words}\n"));

    internal Task SleepAsync(TimeSpan min, TimeSpan max) => _host.Loop.SleepAsync(Random.NextTime(min, max));

    /// <summary>Monitor replies wait while the main loop loads or stops a guest.</summary>
    internal void BusyFor(TimeSpan time) => _busyUntil = _host.Loop.Now + time;

    internal async Task MainLoopAsync()
    {
        await SleepAsync(TimeSpan.FromMicroseconds(30), TimeSpan.FromMicroseconds(400));
        while (_busyUntil > _host.Loop.Now) await _host.Loop.SleepAsync(_busyUntil - _host.Loop.Now);
        while (Ram.Arriving is { IsWaiting: true } && !Process.HasExited) await _host.Loop.SleepAsync(TimeSpan.FromMilliseconds(2));
    }

    private async Task QuitAsync()
    {
        await SleepAsync(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(10)); // The reply leaves first.
        Shutdown("host-qmp-quit", guest: false, stays: false);
    }

    private void Shutdown(string reason, bool guest, bool stays)
    {
        SendEvent("SHUTDOWN", new JsonObject { ["guest"] = guest, ["reason"] = reason });
        if (guest) Ledger.Record(this, GuestFactKind.PowersOff, State);
        if (stays) StopVcpus("shutdown");
        else Process.Exit(ProcessEnd.Exited);
    }

    private bool OpenDisks()
    {
        foreach (var disk in Options.Disks)
        {
            if (_host.Storage.Find(disk.File) is not { } image)
            {
                Die($"Could not open '{disk.File}': No such file or directory");
                return false;
            }
            if (!disk.ReadOnly) _images.Add(image);
        }
        if (Options.Incoming || ActivateDisks() is not { } refused) return true; // Incoming: opened inactive, no lock.
        Die(refused);
        return false;
    }

    private bool OpenTaps()
    {
        var missing = Options.Taps.FirstOrDefault(t => !_host.Devices.Taps.Contains(t));
        if (missing is null) return true;
        Die($"could not configure /dev/net/tun ({missing}): Operation not permitted");
        return false;
    }

    private long LastWrite() => _images.Count == 0 ? 0 : _images.Max(i => i.LastWrite);

    private void Gone(ProcessEnd end)
    {
        var last = State;
        if (IsRunning)
            foreach (var image in _images) image.LastWrite = Math.Max(image.LastWrite, last.Counter);
        InactivateDisks();
        Ledger.Record(this, GuestFactKind.Gone, last, end);
        RunState = "gone";
    }
}

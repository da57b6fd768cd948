using System.Globalization;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Network;
using Godwit.Simulator.Qemu;

namespace Godwit.Simulator.Machines;

/// <summary>One physical host: power, disk, process table, network devices. Its agent is one process among others.</summary>
public sealed class SimHost
{
    private const int PidMin = 300, PidMax = 700;

    private readonly Dictionary<int, SimProcess> _processes = [];
    private TimeSpan _bootedAt;
    private int _lastPid = PidMin, _lastPort = 40_000;

    public SimHost(SimLoop loop, SimNet net, string name, string address, SimStorage storage)
    {
        (Loop, Net, Name, Address, Storage) = (loop, net, name, address, storage);
        Clock = new SimClock(loop);
        Random = SimRandom.Fork(loop.Seed, $"host {name}");
        Disk = new SimDisk(this);
        Devices = new SimDevices(Disk);
        Watchdog = new SimWatchdog(this);
        net.Add(this);
        Disk.Show("/proc/cpuinfo", "processor\t: 0\nprocessor\t: 1\nmodel name\t: Simulated CPU\nflags\t\t: fpu sse4_2\n");
        Disk.Show("/proc/meminfo", "MemTotal:        8388608 kB\nMemAvailable:    6291456 kB\n");
        Disk.Show("/proc/sys/kernel/osrelease", "6.1.0-sim\n");
    }

    public SimLoop Loop { get; }
    public SimNet Net { get; }
    public string Name { get; }
    public string Address { get; }
    public SimStorage Storage { get; }
    public SimClock Clock { get; }
    public SimRandom Random { get; }
    public SimDisk Disk { get; }
    public SimDevices Devices { get; }
    public SimWatchdog Watchdog { get; }
    public bool IsUp { get; private set; } = true;
    public int Boots { get; private set; }
    internal Dictionary<string, SimRam> RamFiles { get; } = [];
    public IEnumerable<SimProcess> Processes => _processes.Values.Where(p => !p.HasExited);

    internal Dictionary<string, SimListener> UnixSockets { get; } = [];
    internal Dictionary<int, SimListener> PeerListeners { get; } = [];

    /// <summary>Pids come round soon here: whoever trusts a bare pid meets somebody else's process.</summary>
    public SimProcess Start(string program, IReadOnlyList<string>? commandLine = null)
    {
        do _lastPid = _lastPid + 1 < PidMax ? _lastPid + 1 : PidMin;
        while (_processes.TryGetValue(_lastPid, out var there) && !there.HasExited);
        var startTicks = (long)((Loop.Now - _bootedAt).TotalSeconds * 100) + 100;
        var process = new SimProcess(this, _lastPid, startTicks, program);
        _processes[_lastPid] = process;
        Disk.Show($"/proc/{process.Pid}/stat", string.Create(CultureInfo.InvariantCulture,
            $"{process.Pid} ({program}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {startTicks} 0 0"));
        Disk.Show($"/proc/{process.Pid}/cmdline", string.Join('\0', commandLine ?? [program]) + '\0');
        return process;
    }

    public SimProcess? Find(int pid, long startTicks) =>
        _processes.GetValueOrDefault(pid) is { } process && process.StartTicks == startTicks ? process : null;

    /// <summary>Everything here ends at once and says goodbye to nobody; the disk keeps what was synced.</summary>
    public void PowerOff()
    {
        if (!IsUp) return;
        Loop.Trace(Name, "power off");
        IsUp = false;
        foreach (var process in Processes.ToList()) process.Exit(ProcessEnd.PowerCut);
        Watchdog.LosePower();
        Disk.LosePower();
        Devices.Forget();
        UnixSockets.Clear();
        RamFiles.Clear();
        PeerListeners.Clear();
    }

    public void PowerOn()
    {
        if (IsUp) return;
        Loop.Trace(Name, "power on");
        (IsUp, Boots) = (true, Boots + 1);
        _bootedAt = Loop.Now;
    }

    /// <summary>Opens, or creates, the file behind a guest's memory.</summary>
    internal SimRam MapRam(string path)
    {
        if (RamFiles.TryGetValue(path, out var ram)) return ram;
        Disk.AppendAsProgram(path, []);
        return RamFiles[path] = new SimRam();
    }

    internal int NextPort() => ++_lastPort;
}

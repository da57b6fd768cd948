using System.Net.Sockets;
using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.LabTests.Machines;

/// <summary>One host's real adapters, with directories and a bridge of its own; removes all of it, QEMUs too.</summary>
internal sealed class LabHost : IAsyncDisposable
{
    public const int Uid = 20_001;
    private readonly string _home = Directory.CreateTempSubdirectory("gw").FullName;
    private UnixNetwork _network = new();
    private WatchingEnds? _watching;
    private readonly string _run = Directory.CreateDirectory($"/dev/shm/gw{Environment.ProcessId}").FullName;

    public RealProcesses Processes { get; } = new();
    public RealDisk Disk { get; } = new();
    public HostLayout Layout { get; }
    public string Bridge { get; } = $"gwb{Environment.ProcessId % 100_000}";
    public string Pool { get; }

    /// <param name="moreQemus">Beside the machine's own.</param>
    public LabHost(params string[] moreQemus)
    {
        Pool = Path.Combine(_home, "pool");
        Directory.CreateDirectory(Pool);
        File.SetUnixFileMode(_home, (UnixFileMode)0b111_001_001);
        Layout = new HostLayout
        {
            RunDirectory = _run, StateDirectory = Path.Combine(_home, "state"), QemuPaths = [RealQemuFactAttribute.Qemu, .. moreQemus],
            Pools = new Dictionary<string, PoolPlace> { ["main"] = new(Pool, DirectIo: false) },
        };
    }

    public async Task PrepareAsync()
    {
        await new HostPreparation(Processes, Disk, Layout).PrepareAsync(default);
        await ShellAsync($"ip link add {Bridge} type bridge && ip link set {Bridge} up");
    }

    /// <summary>
    /// A new agent on this host. The one before is dead: its connections break and it never gets another, which is
    /// all that the end of its process does to its QEMUs.
    /// </summary>
    public async Task<(HostMachines Machines, MachineLife Life, MachineAdoption Adoption)> AgentAsync()
    {
        KillAgent();
        (_network, _watching) = (new UnixNetwork(), new WatchingEnds(Processes));
        var machines = new HostMachines(
            Layout, Disk, _watching, _network, TimeProvider.System, NullLogger<HostMachines>.Instance);
        var adoption = new MachineAdoption(machines);
        await adoption.FindAllAsync(_ => Task.CompletedTask, default);
        await adoption.SettleAllAsync(default);
        return (machines, new MachineLife(machines), adoption);
    }

    public void KillAgent()
    {
        _network.Kill();
        _watching?.Kill();
    }

    public INetwork Network => _network;

    /// <summary>A VM with one blank disk (made here) and one NIC.</summary>
    public async Task<VmSpec> VmAsync(string id = "vm-0123456789ab")
    {
        var file = $"{id}-0.qcow2";
        await ShellAsync($"cd {Pool} && qemu-img create -q -f qcow2 {file} 64M && chown {Uid}:{Uid} {file} && chmod 600 {file}");
        return new VmSpec
        {
            Id = new VmId(id), Name = "lab1", Uuid = "6f1f6f5e-0b1c-4a39-9a52-0d2f1f1f2a01", Cpus = 1,
            MemoryBytes = 64L << 20, MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg,
            Disks = [new DiskSpec("main", file, "qcow2", 64L << 20)], Nics = [new NicSpec(Bridge, "52:54:00:0a:0b:0c")], Uid = Uid,
        };
    }

    public async Task<string> ShellAsync(string script)
    {
        var result = await Processes.RunAsync(new Command("sh", ["-ec", script]), TimeSpan.FromSeconds(60), default);
        return result.ExitCode == 0 ? result.Output : throw new IOException($"{script}: {result.Error}");
    }

    public async ValueTask DisposeAsync()
    {
        var records = new OwnerRecords(Disk, Layout);
        foreach (var vm in records.List())
        {
            if (await records.ReadAsync(vm, default) is not { } record) continue;
            foreach (var instance in record.Instances)
            {
                await Processes.KillAsync(instance.Process, TimeSpan.FromSeconds(10));
                foreach (var tap in instance.Taps) await ShellAsync($"ip link del {tap} 2>/dev/null || true");
            }
        }
        await ShellAsync($"ip link del {Bridge} 2>/dev/null || true");
        Directory.Delete(_home, recursive: true);
        Directory.Delete(_run, recursive: true);
    }

    /// <summary>The host's processes as one agent sees them: once it is killed, it learns of no end any more.</summary>
    private sealed class WatchingEnds(IProcesses real) : IProcesses
    {
        private readonly TaskCompletionSource _killed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Kill() => _killed.TrySetResult();

        public async Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel)
        {
            var exit = real.WaitForExitAsync(process, cancel);
            if (await Task.WhenAny(exit, _killed.Task) == exit) await exit;
            else await Task.Delay(Timeout.Infinite, cancel);
        }

        public Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel) =>
            real.RunAsync(command, timeout, cancel);
        public Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel) =>
            real.StartDetachedAsync(command, logPath, cancel);
        public bool IsAlive(ProcessHandle process) => real.IsAlive(process);
        public Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout) => real.KillAsync(process, timeout);
        public string? WhyNoShares => real.WhyNoShares;
        public void RemoveShare(string name) => real.RemoveShare(name);
    }

    private sealed class UnixNetwork : INetwork
    {
        private readonly Lock _lock = new();
        private readonly List<Stream> _open = [];
        private bool _dead;

        public void Kill()
        {
            lock (_lock)
            {
                _dead = true;
                foreach (var stream in _open) stream.Dispose();
            }
        }

        public async Task<Stream> ConnectUnixAsync(string path, CancellationToken cancel)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
                lock (_lock)
                {
                    if (_dead) throw new SocketException((int)SocketError.Shutdown);
                    _open.Add(new NetworkStream(socket, ownsSocket: true));
                    return _open[^1];
                }
            }
            catch (SocketException absent)
            {
                socket.Dispose();
                throw new IOException(absent.Message, absent);
            }
        }

        public Task<IListener> ListenUnixAsync(string path, int ownerUid, CancellationToken cancel) => throw new NotSupportedException();
        public Task<PeerConnection> ConnectPeerAsync(string endpoint, HostId peer, CancellationToken cancel) =>
            throw new NotSupportedException();
        public Task<IPeerListener> ListenPeersAsync(string endpoint, CancellationToken cancel) => throw new NotSupportedException();
    }
}

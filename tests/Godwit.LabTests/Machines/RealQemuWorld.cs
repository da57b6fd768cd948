using System.Diagnostics;
using System.Globalization;
using Godwit.Agent.Host;
using Godwit.Agent.Machines;
using Godwit.Conformance;
using Godwit.Core.Ports;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.LabTests.Machines;

/// <summary>Two directories that are two hosts to a QEMU, and a pool that both see. Removes itself.</summary>
internal sealed class RealQemuWorld : IQemuWorld, IDisposable
{
    private static int _count;
    private readonly string _run = $"/dev/shm/gw-talk-{Environment.ProcessId}-{Interlocked.Increment(ref _count)}";
    private readonly string _home = Directory.CreateTempSubdirectory("gw-talk-").FullName;
    private readonly Dictionary<string, HostPlace> _hosts = [];

    public TimeProvider Clock => TimeProvider.System;

    public HostPlace Host(string name)
    {
        if (_hosts.TryGetValue(name, out var host)) return host;
        var layout = new HostLayout
        {
            RunDirectory = Path.Combine(_run, name), StateDirectory = Path.Combine(_home, name),
            QemuPaths = [RealQemuFactAttribute.Qemu],
            Pools = new Dictionary<string, PoolPlace> { ["shared"] = new(Pool, DirectIo: false) },
        };
        Open(_run, layout.RunDirectory, VmHome.VmsIn(layout.RunDirectory), _home, Pool);
        return _hosts[name] = new HostPlace(
            new RealProcesses(),
            new RealNetwork(() => throw new NotSupportedException("no other hosts here"), NullLogger<RealNetwork>.Instance),
            new RealDisk(), layout);
    }

    public async Task MakeDiskAsync(string file, int ownerUid, byte[] bootSector)
    {
        var path = Path.Combine(Pool, file);
        if (File.Exists(path)) return;
        await File.WriteAllBytesAsync(path, [.. bootSector, .. new byte[TalkingGuest.Bytes - bootSector.Length]]);
        await RunAsync("chown", string.Create(CultureInfo.InvariantCulture, $"{ownerUid}"), path);
    }

    public void Stall(string host, ProcessHandle process) => Signal("-STOP", process);

    public void Continue(string host, ProcessHandle process) => Signal("-CONT", process);

    public void Dispose()
    {
        if (Directory.Exists(_run)) Directory.Delete(_run, recursive: true);
        Directory.Delete(_home, recursive: true);
    }

    private string Pool => Path.Combine(_home, "pool");

    /// <summary>QEMU's uid must come through to what is its own.</summary>
    private static void Open(params string[] directories)
    {
        foreach (var directory in directories)
            File.SetUnixFileMode(Directory.CreateDirectory(directory).FullName, (UnixFileMode)0b111_101_101);
    }

    private static void Signal(string signal, ProcessHandle process) =>
        RunAsync("kill", signal, process.Pid.ToString(CultureInfo.InvariantCulture)).GetAwaiter().GetResult();

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(program, arguments);
        await process.WaitForExitAsync();
        if (process.ExitCode != 0) throw new IOException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}");
    }
}

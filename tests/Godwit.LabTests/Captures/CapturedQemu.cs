using System.Diagnostics;
using System.Net.Sockets;
using Godwit.Qmp;

namespace Godwit.LabTests.Captures;

/// <summary>A real QEMU under TCG with 64 MiB and our own firmware, in its own directory; killed at the end.</summary>
internal sealed class CapturedQemu : IAsyncDisposable
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly Process process;

    private CapturedQemu(Process process, QmpClient qmp, string directory) =>
        (this.process, Qmp, Directory) = (process, qmp, directory);

    public QmpClient Qmp { get; }

    public string Directory { get; }

    public static async Task<CapturedQemu> StartAsync(string directory, string name, params string[] more)
    {
        var firmware = Path.Combine(directory, "firmware.bin");
        await File.WriteAllBytesAsync(firmware, PageDirtier.Firmware());
        var socket = Path.Combine(directory, $"{name}.qmp");
        string[] arguments =
        [
            "-machine", "pc-q35-7.2", "-accel", "tcg", "-cpu", "Nehalem-v1", "-m", "64M", "-bios", firmware,
            "-global", "apic-common.vapic=off", // Its option ROM would be somebody else's code in the capture.
            "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
            "-uuid", "6f0d2c1e-0000-4000-8000-000000000001",
            "-qmp", $"unix:{socket},server=on,wait=off", .. more,
        ];
        var process = Process.Start(new ProcessStartInfo("qemu-system-x86_64", arguments)
            { RedirectStandardError = true, RedirectStandardOutput = true })!;
        try
        {
            var qmp = await QmpClient.ConnectAsync(await ConnectAsync(socket, process), TimeProvider.System, default);
            // Without it QEMU says nothing when a migration's status changes.
            await qmp.MigrateSetCapabilitiesAsync(new Dictionary<string, bool> { ["events"] = true }, Deadline, default);
            return new CapturedQemu(process, qmp, directory);
        }
        catch
        {
            process.Kill();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Qmp.DisposeAsync();
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
    }

    private static async Task<Stream> ConnectAsync(string socket, Process process)
    {
        for (var waited = 0; waited < 600; waited++) // 30 s
        {
            if (process.HasExited)
                throw new InvalidOperationException($"QEMU ended: {await process.StandardError.ReadToEndAsync()}");
            var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket));
                return new NetworkStream(connection, ownsSocket: true);
            }
            catch (SocketException) // Not listening yet.
            {
                connection.Dispose();
                await Task.Delay(50);
            }
        }
        throw new TimeoutException($"QEMU does not listen on {socket}");
    }
}

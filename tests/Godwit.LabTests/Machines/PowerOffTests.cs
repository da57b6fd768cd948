using System.Net.Sockets;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Qmp;
using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>A guest of 512 bytes that waits and turns its machine off: what the host makes of it.</summary>
[Collection("real host")]
public sealed class PowerOffTests
{
    private static readonly Epoch First = new(1);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>
    /// A boot sector: BIOS wait of <paramref name="seconds"/>, then S5 into the ACPI control register where this
    /// machine's firmware puts it (0x604), then halt.
    /// </summary>
    private static byte[] BootSector(int seconds)
    {
        var micros = seconds * 1_000_000;
        byte[] code =
        [
            0xB4, 0x86, 0xB9, (byte)(micros >> 16), (byte)(micros >> 24), 0xBA, (byte)micros, (byte)(micros >> 8), 0xCD, 0x15,
            0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xF4, 0xEB, 0xFD,
        ];
        var sector = new byte[1 << 20];
        code.CopyTo(sector, 0);
        (sector[510], sector[511]) = (0x55, 0xAA);
        return sector;
    }

    private static async Task<VmSpec> GuestAsync(LabHost host, int seconds)
    {
        var spec = await host.VmAsync();
        await File.WriteAllBytesAsync(Path.Combine(host.Pool, "off.raw"), BootSector(seconds));
        await host.ShellAsync($"chown {LabHost.Uid}:{LabHost.Uid} {host.Pool}/off.raw");
        return spec with { Disks = [new DiskSpec("main", "off.raw", "raw", 1 << 20)], Nics = [] };
    }

    [RealQemuFact]
    public async Task A_guest_that_turns_itself_off_is_stopped_not_crashed_and_its_memory_is_free()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await GuestAsync(host, 0);
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        if (machines.Get(spec.Id).Current is { } instance) await instance.WaitForExitAsync(default).WaitAsync(Patience);
        using (await machines.Get(spec.Id).EnterAsync()) { } // Whoever ended it is done when the gate is free.

        Assert.Equal(VmState.Stopped, (await life.ListAsync(default)).Single().State);
        Assert.Empty(host.Disk.List(Path.Combine(host.Layout.RunDirectory, "vms")));
        Assert.Equal(VmState.Running, (await life.StartAsync(spec, First.Next(), default)).State);
    }

    [RealQemuFact]
    public async Task A_guest_that_turned_itself_off_while_the_agent_was_away_is_stopped_too()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await GuestAsync(host, 2);
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        var instance = machines.Get(spec.Id).Current!;
        host.KillAgent();

        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(instance.Home.SpareQmpSocket(instance.Incarnation)));
        await using var spare = await QmpClient.ConnectAsync(new NetworkStream(socket), TimeProvider.System, default);
        var off = new TaskCompletionSource();
        using var watch = spare.Subscribe(e =>
        {
            if (e.Name == QmpEvents.Shutdown) off.TrySetResult();
        });
        if ((await spare.QueryStatusAsync(Patience, default)).Status != QmpRunStatus.Shutdown) await off.Task.WaitAsync(Patience);
        Assert.True(instance.IsAlive);

        var (_, again, _) = await host.AgentAsync();
        Assert.Equal(VmState.Stopped, (await again.ListAsync(default)).Single().State);
        Assert.False(instance.IsAlive);
    }

    [RealQemuFact]
    public async Task A_power_button_nobody_hears_is_refused_with_a_way_out_and_force_still_works()
    {
        await using var host = new LabHost();
        await host.PrepareAsync();
        var spec = await GuestAsync(host, 2);
        var (machines, life, _) = await host.AgentAsync();
        await life.StartAsync(spec, First, default);
        await life.PauseAsync(spec.Id, First, default);
        var refused = await Assert.ThrowsAsync<RefusedException>(() => life.StopAsync(spec.Id, First, force: false, default));
        Assert.Equal("vm-not-running", refused.Reasons[0].Code);

        await life.UnpauseAsync(spec.Id, First, default);
        var stopping = life.StopAsync(spec.Id, First, force: false, default);
        await life.StopAsync(spec.Id, First, force: true, default);
        await stopping;
        Assert.Equal(VmState.Stopped, (await life.ListAsync(default)).Single().State);
        Assert.Null(machines.Get(spec.Id).Current);
    }
}

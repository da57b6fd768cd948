using System.Buffers;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Ports;
using Godwit.Qmp;
using Godwit.Wire;
using Microsoft.Extensions.Logging;

namespace Godwit.Agent.Saved;

/// <summary>
/// A guest that runs while part of its memory is still in its file (<see cref="OwnerRecord.MemoryFile"/>) or at the host it came from
/// (<see cref="OwnerRecord.MemoryFrom"/>), from its first instruction until all of it is here. If who gives the memory dies, the guest
/// waits at the next page it misses, and its QEMU's main loop may wait
/// with it, so that no monitor answers. Whoever comes next therefore needs no QEMU to go on: it writes what is missing into the file of
/// the guest's memory itself, wakes who waits, and only then tells QEMU that all is there.
/// </summary>
internal sealed partial class ArrivingMemory(MoveTools tools, IDisk disk, IProcesses processes, ILogger log)
{
    public const string Block = "ram0";

    /// <summary>
    /// What a dead agent had sent lies in QEMU's socket and is placed by QEMU, page by page. A page placed twice would end it.
    /// </summary>
    private static readonly TimeSpan OldBytesMax = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan HealPause = TimeSpan.FromSeconds(10), EndMax = TimeSpan.FromMinutes(1);
    /// <summary>Three days, as long as a source gives.</summary>
    private const int HealTriesMax = 26_000, ReadTriesMax = 600;
    private static readonly TimeSpan ReadPause = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Runs until all memory is here, or the QEMU is gone. Never faults. The connection is closed before anything else is tried.
    /// </summary>
    public async Task FollowAsync(Machine vm, QemuInstance qemu, LazyArrival arrival)
    {
        var begun = tools.Time.GetTimestamp();
        var from = vm.Record.MemoryFrom;
        var memory = arrival.Memory;
        try
        {
            await arrival.Serving;
            await arrival.ToQemu.DisposeAsync();
            var had = from is not null && tools.Remote.TryFind(new MoveId(from), out var there) ? there.AlikeBytes : 0;
            await ArrivedAsync(vm);
            Arrived(log, vm.Id.Value, vm.Spec.Name, tools.Time.GetElapsedTime(begun).TotalSeconds, memory.Requests, had >> 20);
        }
        catch (RefusedException damaged)
        {
            await arrival.ToQemu.DisposeAsync();
            await GiveUpAsync(vm, from, damaged);
        }
        catch (Exception broken) // Nobody awaits this, and the guest waits for its memory.
        {
            await arrival.ToQemu.DisposeAsync();
            if (!qemu.IsAlive) // Who watches it settles what is left.
            {
                await ForgetAsync(from);
                return;
            }
            Broke(log, vm.Id.Value, vm.Spec.Name, broken.Message);
            await HealAsync(vm);
        }
    }

    /// <summary>
    /// The guest is about to run: its file is not to be found by an order any more. A name that cannot be changed stays, and the file is
    /// used all the same.
    /// </summary>
    public async Task TakeFileAsync(Machine vm, string name)
    {
        var (before, inUse) = MemoryFile.Paths(tools.Machines.Layout, vm.Spec, name);
        try { await disk.PublishAsync(before, inUse, 0, UnixFileMode.UserRead | UnixFileMode.UserWrite, CancellationToken.None); }
        catch (Exception stays) when (stays is IOException or UnauthorizedAccessException)
        {
            NameStayed(log, vm.Id.Value, name, stays.Message);
        }
    }

    /// <summary>
    /// Before any source is heard: links by which memory still comes to a guest of a former agent are expected, and all others are told
    /// that nothing is. Where a record cannot be read, nobody is told so.
    /// </summary>
    /// <param name="all">All records of VMs could be read.</param>
    public async Task ExpectAsync(bool all)
    {
        foreach (var vm in tools.Machines.All.Where(m => m.Record.MemoryFrom is not null))
        {
            try { _ = await RemoteAsync(vm); }
            catch (Exception unread) when (unread is IOException or RefusedException) { all = false; }
        }
        tools.Tickets.KnowsMemory = all;
    }

    /// <summary>Memory that nobody gives: a former agent did, or its connection broke. Never faults.</summary>
    public async Task HealAsync(Machine vm)
    {
        var from = vm.Record.MemoryFrom;
        await Task.Delay(OldBytesMax, tools.Time);
        for (var attempt = 0; attempt < HealTriesMax; attempt++)
        {
            try
            {
                if (vm.Record.MemoryElsewhere is null || Waiting(vm) is not { } here)
                {
                    await ForgetAsync(from);
                    return;
                }
                await FillAsync(vm, here, zerosToo: attempt > 0, mayFill: processes.MayWaitForMemory(here.Process));
                if (await RamSectionAsync(vm) is { } section && await TellAsync(vm, here, section))
                {
                    await ArrivedAsync(vm);
                    Healed(log, vm.Id.Value, vm.Spec.Name);
                    return;
                }
            }
            catch (RefusedException damaged)
            {
                await GiveUpAsync(vm, from, damaged);
                return;
            }
            catch (Exception failed) when (failed is IOException or QmpException or TimeoutException)
            {
                HealFailed(log, vm.Id.Value, vm.Spec.Name, failed.Message);
            }
            await Task.Delay(HealPause, tools.Time);
        }
    }

    /// <summary>
    /// What the file holds is written where the guest's memory has holes; who waits is woken after each mebibyte.
    /// </summary>
    /// <param name="zerosToo">
    /// Mebibytes of zeros take no memory until the guest asks for them. But the main loop may be waiting in one, and then no monitor
    /// answers.
    /// </param>
    /// <param name="mayFill">
    /// False of a QEMU that has let go of its memory: all had arrived, its guest takes what holes there are by itself, and a page
    /// written beside it could come over one that it has just written.
    /// </param>
    private async Task FillAsync(Machine vm, InstanceRecord here, bool zerosToo, bool mayFill)
    {
        if (!mayFill) return;
        if (vm.Record.MemoryFile is not { } name) await FillFromAsync(vm, here, await RemoteAsync(vm), zerosToo);
        else
        {
            await using var file = await OpenAsync(vm, name);
            await FillFromAsync(vm, here, await ReadAsync(file, name), zerosToo);
        }
    }

    private async Task FillFromAsync(Machine vm, InstanceRecord here, IGuestMemory from, bool zerosToo)
    {
        var path = vm.Home.Ram(here.RamOf);
        using var memory = disk.OpenMemory(path, toFill: true);
        var content = new byte[from.BlockBytes];
        for (var block = 0; block < from.CountOf(); block++)
        {
            var bytes = from.BytesOf(block);
            if (from.IsZero(block) && !zerosToo) continue;
            if (from.IsZero(block)) content.AsSpan(0, bytes).Clear();
            else await ReadStubbornlyAsync(from, block, content, here);
            if (!zerosToo && !content.AsSpan(0, bytes).ContainsAnyExcept((byte)0)) continue;
            if (memory.FillHoles((long)block * from.BlockBytes, content.AsSpan(0, bytes)) > 0)
                processes.WakeWaitersFor(here.Process, path);
        }
        processes.WakeWaitersFor(here.Process, path); // A page that another attempt filled, and died before it said so.
    }

    /// <summary>What was filled in once is not fetched again because one block could not be had for a while.</summary>
    private async Task ReadStubbornlyAsync(IGuestMemory from, int block, byte[] content, InstanceRecord here)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await from.ReadBlockAsync(block, content, isWaitedFor: false, CancellationToken.None);
                return;
            }
            catch (IOException) when (attempt < ReadTriesMax && processes.IsAlive(here.Process)) { }
            await Task.Delay(ReadPause, tools.Time);
        }
    }

    /// <summary>Of a move that had not come to its end: the one that is to take over.</summary>
    private InstanceRecord? Waiting(Machine vm) =>
        (vm.Record.CurrentInstance ?? (vm.Record.Instances is [.., var newest] ? newest : null)) is { } here
        && processes.IsAlive(here.Process) ? here : null;

    private Task<Stream> OpenAsync(Machine vm, string name)
    {
        var (before, inUse) = MemoryFile.Paths(tools.Machines.Layout, vm.Spec, name);
        return disk.OpenLargeAsync(disk.SizeOf(inUse) is null ? before : inUse, CancellationToken.None);
    }

    private static async Task<SavedGuest> ReadAsync(Stream file, string name) =>
        await SavedGuest.OpenAsync(file, name, CancellationToken.None) ?? throw SavedStateFile.Broken(name, "it has another format");

    private async Task<RemoteMemory> RemoteAsync(Machine vm)
    {
        var move = new MoveId(vm.Record.MemoryFrom!);
        if (tools.Remote.TryFind(move, out var there)) return there;
        if (await tools.Journal.ReadAsync(move) is not { Ticket: { } ticket } record)
            throw new RefusedException("memory-lost", $"nobody knows where the memory of move {move} is", "start the VM again");
        return tools.Remote.Expect(move, new HostId(record.Peer), ticket, vm.Spec.MemoryBytes);
    }

    /// <summary>Null of a move whose devices had not come: its QEMU never ran, and is ended by who judges it.</summary>
    private async Task<uint?> RamSectionAsync(Machine vm)
    {
        if (vm.Record.MemoryFrom is { } move) return (await tools.Journal.ReadAsync(new MoveId(move)))?.RamSection;
        if (vm.Record.MemoryFile is not { } name) return null;
        await using var file = await OpenAsync(vm, name);
        return (await ReadAsync(file, name)).State.RamSection;
    }

    private async Task ForgetAsync(string? move)
    {
        if (move is not null) await tools.Remote.ForgetAsync(new MoveId(move));
    }

    /// <summary>False where its monitor does not answer yet.</summary>
    private async Task<bool> TellAsync(Machine vm, InstanceRecord here, uint ramSection)
    {
        if (await MachineAdoption.ReconnectAsync(tools.Machines, vm, here) is not { } qemu) return false;
        var status = (await qemu.Qmp.QueryMigrateAsync(QmpMoves.Deadline, CancellationToken.None)).Status;
        if (status == QmpMigrationStatus.Completed) return true;
        if (status != QmpMigrationStatus.PostcopyPaused) return false;
        using var signals = new QemuSignals(qemu.Qmp);
        var socket = vm.Home.RecoverSocket(here.Incarnation);
        disk.DeleteFile(socket); // Of an attempt before.
        await qemu.Qmp.MigrateRecoverAsync("unix:" + socket, QmpMoves.Deadline, CancellationToken.None);
        await using var connection = await tools.Network.ConnectUnixAsync(socket, CancellationToken.None);
        await SayAllIsThereAsync(connection, ramSection).Joinable().WaitAsync(EndMax, tools.Time);
        var ended = await signals.MigrationEnded.Joinable().WaitAsync(EndMax, tools.Time, CancellationToken.None);
        return ended == QmpMigrationStatus.Completed;
    }

    /// <summary>The hand-shake of a source that comes back, and nothing but the end behind it.</summary>
    private static async Task SayAllIsThereAsync(Stream qemu, uint ramSection)
    {
        var (bytes, hears, part) = (new ArrayBufferWriter<byte>(), new ReturnPathReader(), new byte[4096]);
        DetachedStateWriter.WriteResume(bytes);
        await qemu.WriteAsync(bytes.WrittenMemory);
        for (var said = false; !said;) // What it asks for meanwhile is there already.
        {
            var read = await qemu.ReadAsync(part);
            if (read == 0 || hears.Fault.Length > 0) throw new IOException("QEMU does not take its source back");
            said = hears.Feed(part.AsSpan(0, read)).Any(word => word.Kind == ReturnPathKind.ResumeAck);
        }
        bytes.ResetWrittenCount();
        DetachedStateWriter.WriteEndOfMemory(bytes, ramSection);
        await qemu.WriteAsync(bytes.WrittenMemory);
        while (await qemu.ReadAsync(part) > 0) { } // Until it has let go.
    }

    /// <summary>From now on the VM is as any other; its file is the past, and goes.</summary>
    private async Task ArrivedAsync(Machine vm)
    {
        var from = vm.Record.MemoryFrom;
        await tools.StubbornlyAsync(() => tools.Machines.ChangeAsync(vm,
            r => r with { MemoryFile = null, MemoryFrom = null, Note = null }));
        await ForgetAsync(from);
    }

    private async Task GiveUpAsync(Machine vm, string? from, RefusedException damaged)
    {
        Lost(log, vm.Id.Value, vm.Spec.Name, damaged.Message);
        await ForgetAsync(from);
        await tools.StubbornlyAsync(async () =>
        {
            using (await vm.EnterAsync())
                if (!vm.Record.IsOwner) // A move that nobody has judged yet: it finds the QEMU gone.
                {
                    if (Waiting(vm) is { } here) await QemuInstance.KillAsync(processes, vm.Home, here);
                }
                else if (vm.Record.MemoryElsewhere is not null)
                    await tools.Machines.EndAsCrashedAsync(vm, vm.Current, $"the rest of its memory could not be read: {damaged.Message}");
        });
    }

    [LoggerMessage(LogLevel.Information, "{Vm} ({Name}): all of its memory is here after {Seconds:0.0} s; it waited for {Requests} pages, "
        + "and {Had} MiB had come before it moved")]
    private static partial void Arrived(ILogger log, string vm, string name, double seconds, long requests, long had);
    [LoggerMessage(LogLevel.Information, "{Vm} ({Name}): the rest of its memory was filled in")]
    private static partial void Healed(ILogger log, string vm, string name);
    [LoggerMessage(LogLevel.Warning, "{Vm}: its saved state {File} keeps its name: {Why}")]
    private static partial void NameStayed(ILogger log, string vm, string file, string why);
    [LoggerMessage(LogLevel.Warning, "{Vm} ({Name}): its memory stopped arriving ({Why}); it is filled in")]
    private static partial void Broke(ILogger log, string vm, string name, string why);
    [LoggerMessage(LogLevel.Warning, "{Vm} ({Name}): the rest of its memory cannot be filled in yet: {Why}")]
    private static partial void HealFailed(ILogger log, string vm, string name, string why);
    [LoggerMessage(LogLevel.Error, "{Vm} ({Name}): ended, the rest of its memory is not to be had: {Why}")]
    private static partial void Lost(ILogger log, string vm, string name, string why);
}

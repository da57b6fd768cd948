using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Cli.Moves;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Godwit.Server.Api;

namespace Godwit.Cli.Demo;

/// <summary>
/// `godwit demo`: two lab hosts, one real guest that beats every millisecond, three moves through the same API as
/// anyone's, a receipt of each from both sides, and nothing left behind.
/// </summary>
internal sealed class DemoRun(Session caller)
{
    private const string VmName = "web1";
    private const long MemoryBytes = 512L << 20;
    private const int WorkingSetMiB = 64, DirtyMiBPerSecond = 10;
    private static readonly LabPlan plan = LabPlan.Of("demo", hostCount: 2);

    private readonly Session session = caller.At(new ServerAddress(plan.ServerSocket, IsChosen: true));
    private readonly Steps steps = new(caller.Screen, caller.Time);
    private readonly List<DemoMove> moves = [];

    private Screen Screen => session.Screen;

    public async Task<int> RunAsync(CancellationToken cancel)
    {
        Screen.Line("Two hosts made of network namespaces, 1 Gbit/s between them, and one Linux guest under QEMU.");
        Screen.Line("The guest beats 1,000 times a second on its network; a prober there listens while it is moved.");
        Screen.Line("");
        LabCluster? lab = null;
        try
        {
            lab = await steps.RunAsync("Looking for what a former demo left",
                next => LabCluster.StartAsync(plan, new LabOptions { Tell = next }, cancel));
            var guest = await BootAsync(lab, cancel);
            await MoveAsync(guest, "live: the guest runs while its memory crosses", $"vm migrate {VmName} --to host2",
                () => session.Api.MigrateAsync(VmName, new MigrateRequest("host2"), cancel), cancel);
            await MoveAsync(guest, "quick: paused meanwhile, each page crosses once",
                $"vm migrate {VmName} --to host1 --mode quick",
                () => session.Api.MigrateAsync(VmName, new MigrateRequest("host1", MoveMode.Quick), cancel), cancel);
            await MoveAsync(guest, "refresh: a new QEMU process on the same host; the memory stays where it is",
                $"vm refresh {VmName}", () => session.Api.RefreshAsync(VmName, new RefreshRequest(), cancel), cancel);
            return await CompareAsync(guest, cancel);
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            Screen.Note("Interrupted.");
            throw;
        }
        catch (Exception)
        {
            if (DemoLogs.Keep(plan) is { } kept) Screen.Note($"The demo failed. The logs of its processes are kept in {kept}.");
            throw;
        }
        finally
        {
            Screen.Line("");
            await steps.RunAsync("Removing the guest, the hosts, their networks and files",
                () => lab is null ? LabCluster.RemoveAsync(plan) : lab.StopAsync());
            session.Dispose();
        }
    }

    private async Task<DemoGuest> BootAsync(LabCluster lab, CancellationToken cancel) =>
        await steps.RunAsync($"Booting {VmName} on host1 from the template ({Amounts.Bytes(MemoryBytes)}, 1 processor)", async next =>
        {
            var vm = await session.Api.CreateVmAsync(new CreateVmRequest(VmName)
            {
                Template = LabCluster.TemplateName, MemoryBytes = MemoryBytes, Host = "host1", Start = true,
            }, cancel);
            var address = LabCluster.AddressOf(vm);
            var status = await lab.Guests.WaitUntilUpAsync(address, cancel: cancel);
            next($"Giving it work: {WorkingSetMiB} MiB in use, {DirtyMiBPerSecond} MiB/s of it written anew, 100 disk writes a second");
            await lab.Guests.LoadAsync(address, WorkingSetMiB, DirtyMiBPerSecond, cancel);
            return new DemoGuest(lab, vm, address, status.BootId);
        });

    private async Task MoveAsync(
        DemoGuest guest, string title, string command, Func<Task<Migration>> begin, CancellationToken cancel)
    {
        Screen.Line("");
        Screen.Line($"{moves.Count + 1}. {title}", Tone.Strong);
        Screen.Line($"$ godwit {command}", Tone.Dim);
        var mark = $"move{moves.Count + 1}";
        await guest.Lab.Prober.MarkAsync(mark);
        await using var pulse = DemoPulse.Start(guest, mark, session.Time);

        var move = (await new MoveFollower(session, () => pulse.Text).FollowAsync([await begin()], cancel))[0];
        if (move.End != MoveEnd.Done)
            throw new ApiException(new ApiError("demo-failed", $"the {Words.Of(move.Mode)} move ended {MoveText.Ending(move)}")
            { Vm = VmName, Reasons = move.Refusals, Next = "look into the logs that were kept" });
        var done = new DemoMove(move, await guest.SeenSinceAsync(mark, session.Time, cancel));
        moves.Add(done);
        if (Screen.IsJson) Screen.DocumentLine(done);
        else MoveReport.Receipt(Screen, move, done.Seen);
    }

    /// <summary>The moves side by side, and the proof that cannot be had while the guest runs: its disk.</summary>
    private async Task<int> CompareAsync(DemoGuest guest, CancellationToken cancel)
    {
        Screen.Line("");
        var proof = await steps.RunAsync($"Stopping {VmName} and reading its disk", _ => guest.ProveDiskAsync(session.Api, cancel));
        Screen.Line("");
        if (!Screen.IsJson) Screen.Show(DemoSheet.Of(moves));
        Screen.Line(proof.Sentence, proof.Holds ? Tone.Good : Tone.Bad);
        return proof.Holds && moves.All(done => done.Seen.GuestNoticedNothing) ? ExitCode.All : ExitCode.Failed;
    }
}

using Godwit.Cli.Api;
using Godwit.Cli.Lab;
using Godwit.Cli.Screens;
using Godwit.Server.Api;

namespace Godwit.Cli.Demo;

/// <summary>The demo's guest as the prober and the guest's own record know it.</summary>
internal sealed record DemoGuest(LabCluster Lab, VmView Vm, string Address, string BootId)
{
    /// <summary>Beats that were under way when a move ended must be heard before they may be called lost.</summary>
    private static readonly TimeSpan settling = TimeSpan.FromMilliseconds(300);

    public async Task<SeenFromOutside> SeenSinceAsync(string mark, TimeProvider time, CancellationToken cancel)
    {
        await Task.Delay(settling, time, cancel);
        var tally = (await Lab.Prober.ReportAsync(mark)).Of(Address);
        await Lab.Prober.ForgetAsync(mark);
        return new SeenFromOutside(tally.GapMs, tally.Lost,
            SameBootId: tally.Boots == 1 && tally.BootIds[0] == BootId,
            CounterWentOn: tally is { Past: 0, Duplicates: 0 } && tally.CounterLast > tally.CounterFirst)
        {
            MemoryErrors = tally.MemoryErrors, WriteErrors = tally.WriteErrors,
        };
    }

    /// <summary>Every write the guest was told is safe must be on the disk, whichever host wrote it.</summary>
    public async Task<DiskProof> ProveDiskAsync(GodwitApi api, CancellationToken cancel)
    {
        var last = await Lab.Guests.PingAsync(Address, cancel);
        await api.ActAsync(Vm.Spec.Name, "stop", new StopVmRequest(Force: true), cancel);
        var ring = await GuestDisk.ReadAsync(Lab.DiskOf(Vm), cancel);
        return new DiskProof(last.BootId == BootId, last.Counter, last.Acked, ring.MissingUpTo(last.BootId, last.Acked).Count);
    }
}

/// <param name="OneBoot">The guest still runs the boot it began with.</param>
/// <param name="Beats">Of the last boot, as are the writes.</param>
internal sealed record DiskProof(bool OneBoot, long Beats, long WritesAcknowledged, int WritesMissing)
{
    public bool Holds => OneBoot && WritesMissing == 0;

    public string Sentence => !OneBoot ? "THE GUEST STARTED ANEW while it was moved: it did not survive." : Holds
        ? $"One boot from beginning to end: {Amounts.Count(Beats)} beats, "
            + $"and every one of {Amounts.Count(WritesAcknowledged)} acknowledged disk writes is on the disk."
        : $"{Words.Counted(WritesMissing, "acknowledged disk write")} of {Amounts.Count(WritesAcknowledged)} LOST.";
}

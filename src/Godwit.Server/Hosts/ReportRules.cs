using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Server.Store;

namespace Godwit.Server.Hosts;

/// <summary>What a host's report changes in the record. Hosts win over the record, newer epochs over older. Pure.</summary>
public static class ReportRules
{
    /// <param name="known">The record as it was before the host was asked.</param>
    /// <param name="report">Null: the host owns the VM by the record and does not know it.</param>
    public static Verdict Judge(Vm known, HostId host, VmReport? report)
    {
        if (report is null) return Missing(known, host);
        if (host == known.Owner && report.Epoch < known.Epoch && report is { IsOwner: true, State: VmState.Running or VmState.Paused })
            return new Verdict.Behind();
        if (report.Epoch < known.Epoch && report is { IsOwner: true, State: VmState.Running or VmState.Paused })
            return new Verdict.Alarm(new Happening("vm-stale-copy",
                $"{host} runs {known.Spec.Name} with epoch {report.Epoch}, but {known.Owner} owns it with {known.Epoch}: "
                + "nothing was stopped; look at both hosts", known.Spec.Name, host.Value));
        if (!report.IsOwner || report.Epoch < known.Epoch) return new Verdict.Agrees();
        if (report.Epoch == known.Epoch && host != known.Owner)
            return new Verdict.Alarm(new Happening("vm-two-owners",
                $"{host} and {known.Owner} both hold epoch {known.Epoch} of {known.Spec.Name}: look at both hosts",
                known.Spec.Name, host.Value));

        // An owner that has not saved it, or not under this epoch, has had it back: the file was used up, or is the past.
        var state = report.State;
        var lacksFile = state == VmState.Saved && known.SavedFile is null && SavedFile(report) is not null;
        if (host == known.Owner && state == known.State && report.Epoch == known.Epoch && !lacksFile) return new Verdict.Agrees();

        var now = known with
        {
            Owner = host,
            Epoch = report.Epoch,
            State = state,
            SavedFile = state == VmState.Saved ? known.SavedFile ?? SavedFile(report) : null,
        };
        if (report.StorageFailed)
            return new Verdict.Changed(now, new Happening("vm-storage-failed",
                $"{known.Spec.Name} was stopped by QEMU on {host}: its storage failed or is full; nothing of it is lost; "
                + $"repair the storage or make room, then 'godwit vm resume {known.Spec.Name}'", known.Spec.Name, host.Value));
        return new Verdict.Changed(now, new Happening("vm-state",
            host == known.Owner
                ? $"{known.Spec.Name} is {Fields.Word(state)} (was {Fields.Word(known.State)})"
                : $"{known.Spec.Name} is {Fields.Word(state)} on {host} (the record said {known.Owner})",
            known.Spec.Name, host.Value));
    }

    /// <summary>An agent notes the file of a saved VM; its name begins with the VM's id.</summary>
    private static string? SavedFile(VmReport report) =>
        report is { State: VmState.Saved, Note: { } note } && note.StartsWith($"{report.Spec.Id}-", StringComparison.Ordinal) ? note : null;

    /// <summary>Only a VM that had memory there is news: a stopped one need not be known to its host.</summary>
    private static Verdict Missing(Vm known, HostId host) =>
        known.Owner != host || known.State is not (VmState.Running or VmState.Paused) ? new Verdict.Agrees()
        : new Verdict.Changed(known with { State = VmState.Crashed }, new Happening("vm-crashed",
            $"{known.Spec.Name} is gone from {host}: its disk is as a power cut leaves it; "
            + $"start it with 'godwit vm start {known.Spec.Name}'",
            known.Spec.Name, host.Value));
}

public abstract record Verdict
{
    private Verdict() { }

    public sealed record Agrees : Verdict;
    /// <summary>The owner runs it under an epoch before the record's: an order used one up and never came. It is to be told.</summary>
    public sealed record Behind : Verdict;
    public sealed record Changed(Vm Now, Happening Happening) : Verdict;
    /// <summary>For a person: nothing is changed, least of all a running guest.</summary>
    public sealed record Alarm(Happening Happening) : Verdict;
}

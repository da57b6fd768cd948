using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Power;
using Godwit.Server.Draining;

namespace Godwit.Server.Store;

/// <summary>
/// Hosts on their way to standby and back, and what people wish about it. A host is closed here and nowhere else, and only in a
/// transaction that finds nothing on it and nothing on its way to it.
/// </summary>
public sealed class PowerStore(Database database, TimeProvider time)
{
    public Task<PowerSettings> SettingsAsync() => database.RunAsync(Settings);

    public Task<PowerSettings> ChangeAsync(Func<PowerSettings, PowerSettings> change) => database.RunAsync(work =>
    {
        var (before, after) = (Settings(work), change(Settings(work)));
        work.Execute("INSERT INTO power (id, doc) VALUES (1, @doc) ON CONFLICT (id) DO UPDATE SET doc = @doc",
            ("@doc", Fields.Doc(after)));
        if (before.Mode != after.Mode)
            EventStore.Append(work, new Happening("power-mode", $"turning hosts off and on: its mode is {Fields.Word(after.Mode)}"),
                time.GetUtcNow());
        return after;
    });

    /// <summary>As changed; null where there is no such host, or it is in none of these phases any more.</summary>
    /// <param name="in">Empty: whatever its phase.</param>
    public Task<HostPower?> ChangeHostAsync(
        HostId id, IReadOnlyCollection<PowerPhase> @in, Func<HostPower, HostPower> change, Func<HostPower, Happening?>? tell = null) =>
        database.RunAsync(work =>
        {
            if (HostStore.Find(work, id) is not { } host || (@in.Count > 0 && !@in.Contains(host.Power.Phase))) return null;
            var after = change(host.Power);
            HostStore.SavePower(work, id, after);
            if (tell?.Invoke(after) is { } happening) EventStore.Append(work, happening, time.GetUtcNow());
            return after;
        });

    /// <summary>
    /// From now on nothing is begun on the host, and its silence is no news: it is proved, in this transaction, to hold no VM and to
    /// be no side of anything that goes on. Null, or why it is not closed.
    /// </summary>
    public Task<Refusal?> CloseAsync(HostId id) => database.RunAsync(work =>
    {
        if (HostStore.Find(work, id) is not { Power.Phase: PowerPhase.Emptying } host)
            return new Refusal("not-emptying", $"{id} is not on its way to standby", $"'godwit host standby {id}'");
        if (WhyInUse(work, host) is { } why)
            return new Refusal("host-in-use", $"{id} is not turned off: {why}", $"see 'godwit host show {id}', then try again");
        var now = time.GetUtcNow();
        HostStore.SavePower(work, id, host.Power.Enter(PowerPhase.GoingOff, now, host.Power.By ?? "", host.Power.Because ?? "") with
        {
            IsScanned = false,
        });
        EventStore.Append(work, new Happening("host-going-off", $"{id} holds no VM and is turned off", Host: id.Value), now);
        return null;
    });

    /// <summary>Up again, or never went down: it takes VMs as before.</summary>
    /// <param name="problem">Null: all went as it should.</param>
    public Task<bool> OpenAsync(HostId id, IReadOnlyCollection<PowerPhase> @in, string? problem, Happening happening) =>
        database.RunAsync(work =>
        {
            if (HostStore.Find(work, id) is not { } host || !@in.Contains(host.Power.Phase)) return false;
            var now = time.GetUtcNow();
            var wasCordoned = host.Power.WasCordoned;
            HostStore.SavePower(work, id, host.Power.Woken(now) with { Problem = problem, ProblemAt = problem is null ? null : now });
            if (!wasCordoned) HostStore.SetCordoned(work, id, false);
            // It was no witness while it was off: whoever was proved meanwhile may share a pool with it.
            if (host.Power.IsClosed) work.Execute("UPDATE hosts SET pools_unproved = 1");
            EventStore.Append(work, happening, now);
            return true;
        });

    /// <summary>Null, or that nothing may be begun there: it is off, or on its way there or back.</summary>
    internal static Refusal? WhyClosed(Work work, HostId id) =>
        HostStore.Find(work, id) is { Power.IsClosed: true } ? Closed(id) : null;

    internal static Refusal Closed(HostId id) => new("host-standby", $"{id} is on standby: it is off, to save power",
        $"wake it, and wait until it is there: 'godwit host wake {id}'");

    private static string? WhyInUse(Work work, Host host)
    {
        var id = host.Id;
        if (host.State != HostState.Cordoned) return host.Answers ? "it takes VMs again" : $"it is {Fields.Word(host.State)}";
        if (DrainStore.Latest(work, id) is not { Kind: DrainKind.Away, End: DrainEnd.Drained } drain || drain.Id != host.Power.Drain)
            return "its drain did not end with nothing left on it";
        if (work.Query("SELECT name FROM vms WHERE owner = @id ORDER BY name LIMIT 1", row => row.GetString(0), ("@id", id.Value))
            is [var vm, ..]) return $"{vm} is on it";
        if (work.Number("SELECT COUNT(*) FROM reservations WHERE host = @id", ("@id", id.Value)) > 0) return "memory is set aside on it";
        if (FenceStore.IsClosed(work, id)) return "it is being recovered";
        if (OperationStore.AnyFor(work, id) is { } operation) return $"{operation} goes on";
        return VmStore.List(work).FirstOrDefault(other => MoveStore.OpenSidesOf(work, other.Spec.Id).Contains(id)) is { } moving
            ? $"a move of {moving.Spec.Name} has it as a side" : null;
    }

    private static PowerSettings Settings(Work work) =>
        work.Query("SELECT doc FROM power WHERE id = 1", row => row.Doc<PowerSettings>(0)).FirstOrDefault() ?? new PowerSettings();
}

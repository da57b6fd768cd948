using System.Text.Json.Serialization;

namespace Godwit.Core;

/// <summary>One virtual machine, for life: kept across moves, renames and hosts. Form: <c>vm-</c> and 12 lower-case hex digits.</summary>
[JsonConverter(typeof(VmIdJson))]
public readonly record struct VmId(string Value) { public override string ToString() => Value; }

/// <summary>One host's name in the cluster, as it joined with; valid by <see cref="Names"/>.</summary>
[JsonConverter(typeof(HostIdJson))]
public readonly record struct HostId(string Value) { public override string ToString() => Value; }

/// <summary>One move of one VM. Form: <c>mv-</c> and 12 lower-case hex digits.</summary>
[JsonConverter(typeof(MoveIdJson))]
public readonly record struct MoveId(string Value) { public override string ToString() => Value; }

/// <summary>
/// How often a VM has changed owner. It only grows: a command that carries an older epoch than the one an agent
/// knows is late and changes nothing (R7).
/// </summary>
[JsonConverter(typeof(EpochJson))]
public readonly record struct Epoch(long Value) : IComparable<Epoch>
{
    public Epoch Next() => new(Value + 1);
    public int CompareTo(Epoch other) => Value.CompareTo(other.Value);
    public static bool operator <(Epoch left, Epoch right) => left.Value < right.Value;
    public static bool operator >(Epoch left, Epoch right) => left.Value > right.Value;
    public static bool operator <=(Epoch left, Epoch right) => left.Value <= right.Value;
    public static bool operator >=(Epoch left, Epoch right) => left.Value >= right.Value;
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}

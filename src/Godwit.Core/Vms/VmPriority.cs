using System.Globalization;

namespace Godwit.Core.Vms;

/// <summary>Whose turn is first when hosts are lost: the higher number.</summary>
public static class VmPriority
{
    public const int Low = 250, Normal = 500, High = 750, Max = 1000;

    public static string Word(int priority) => priority switch
    {
        Low => "low",
        Normal => "normal",
        High => "high",
        _ => priority.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>Null where it is neither a word nor a number from 0 to 1000.</summary>
    public static int? Parse(string text) => text switch
    {
        "low" => Low,
        "normal" => Normal,
        "high" => High,
        _ => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= Max ? number : null,
    };

    public static Refusal? WhyNot(int priority) => priority is >= 0 and <= Max ? null
        : new Refusal("bad-priority", $"a priority of {priority}", $"0 to {Max} are possible: low is {Low}, normal {Normal}, high {High}");
}

using System.CommandLine;
using System.CommandLine.Parsing;
using Godwit.Core.Placement;
using Godwit.Core.Vms;

namespace Godwit.Cli.Commands;

/// <summary>Options that several verbs have about who is to be where; new ones each time: an option belongs to one command.</summary>
internal static class PlacementOptions
{
    public static Option<string[]> Tag() => new("--tag")
    { Description = $"Put this tag on, for placement rules to speak of it: {PlacementTags.Rule}; again for more.", HelpName = "TAG" };

    public static Option<string[]> Untag() => new("--untag") { Description = "Take this tag off; again for more.", HelpName = "TAG" };

    public static Option<bool> Pin() => new("--pin") { Description = "Leave it on its host until a person moves it." };

    public static Option<int?> Priority() => new("--priority")
    {
        Description = "Whose turn is first when a host is lost: low, normal, high, or 0 to 1000.", HelpName = "PRIORITY",
        CustomParser = ParsePriority,
    };

    public static Option<bool> IgnoreRules() => new("--ignore-rules")
    { Description = "My word: placement rules may be broken. Room and compatibility still count." };

    private static int? ParsePriority(ArgumentResult result)
    {
        if (VmPriority.Parse(result.Tokens[0].Value) is { } priority) return priority;
        result.AddError($"'{result.Tokens[0].Value}' is no priority: give low, normal, high, or 0 to {VmPriority.Max}.");
        return null;
    }
}

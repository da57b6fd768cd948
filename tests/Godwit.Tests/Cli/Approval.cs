using System.Runtime.CompilerServices;
using Xunit;

namespace Godwit.Tests.Cli;

/// <summary>
/// Compares with a text file a person has looked at and approved. When they differ the new text is written beside it,
/// as NAME.received.txt: look at it, and rename it if it is right.
/// </summary>
internal static class Approval
{
    public static void Check(string text, [CallerMemberName] string name = "")
    {
        var folder = Path.Combine(RepositoryRulesTests.Root(), "tests", "Godwit.Tests", "Cli", "Approved");
        var (approved, received) = (Path.Combine(folder, name + ".txt"), Path.Combine(folder, name + ".received.txt"));
        var expected = File.Exists(approved) ? File.ReadAllText(approved) : "(no approved text yet)";
        if (text == expected)
        {
            File.Delete(received);
            return;
        }
        File.WriteAllText(received, text);
        Assert.Equal(expected, text);
    }
}

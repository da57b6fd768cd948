using Godwit.Cli.Lab;

namespace Godwit.LabTests.Faults;

/// <summary>A fence hook for lab hosts, as a person would write one: it ends every process of the host's namespace.</summary>
internal static class LabHook
{
    public const string Name = "lab";

    public static string DirectoryOf(LabPlan plan) => Path.Combine(plan.DataDirectory, "fence.d");

    /// <summary>Ends what is in the host's namespace, looks whether it is gone, and says 0 only then.</summary>
    public static void Write(LabPlan plan)
    {
        const UnixFileMode owners = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(DirectoryOf(plan), owners);
        var hook = Path.Combine(DirectoryOf(plan), Name);
        File.WriteAllText(hook, $$"""
            #!/bin/sh
            for try in 1 2 3 4 5 6 7 8 9 10; do
              pids=$(ip netns pids "gw{{plan.Tag}}-$1") || exit 2
              [ -z "$pids" ] && echo "nothing is left in gw{{plan.Tag}}-$1" && exit 0
              kill -9 $pids
              sleep 0.2
            done
            exit 1

            """);
        File.SetUnixFileMode(hook, owners);
    }
}

using System.Globalization;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// A command with everything in front that takes rights away from it, in the order in which they can be given up: first
/// what needs root (namespaces, what is to be seen, limits), then root itself.
/// </summary>
internal static class CommandWords
{
    public static List<string> Of(Command command, Func<SystemFiles> system)
    {
        List<string> words = [.. Namespaces(command)];
        if (command.Sees is { } view) words.AddRange(Cage.Words(view, system()));
        // Before it is another user: a service may have a lower limit for itself (LimitCORE=0), and only root raises one.
        var limits = Limits(command).ToList();
        if (limits.Count > 0) words.AddRange(["prlimit", .. limits, "--"]);
        if (command.RunAsUid is { } uid)
        {
            var id = Text($"{uid}");
            words.AddRange(["setpriv", "--reuid", id, "--regid", id]);
            words.AddRange(command.KeepGroup is null ? ["--clear-groups"] : ["--groups", command.KeepGroup]);
            words.AddRange(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"]);
        }
        if (command.Cpus is not null) words.AddRange(["taskset", "-c", command.Cpus]);
        return [.. words, command.Program, .. command.Arguments];
    }

    private static IEnumerable<string> Namespaces(Command command)
    {
        if (command.Sees is null && !command.WithoutNetwork) return [];
        List<string> words = ["unshare", "--ipc", "--uts"];
        if (command.Sees is not null) words.Add("--mount");
        if (command.WithoutNetwork) words.Add("--net");
        return [.. words, "--"];
    }

    private static IEnumerable<string> Limits(Command command)
    {
        // Its memory is a guest's, or a stranger's. 1 and not 0: 0 keeps the kernel from writing a file, and still lets it
        // hand the memory to a program (core(5), core_pattern with a pipe).
        if (command.RunAsUid is not null) yield return "--core=1";
        if (command.Limits is { } limits)
        {
            yield return Text($"--as={limits.MemoryBytes}");
            yield return Text($"--cpu={limits.CpuSeconds}");
        }
        if (command.FileBytesMax is { } fileBytes) yield return Text($"--fsize={fileBytes}");
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

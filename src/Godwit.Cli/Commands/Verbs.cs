using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net.Sockets;
using Godwit.Cli.Api;
using Godwit.Core;

namespace Godwit.Cli.Commands;

/// <summary>What every command has: --json, a session, and one place where failures become words and exit codes.</summary>
internal sealed class Verbs(Surroundings around)
{
    public Option<bool> Json { get; } = new("--json")
    {
        Description = "Write JSON for machines instead of tables and sentences.", Recursive = true,
    };

    public Command Verb(
        string name, string description, Func<Session, ParseResult, CancellationToken, Task<int>> run, params Symbol[] parts)
    {
        var command = new Command(name, description);
        foreach (var part in parts)
        {
            if (part is Argument argument) command.Arguments.Add(argument);
            else command.Options.Add((Option)part);
        }
        command.SetAction((parsed, cancel) => RunAsync(session => run(session, parsed, cancel), parsed));
        return command;
    }

    public static Command Group(string name, string description, params Command[] verbs)
    {
        var group = new Command(name, description);
        foreach (var verb in verbs) group.Subcommands.Add(verb);
        return group;
    }

    public static Option<long?> SizeOption(string name, string description) => new(name)
    {
        Description = $"{description}: {Sizes.Form}.", HelpName = "SIZE", CustomParser = ParseSize,
    };

    /// <summary>The same act on each name; every failure is told, the exit code sums them up.</summary>
    public static async Task<int> ForEachAsync<T>(
        Session session, IReadOnlyList<string> names, Func<string, Task<T>> act, Func<T, string> sentence)
    {
        var (failed, refused) = (0, 0);
        var results = new List<T>();
        foreach (var name in names)
        {
            try
            {
                var result = await act(name);
                results.Add(result);
                session.Screen.Line(sentence(result));
            }
            catch (ApiException reason)
            {
                session.Report(reason.Error);
                if (reason.Error.IsRefusal) refused++;
                else failed++;
            }
        }
        if (session.Screen.IsJson) session.Screen.Document(results);
        return ExitCode.Of(results.Count, failed, refused);
    }

    private async Task<int> RunAsync(Func<Session, Task<int>> run, ParseResult parsed)
    {
        using var session = new Session(around, parsed.GetValue(Json));
        try
        {
            return await run(session);
        }
        catch (ApiException reason)
        {
            session.Report(reason.Error);
            return reason.Error.IsRefusal ? ExitCode.Refused : ExitCode.Failed;
        }
        catch (RefusedException reason)
        {
            session.Report(new ApiError(reason.Reasons[0].Code, "this cannot be started") { Reasons = reason.Reasons });
            return ExitCode.Refused;
        }
        catch (Exception reason) when (reason is IOException or UnauthorizedAccessException or SocketException)
        {
            session.Report(new ApiError("system-error", reason.Message) { Next = "see to that, then run the command again" });
            return ExitCode.Failed;
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Failed; // Ctrl-C: the command has said what is left running, if anything is.
        }
    }

    private static long? ParseSize(ArgumentResult result)
    {
        if (Sizes.Parse(result.Tokens[0].Value) is { } bytes) return bytes;
        result.AddError($"'{result.Tokens[0].Value}' is not a size: give {Sizes.Form}.");
        return null;
    }
}

using System.Diagnostics;

namespace Godwit.Cli.Lab;

/// <summary>What a command said and how it ended.</summary>
public sealed record ShellResult(int ExitCode, string Output, string Error);

/// <summary>Runs the system's own tools (ip, tc, qemu-img …) for the lab, each with a deadline.</summary>
public static class LabShell
{
    private static readonly TimeSpan DeadlineDefault = TimeSpan.FromSeconds(60);

    /// <summary>Standard output of a command that must succeed.</summary>
    /// <exception cref="LabException">It could not be started, ended with an error, or took too long.</exception>
    public static async Task<string> RunAsync(IReadOnlyList<string> command, string? input = null,
        TimeSpan? deadline = null, CancellationToken cancel = default)
    {
        var result = await TryAsync(command, input, deadline, cancel);
        if (result.ExitCode == 0) return result.Output;

        var words = result.Error.Trim() is { Length: > 0 } error ? error : result.Output.Trim();
        throw new LabException($"{string.Join(' ', command)} failed ({result.ExitCode}): {words}");
    }

    /// <summary>As <see cref="RunAsync"/>, for commands whose failure is an answer.</summary>
    public static async Task<ShellResult> TryAsync(IReadOnlyList<string> command, string? input = null,
        TimeSpan? deadline = null, CancellationToken cancel = default)
    {
        using var process = Start(command);
        using var timeUp = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timeUp.CancelAfter(deadline ?? DeadlineDefault);
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(timeUp.Token);
            var error = process.StandardError.ReadToEndAsync(timeUp.Token);
            if (input is not null) await process.StandardInput.WriteAsync(input.AsMemory(), timeUp.Token);
            process.StandardInput.Close();
            await process.WaitForExitAsync(timeUp.Token);
            return new ShellResult(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            process.Kill(entireProcessTree: true);
            throw new LabException($"{string.Join(' ', command)} did not end within {deadline ?? DeadlineDefault}");
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }

    /// <summary>A process with all three streams piped to the caller, who disposes of it.</summary>
    public static Process Start(IReadOnlyList<string> command)
    {
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in command.Skip(1)) start.ArgumentList.Add(argument);
        try
        {
            return Process.Start(start) ?? throw new LabException($"{command[0]} did not start");
        }
        catch (System.ComponentModel.Win32Exception reason)
        {
            throw new LabException($"{command[0]} could not be started: {reason.Message}. Is it installed?", reason);
        }
    }
}

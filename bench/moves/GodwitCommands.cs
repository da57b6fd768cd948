using System.Globalization;
using System.Text.Json;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>godwit's command line against a lab, as a person would type it, with <c>--json</c>.</summary>
internal sealed class GodwitCommands(LabCluster lab)
{
    private static readonly TimeSpan commandMax = TimeSpan.FromMinutes(5);

    /// <summary>Creates and starts a VM of the lab's template on host 1. Returns its guest's address.</summary>
    public async Task<string> StartVmAsync(string name, int memoryMib, CancellationToken cancel)
    {
        var vm = await RunAsync(cancel, "vm", "create", name, "--template", LabCluster.TemplateName,
            "--memory", memoryMib.ToString(CultureInfo.InvariantCulture) + "M", "--host", "host1", "--start");
        return GuestAddress.Of(vm.GetProperty("spec").GetProperty("nics")[0].GetProperty("mac").GetString()!);
    }

    /// <summary>The last document of a command that must succeed; a followed move is a line a report, the last one is the end.</summary>
    public async Task<JsonElement> RunAsync(CancellationToken cancel, params string[] words) =>
        Last(await LabShell.RunAsync(Line(words), deadline: commandMax, cancel: cancel));

    /// <summary>As <see cref="RunAsync"/>, of one whose failure is an answer.</summary>
    public async Task<JsonElement> TryAsync(CancellationToken cancel, params string[] words)
    {
        var result = await LabShell.TryAsync(Line(words), deadline: commandMax, cancel: cancel);
        return result.Output.Trim().Length > 0 ? Last(result.Output)
            : throw new LabException($"{string.Join(' ', words)}: {result.Error.Trim()}");
    }

    private string[] Line(string[] words) => ["env", $"GODWIT_SERVER={lab.Plan.ServerSocket}",
        Path.Combine(AppContext.BaseDirectory, "godwit"), .. words, "--json"];

    private static JsonElement Last(string output)
    {
        var text = output.Trim();
        if (text.Length == 0) return default;
        return Parse(text) ?? Parse(text[(text.LastIndexOf('\n') + 1)..]) ?? throw new LabException($"not JSON: {text}");
    }

    private static JsonElement? Parse(string text)
    {
        try
        {
            return JsonElement.Parse(text);
        }
        catch (JsonException)
        {
            return null; // Several documents.
        }
    }
}

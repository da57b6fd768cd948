using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>The VM under godwit, by its command line, as a person would.</summary>
internal sealed class GodwitSide(LabCluster lab) : IMoveSide
{
    private static readonly TimeSpan CommandMax = TimeSpan.FromMinutes(5);
    private string _vm = "";

    public string Name => "godwit";
    public int Host { get; private set; } = 1;

    public async Task<string> StartAsync(GuestSize size, CancellationToken cancel)
    {
        _vm = $"a-{size.Name}";
        Host = 1;
        var vm = await GodwitAsync(cancel, "vm", "create", _vm, "--template", LabCluster.TemplateName,
            "--memory", $"{size.MemoryMib}M", "--host", "host1", "--start");
        return GuestAddress.Of(vm.GetProperty("spec").GetProperty("nics")[0].GetProperty("mac").GetString()!);
    }

    public Task PauseAsync(CancellationToken cancel) => GodwitAsync(cancel, "vm", "pause", _vm);

    public Task ResumeAsync(CancellationToken cancel) => GodwitAsync(cancel, "vm", "resume", _vm);

    public async Task<CommandCost> MoveAsync(int target, CancellationToken cancel) =>
        await MoveAsync(target, [], cancel);

    public async Task<CommandCost> MoveAsync(int target, string[] options, CancellationToken cancel)
    {
        var cost = await TimedAsync(cancel, ["vm", "migrate", _vm, "--to", $"host{target}", .. options]);
        Host = target;
        return cost;
    }

    public Task<CommandCost> RefreshAsync(CancellationToken cancel) => TimedAsync(cancel, "vm", "refresh", _vm);

    public async Task RemoveAsync(CancellationToken cancel)
    {
        await GodwitAsync(cancel, "vm", "stop", _vm, "--force");
        await GodwitAsync(cancel, "vm", "delete", _vm);
    }

    private async Task<CommandCost> TimedAsync(CancellationToken cancel, params string[] words)
    {
        var watch = Stopwatch.StartNew();
        var move = await GodwitAsync(cancel, words);
        var wall = watch.Elapsed.TotalSeconds;
        if (move.GetProperty("end").GetString() != "done")
            throw new LabException($"{string.Join(' ', words)}: {move}");
        var receipt = move.GetProperty("receipt");
        double? pause = receipt.TryGetProperty("pauseMs", out var ms) ? ms.GetDouble() : null;
        var phases = string.Join(' ', receipt.GetProperty("phaseMs").EnumerateObject()
            .Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Name}={p.Value.GetDouble():F0}")));
        var (total, passes) = (receipt.GetProperty("totalMs").GetDouble(), receipt.GetProperty("passes").GetInt32());
        return new CommandCost(wall, pause, string.Create(
            CultureInfo.InvariantCulture, $"receipt {total:F0} ms, {passes} passes; {phases}"));
    }

    /// <summary>The last document a command wrote: a followed move is a line a report, the last one is the end.</summary>
    private async Task<JsonElement> GodwitAsync(CancellationToken cancel, params string[] words)
    {
        var output = await LabShell.RunAsync(["env", $"GODWIT_SERVER={lab.Plan.ServerSocket}",
            Path.Combine(AppContext.BaseDirectory, "godwit"), .. words, "--json"], deadline: CommandMax, cancel: cancel);
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

using System.Diagnostics;
using System.Globalization;
using Godwit.Cli.Lab;

namespace Godwit.Moves;

/// <summary>The VM under godwit, by its command line, as a person would.</summary>
internal sealed class GodwitSide(LabCluster lab) : IMoveSide
{
    private readonly GodwitCommands _commands = new(lab);
    private string _vm = "";

    public string Name => "godwit";
    public int Host { get; private set; } = 1;

    public async Task<string> StartAsync(GuestSize size, CancellationToken cancel)
    {
        _vm = $"a-{size.Name}";
        Host = 1;
        return await _commands.StartVmAsync(_vm, size.MemoryMib, cancel);
    }

    public Task PauseAsync(CancellationToken cancel) => _commands.RunAsync(cancel, "vm", "pause", _vm);

    public Task ResumeAsync(CancellationToken cancel) => _commands.RunAsync(cancel, "vm", "resume", _vm);

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
        await _commands.RunAsync(cancel, "vm", "stop", _vm, "--force");
        await _commands.RunAsync(cancel, "vm", "delete", _vm);
    }

    private async Task<CommandCost> TimedAsync(CancellationToken cancel, params string[] words)
    {
        var watch = Stopwatch.StartNew();
        var move = await _commands.RunAsync(cancel, words);
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
}

using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>Questions about machines and processors. Errors as <see cref="QmpClient.ExecuteAsync"/>.</summary>
public static class QmpCpuCommands
{
    public static async Task<IReadOnlyList<QmpMachine>> QueryMachinesAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-machines", null, deadline, cancel);
        return answer.Items(m => new QmpMachine(
            m.Text("name"), m.TextOrNull("alias"), m.FlagOrNull("is-default") ?? false,
            m.FlagOrNull("deprecated") ?? false, m.Number("cpu-max")));
    }

    public static async Task<IReadOnlyList<QmpCpuDefinition>> QueryCpuDefinitionsAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-cpu-definitions", null, deadline, cancel);
        return answer.Items(c => new QmpCpuDefinition
        {
            Name = c.Text("name"),
            TypeName = c.Text("typename"),
            UnavailableFeatures = c.ItemsOrNull("unavailable-features", f => f.AsText()),
            MigrationSafe = c.FlagOrNull("migration-safe") ?? false,
            Static = c.Flag("static"),
            Deprecated = c.FlagOrNull("deprecated") ?? false,
            AliasOf = c.TextOrNull("alias-of"),
        });
    }

    /// <summary>What a model is made of on this host and accelerator.</summary>
    /// <param name="kind">"static" (fewest properties) or "full" (every property).</param>
    public static async Task<QmpCpuModel> QueryCpuModelExpansionAsync(
        this QmpClient qmp, string kind, QmpCpuModel model, TimeSpan deadline, CancellationToken cancel)
    {
        var wanted = new JsonObject { ["name"] = model.Name };
        if (model.Properties.Count > 0)
        {
            var properties = new JsonObject();
            foreach (var (name, value) in model.Properties.OrderBy(p => p.Key, StringComparer.Ordinal))
                properties[name] = JsonNode.Parse(value.GetRawText());
            wanted["props"] = properties;
        }

        var arguments = new JsonObject { ["type"] = kind, ["model"] = wanted };
        var answer = await qmp.ExecuteAsync("query-cpu-model-expansion", arguments, deadline, cancel);
        return QmpCpuModel.Read(answer.Object("model"));
    }

    /// <summary>The vCPUs and the host threads that run them (thread ids are for pinning); does not stop the guest.</summary>
    public static async Task<IReadOnlyList<QmpVcpu>> QueryCpusFastAsync(
        this QmpClient qmp, TimeSpan deadline, CancellationToken cancel)
    {
        var answer = await qmp.ExecuteAsync("query-cpus-fast", null, deadline, cancel);
        return answer.Items(c => new QmpVcpu(c.Number("cpu-index"), c.Number("thread-id"), c.TextOrNull("qom-path") ?? ""));
    }
}

/// <param name="Name">"pc-q35-7.2".</param>
/// <param name="Alias">"q35" on the newest of its family.</param>
public sealed record QmpMachine(string Name, string? Alias, bool IsDefault, bool Deprecated, long CpuMax);

public sealed record QmpCpuDefinition
{
    public required string Name { get; init; }
    public required string TypeName { get; init; }
    /// <summary>Empty: this host can run the model as it is. Null: QEMU does not know.</summary>
    public required IReadOnlyList<string>? UnavailableFeatures { get; init; }
    public required bool MigrationSafe { get; init; }
    public required bool Static { get; init; }
    public required bool Deprecated { get; init; }
    /// <summary>The versioned model an unversioned name stands for.</summary>
    public string? AliasOf { get; init; }
}

/// <param name="Properties">Mostly true/false, some numbers and texts.</param>
public sealed record QmpCpuModel(string Name, IReadOnlyDictionary<string, JsonElement> Properties)
{
    public static QmpCpuModel Named(string name) => new(name, new Dictionary<string, JsonElement>());

    internal static QmpCpuModel Read(JsonElement model)
    {
        var properties = new Dictionary<string, JsonElement>();
        if (model.ObjectOrNull("props") is { } props)
            foreach (var property in props.EnumerateObject()) properties[property.Name] = property.Value;
        return new QmpCpuModel(model.Text("name"), properties);
    }
}

/// <param name="ThreadId">Host thread; 0 where the accelerator has none.</param>
public sealed record QmpVcpu(long Index, long ThreadId, string QomPath);

using System.Text.Json;

namespace Godwit.Qmp;

/// <summary>
/// What this QEMU can do, read from <c>query-qmp-schema</c>: features are tested, version numbers are not trusted
/// (distributions backport and leave out). Type names in the answer are numbers without meaning, so questions go from
/// a command to its argument type.
/// </summary>
public sealed class QmpSchema
{
    private readonly Dictionary<string, JsonElement> commands = [];
    private readonly Dictionary<string, JsonElement> types = [];
    private readonly HashSet<string> events = [];

    private QmpSchema() { }

    public static QmpSchema Read(JsonElement answer)
    {
        var schema = new QmpSchema();
        foreach (var entity in answer.Items(e => e))
        {
            var name = entity.Text("name");
            switch (entity.Text("meta-type"))
            {
                case "command": schema.commands[name] = entity; break;
                case "event": schema.events.Add(name); break;
                default: schema.types[name] = entity; break;
            }
        }
        return schema;
    }

    public bool HasCommand(string command) => commands.ContainsKey(command);

    public bool HasEvent(string name) => events.Contains(name);

    /// <summary>True where the command can be executed out of band.</summary>
    public bool AllowsOob(string command) =>
        commands.TryGetValue(command, out var entity) && (entity.FlagOrNull("allow-oob") ?? false);

    /// <summary>HasCommandArgument("migrate-incoming", "exit-on-error").</summary>
    public bool HasCommandArgument(string command, string argument) =>
        MemberType(ArgumentType(command), argument) is not null;

    /// <summary>A migration capability: HasCapability("mapped-ram").</summary>
    public bool HasCapability(string capability) =>
        EnumWords(MemberType(ElementType(MemberType(ArgumentType("migrate-set-capabilities"), "capabilities")), "capability"))
            .Contains(capability);

    /// <summary>A migration parameter: HasParameter("avail-switchover-bandwidth").</summary>
    public bool HasParameter(string parameter) => HasCommandArgument("migrate-set-parameters", parameter);

    private JsonElement? ArgumentType(string command) =>
        commands.TryGetValue(command, out var entity) ? TypeNamed(entity.TextOrNull("arg-type")) : null;

    private JsonElement? MemberType(JsonElement? objectType, string member)
    {
        if (objectType is not { } type) return null;
        foreach (var (name, typeName) in type.Items("members", m => (m.TextOrNull("name"), m.TextOrNull("type"))))
            if (name == member) return TypeNamed(typeName);
        return null;
    }

    private JsonElement? ElementType(JsonElement? arrayType) =>
        arrayType is { } type ? TypeNamed(type.TextOrNull("element-type")) : null;

    /// <summary>"values" is what every QEMU so far says; newer ones also say "members" and call "values" deprecated.</summary>
    private static IEnumerable<string> EnumWords(JsonElement? enumType) =>
        enumType is { } type
            ? type.Items("values", v => v.AsText()).Concat(type.Items("members", m => m.Text("name")))
            : [];

    private JsonElement? TypeNamed(string? name) =>
        name is not null && types.TryGetValue(name, out var type) ? type : null;
}

using System.Text.Json.Serialization;
using Godwit.Core.Vms;

namespace Godwit.Agent.Saved;

/// <summary>What must fit before a saved state is loaded anywhere; at the head of its file.</summary>
internal sealed record SavedStateStamp
{
    public required VmSpec Spec { get; init; }
    public required long Epoch { get; init; }
    public required string QemuVersion { get; init; }
    /// <summary>Canonical device list of the machine that was saved.</summary>
    public required IReadOnlyList<string> Devices { get; init; }
    public required DateTimeOffset SavedAt { get; init; }
    public required bool WasPaused { get; init; }
}

[JsonSourceGenerationOptions(UseStringEnumConverter = true)]
[JsonSerializable(typeof(SavedStateStamp))]
internal sealed partial class SavedStateJson : JsonSerializerContext;

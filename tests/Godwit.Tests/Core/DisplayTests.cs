using System.Text.Json;
using Godwit.Core.Vms;
using Godwit.Server.Api;
using Godwit.Tests.Agent.Machines;
using Xunit;

namespace Godwit.Tests.Core;

/// <summary>Records of before there were displays, and of after.</summary>
public sealed class DisplayTests
{
    [Fact]
    public void What_has_none_is_written_as_it_always_was_and_what_was_written_then_has_none()
    {
        var document = JsonSerializer.Serialize(Samples.Spec, ApiJson.Strict);
        Assert.DoesNotContain("isplay", document, StringComparison.Ordinal);
        Assert.Equal(Display.None, JsonSerializer.Deserialize<VmSpec>(document, ApiJson.Strict)!.Display);
    }

    [Fact]
    public void What_has_one_is_written_with_it_by_server_and_agent_alike()
    {
        var spec = Samples.Spec with { Display = Display.Vnc };
        var document = JsonSerializer.Serialize(spec, ApiJson.Strict);
        Assert.Contains("\"display\":\"vnc\"", document, StringComparison.Ordinal);
        Assert.Equal(Display.Vnc, JsonSerializer.Deserialize<VmSpec>(document, ApiJson.Lenient)!.Display);
    }
}

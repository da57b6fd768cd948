using Godwit.Conformance;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Machines;

/// <summary>
/// Real QEMU says what tests/Conformance/Talks holds; the simulated one is held to the same files by
/// <c>Godwit.Tests.Simulation.QemuConformanceTests</c>. So what the simulator shows, it shows of a QEMU like this.
/// </summary>
public sealed class QemuConformanceTests(ITestOutputHelper output)
{
    public static TheoryData<string> Scenarios() => [.. QemuScenarios.All.Keys];

    [RealQemuTheory]
    [MemberData(nameof(Scenarios))]
    public async Task A_real_qemu_says_what_is_written(string scenario)
    {
        using var world = new RealQemuWorld();
        var talk = new QemuTalk(world);
        try { await QemuScenarios.All[scenario](talk); }
        finally { await talk.EndAsync(); }
        output.WriteLine(talk.Text);
        TalkFile.DemandSame(scenario, talk.Text, heardFrom: "real");
    }
}

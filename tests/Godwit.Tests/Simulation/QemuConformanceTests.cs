using Godwit.Conformance;
using Xunit;

namespace Godwit.Tests.Simulation;

/// <summary>
/// The simulated QEMU says, word for word, what a real 7.2 said in the same scenarios (tests/Conformance/Talks; the lab
/// holds the real one to the same files). At several seeds, because speed and order of two processes are chance.
/// </summary>
public sealed class QemuConformanceTests
{
    public static TheoryData<string> Scenarios() => [.. QemuScenarios.All.Keys];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void The_simulated_qemu_says_what_a_real_one_said(string scenario)
    {
        for (ulong seed = 1; seed <= 5; seed++)
        {
            var heard = "";
            SimNetworkTests.Two(seed, async (loop, a, b) =>
            {
                var talk = new QemuTalk(new SimQemuWorld(loop, a, b));
                await QemuScenarios.All[scenario](talk);
                heard = talk.Text;
            });
            TalkFile.DemandSame(scenario, heard, heardFrom: "simulated");
        }
    }
}

using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.LabTests.Moves;

public sealed class TwoAgentsTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(MoveMode.Live)]
    [InlineData(MoveMode.Quick)]
    public async Task A_running_vm_moves_and_only_the_target_has_it(MoveMode mode)
    {
        await using var two = await TwoAgents.StartAsync();
        var vm = await two.StartVmAsync();

        var (source, target) = await two.MoveAsync(vm, mode);

        output.WriteLine($"{source.Standing} {source.Reason} {source.Receipt}");
        output.WriteLine($"{target.Standing} {target.Reason}");
        Assert.Equal(MoveStanding.SourceReleased, source.Standing);
        Assert.Equal(MoveStanding.TargetRuns, target.Standing);
        Assert.Equal(VmState.Running, await TwoAgents.StateAsync(two.Target, vm.Id));
        Assert.Equal(VmState.Unknown, await TwoAgents.StateAsync(two.Source, vm.Id));
        Assert.True(source.Receipt!.PauseMs > 0);
        // 64 MiB of guest memory and less than 2 MiB of firmware and ROMs: no page crosses twice.
        if (mode == MoveMode.Quick) Assert.InRange(source.Receipt.NormalPages + source.Receipt.ZeroPages, 16_384, 16_384 + 512);
    }
}

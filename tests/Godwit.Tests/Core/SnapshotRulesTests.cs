using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Tests.Control;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class SnapshotRulesTests
{
    private static readonly VmSnapshot Old = new("old", "old.0123456789ab", FakeCluster.Now) { IsWhole = true };
    private static readonly Vm Stopped = StoreUnderTest.MakeVm("web", "h1") with { Snapshots = [Old] };

    [Theory]
    [InlineData(VmState.Stopped, "new", "")]
    [InlineData(VmState.Running, "new", "")]
    [InlineData(VmState.Paused, "new", "")]
    [InlineData(VmState.Crashed, "new", "")]
    [InlineData(VmState.Saved, "new", "vm-saved")]
    [InlineData(VmState.Stopped, "old", "name-taken")]
    [InlineData(VmState.Saved, "Not A Name", "bad-name vm-saved")]
    public void A_snapshot_is_made_unless_the_name_or_the_state_forbids_it(VmState state, string name, string codes) =>
        Assert.Equal(codes, Codes(SnapshotRules.WhyNotMade(Stopped with { State = state }, name, null)));

    [Theory]
    [InlineData(VmState.Stopped, "old", "")]
    [InlineData(VmState.Crashed, "old", "")]
    [InlineData(VmState.Running, "old", "vm-running")]
    [InlineData(VmState.Paused, "old", "vm-running")]
    [InlineData(VmState.Saved, "old", "vm-saved")]
    [InlineData(VmState.Running, "none", "snapshot-not-found vm-running")]
    public void Only_a_vm_that_is_stopped_goes_back(VmState state, string name, string codes) =>
        Assert.Equal(codes, Codes(SnapshotRules.WhyNotReverted(Stopped with { State = state }, name)));

    [Fact]
    public void What_broke_off_while_it_was_made_is_not_gone_back_to() => Assert.Equal("snapshot-unfinished",
        Codes(SnapshotRules.WhyNotReverted(Stopped with { Snapshots = [Old with { IsWhole = false }] }, "old")));

    [Fact]
    public void There_is_a_number_at_which_it_ends()
    {
        var all = Enumerable.Range(1, SnapshotRules.PerVmMax).Select(n => Old with { Name = $"snapshot-{n}" });
        var full = Stopped with { Snapshots = [.. all] };
        Assert.Equal("too-many-snapshots", Codes(SnapshotRules.WhyNotMade(full, SnapshotRules.FreeName(full), null)));
        Assert.Equal("snapshot-2", SnapshotRules.FreeName(full with { Snapshots = [full.Snapshots[0], full.Snapshots[2]] }));
    }

    [Fact]
    public void A_raw_disk_has_no_room_for_one_and_a_vm_without_disks_nothing_to_keep()
    {
        var raw = Stopped.Spec with { Disks = [Stopped.Spec.Disks[0] with { Format = "raw" }] };
        Assert.Equal("snapshot-needs-qcow2", Codes(SnapshotRules.WhyNotMade(Stopped with { Spec = raw }, "new", null)));
        Assert.Equal("snapshot-needs-disk",
            Codes(SnapshotRules.WhyNotMade(Stopped with { Spec = raw with { Disks = [] } }, "new", null)));
    }

    [Fact]
    public void The_same_name_made_again_has_another_tag_and_no_tag_is_a_number()
    {
        Assert.Equal("1.0123456789ab", SnapshotRules.TagOf("1", "op-0123456789ab"));
        Assert.True(SnapshotRules.IsTag(SnapshotRules.TagOf(new string('a', 63), "op-0123456789ab")));
        Assert.All(["1", "a.b", "a.0123456789ab\n", "-a.0123456789ab", "a b.0123456789ab", null],
            tag => Assert.False(SnapshotRules.IsTag(tag)));
    }

    private static string Codes(IEnumerable<Refusal> reasons) => string.Join(' ', reasons.Select(r => r.Code));
}

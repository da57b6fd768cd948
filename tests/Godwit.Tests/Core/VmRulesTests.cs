using CsCheck;
using Godwit.Core;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.Tests.Core;

public sealed class VmRulesTests
{
    [Theory]
    [InlineData("52:54:00:0a:0b:0c", true)]
    [InlineData("52:54:00:0A:0B:0C", false)] // One form only: comparing is comparing text.
    [InlineData("53:54:00:0a:0b:0c", false)] // Multicast.
    [InlineData("00:54:00:0a:0b:0c", false)] // Somebody's hardware.
    [InlineData("52:54:00:0a:0b", false)]
    [InlineData("52:54:00:0a:0b:0c\n", false)]
    [InlineData("52-54-00-0a-0b-0c", false)]
    [InlineData(null, false)]
    public void A_MAC_is_lower_case_local_and_unicast(string? mac, bool good) => Assert.Equal(good, VmRules.IsMac(mac));

    [Theory]
    [InlineData("br0", true)]
    [InlineData("br0\n", false)]
    [InlineData("br0,script=/bin/sh", false)]
    [InlineData("-br", false)]
    [InlineData("..", false)]
    [InlineData("a234567890123456", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void A_bridge_is_an_interface_name_and_nothing_a_tool_takes_for_an_option(string? name, bool good) =>
        Assert.Equal(good, VmRules.IsBridge(name));

    [Theory]
    [InlineData("0-3,6", true)]
    [InlineData("0-3,", false)]
    [InlineData("a", false)]
    [InlineData("0 1", false)]
    [InlineData("00000", false)]
    [InlineData("٣", false)] // A digit, but not of ours.
    public void Processors_are_numbers_and_ranges(string cpus, bool good) => Assert.Equal(good, VmRules.IsCpuList(cpus));

    [Theory]
    [InlineData(long.MinValue)]
    [InlineData(-1)]
    [InlineData(0)]
    [InlineData((16L << 20) - 1)]
    [InlineData((16L << 20) + 1)]
    [InlineData((16L << 40) + (1 << 20))]
    [InlineData(long.MaxValue)]
    public void Memory_is_whole_MiB_within_limits(long bytes) => Assert.False(VmRules.IsMemory(bytes));

    [Fact]
    public void Names_that_are_valid_are_safe_everywhere_and_all_others_are_refused() =>
        Gen.OneOf(Gen.String, Gen.String[Gen.Char["abz019-./ \n,=\\"], 0, 70]).Sample(name =>
        {
            if (!Names.IsValid(name)) return;
            Assert.InRange(name.Length, 1, 63);
            Assert.All(name, c => Assert.True(c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-'));
            Assert.False(name[0] == '-' || name[^1] == '-');
        }, iter: 5000);

    [Fact]
    public void One_line_is_short_and_plain_whatever_came() => Gen.Select(Gen.String, Gen.Int[1, 100]).Sample((text, max) =>
    {
        var line = OneLine.Of(text, max);
        Assert.InRange(line.Length, 0, max + 1);
        Assert.DoesNotContain(line, c => char.IsControl(c) || char.IsSurrogate(c));
    }, iter: 5000);
}

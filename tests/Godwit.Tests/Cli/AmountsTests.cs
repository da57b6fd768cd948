using Godwit.Cli;
using Godwit.Cli.Screens;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Xunit;

namespace Godwit.Tests.Cli;

public sealed class AmountsTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1 KiB")]
    [InlineData(1_048_575, "1 MiB")]
    [InlineData(512L << 20, "512 MiB")]
    [InlineData((1L << 30) + (1L << 29), "1.5 GiB")]
    [InlineData(long.MaxValue, "8192 PiB")]
    public void Bytes_are_shown_in_the_unit_people_think_in(long bytes, string text) => Assert.Equal(text, Amounts.Bytes(bytes));

    [Theory]
    [InlineData(0.204, "0.2 ms")]
    [InlineData(2.43, "2.43 ms")]
    [InlineData(48.16, "48.2 ms")]
    [InlineData(999.6, "1 s")]
    [InlineData(1424, "1.42 s")]
    [InlineData(75_000, "75 s")]
    [InlineData(720_000, "12 min")]
    public void Times_keep_three_digits(double ms, string text) => Assert.Equal(text, Amounts.Milliseconds(ms));

    [Theory]
    [InlineData("512M", 512L << 20)]
    [InlineData("512MiB", 512L << 20)]
    [InlineData("2g", 2L << 30)]
    [InlineData("1.5G", 1536L << 20)]
    [InlineData("1T", 1L << 40)]
    [InlineData("512", null)]
    [InlineData("", null)]
    [InlineData("M", null)]
    [InlineData("-1G", null)]
    [InlineData("0G", null)]
    [InlineData("999999999T", null)]
    [InlineData("12X", null)]
    public void Sizes_need_a_unit(string text, long? bytes) => Assert.Equal(bytes, Sizes.Parse(text));

    [Fact]
    public void Words_are_those_of_the_API()
    {
        Assert.Equal("rolled-back", Words.Of(MoveEnd.RolledBack));
        Assert.Equal("needs-operator", Words.Of(MoveEnd.NeedsOperator));
        Assert.Equal("memory", Words.Of(Phase.Memory));
        Assert.Equal("KVM", Words.Of(Accelerator.Kvm));
    }
}

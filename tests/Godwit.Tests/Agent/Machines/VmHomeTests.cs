using System.Text;
using Godwit.Agent.Machines;
using Godwit.Core;
using Xunit;

namespace Godwit.Tests.Agent.Machines;

public sealed class VmHomeTests
{
    [Fact]
    public void Two_incarnations_share_no_path_but_the_memory_they_are_told_to_share()
    {
        var home = Samples.Home;
        Assert.Empty(home.FilesOf(1).Intersect(home.FilesOf(2)));
        Assert.NotEqual(home.QemuLog(1), home.QemuLog(2));
    }

    [Fact]
    public void A_run_directory_too_long_for_a_socket_is_refused_with_both_numbers()
    {
        var layout = Samples.Layout with { RunDirectory = "/" + new string('x', 80) };
        var refused = Assert.Throws<RefusedException>(() => VmHome.On(layout, Samples.Spec.Id));
        Assert.Contains("107", refused.Reasons[0].Cause, StringComparison.Ordinal);
    }

    [Fact]
    public void The_longest_run_directory_that_is_accepted_still_fits_the_kernels_socket_address()
    {
        for (var length = 1; length < 100; length++)
        {
            var layout = Samples.Layout with { RunDirectory = "/" + new string('x', length) };
            try
            {
                var paths = VmHome.On(layout, Samples.Spec.Id).FilesOf(VmHome.IncarnationMax);
                Assert.All(paths, p => Assert.InRange(Encoding.UTF8.GetByteCount(p), 1, VmHome.SocketPathBytesMax));
            }
            catch (RefusedException) { Assert.InRange(length, 50, 100); }
        }
    }

    [Theory]
    [InlineData("vm-../../../etc")]
    [InlineData("vm-0123456789AB")]
    [InlineData("vm-0123456789ab\n")]
    [InlineData("")]
    public void An_id_that_is_not_an_id_names_no_path(string id) =>
        Assert.Throws<RefusedException>(() => VmHome.On(Samples.Layout, new VmId(id)));

    [Fact]
    public void Tap_names_fit_linux_and_differ_between_incarnations_and_nics()
    {
        var spec = Samples.Spec with { Nics = [Samples.Spec.Nics[0], new("br1", "52:54:00:0a:0b:0d")] };
        var names = Taps.NamesOf(spec, 1).Concat(Taps.NamesOf(spec, 2)).ToList();
        Assert.Equal(4, names.Distinct().Count());
        Assert.All(names, n => Assert.InRange(n.Length, 1, 15));
    }
}

using CsCheck;
using Godwit.Wire;
using Xunit;

namespace Godwit.Tests.Wire;

public sealed class PageAuditTests
{
    [Fact]
    public void It_counts_as_a_set_does() =>
        Gen.Select(Gen.Int[0, 2], Gen.OneOf(Gen.ULong[0, 200], Gen.ULong[32_700, 32_800], Gen.ULong)).List[0, 400]
            .Sample(pages =>
            {
                string[] blocks = ["a", "b", "c"];
                var audit = new PageAudit();
                var seen = new HashSet<(int, ulong)>();
                foreach (var page in pages)
                    Assert.Equal(!seen.Add(page), audit.Note(blocks[page.Item1], page.Item2));
                Assert.Equal((seen.Count, pages.Count - seen.Count, 0),
                    (audit.DistinctPages, audit.RepeatedPages, audit.UnauditedPages));
            }, iter: 300);

    [Fact]
    public void Beyond_its_cap_it_says_that_it_does_not_look()
    {
        var audit = new PageAudit(piecesMax: 2);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0UL; i < 1000; i++) audit.Note("r", i << 40);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 20_000);
        Assert.Equal((2, 998), (audit.DistinctPages, audit.UnauditedPages));
        Assert.True(audit.Note("r", 0));
    }
}

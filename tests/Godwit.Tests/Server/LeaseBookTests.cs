using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Server.Fencing;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>What a server has granted, and when it may believe that nothing is petted any more.</summary>
public sealed class LeaseBookTests
{
    private static readonly HostId Host = new("h1");
    private static readonly WatchdogNote Note = new("wd-1", 60, 30, Confirmed: true);
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(60), Wait = WatchdogRules.ProofAfter(Note);
    private readonly FakeTimeProvider _time = new();
    private readonly LeaseBook _book;

    public LeaseBookTests() => _book = new LeaseBook(_time);

    [Fact]
    public void A_server_that_has_just_begun_waits_as_long_as_if_it_had_granted_now()
    {
        _time.Advance(Wait - TimeSpan.FromSeconds(1));
        Assert.False(_book.TryClose(Host, Note));
        Assert.Equal(TimeSpan.FromSeconds(1), _book.ProvesIn(Host, Note));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(_book.TryClose(Host, Note));
    }

    [Fact]
    public void Each_question_is_answered_once_and_each_grant_begins_the_wait_anew()
    {
        Assert.Null(_book.Grant(Host, Note, Lease)); // Nobody asked.
        _time.Advance(Wait);
        _book.Asked(Host, "t1");
        Assert.Equal(new LeaseGrant("t1", "wd-1", 60, 30), _book.Grant(Host, Note, Lease));
        Assert.Null(_book.Grant(Host, Note, Lease));
        Assert.False(_book.TryClose(Host, Note));
        _time.Advance(Wait);
        Assert.True(_book.TryClose(Host, Note));
    }

    [Fact]
    public void Nothing_is_granted_from_the_closing_on_until_the_store_says_that_the_host_is_welcome()
    {
        _book.Asked(Host, "t1");
        _time.Advance(Wait);
        Assert.True(_book.TryClose(Host, Note));
        Assert.Null(_book.Grant(Host, Note, Lease));
        Assert.Empty(_book.ClosedByProof()); // Not in the store yet: what is read there now says nothing.
        _book.Proved(Host);
        var closing = Assert.Single(_book.ClosedByProof());
        _book.Reopen(Host, closing.Value + 1); // Of another closing.
        Assert.Null(_book.Grant(Host, Note, Lease));
        _book.Reopen(Host, closing.Value);
        Assert.NotNull(_book.Grant(Host, Note, Lease));
    }

    [Fact]
    public void Metrics_tell_of_each_lease_whether_it_holds()
    {
        Assert.Equal(LeaseState.Arming, _book.StateOf(Host, Note with { Confirmed = false }));
        Assert.Equal(LeaseState.Granted, _book.StateOf(Host, Note));
        _time.Advance(Lease);
        Assert.Equal(LeaseState.Lapsed, _book.StateOf(Host, Note));
        _book.Asked(Host, "t1");
        Assert.NotNull(_book.Grant(Host, Note, Lease));
        Assert.Equal(LeaseState.Granted, _book.StateOf(Host, Note));
        _time.Advance(Wait);
        Assert.True(_book.TryClose(Host, Note));
        Assert.Equal(LeaseState.Closed, _book.StateOf(Host, Note));
    }

    [Fact]
    public void A_proof_that_was_not_written_leaves_the_host_as_it_was()
    {
        _book.Asked(Host, "t1");
        _time.Advance(Wait);
        Assert.True(_book.TryClose(Host, Note));
        _book.Reopen(Host);
        Assert.NotNull(_book.Grant(Host, Note, Lease));
    }

    [Fact]
    public void A_watchdog_that_was_not_seen_armed_closes_nothing()
    {
        _time.Advance(TimeSpan.FromDays(9));
        Assert.False(_book.TryClose(Host, Note with { Confirmed = false }));
        Assert.False(_book.TryClose(Host, null));
    }
}

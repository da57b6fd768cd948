using System.Text;
using Godwit.Agent.Inventory;
using Godwit.Core;
using Godwit.Core.Rebuild;
using Xunit;

namespace Godwit.Tests.Agent;

/// <summary>A host's copy of what people have set: the newest wins, whatever order they come in, also over a restart.</summary>
public sealed class NotesKeptTests
{
    private readonly MemoryDisk disk = new();

    [Fact]
    public async Task The_newest_is_kept_and_the_next_agent_has_it()
    {
        var notes = Agent();
        Assert.Equal(KeptNotes.None, await notes.ReadAsync(default));
        Assert.Equal(3, await notes.KeepAsync(new KeptNotes(3, "{\"new\":\"\\\"\"}"), default));
        Assert.Equal(3, await notes.KeepAsync(new KeptNotes(2, "{}"), default));
        Assert.Equal(3, await notes.KeepAsync(new KeptNotes(3, "{}"), default));
        Assert.Equal(new KeptNotes(3, "{\"new\":\"\\\"\"}"), await Agent().ReadAsync(default));
        Assert.Equal(4, await Agent().KeepAsync(new KeptNotes(4, "{}"), default));
        Assert.Equal(4, (await Agent().ReadAsync(default)).Version);
    }

    [Fact]
    public async Task A_copy_that_was_damaged_is_none_and_the_next_one_takes_its_place()
    {
        disk.Files["/state/cluster-notes.json"] = Encoding.UTF8.GetBytes("{\"Version\": 9, \"Docu");
        Assert.Equal(KeptNotes.None, await Agent().ReadAsync(default));
        Assert.Equal(1, await Agent().KeepAsync(new KeptNotes(1, "{}"), default));
        Assert.Equal(1, (await Agent().ReadAsync(default)).Version);
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(1, KeptNotes.CharactersMax + 1)]
    public async Task What_no_server_sends_is_refused(long version, int characters)
    {
        await Assert.ThrowsAsync<RefusedException>(() => Agent().KeepAsync(new KeptNotes(version, new string('x', characters)), default));
        Assert.Empty(disk.Files);
    }

    private NotesKept Agent() => new(disk, "/state");
}

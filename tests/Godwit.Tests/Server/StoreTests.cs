using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Migration;
using Godwit.Core.Vms;
using Godwit.Server.Operations;
using Godwit.Server.Store;
using Microsoft.Data.Sqlite;
using Xunit;

namespace Godwit.Tests.Control;

public sealed class StoreTests : IDisposable
{
    private readonly StoreUnderTest _store = new();
    private Stores Stores => _store.Stores;

    [Fact]
    public async Task What_was_committed_is_there_after_the_store_was_opened_again()
    {
        var vm = await _store.AddVmAsync("web");
        var move = await _store.BeginMoveAsync(vm, "h1");
        await Stores.Moves.SaveAsync(move with { Phase = Phase.Memory, Warnings = ["one"] });
        _store.OpenAgain();

        var read = Assert.Single(await Stores.Moves.UnfinishedAsync());
        Assert.Equal((Phase.Memory, "one"), (read.Phase, read.Warnings.Single()));
        Assert.Equal(vm.Spec.Disks, (await Stores.Vms.FindAsync("web"))!.Spec.Disks);
        Assert.Equal("7.2.22", (await Stores.Hosts.FindAsync(new HostId("h1")))!.Facts!.Qemus.Single().Version);
        Assert.Equal("mv-1", Assert.Single(await Stores.Operations.UnfinishedAsync()).Id);
    }

    [Fact]
    public async Task A_vm_has_at_most_one_operation_at_a_time_and_the_second_is_told_which()
    {
        var vm = await _store.AddVmAsync("web");
        var move = await _store.BeginMoveAsync(vm, "h1");
        var busy = Assert.IsType<Begun.Busy>(await Stores.Operations.BeginAsync(
            StoreUnderTest.MakeOperation(OperationKind.Stop, vm, "op-stop"), null));
        Assert.Equal("mv-1", busy.Holder.Id);

        await Stores.Moves.SaveAsync(move with { End = MoveEnd.RolledBack, Reason = "test" });
        Assert.IsType<Begun.Now>(await Stores.Operations.BeginAsync(StoreUnderTest.MakeOperation(OperationKind.Stop, vm, "op-stop"), null));
    }

    [Fact]
    public async Task The_database_itself_refuses_a_second_operation_whatever_the_code_does()
    {
        var vm = await _store.AddVmAsync("web");
        await _store.BeginMoveAsync(vm, "h1");
        using var other = new SqliteConnection($"Data Source={_store.Path};Pooling=False");
        other.Open();
        using var insert = other.CreateCommand();
        insert.CommandText = $"INSERT INTO operations (id, seq, kind, vm, ended, doc) VALUES ('x', 99, 'stop', '{vm.Spec.Id}', 0, '')";
        Assert.Throws<SqliteException>(() => insert.ExecuteNonQuery());
    }

    [Fact]
    public async Task The_same_request_begins_one_operation_however_often_it_is_sent()
    {
        var vm = await _store.AddVmAsync("web");
        await _store.BeginMoveAsync(vm, "h1", "mv-1", key: "k");
        var earlier = Assert.IsType<Begun.Earlier>(await Stores.Operations.BeginMoveAsync(
            StoreUnderTest.MakeOperation(OperationKind.Migrate, vm, "mv-2"), StoreUnderTest.MakeMove(vm, "h1", "mv-2"), "k"));
        Assert.Equal("mv-1", earlier.Operation.Id);
        Assert.Single(await Stores.Moves.ListAsync(null, false, 10));
    }

    [Fact]
    public async Task A_request_key_belongs_to_the_first_request_that_used_it()
    {
        Assert.True(await Stores.Operations.RememberRequestAsync("k", "POST a"));
        Assert.True(await Stores.Operations.RememberRequestAsync("k", "POST a"));
        Assert.False(await Stores.Operations.RememberRequestAsync("k", "POST b"));
        _store.OpenAgain();
        Assert.False(await Stores.Operations.RememberRequestAsync("k", "POST b"));
    }

    [Fact]
    public async Task Ownership_only_grows()
    {
        var vm = await _store.AddVmAsync("web");
        await _store.AddHostAsync("h2");
        var (h1, h2, id) = (new HostId("h1"), new HostId("h2"), vm.Spec.Id);
        await Stores.Moves.RecordOwnerAsync(id, h2, new Epoch(2), VmState.Running);
        await Stores.Moves.RecordOwnerAsync(id, h1, new Epoch(1), VmState.Crashed);
        await Stores.Moves.RecordOwnerAsync(id, h1, new Epoch(2), VmState.Crashed);
        var now = await Stores.Moves.ReadVmAsync(id);
        Assert.Equal((h2, new Epoch(2), VmState.Running), (now.Owner, now.Epoch, now.State));
        await Stores.Moves.RecordOwnerAsync(id, h2, new Epoch(2), VmState.Paused);
        Assert.Equal(VmState.Paused, (await Stores.Moves.ReadVmAsync(id)).State);
    }

    [Fact]
    public async Task A_cancel_that_was_asked_for_survives_every_later_save()
    {
        var move = await _store.BeginMoveAsync(await _store.AddVmAsync("web"), "h1");
        await Stores.Moves.RequestCancelAsync(move.Id);
        await Stores.Moves.SaveAsync(move with { Phase = Phase.Checking });
        Assert.True((await Stores.Moves.ReadAsync(move.Id)).CancelRequested);
    }

    [Fact]
    public async Task A_move_that_has_ended_cannot_end_otherwise()
    {
        var move = await _store.BeginMoveAsync(await _store.AddVmAsync("web"), "h1");
        await Stores.Moves.SaveAsync(move with { End = MoveEnd.Done });
        await Assert.ThrowsAsync<InvariantBrokenException>(() => Stores.Moves.SaveAsync(move with { End = MoveEnd.RolledBack }));
        Assert.Equal(MoveEnd.Done, (await Stores.Moves.ReadAsync(move.Id)).End);
        Assert.Null((await Stores.Moves.RequestCancelAsync(move.Id))!.CancelRequested ? "cancelled" : null);
    }

    [Fact]
    public async Task Memory_is_promised_once_and_never_more_than_there_is()
    {
        // 8 GiB offer 7.2 GiB; each guest counts 1.25 GiB with its overhead: one runs already, four more fit.
        await _store.AddHostAsync("target");
        await _store.AddVmAsync("there", "target", number: 100);
        var reserved = 0;
        for (var i = 1; i <= 8; i++)
        {
            var vm = await _store.AddVmAsync($"vm{i}", number: i);
            var move = await _store.BeginMoveAsync(vm, "target", $"mv-{i}");
            var refusal = await Stores.Moves.ReserveAsync(move.Id, new HostId("target"), vm.Spec.MemoryBytes + Host.QemuOverheadBytes);
            if (refusal is null) reserved++;
            else Assert.Equal("memory-short", refusal.Code);
        }
        Assert.Equal(4, reserved);

        await Stores.Moves.ReleaseReservationAsync(new MoveId("mv-1"));
        Assert.Null(await Stores.Moves.ReserveAsync(new MoveId("mv-8"), new HostId("target"), 1280L << 20));
        Assert.Null(await Stores.Moves.ReserveAsync(new MoveId("mv-8"), new HostId("target"), 1280L << 20));
    }

    [Fact]
    public async Task Racing_reservations_on_many_threads_never_overbook()
    {
        await _store.AddHostAsync("target");
        for (var i = 1; i <= 20; i++) await _store.BeginMoveAsync(await _store.AddVmAsync($"vm{i}", number: i), "target", $"mv-{i}");
        var answers = await Task.WhenAll(Enumerable.Range(1, 20).Select(i => Task.Run(() =>
            Stores.Moves.ReserveAsync(new MoveId($"mv-{i}"), new HostId("target"), 1280L << 20))));
        Assert.Equal(5, answers.Count(refusal => refusal is null));
        var room = (await Stores.Hosts.RoomsAsync()).Single(r => r.Host.Id.Value == "target");
        Assert.Equal(5 * (1280L << 20), room.PromisedBytes);
    }

    [Fact]
    public async Task A_guest_is_not_counted_twice_while_its_reservation_stands()
    {
        var vm = await _store.AddVmAsync("web", "h1");
        await _store.AddHostAsync("h2");
        var move = await _store.BeginMoveAsync(vm, "h2");
        await Stores.Moves.ReserveAsync(move.Id, new HostId("h2"), 1280L << 20);
        await Stores.Moves.RecordOwnerAsync(vm.Spec.Id, new HostId("h2"), new Epoch(2), VmState.Running);
        Assert.Equal([0, 1280L << 20], (await Stores.Hosts.RoomsAsync()).Select(r => r.PromisedBytes));
        await Stores.Moves.ReleaseReservationAsync(move.Id);
        Assert.Equal([0, 1280L << 20], (await Stores.Hosts.RoomsAsync()).Select(r => r.PromisedBytes));
    }

    [Fact]
    public async Task A_report_older_than_the_last_change_is_not_adopted()
    {
        await _store.AddVmAsync("web");
        var known = Assert.Single(await Stores.Vms.KnownAsync(new HostId("h1")));
        await Stores.Vms.SetStateAsync(known.Vm.Spec.Id, known.Vm.Epoch, VmState.Paused);
        var crashed = known.Vm with { State = VmState.Crashed };
        Assert.False(await Stores.Vms.AdoptAsync(known, crashed, new Happening("x", "x")));
        known = Assert.Single(await Stores.Vms.KnownAsync(new HostId("h1")));
        Assert.True(await Stores.Vms.AdoptAsync(known, crashed, new Happening("x", "x")));
    }

    [Fact]
    public async Task A_report_is_not_adopted_while_something_is_done_with_the_vm()
    {
        var vm = await _store.AddVmAsync("web");
        await _store.BeginMoveAsync(vm, "h1");
        var known = Assert.Single(await Stores.Vms.KnownAsync(new HostId("h1")));
        Assert.True(known.IsBusy);
        Assert.False(await Stores.Vms.AdoptAsync(known, vm with { State = VmState.Crashed }, new Happening("x", "x")));
    }

    [Fact]
    public async Task Names_uids_and_macs_are_given_out_once()
    {
        await _store.AddVmAsync("web", number: 1);
        var sameNumbers = StoreUnderTest.MakeVm("other", "h1", number: 1);
        Assert.Null(await Stores.Operations.BeginCreateAsync(
            StoreUnderTest.MakeOperation(OperationKind.Create, sameNumbers, "op-1"), sameNumbers, null));
        var sameName = StoreUnderTest.MakeVm("web", "h1", number: 2) with { };
        sameName = sameName with { Spec = sameName.Spec with { Id = new VmId("vm-other") } };
        var refused = Assert.IsType<Begun.Refused>(await Stores.Operations.BeginCreateAsync(
            StoreUnderTest.MakeOperation(OperationKind.Create, sameName, "op-2"), sameName, null));
        Assert.Equal("name-taken", refused.Reason.Code);
    }

    [Fact]
    public async Task Old_events_are_dropped_and_numbers_go_on()
    {
        await Stores.Database.RunAsync(work =>
        {
            for (var i = 0; i < EventStore.KeptMax + 250; i++) EventStore.Append(work, new Happening("test", $"{i}"), FakeCluster.Now);
        });
        Assert.Equal(EventStore.KeptMax + 250, await Stores.Events.LastSeqAsync());
        var oldest = (await Stores.Events.AfterAsync(0, 1)).Single().Seq;
        Assert.InRange(oldest, 200, 251);
    }

    [Fact]
    public void A_store_of_another_schema_is_left_alone()
    {
        using (var other = new SqliteConnection($"Data Source={_store.Path};Pooling=False"))
        {
            other.Open();
            using var update = other.CreateCommand();
            update.CommandText = "UPDATE meta SET value = '999' WHERE name = 'schema'";
            update.ExecuteNonQuery();
        }
        var refused = Assert.Throws<InvalidDataException>(() => new SqliteDatabase(_store.Path, _ => { }));
        Assert.Contains("999", refused.Message);
    }

    [Fact]
    public async Task A_damaged_store_ends_the_process_and_is_not_written_again()
    {
        await _store.AddVmAsync("web");
        using (var other = new SqliteConnection($"Data Source={_store.Path};Pooling=False"))
        {
            other.Open();
            using var update = other.CreateCommand();
            update.CommandText = "PRAGMA wal_checkpoint(TRUNCATE)";
            update.ExecuteNonQuery();
        }
        using (var file = File.OpenWrite(_store.Path))
        {
            file.Position = 4096;
            file.Write(Enumerable.Repeat((byte)0xA5, (int)file.Length - 4096).ToArray());
        }
        await Assert.ThrowsAsync<StoreFailedException>(() => Stores.Vms.ListAsync());
        Assert.NotEmpty(_store.Broken);
        Assert.Throws<StoreFailedException>(() => new SqliteDatabase(_store.Path, _ => { }));
    }

    public void Dispose() => _store.Dispose();
}

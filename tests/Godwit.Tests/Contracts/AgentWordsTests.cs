using System.Text.Json;
using CsCheck;
using Godwit.Agent.Rpc;
using Godwit.Core;
using Godwit.Core.Fencing;
using Godwit.Core.Inventory;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Google.Protobuf;
using Xunit;
using Words = Godwit.Contracts;

namespace Godwit.Tests.Rpc;

/// <summary>What one side says, as bytes, the other side understands to be the same record.</summary>
public sealed class AgentWordsTests
{
    private const int Samples = 200;

    [Fact]
    public void Specs_arrive_as_they_were_sent() => Gens.Spec.Sample(spec =>
        Same(spec, FromServer.Record(Bytes(ToAgent.Message(spec), Words.VmSpec.Parser))), iter: Samples);

    /// <summary>As a server or an agent of the version before sends it: the field is not there.</summary>
    [Fact]
    public void A_spec_that_says_nothing_of_a_display_has_none()
    {
        var words = ToAgent.Message(Agent.Machines.Samples.Spec with { Display = Display.Vnc });
        words.Display = Words.Display.Unspecified;
        Assert.Equal(Display.None, FromServer.Record(Bytes(words, Words.VmSpec.Parser)).Display);
        words.Display = (Words.Display)7;
        Assert.Throws<InvalidDataException>(() => FromServer.Record(words));
    }

    [Fact]
    public void Disks_arrive_as_they_were_sent() => Gens.Disk.Sample(disk =>
        Same(disk, FromServer.Record(Bytes(ToAgent.Message(disk), Words.DiskSpec.Parser))), iter: Samples);

    [Fact]
    public void Orders_to_start_arrive_as_they_were_sent() => Gens.Start.Sample(order =>
        Same(order, FromServer.Record(Bytes(ToAgent.Message(order), Words.StartVmRequest.Parser))), iter: Samples);

    [Fact]
    public void Incoming_orders_arrive_as_they_were_sent() => Gens.Incoming.Sample(order =>
        Same(order, FromServer.Record(Bytes(ToAgent.Message(order), Words.IncomingOrder.Parser))), iter: Samples);

    [Fact]
    public void Outgoing_orders_arrive_as_they_were_sent() => Gens.Outgoing.Sample(order =>
        Same(order, FromServer.Record(Bytes(ToAgent.Message(order), Words.OutgoingOrder.Parser))), iter: Samples);

    [Fact]
    public void Refresh_orders_arrive_as_they_were_sent() => Gens.Refresh.Sample(order =>
        Same(order, FromServer.Record(Bytes(ToAgent.Message(order), Words.RefreshOrder.Parser))), iter: Samples);

    [Fact]
    public void Lists_of_denied_hosts_arrive_as_they_were_sent() => Gens.Denied.Sample(denied =>
    {
        var arrived = FromServer.Record(Bytes(ToAgent.Message(denied), Words.DenyList.Parser));
        Assert.Equal(denied.Hosts, arrived.Hosts);
        Assert.Equal(denied.Digest, arrived.Digest);
    }, iter: Samples);

    [Fact]
    public void Leases_arrive_as_they_were_sent()
    {
        Gens.Grant.Null().Sample(grant =>
            Same(grant, LeaseToServer.Record(Bytes(LeaseFromAgent.Message(grant), Words.RenewLeaseRequest.Parser).Grant)), iter: Samples);
        Gens.Watchdog.Null().Sample(watchdog => Same(new LeaseAnswer("t", watchdog), LeaseFromAgent.Record(
            Bytes(LeaseToServer.Message(new LeaseAnswer("t", watchdog)), Words.LeaseAnswer.Parser))), iter: Samples);
        Assert.Throws<InvalidDataException>(() => LeaseFromAgent.Record(new Words.WatchdogFacts { TimeoutSeconds = 0 }));
        Assert.Throws<InvalidDataException>(() => LeaseFromAgent.Record(new Words.WatchdogFacts { TimeoutSeconds = 86_400 }));
    }

    [Fact]
    public void Every_proof_arrives_as_it_was_sent()
    {
        foreach (var proof in Enum.GetValues<TargetProof>())
            Assert.Equal(proof, FromServer.Record(ToAgent.Message(new MoveId("mv-1"), proof).Proof));
    }

    [Fact]
    public void Host_facts_arrive_as_they_were_sent() => Gens.Host.Sample(facts =>
        Same(facts, FromAgent.Record(Bytes(ToServer.Message(facts), Words.HostFacts.Parser))), iter: Samples);

    [Fact]
    public void Vm_reports_arrive_as_they_were_sent() => Gens.Report.Sample(report =>
        Same(report, FromAgent.Record(Bytes(ToServer.Message(report), Words.VmReport.Parser))), iter: Samples);

    [Fact]
    public void Inventories_arrive_as_they_were_sent() => Gens.Report.Sample(report =>
    {
        var inventory = new HostInventory
        {
            Vms = [new(report.Spec, report.Epoch, report.IsOwner, report.State, report.QemuPid is null, report.Note)],
            Moves =
            [
                .. Enum.GetValues<MoveStanding>().Select(s => new MoveHolding(
                    new("mv-1"), report.Spec.Id, (MoveSide)((int)s % 3), s, report.Epoch, (int)s % 2 == 0 ? new HostId("h2") : null,
                        (int)s % 5 == 0)),
            ],
            Unreadable = [new(report.Spec.Id, "torn")],
            Files = [new("default", "template-x", 5, 6), new("default", "vm-x", 7)],
            FilesLeftOff = report.IsOwner,
            Leaks = [.. Enum.GetValues<LeakKind>().Select(k => new Leak(k, (int)k % 2 == 0 ? report.Spec.Id : null, $"thing {k}",
                $"what {k}"))],
            Denied = [new(new("h9"), DateTimeOffset.FromUnixTimeSeconds(1_800_000_000))],
        };
        Same(inventory, InventoryFromAgent.Record(Bytes(InventoryToServer.Message(inventory), Words.HostInventory.Parser)));
        Assert.Equal(inventory.Leaks, inventory.Leaks.Select(InventoryFromAgent.Message).Select(InventoryToServer.Record));
        var known = new VmEpoch(report.Spec.Id, report.Epoch, report.IsOwner);
        Assert.Equal(known, InventoryFromAgent.Record(InventoryToServer.Message(known)));
    }, iter: Samples);

    [Fact]
    public void Source_facts_arrive_as_they_were_sent() => Gens.Source.Sample(facts =>
        Same(facts, FromAgent.Record(Bytes(ToServer.Message(facts), Words.SourceFacts.Parser))), iter: Samples);

    [Fact]
    public void Target_facts_arrive_as_they_were_sent() => Gens.Target.Sample(facts =>
        Same(facts, FromAgent.Record(Bytes(ToServer.Message(facts), Words.TargetFacts.Parser))), iter: Samples);

    [Fact]
    public void Move_status_arrives_as_it_was_sent() => Gens.Status.Sample(status =>
        Same(status, FromAgent.Record(Bytes(ToServer.Message(status), Words.MoveStatus.Parser))), iter: Samples);

    [Fact]
    public void What_an_incoming_target_offers_comes_through_the_server_unchanged() => Gens.Ready.Sample(ready =>
        Same(ready, FromAgent.Record(Bytes(ToServer.Message(ready), Words.IncomingReady.Parser))), iter: Samples);

    [Fact]
    public void Images_and_saved_states_arrive_as_they_were_sent()
    {
        Gens.Image.Sample(image =>
            Same(image, FromAgent.Record(Bytes(ToServer.Message(image), Words.ImportedImage.Parser))), iter: Samples);
        Gens.Saved.Sample(saved =>
            Same(saved, FromAgent.Record(Bytes(ToServer.Message(saved), Words.SavedVm.Parser))), iter: Samples);
    }

    [Fact]
    public void Every_reason_of_a_refusal_arrives() => Gens.Refusals.Sample(reasons =>
        Same(reasons, FromAgent.Record(Bytes(
            ToServer.Message(new RefusedException(reasons)), Words.Refused.Parser)).Reasons), iter: Samples);

    [Theory]
    [InlineData(typeof(VmState), typeof(Words.VmState))]
    [InlineData(typeof(Accelerator), typeof(Words.Accelerator))]
    [InlineData(typeof(Phase), typeof(Words.Phase))]
    [InlineData(typeof(MoveMode), typeof(Words.MoveMode))]
    [InlineData(typeof(MoveStanding), typeof(Words.MoveStanding))]
    [InlineData(typeof(TargetProof), typeof(Words.TargetProof))]
    public void Every_enum_on_the_wire_is_ours_plus_one_by_name(Type ours, Type wire)
    {
        var expected = Enum.GetNames(ours).Select((name, index) => (name, index + 1)).Prepend(("Unspecified", 0));
        Assert.Equal(expected, Enum.GetNames(wire).Select(n => (n, (int)Enum.Parse(wire, n))));
    }

    [Fact]
    public void A_word_from_a_newer_version_is_refused_and_not_taken_for_a_known_one()
    {
        Assert.Throws<InvalidDataException>(() =>
            FromAgent.Record(new Words.MoveStatus { MoveId = "mv-1", Standing = (Words.MoveStanding)99 }));
        Assert.Throws<InvalidDataException>(() =>
            FromAgent.Record(new Words.MoveStatus { MoveId = "mv-1" }));
        Assert.Throws<InvalidDataException>(() => FromServer.Record((Words.TargetProof)99));
    }

    [Fact]
    public void An_order_with_a_missing_part_is_refused()
    {
        Assert.Throws<InvalidDataException>(() => FromServer.Record(new Words.StartVmRequest { Epoch = 1 }));
        Assert.Throws<InvalidDataException>(() => FromServer.Move(""));
        Assert.Throws<InvalidDataException>(() => FromAgent.Record(new Words.TargetFacts()));
    }

    private static T Bytes<T>(T message, MessageParser<T> parser) where T : IMessage<T> =>
        parser.ParseFrom(message.ToByteArray());

    /// <summary>By their JSON: records hold lists, and lists compare by identity.</summary>
    private static void Same<T>(T sent, T received) =>
        Assert.Equal(JsonSerializer.Serialize(sent), JsonSerializer.Serialize(received));
}

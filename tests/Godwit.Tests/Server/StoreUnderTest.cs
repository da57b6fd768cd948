using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Placement;
using Godwit.Core.Vms;
using Godwit.Server.Balancing;
using Godwit.Server.Hosts;
using Godwit.Server.Operations;
using Godwit.Server.Placing;
using Godwit.Server.Store;
using Microsoft.Extensions.Time.Testing;

namespace Godwit.Tests.Control;

/// <summary>The records on a real SQLite file, which can be closed and opened again as after a crash.</summary>
internal sealed class StoreUnderTest : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-store-").FullName;
    private SqliteDatabase _database;

    public StoreUnderTest() => (_database, Stores) = Open();

    public FakeTimeProvider Time { get; } = new(FakeCluster.Now);
    public Stores Stores { get; private set; }
    public string Path => System.IO.Path.Combine(_directory, "godwit.db");
    public List<Exception> Broken { get; } = [];

    public void OpenAgain()
    {
        _database.Dispose();
        (_database, Stores) = Open();
    }

    public async Task<Vm> AddVmAsync(
        string name, string host = "h1", VmState state = VmState.Running, int number = 1, long memoryMib = 1024)
    {
        if (await Stores.Hosts.FindAsync(new HostId(host)) is null) await AddHostAsync(host);
        var vm = MakeVm(name, host, number, memoryMib);
        var create = MakeOperation(OperationKind.Create, vm, $"op-create-{name}");
        Xunit.Assert.IsType<Begun.Now>(await Stores.Operations.BeginCreateAsync(create, vm, null));
        await Stores.Operations.EndAsync(create, new Happening("vm-created", name),
            work => VmStore.SetState(work, vm.Spec.Id, vm.Epoch, state, null));
        return (await Stores.Vms.FindAsync(vm.Spec.Id))!;
    }

    public Task AddHostAsync(string host, long memoryBytes = 8L << 30) =>
        Stores.Hosts.SaveAsync(new HostId(host), $"{host}:7443", FakeCluster.Facts(memoryBytes));

    public async Task<Migration> BeginMoveAsync(Vm vm, string target, string id = "mv-1", string? key = null)
    {
        var move = MakeMove(vm, target, id);
        Xunit.Assert.IsType<Begun.Now>(await Stores.Operations.BeginMoveAsync(MakeOperation(OperationKind.Migrate, vm, id), move, key));
        return move;
    }

    /// <summary>As of now, with nothing measured and nothing under way.</summary>
    public static PlacementScene Scene(IReadOnlyList<HostRoom> rooms, IReadOnlyList<Vm> vms, PlacementPolicy? policy = null) => new(
        new ClusterSnapshot(FakeCluster.Now, rooms, vms, [], new HashSet<VmId>(), new HashSet<HostId>(), _ => null, _ => null)
        { PinsUnmeasured = false }, policy ?? new PlacementPolicy());

    public static Vm MakeVm(string name, string host, int number = 1, long memoryMib = 1024) => new()
    {
        Spec = Rpc.GrpcHostAgentTests.Spec() with
        {
            Id = new VmId($"vm-{name}"),
            Name = name,
            Uid = 1_900_000_000 + number,
            MemoryBytes = memoryMib << 20,
            Nics = [new NicSpec("br0", $"52:54:00:00:00:{number:x2}")],
        },
        Owner = new HostId(host),
        Epoch = new Epoch(1),
        State = VmState.Stopped,
        CreatedAt = FakeCluster.Now,
    };

    public static Operation MakeOperation(OperationKind kind, Vm vm, string id) =>
        new() { Id = id, Kind = kind, Vm = vm.Spec.Id, VmName = vm.Spec.Name, CreatedAt = FakeCluster.Now };

    public static Migration MakeMove(Vm vm, string target, string id) => new()
    {
        Id = new MoveId(id),
        Vm = vm.Spec.Id,
        VmName = vm.Spec.Name,
        Source = vm.Owner,
        Target = new HostId(target),
        Mode = MoveMode.Live,
        Limits = new MoveLimits(),
        Epoch = vm.Epoch,
        Phase = Phase.Queued,
        CreatedAt = FakeCluster.Now,
    };

    public void Dispose()
    {
        _database.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private (SqliteDatabase, Stores) Open()
    {
        var database = new SqliteDatabase(Path, Broken.Add);
        return (database, new Stores(database, Time));
    }
}

namespace Godwit.Server.Store;

/// <summary>All records, over one database.</summary>
public sealed class Stores(Database database, TimeProvider time)
{
    public Database Database { get; } = database;
    public HostStore Hosts { get; } = new(database, time);
    public VmStore Vms { get; } = new(database, time);
    public TemplateStore Templates { get; } = new(database, time);
    public OperationStore Operations { get; } = new(database, time);
    public MoveStore Moves { get; } = new(database, time);
    public DrainStore Drains { get; } = new(database, time);
    public BalancerStore Balancer { get; } = new(database, time);
    public PowerStore Power { get; } = new(database, time);
    public PlacementStore Placement { get; } = new(database, time);
    public LoadStore Loads { get; } = new(database);
    public LinkStore Links { get; } = new(database);
    public EventStore Events { get; } = new(database, time);
    public AccessStore Access { get; } = new(database, time);
    public AuditStore Audit { get; } = new(database, time);
    public NotesStore Notes { get; } = new(database);
    public FreezeStore Frozen { get; } = new(database, time);
    public FenceStore Fences { get; } = new(database, time);
    public IdentityStore Identity { get; } = new(database, time);
    public CountStore Counts { get; } = new(database);
}

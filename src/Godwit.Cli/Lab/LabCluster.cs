using Godwit.Cli.Api;
using Godwit.Core.Identity;
using Godwit.Server.Api;

namespace Godwit.Cli.Lab;

/// <summary>What a lab may have beyond its plan.</summary>
/// <param name="Qemus">QEMU binaries of every host, the first is the default; empty: the machine's own.</param>
public sealed record LabOptions(IReadOnlyList<string>? Qemus = null)
{
    /// <summary>Give every host a QEMU 10 beside the machine's own; <see cref="LabCluster.NewerQemu"/> is its path.</summary>
    public bool WithNewerQemu { get; init; }
    /// <summary>Environment of every agent, <c>NAME=value</c>.</summary>
    public IReadOnlyList<string> AgentSettings { get; init; } = [];
    /// <summary>Environment of the server, likewise.</summary>
    public IReadOnlyList<string> ServerSettings { get; init; } = [];
    /// <summary>More words of the server's command line.</summary>
    public IReadOnlyList<string> ServerArguments { get; init; } = [];
    /// <summary>More words of each agent's command line.</summary>
    public Func<LabHost, IReadOnlyList<string>> AgentArguments { get; init; } = static _ => [];
    /// <summary>Told in words what is being done, for people who wait.</summary>
    public Action<string> Tell { get; init; } = static _ => { };
}

/// <summary>
/// A whole cluster on one machine: server and agents as processes of their own, each in its namespace, the lab template
/// imported. <see cref="StopAsync"/> removes everything; so does starting the next lab of the same tag, so a killed
/// program leaves nothing for long.
/// </summary>
public sealed class LabCluster : IAsyncDisposable
{
    public const string TemplateName = "lab";
    public const string SharedPoolName = "shared";
    public const string LocalPoolName = "local";
    private const int AgentPort = 7443;
    private const int LinkPort = 7444;
    private static readonly TimeSpan StartMax = TimeSpan.FromMinutes(4);

    private readonly LabOptions _options;
    private readonly ApiClient _client;
    private readonly List<LabService> _agents = [];
    private bool _keep;

    private LabCluster(LabPlan plan, LabFolder folder, LabOptions options)
    {
        (Plan, Folder, _options) = (plan, folder, options);
        _client = ServerWay.Client(new ServerAddress(plan.ServerSocket, IsChosen: true));
        Network = new LabNetwork(plan);
        Guests = new GuestControl(plan, folder);
        Server = new LabService("server", plan.ServerNamespace,
            ["server", "--state", Path.Combine(plan.DataDirectory, "server"), "--socket", plan.ServerSocket,
                .. options.ServerArguments],
            Path.Combine(plan.DataDirectory, "server.log"));
    }

    public LabPlan Plan { get; }
    public LabFolder Folder { get; }
    public LabNetwork Network { get; }
    public GuestControl Guests { get; }
    public LabService Server { get; }
    /// <summary>In the order of the hosts.</summary>
    public IReadOnlyList<LabService> Agents => _agents;
    public Prober Prober { get; private set; } = null!;
    public string? NewerQemu { get; private set; }
    internal GodwitApi Api => new(_client);
    internal AccessApi Access => new(_client);

    /// <summary>All is up when this returns: hosts ready, template imported, prober listening.</summary>
    /// <exception cref="LabException">Something did not come up; everything is removed again.</exception>
    public static async Task<LabCluster> StartAsync(LabPlan plan, LabOptions options, CancellationToken cancel)
    {
        var cluster = new LabCluster(plan, LabFolder.Find(), options);
        try
        {
            await cluster.StartAllAsync(cancel);
            return cluster;
        }
        catch
        {
            await cluster.StopAsync();
            throw;
        }
    }

    /// <summary>Removes a lab by its tag, whoever started it and whatever state it is in.</summary>
    public static async Task RemoveAsync(LabPlan plan)
    {
        await new LabNetwork(plan).DeleteAsync(); // Every process of the lab is in one of its namespaces.
        await LabShell.TryAsync(["umount", "--lazy", "--quiet", plan.RunDirectory]);
        foreach (var directory in plan.Directories)
            if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
    }

    /// <summary>The lab goes on after this object is disposed of (<c>godwit lab up</c>).</summary>
    public void Keep() => _keep = true;

    /// <summary>The address a VM's first network card gives its guest.</summary>
    internal static string AddressOf(VmView vm) => GuestAddress.Of(vm.Spec.Nics[0].Mac);

    /// <summary>Path of a VM's first disk as this machine sees it; read it only while the VM is stopped.</summary>
    internal string DiskOf(VmView vm) => Path.Combine(Plan.SharedPool, vm.Spec.Disks[0].File);

    public async Task StopAsync()
    {
        if (Prober is not null) await Prober.DisposeAsync();
        _client.Dispose();
        if (!_keep) await RemoveAsync(Plan);
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    private async Task StartAllAsync(CancellationToken cancel)
    {
        _options.Tell("Preparing the lab's guest");
        await Folder.BuildAsync(cancel);
        _options.Tell($"Making {Plan.HostCount} hosts out of network namespaces");
        await RemoveAsync(Plan);
        await Network.CreateAsync(cancel);
        foreach (var note in Network.Notes) _options.Tell(note);
        await MakeDirectoriesAsync();
        Prober = await Prober.StartAsync(Plan, Folder);
        if (_options.WithNewerQemu) NewerQemu = await Folder.NewerQemuAsync(Plan.DataDirectory, cancel);

        _options.Tell("Starting the server");
        await Server.StartAsync(cancel, _options.ServerSettings);
        await Server.WaitUntilAsync<object, ApiException>(async () => await Api.HostsAsync(cancel), StartMax, cancel);
        _options.Tell("Starting the agents");
        foreach (var host in Plan.Hosts) _agents.Add(await StartAgentAsync(host, cancel));
        foreach (var (host, agent) in Plan.Hosts.Zip(_agents))
            await agent.WaitUntilAsync<HostView, ApiException>(
                () => Api.AddHostAsync(new AddHostRequest(host.Name, $"{host.ManagementAddress}:{AgentPort}"), cancel), StartMax, cancel);
        _options.Tell("Importing the lab's template");
        await using var image = File.OpenRead(Folder.Template);
        await Api.ImportTemplateAsync(TemplateName, "qcow2", SharedPoolName, image, cancel);
    }

    private async Task<LabService> StartAgentAsync(LabHost host, CancellationToken cancel)
    {
        var identity = Path.Combine(host.DataDirectory, "identity.pem");
        var token = await Api.CreateJoinTokenAsync(new CreateJoinTokenRequest(host.Name), cancel);
        await Services.JoinRun.RunAsync(_client, JoinToken.Parse(token.Text), host.Name, $"{host.ManagementAddress}:{AgentPort}", identity,
            TimeProvider.System, cancel);
        var own = _options.Qemus ?? (NewerQemu is null ? [] : Services.ServiceDefaults.Qemus());
        string[] qemus = [.. own.Concat(NewerQemu is null ? [] : [NewerQemu]).SelectMany(path => (string[])["--qemu", path])];
        var agent = new LabService($"agent of {host.Name}", host.Namespace,
            ["agent", "--identity", identity, "--listen", $"{host.ManagementAddress}:{AgentPort}",
                "--link", $"{host.MigrationAddress}:{LinkPort}", "--state", Path.Combine(host.DataDirectory, "state"),
                "--run", host.RunDirectory, "--pool", $"{SharedPoolName}={Plan.SharedPool}",
                "--pool", $"{LocalPoolName}={host.LocalPool}", "--shares-machine", .. qemus, .. _options.AgentArguments(host)],
            Path.Combine(host.DataDirectory, "agent.log"));
        await agent.StartAsync(cancel, _options.AgentSettings);
        return agent;
    }

    /// <summary>
    /// VMs run as uids of their own: they pass through every directory, and list none. Guests' memory lies as it does on a host that
    /// agents prepare: in huge pages where the kernel has them.
    /// </summary>
    private async Task MakeDirectoriesAsync()
    {
        const UnixFileMode passThrough = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        foreach (var directory in Plan.Directories) Directory.CreateDirectory(directory, passThrough);
        await LabShell.TryAsync(["mount", "-t", "tmpfs", "-o", "size=95%,mode=0711,huge=advise", "godwit", Plan.RunDirectory]);
        Directory.CreateDirectory(Plan.SharedPool, passThrough);
        foreach (var host in Plan.Hosts)
            foreach (var directory in (string[])[host.RunDirectory, host.DataDirectory, host.LocalPool])
                Directory.CreateDirectory(directory, passThrough);
    }
}

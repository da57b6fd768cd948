namespace Godwit.Cli.Services;

/// <summary>Where a host and a server keep their things when nobody says otherwise.</summary>
internal static class ServiceDefaults
{
    public const string ServerState = "/var/lib/godwit/server";
    public const string AgentState = "/var/lib/godwit/agent";
    public const string AgentRun = "/run/godwit/agent";
    public const string PoolName = "default";
    public const string Pool = "/var/lib/godwit/pool";
    public const int AgentPort = 7443;
    public const int LinkPort = 7444;

    private static readonly string[] qemuPlaces =
        ["/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm"];

    public static IReadOnlyList<string> Qemus() => [.. qemuPlaces.Where(File.Exists)];
}

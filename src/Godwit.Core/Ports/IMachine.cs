namespace Godwit.Core.Ports;

/// <summary>Unguessable and unique values. Seeded in simulation.</summary>
public interface IRandomness
{
    /// <summary><paramref name="bytes"/> random bytes as lower-case hex.</summary>
    string NextHex(int bytes);
}

/// <summary>
/// Small durable files: journals, specs, records. Every write is atomic and durable on return (written beside, synced,
/// renamed, directory synced). Throws <see cref="IOException"/>; a failed write means the step is not taken.
/// </summary>
public interface IDisk
{
    Task WriteDurablyAsync(string path, ReadOnlyMemory<byte> content, CancellationToken cancel);
    /// <summary>
    /// An empty file that every process sees on return, also once this one is dead; a power cut may take it. Waits for no
    /// device on tmpfs. No error where it is there already.
    /// </summary>
    void Touch(string path);
    /// <summary>Null where there is no such file. Refuses files over <paramref name="bytesMax"/>.</summary>
    Task<byte[]?> ReadAsync(string path, int bytesMax, CancellationToken cancel);
    /// <summary>Plain names in the directory, sorted ordinal; empty where there is no such directory.</summary>
    IReadOnlyList<string> List(string directory);
    /// <summary>Null where there is no such regular file; symbolic links are not followed.</summary>
    long? SizeOf(string path);
    /// <summary>Of a directory that is there: the name the kernel has for what it lies on, "tmpfs". Asks no device.</summary>
    string FileSystemOf(string directory) => "tmpfs";
    void CreateDirectory(string path);
    /// <summary>The same, for who must not wait on its thread for a disk that may hang.</summary>
    Task CreateDirectoryAsync(string path)
    {
        CreateDirectory(path);
        return Task.CompletedTask;
    }
    /// <summary>Mode 0700, owned by <paramref name="ownerUid"/> (uid and gid): only that uid, and root, may enter.</summary>
    void CreateOwnedDirectory(string path, int ownerUid);
    /// <summary>No error where it is not there.</summary>
    void DeleteFile(string path);
    void DeleteDirectory(string path);
    /// <summary>A guest's memory: its name is gone on return, its pages soon after. No error where it is not there.</summary>
    void DeleteMemory(string path) => DeleteFile(path);
    /// <summary>Finishes what <see cref="DeleteMemory"/> of a former agent left in the directory above.</summary>
    void DeleteLeftAside(string directory) { }
    /// <summary>
    /// Gives a finished file its owner (uid and gid), its mode and its name, durable on return; <paramref name="from"/>
    /// is gone then. Never over another file: <see cref="IOException"/> where <paramref name="to"/> is there.
    /// </summary>
    Task PublishAsync(string from, string to, int ownerUid, UnixFileMode mode, CancellationToken cancel);
    /// <summary>Really opens the file as that uid would, and closes it: null, or why not in the system's words.</summary>
    Task<string?> WhyNotOpenableAsync(string path, int uid, bool write, CancellationToken cancel);

    /// <summary>A large file, written in one go beside <paramref name="path"/>; nothing has that name until it is committed.</summary>
    Task<ILargeFile> CreateLargeAsync(string path, CancellationToken cancel);
    /// <summary>For reading. Throws <see cref="FileNotFoundException"/>. Follows no symbolic link.</summary>
    Task<Stream> OpenLargeAsync(string path, CancellationToken cancel);
    /// <summary>
    /// Gives a file in memory its pages ahead of use, in the background; ends early when cancelled. A hint: never fails.
    /// </summary>
    Task PopulateAsync(string path, CancellationToken cancel) => Task.CompletedTask;
    /// <summary>How fast a file in the directory is given its pages, tried with one of its own; 0 where that cannot be told.</summary>
    double GivenBytesPerSecond(string directory) => 0;
    /// <summary>
    /// Null where a page written to a file in the directory leaves those beside it as holes (<see cref="IMemoryFile.FillHoles"/> relies on
    /// that); else why not, as half a sentence.
    /// </summary>
    string? WhyNotByThePage(string directory) => null;
    /// <summary>To look into a guest's memory while it runs. Throws <see cref="IOException"/>. Follows no symbolic link.</summary>
    /// <param name="toFill">For <see cref="IMemoryFile.FillHoles"/>, too.</param>
    IMemoryFile OpenMemory(string path, bool toFill = false) => throw new IOException($"{path}: no guest's memory can be looked into here");
}

/// <summary>A file of a guest's memory, as it is at each look. Looking changes nothing: what is absent stays absent.</summary>
public interface IMemoryFile : IDisposable
{
    long LengthBytes { get; }
    /// <summary>
    /// Where pages are, ascending; all else reads as zeros. At most <paramref name="rangesMax"/>: the last then reaches to the end.
    /// </summary>
    IReadOnlyList<(long Offset, long Bytes)> PresentRanges(int rangesMax);
    /// <summary>Of the pages it has, asked for at once however many they are.</summary>
    long AllocatedBytes => PresentRanges(int.MaxValue).Sum(range => range.Bytes);
    /// <summary>Fills <paramref name="into"/> from <paramref name="offset"/>; throws <see cref="IOException"/> past the end.</summary>
    void Read(long offset, Span<byte> into);
    /// <summary>
    /// Writes those whole pages of <paramref name="content"/> that lie on holes, each at once, and leaves all others as they are; returns
    /// how many it wrote. For memory that nobody else gives pages to meanwhile.
    /// </summary>
    int FillHoles(long offset, ReadOnlySpan<byte> content) => throw new IOException("this memory cannot be filled");
    /// <summary>Whole pages that nobody needs any more: they become holes. A hint, of memory opened to be filled.</summary>
    void Free(long offset, long bytes) { }
}

/// <summary>Disposing without <see cref="CommitAsync"/> removes what was written.</summary>
public interface ILargeFile : IAsyncDisposable
{
    Stream Content { get; }
    /// <summary>Synced, renamed, directory synced: durable under its name on return.</summary>
    Task CommitAsync();
}

/// <summary>Processes on this host. A process is known by pid and start time: a pid alone may be somebody else's.</summary>
public interface IProcesses
{
    /// <summary>Runs to its end; output capped at 1 MiB; killed after <paramref name="timeout"/>.</summary>
    Task<CommandResult> RunAsync(Command command, TimeSpan timeout, CancellationToken cancel);
    /// <summary>Starts a process that outlives this agent (own session, or a systemd scope).</summary>
    Task<ProcessHandle> StartDetachedAsync(Command command, string logPath, CancellationToken cancel);
    bool IsAlive(ProcessHandle process);
    /// <summary>SIGKILL; true once it is proved gone (waits at most <paramref name="timeout"/>).</summary>
    Task<bool> KillAsync(ProcessHandle process, TimeSpan timeout);
    /// <summary>Completes when the process is gone, whoever started it.</summary>
    Task WaitForExitAsync(ProcessHandle process, CancellationToken cancel);
    /// <summary>Null where <see cref="Command.Share"/> is kept; else why this host cannot, as half a sentence.</summary>
    string? WhyNoShares => null;
    /// <summary>
    /// True of a process whose threads wait where memory is missing (userfaultfd): until it lets go of that, no hole fills itself.
    /// </summary>
    bool MayWaitForMemory(ProcessHandle process) => false;
    /// <summary>
    /// Threads of the process that wait for a page of that memory file (userfaultfd) look again. Nothing where none can wait. Throws
    /// <see cref="IOException"/> where the system does not let this agent.
    /// </summary>
    void WakeWaitersFor(ProcessHandle process, string memoryFile) { }
    /// <summary>What is left of a share whose processes are gone. No error where there is nothing.</summary>
    void RemoveShare(string name) { }
    /// <summary>Names of the shares there are, used or not; empty where none are kept.</summary>
    IReadOnlyList<string> Shares => [];
}

/// <param name="RunAsUid">Uid and gid to run as, with no capability left and none to gain; null is the agent's own.</param>
public sealed record Command(string Program, IReadOnlyList<string> Arguments, int? RunAsUid = null)
{
    /// <summary>The one supplementary group kept with <see cref="RunAsUid"/> (<c>kvm</c>); null is none.</summary>
    public string? KeepGroup { get; init; }
    /// <summary>Host processors it may run on, as taskset lists them ("0-3"); null is all.</summary>
    public string? Cpus { get; init; }
    /// <summary>Address space in bytes and processor seconds it may use; null is without limit.</summary>
    public (long MemoryBytes, int CpuSeconds)? Limits { get; init; }
    /// <summary>The largest file it may write, in bytes; null is without limit.</summary>
    public long? FileBytesMax { get; init; }
    /// <summary>No network, not even this host's own sockets by address; needs root.</summary>
    public bool WithoutNetwork { get; init; }
    /// <summary>The only files it sees, beside the system's programs and libraries; null is all. Needs root.</summary>
    public FileView? Sees { get; init; }
    /// <summary>How much of the host it may use, where the host can keep that (<see cref="IProcesses.WhyNoShares"/>).</summary>
    public HostShare? Share { get; init; }
    /// <summary>What it reads on standard input; null is nothing.</summary>
    public string? Input { get; init; }
}

/// <summary>Files and directories of this host, by their paths there, which are the same for the process that sees them.</summary>
public sealed record FileView
{
    public IReadOnlyList<string> ReadOnly { get; init; } = [];
    public IReadOnlyList<string> Writable { get; init; } = [];
    /// <summary>Device files that may be used as such.</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];
    /// <summary>Read-only, and may be run.</summary>
    public IReadOnlyList<string> Programs { get; init; } = [];
}

/// <param name="Name">Plain file name, unique on the host.</param>
/// <param name="TasksMax">Processes and threads.</param>
/// <param name="CpuWeight">1 to 10000; 100 is what one without a share has.</param>
/// <param name="IoWeight">1 to 10000; as <paramref name="CpuWeight"/>.</param>
public sealed record HostShare(string Name, long MemoryBytesMax, int TasksMax, int CpuWeight, int IoWeight);

public sealed record CommandResult(int ExitCode, string Output, string Error);
/// <param name="StartTicks">Field 22 of /proc/PID/stat: clock ticks after boot.</param>
public readonly record struct ProcessHandle(int Pid, long StartTicks);

/// <summary>Byte connections. Streams returned are full duplex; reading 0 bytes means the peer closed.</summary>
public interface INetwork
{
    Task<Stream> ConnectUnixAsync(string path, CancellationToken cancel);
    /// <summary>Removes a stale socket file first; mode 0600, owned by <paramref name="ownerUid"/>.</summary>
    Task<IListener> ListenUnixAsync(string path, int ownerUid, CancellationToken cancel);
    /// <summary>TLS 1.3 to another agent; fails unless the peer proves to be <paramref name="peer"/>.</summary>
    Task<PeerConnection> ConnectPeerAsync(string endpoint, HostId peer, CancellationToken cancel);
    /// <summary>Accepts agents of this cluster only; the peer's name comes from its certificate.</summary>
    Task<IPeerListener> ListenPeersAsync(string endpoint, CancellationToken cancel);
}

public interface IListener : IAsyncDisposable { Task<Stream> AcceptAsync(CancellationToken cancel); }
public interface IPeerListener : IAsyncDisposable
{
    string Endpoint { get; }
    Task<PeerConnection> AcceptAsync(CancellationToken cancel);
}

/// <param name="Peer">Who the other side proved to be.</param>
/// <param name="Security">As read from the connection: "TLS 1.3, TLS_AES_128_GCM_SHA256".</param>
public sealed record PeerConnection(Stream Stream, HostId Peer, string Security);

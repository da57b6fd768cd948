using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Ports;
using Godwit.Core.Vms;
using Godwit.Server.Agents;
using Godwit.Server.Hosts;
using Godwit.Server.Store;

namespace Godwit.Server.Templates;

/// <summary>template import and delete. The bytes go straight to an agent of the pool; nothing is kept here.</summary>
public sealed class TemplateVerbs(Stores stores, AgentDirectory agents, TimeProvider time)
{
    /// <summary>auto: the content decides. A format that is said must be that of the content.</summary>
    private static readonly string[] Formats = ["auto", "raw", "qcow2", "vmdk", "vhdx", "vhd", "ova"];
    private readonly SemaphoreSlim _gate = new(1);
    private int _imports;

    /// <summary>Safe to repeat: what a name's latest version is already is that version.</summary>
    public async Task<(Template Template, string Kind)> ImportAsync(ImportWish wish, Stream content, CancellationToken cancel)
    {
        Check(wish);
        var (host, pool, share) = await WhereAsync(wish);
        await InGateAsync(() => Task.FromResult(_imports++));
        try
        {
            var image = await agents.Of(host).ImportImageAsync(new ImportImage(pool, wish.Format), content, cancel);
            var template = new Template
            {
                Name = wish.Name,
                Pool = pool,
                Share = share,
                File = image.File,
                Format = image.Format,
                Sha256 = image.Sha256,
                VirtualBytes = image.VirtualBytes,
                FileBytes = image.FileBytes,
                CreatedAt = time.GetUtcNow(),
                By = wish.By,
                Note = PersonsNote.Kept(wish.Note),
            };
            var (kept, refusal) = await stores.Templates.AddAsync(template, wish.IsNewVersion);
            if (kept is not null) return (kept, image.Kind);
            await DropUnusedAsync(host, template, cancel);
            throw new RefusedException([refusal!]);
        }
        finally
        {
            await InGateAsync(() => Task.FromResult(_imports--));
        }
    }

    /// <param name="choice">Without a version: all of them.</param>
    public async Task DeleteAsync(TemplateChoice choice, CancellationToken cancel)
    {
        var going = (await stores.Templates.ListAsync())
            .Where(t => t.Name == choice.Name && (choice.Version is null || t.Version == choice.Version)).ToList();
        if (going.Count == 0) throw new RefusedException([TemplateStore.NotFound(choice)]);
        var rooms = await stores.Hosts.RoomsAsync();
        foreach (var template in going) HostOf(rooms, template); // Before anything is forgotten.
        await InGateAsync(async () =>
        {
            if (_imports > 0) // It may be importing these very bytes.
                throw new RefusedException("template-import-running", "a template is being imported", "delete when that is done");
            var (refusal, files) = await stores.Templates.RemoveAsync(choice); // First the record: no new clone of it.
            if (refusal is not null) throw new RefusedException([refusal]);
            foreach (var template in files) await agents.Of(HostOf(rooms, template)).DeleteDiskAsync(FileOf(template), cancel);
            return true;
        });
    }

    private static HostId HostOf(IReadOnlyList<HostRoom> rooms, Template template) =>
        rooms.FirstOrDefault(r => Holds(r, template) && r.Host.Answers)?.Host.Id
        ?? throw new RefusedException("template-unreachable", $"no host that answers has the pool {template.Pool} of {template}",
            "wait until one does: 'godwit host list'");

    public static bool Holds(HostRoom room, Template template) => room.Shares.GetValueOrDefault(template.Pool) == template.Share;

    private async Task<(HostId Host, string Pool, string Share)> WhereAsync(ImportWish wish)
    {
        var rooms = await stores.Hosts.RoomsAsync();
        if (wish.Host is not null && rooms.All(r => r.Host.Id.Value != wish.Host)) throw HostVerbs.NotFound(new HostId(wish.Host));
        var ready = rooms.Where(r =>
            r.Host.Answers && (wish.Host is null || r.Host.Id.Value == wish.Host)).ToList();
        var pools = ready.SelectMany(r => r.Shares.Keys).Distinct().Order(StringComparer.Ordinal).ToList();
        var pool = wish.Pool ?? (wish.IsNewVersion ? (await stores.Templates.FindAsync(new(wish.Name, null)))?.Pool : null);
        if (pool is null && pools.Count != 1)
            throw new RefusedException("bad-pool",
                pools.Count == 0 ? "no host that answers has a pool it can write to"
                    : $"there are several pools: {string.Join(", ", pools)}",
                pools.Count == 0 ? "give an agent --pool NAME=DIRECTORY: 'godwit host list'" : "say which with --pool");
        pool ??= pools[0];
        // The pool that most hosts share: clones can run on, and move between, all of them.
        var best = ready.Where(r => r.Shares.ContainsKey(pool)).GroupBy(r => r.Shares[pool])
            .OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal).FirstOrDefault()
            ?? throw new RefusedException("pool-missing", $"no host that answers has a pool {pool} it can write to",
                $"give an agent --pool {pool}=DIRECTORY, or choose among {string.Join(", ", pools)}");
        return (best.First().Host.Id, pool, best.Key);
    }

    /// <summary>The name was taken: its bytes are of no use, unless they are another template's as well.</summary>
    private Task<bool> DropUnusedAsync(HostId host, Template template, CancellationToken cancel) => InGateAsync(async () =>
    {
        var used = (await stores.Templates.ListAsync()).Any(t => t.Share == template.Share && t.File == template.File);
        if (!used && _imports == 1) await agents.Of(host).DeleteDiskAsync(FileOf(template), cancel);
        return true;
    });

    private static DiskSpec FileOf(Template template) => new(template.Pool, template.File, template.Format, template.VirtualBytes);

    private static void Check(ImportWish wish)
    {
        var reasons = new List<Refusal>();
        if (!Names.IsValid(wish.Name))
            reasons.Add(new("bad-name", $"'{wish.Name}' cannot be a template's name", $"a name is {Names.Rule}"));
        if (!Formats.Contains(wish.Format))
            reasons.Add(new("bad-format", $"'{wish.Format}' is no format of an image", $"say one of {string.Join(", ", Formats)}"));
        if (wish.Pool is not null && !Names.IsValid(wish.Pool))
            reasons.Add(new("bad-pool", $"'{wish.Pool}' cannot be a pool's name", $"a name is {Names.Rule}"));
        if (PersonsNote.WhyNot(wish.Note) is { } note) reasons.Add(note);
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }

    private async Task<T> InGateAsync<T>(Func<Task<T>> inside)
    {
        await _gate.WaitAsync();
        try
        {
            return await inside();
        }
        finally
        {
            _gate.Release();
        }
    }
}

/// <param name="Format">As the person said, or <c>auto</c>; the agent's inspector holds the content against it.</param>
public sealed record ImportWish(string Name, string Format, string? Pool, string? Host)
{
    /// <summary>Where the name is taken: the next version of it, and in its pool unless another is named.</summary>
    public bool IsNewVersion { get; init; }
    /// <summary>Kept with the version: <see cref="PersonsNote"/>.</summary>
    public string? Note { get; init; }
    /// <summary>Who asks.</summary>
    public string? By { get; init; }
}

namespace Godwit.WebConsole.Live;

/// <summary>The VMs a person has picked, by name, in the order they were picked. Goes with the person from page to page.</summary>
public sealed class Selection
{
    private readonly List<string> picked = [];
    private string? last;

    public IReadOnlyList<string> Picked => picked;

    public bool Has(string vm) => picked.Contains(vm);

    /// <summary>A click alone picks one and drops the others; with ctrl it adds or takes away, with shift it reaches.</summary>
    /// <param name="shown">All that can be picked, in the order they are shown.</param>
    public void Click(string vm, bool ctrl, bool shift, IReadOnlyList<string> shown)
    {
        if (shift && last is not null && Between(shown, last, vm) is { } reach)
        {
            picked.Clear();
            picked.AddRange(reach);
            return;
        }
        if (ctrl) Toggle(vm);
        else
        {
            var wasAlone = picked.Count == 1 && picked[0] == vm;
            picked.Clear();
            if (!wasAlone) picked.Add(vm);
        }
        last = vm;
    }

    public void Toggle(string vm)
    {
        if (!picked.Remove(vm)) picked.Add(vm);
        last = vm;
    }

    public void Clear() => picked.Clear();

    /// <summary>What is gone is picked no longer.</summary>
    public void KeepOnly(IReadOnlyCollection<string> there) => picked.RemoveAll(vm => !there.Contains(vm));

    private static IEnumerable<string>? Between(IReadOnlyList<string> shown, string one, string other)
    {
        var (from, to) = (IndexOf(one), IndexOf(other));
        return from < 0 || to < 0 ? null : shown.Skip(Math.Min(from, to)).Take(Math.Abs(to - from) + 1);

        int IndexOf(string vm) => shown.ToList().IndexOf(vm);
    }
}

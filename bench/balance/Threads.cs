using Godwit.Core.Balance.Search;

namespace Godwit.Balance;

/// <summary>Cells on a fixed number of threads.</summary>
internal sealed class Threads(int count) : ICellRunner
{
    public void Run(int cells, Action<int> solve) =>
        Parallel.For(0, cells, new ParallelOptions { MaxDegreeOfParallelism = count }, solve);
}

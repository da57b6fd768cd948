namespace Godwit.Benchmarks;

internal static class PacingBenchmark
{
    public static Task<int> RunAsync(string[] arguments) => throw new NotSupportedException(string.Join(' ', arguments));
}

using Godwit.Benchmarks;

// Each measurement is a verb; "role" is how a measurement starts its own second and third process.
return args switch
{
    ["link", .. var rest] => await LinkBenchmark.RunAsync(rest),
    ["pacing", .. var rest] => await PacingBenchmark.RunAsync(rest),
    ["role", .. var rest] => await LinkRole.RunAsync(rest),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        godwit-bench link [GiB]      bytes per second and core of the link, beside plain TLS, TCP and AES-GCM
        godwit-bench pacing [GiB]    throughput and backlog over 1 Gbit/s, beside an unpaced copy (root, ip, tc)
        """);
    return 2;
}

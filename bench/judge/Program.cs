using Godwit.Balance;

// CP-SAT beside our own drain: figures go to the terminal.
return args switch
{
    ["drain", var generator, var hosts, var vms, .. var seeds] when seeds.Length > 0 => DrainJudge.Large(generator, hosts, vms, seeds),
    ["small", var count] => DrainJudge.Small(count),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        godwit-judge drain GENERATOR HOSTS VMS SEED...   one host emptied, all under 80 % CPU and 90 % memory, then with as little
                                                         room as there can be: beside CP-SAT's proved optimum
        godwit-judge small COUNT                         small clusters all but full, beside CP-SAT's proved optimum
        GENERATOR is the path of cluster-gen.py.
        """);
    return 2;
}

using Godwit.Balance;

// One verb a measurement; figures go to the terminal.
return args switch
{
    ["hbal", .. var rest] => CompareWithHbal.Run(rest),
    ["scale", .. var rest] => Scale.Run(rest),
    ["oracle", .. var rest] => SmallInstances.Run(rest),
    ["replan", .. var rest] => AfterOneChange.Run(rest),
    ["looks", .. var rest] => LookAfterLook.Run(rest),
    ["drain", .. var rest] => DrainBound.Run(rest),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("""
        godwit-balance hbal GENERATOR HOSTS VMS SEED [SCORE MOVES]   beside hbal, judged by hbal (apt: ganeti-htools, python3);
                                                                     SCORE and MOVES: hbal's, where it was run before
        godwit-balance scale GENERATOR HOSTS VMS SEED MOVES ROUNDS   large clusters: time, memory, one thread and two
        godwit-balance replan GENERATOR HOSTS VMS SEED               planning again after one change of a planned cluster
        godwit-balance looks HOSTS VMS SEED                          looks of the balancer, each from nothing, one after the other
        godwit-balance oracle COUNT                                  small instances beside the best of all placements
        godwit-balance drain GENERATOR HOSTS VMS SEED                one host emptied, all under 80 % CPU and 90 % memory,
                                                                     beside a bound that no plan can be under
        GENERATOR is the path of cluster-gen.py.
        """);
    return 2;
}

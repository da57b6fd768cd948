using Xunit;

// One at a time: a lab cluster is several QEMUs, and two cores are all that can be counted on.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

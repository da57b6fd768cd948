namespace Godwit.Simulator.Loop;

/// <summary>A run of the simulator that went wrong: what, when, and the seed that brings it back.</summary>
public sealed class SimFailedException(string message, Exception? inner = null) : Exception(message, inner);

using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Godwit.Tests")]
[assembly: InternalsVisibleTo("Godwit.LabTests")]

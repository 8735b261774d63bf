using Expecto;
using Expecto.CSharp;

namespace OptimalStopping.Theory.CSharp.Tests;

/// <summary>Every test of this project, for tests/All.</summary>
public static class FaceTests
{
    public static Test Tests { get; } = Runner.TestList("Theory from C#", [SurfaceTests.Tests, CallerTests.Tests]);
}

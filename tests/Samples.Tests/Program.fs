module Samples.Tests.Program

[<EntryPoint>]
let main argv = Support.Runner.runAll argv (System.Reflection.Assembly.GetExecutingAssembly())

module Architecture.Tests.Program

/// With --circles it shows every circle, known or not, and those of other assemblies that are named.
[<EntryPoint>]
let main argv =
    match List.ofArray argv with
    | "--circles" :: names ->
        for name in (if names.IsEmpty then CircleTests.assemblies else names) do
            let circles = CircleTests.arrows (CircleTests.graphs (CircleTests.load name))
            printfn $"{name}: {circles.Count} arrows on circles"
            for KeyValue(arrow, circle) in circles do
                printfn $"  {arrow}\n{circle}"
        0
    | _ -> Support.Runner.runAll argv (System.Reflection.Assembly.GetExecutingAssembly())

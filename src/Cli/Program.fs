module OptimalStopping.Cli.Program

[<EntryPoint>]
let main _ = 0

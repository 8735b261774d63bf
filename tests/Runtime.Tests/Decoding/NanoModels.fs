/// The embedded ladder's models, loaded once for all tests.
module Runtime.Tests.Decoding.NanoModels

open System.IO
open OptimalStopping.Runtime.Ladder
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks

/// The repository, found from a file that only its root has.
let root =
    let rec find (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "no Toolkit.sln above the tests"
        | folder when File.Exists(Path.Combine(folder.FullName, "Toolkit.sln")) -> folder.FullName
        | folder -> find folder.Parent
    find (DirectoryInfo System.AppContext.BaseDirectory)

let private loaded = lazy (ModelLadder.Load(LadderFile.Load(Path.Combine(root, "configs", "nano.yaml"))))
let ladder () = loaded.Value
let models () : ITokenModel[] = Seq.toArray (ladder ()).Models

/// Test prompts as tokens, each once.
let prompts (seed: int) (count: int) : int[][] =
    QueryGenerator(seed, QuerySplit.Test).Distinct count |> Array.map (fun q -> (ladder ()).Tokenizer.Encode q.Prompt)

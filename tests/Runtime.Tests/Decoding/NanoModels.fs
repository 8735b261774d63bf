/// The embedded ladder's models, loaded once for all tests.
module Runtime.Tests.Decoding.NanoModels

open System.IO
open OptimalStopping.Runtime.Ladder
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks


let private loaded = lazy (ModelLadder.Load(LadderFile.Load(Path.Combine(Support.Repository.root, "configs", "nano.yaml"))))
let ladder () = loaded.Value
let models () : ITokenModel[] = Seq.toArray (ladder ()).Models

/// Test prompts as tokens, each once.
let prompts (seed: int) (count: int) : int[][] =
    QueryGenerator(seed, QuerySplit.Test).Distinct count |> Array.map (fun q -> (ladder ()).Tokenizer.Encode q.Prompt)

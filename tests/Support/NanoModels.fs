/// The embedded cascade's models, loaded once for all tests.
module Support.NanoModels

open System.IO
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks


let private loaded = lazy (Cascade.Load(CascadeFile.Load(Path.Combine(Support.Repository.root, "configs", "nano.yaml"))))
let cascade () = loaded.Value
let models () : ITokenModel[] = Seq.toArray (cascade ()).Models

/// Test prompts as tokens, each once.
let prompts (seed: int) (count: int) : int[][] =
    QueryGenerator(seed, QuerySplit.Test).Distinct count |> Array.map (fun q -> (cascade ()).Tokenizer.Encode q.Prompt)

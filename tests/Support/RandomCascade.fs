/// Cascades of small models with random weights: real files, real engine, answers without sense.
module Support.RandomCascade

open System.IO
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization

/// The text of a cascade file for models in the folders 1, 2, ... beside it, with costs 1, 2, 4, ...
let yaml (models: int) (maxTokens: int) (queries: int) =
    let stages = [ for k in 1..models -> $"  - {{ name: m{k}, path: {k}, cost: {1 <<< (k - 1)} }}\n" ] |> String.concat ""
    $"name: random\nstages:\n{stages}max_tokens: {maxTokens}\ncalibration_queries: {queries}\ntest_queries: {queries}\ncalibration_trace: calibration.jsonl\nreuse: always\n"

/// Writes models and cascade.yaml into the folder and returns the path of the latter.
let write (folder: string) (models: int) (maxTokens: int) (queries: int) : string =
    for k in 1..models do
        let path = Directory.CreateDirectory(Path.Combine(folder, string k)).FullName
        let config = RandomCheckpoint.config (16 * k) 1 2 1 8 32 CharacterTokenizer.Nano.VocabularySize true
        RandomCheckpoint.save path config (RandomCheckpoint.tensors config (RandomCheckpoint.weights config k))
        File.WriteAllText(Path.Combine(path, "tokenizer.json"), CharacterTokenizer.Nano.ToJson())
    let file = Path.Combine(folder, "cascade.yaml")
    File.WriteAllText(file, yaml models maxTokens queries)
    file

/// Runs the action with such a cascade, loaded, and its folder; both are gone afterwards.
let using (models: int) (maxTokens: int) (queries: int) (action: Cascade -> string -> unit) =
    use folder = new RandomCheckpoint.TemporaryFolder()
    use cascade = Cascade.Load(CascadeFile.Load(write folder.Path models maxTokens queries))
    action cascade folder.Path

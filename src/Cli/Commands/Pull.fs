/// `toolkit pull`: models from the hub that they are published on, into its cache or a folder.
module OptimalStopping.Cli.Commands.Pull

open System
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Hub
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type PullArguments =
    | [<MainCommand; Unique>] Repository of repository: string
    | Config of file: string
    | Revision of revision: string
    | File of name: string
    | To of dir: string
    | Parallel of int
    | Dry_Run
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Repository _ -> "the repository, as in Qwen/Qwen3-0.6B."
            | Config _ -> "instead: everything that the stages of this cascade file need."
            | Revision _ -> "a branch, a tag or a commit (default: main)."
            | File _ -> "the one file that is wanted, of a repository with several .gguf files."
            | To _ -> "the folder for the files (default: the hub's cache, where other programs find them)."
            | Parallel _ -> $"files under way at the same time (default: {HubPull.Parallel})."
            | Dry_Run -> "show what would be fetched."
            | Json -> "print JSON."

/// What the stages of a cascade need from the hub. A stage that names a path beside the repository wants its files there.
let requestsOf (file: CascadeFile) : PullRequest list =
    [ for stage in file.Stages do
          match stage.Repository with
          | null -> ()
          | repository when stage.IsInCache -> PullRequest repository
          | repository when isNull repository.File -> PullRequest(repository, stage.Path)
          | repository -> PullRequest(repository, nonNull (IO.Path.GetDirectoryName stage.Path)) ]

/// Fetches with a progress bar.
let fetch (requests: PullRequest list) (parallel': int) (cancel: CancellationToken) : PulledModel list =
    let settings = HubSettings.FromEnvironment()
    let mutable models: PulledModel list = []
    Progress.show (fun report ->
        let relay =
            { new IProgress<struct (int64 * int64)> with
                member _.Report(struct (finished, total)) =
                    report.Invoke($"fetching {float total / float (1L <<< 30):F2} GiB", float finished / float (max total 1L)) }
        models <- HubPull.FetchAsync(requests, settings, parallel', relay, cancel).GetAwaiter().GetResult() |> List.ofSeq)
    models

let private mebibytes (bytes: int64) = number (float bytes / float (1L <<< 20)) 1

let private print (json: bool) (verb: string) (models: PulledModel list) =
    if json then
        printJson
            {| models =
                [| for m in models ->
                       {| repository = m.Repository.Name
                          revision = m.Repository.Revision
                          commit = m.Commit
                          path = m.Path
                          bytes = m.Bytes
                          fetched_bytes = m.Fetched |} |] |}
    else
        for m in models do
            printfn $"{m.Repository.Name} at {m.Commit}: {mebibytes m.Bytes} MiB, {verb} {mebibytes m.Fetched} MiB: {m.Path}"

let execute (arguments: ParseResults<PullArguments>) (cancel: CancellationToken) =
    let parallel' = arguments.GetResult(Parallel, defaultValue = HubPull.Parallel)
    if parallel' < 1 || parallel' > 64 then raise (UsageException $"--parallel: expected 1 to 64, got {parallel'}")
    let requests =
        match arguments.TryGetResult Repository, arguments.TryGetResult PullArguments.Config with
        | Some name, None ->
            let revision = arguments.GetResult(Revision, defaultValue = HubRepository.MainBranch)
            if not (HubRepository.IsName name) then
                raise (UsageException $"pull: expected a repository of the hub, as in Qwen/Qwen3-0.6B, got '{name}'")
            if not (HubRepository.IsRevision revision) then
                raise (UsageException $"--revision: expected a branch, a tag or a commit, got '{revision}'")
            [ PullRequest(
                  HubRepository(name, revision, arguments.TryGetResult File |> Option.toObj),
                  arguments.TryGetResult To |> Option.map IO.Path.GetFullPath |> Option.toObj
              ) ]
        | None, Some config ->
            if arguments.Contains Revision || arguments.Contains File || arguments.Contains To then
                raise (
                    UsageException "pull: expected --revision, --file and --to with a repository alone; the cascade file has keys for them"
                )
            match requestsOf (CascadeFile.Load config) with
            | [] -> raise (ToolkitException $"{config}: expected a stage with the key repository, got none")
            | requests -> requests
        | _ -> raise (UsageException "pull: expected a repository, as in Qwen/Qwen3-0.6B, or --config FILE")
    let json = arguments.Contains PullArguments.Json
    if arguments.Contains Dry_Run then
        HubPull.PreviewAsync(requests, HubSettings.FromEnvironment(), cancel).GetAwaiter().GetResult()
        |> List.ofSeq
        |> print json "to fetch"
    else
        fetch requests parallel' cancel |> print json "fetched"

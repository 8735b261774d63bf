/// A hub of models on the loopback interface that speaks the published interface of the real one: lists of files with
/// hashes, redirects to a store on another origin for large files, ETags, ranges, tokens; and it can fail as told.
module Support.TestHub

open System
open System.Collections.Concurrent
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open Microsoft.AspNetCore.Builder
open Microsoft.AspNetCore.Hosting
open Microsoft.AspNetCore.Hosting.Server
open Microsoft.AspNetCore.Hosting.Server.Features
open Microsoft.AspNetCore.Http
open Microsoft.Extensions.DependencyInjection
open Microsoft.Extensions.Logging

/// A file of a repository; large ones are in Git LFS.
type HubContent = { Name: string; Bytes: byte[]; Large: bool }

let private hex (bytes: byte[]) = Convert.ToHexStringLower bytes

/// What git calls a content.
let blobId (bytes: byte[]) = SHA1.HashData(Array.append (Encoding.ASCII.GetBytes $"blob {bytes.Length}\000") bytes) |> hex

/// The name under which a cache keeps a content.
let tag (file: HubContent) = if file.Large then hex (SHA256.HashData file.Bytes) else blobId file.Bytes

/// A commit's name, made from what it holds.
let commitOf (files: HubContent list) =
    SHA1.HashData(Encoding.UTF8.GetBytes(String.Join(";", files |> List.map (fun f -> f.Name + tag f)))) |> hex

type Request = { Method: string; Path: string; Range: string; Authorization: string; Store: bool }

/// Repositories by name. The store for large files listens on another port, so that it is another origin.
type TestHub(repositories: Map<string, HubContent list>) =
    let requests = ConcurrentQueue<Request>()
    let mutable endpoint, store = Uri "http://localhost", Uri "http://localhost"
    let repository (name: string) = repositories |> Map.tryFind name
    let header (context: HttpContext) (name: string) (value: string) = context.Response.Headers[name] <- value
    let refuse (context: HttpContext) status (code: string) (message: string) =
        context.Response.StatusCode <- status
        header context "X-Error-Code" code
        header context "X-Error-Message" message
        Task.CompletedTask
    member val Token: string option = None with get, set
    /// Called before a request is answered; true: it has been answered.
    member val Before: HttpContext -> bool = (fun _ -> false) with get, set
    /// The bytes of a file's answer after which the connection is cut; called for each.
    member val Cut: unit -> int option = (fun () -> None) with get, set
    member val KnowsRanges = true with get, set
    /// What is sent in the place of a file's bytes.
    member val Change: byte[] -> byte[] = id with get, set
    /// Waits after each 64 KiB, so that there is time to be killed in.
    member val Wait = TimeSpan.Zero with get, set
    member _.Requests = requests.ToArray()
    member _.Endpoint = endpoint
    member private this.Send (context: HttpContext) (file: HubContent) : Task = task {
        let bytes = this.Change file.Bytes
        header context "ETag" $"\"{tag file}\""
        header context "Accept-Ranges" "bytes"
        let range = string context.Request.Headers.Range
        let from = if this.KnowsRanges && range.StartsWith "bytes=" then int (range.Substring(6).TrimEnd '-') else 0
        if from >= bytes.Length && from > 0 then
            context.Response.StatusCode <- 416
            header context "Content-Range" $"bytes */{bytes.Length}"
        else
            if from > 0 then
                context.Response.StatusCode <- 206
                header context "Content-Range" $"bytes {from}-{bytes.Length - 1}/{bytes.Length}"
            context.Response.ContentLength <- int64 (bytes.Length - from)
            let until = this.Cut() |> Option.map (fun cut -> min bytes.Length (from + cut)) |> Option.defaultValue bytes.Length
            let mutable at = from
            while at < until do
                let count = min 65536 (until - at)
                do! context.Response.Body.WriteAsync(ReadOnlyMemory(bytes, at, count), context.RequestAborted)
                at <- at + count
                if this.Wait > TimeSpan.Zero then
                    do! context.Response.Body.FlushAsync context.RequestAborted
                    do! Task.Delay(this.Wait, context.RequestAborted)
            if until < bytes.Length then
                do! context.Response.Body.FlushAsync context.RequestAborted
                context.Abort()
    }
    member private _.List (context: HttpContext) (files: HubContent list) : Task =
        let sibling (file: HubContent) : obj =
            if file.Large then
                {| rfilename = file.Name
                   size = file.Bytes.Length
                   blobId = blobId (Encoding.UTF8.GetBytes("pointer" + file.Name))
                   lfs = {| sha256 = tag file; size = file.Bytes.Length; pointerSize = 134 |} |}
            else
                {| rfilename = file.Name; size = file.Bytes.Length; blobId = tag file |}
        context.Response.WriteAsJsonAsync({| sha = commitOf files; ``private`` = false; siblings = files |> List.map sibling |})
    member private this.Answer(context: HttpContext) : Task =
        let path = (nonNull context.Request.Path.Value).Trim('/').Split '/'
        let authorization = string context.Request.Headers.Authorization
        let isStore = context.Connection.LocalPort = store.Port
        requests.Enqueue
            { Method = context.Request.Method
              Path = nonNull context.Request.Path.Value
              Range = string context.Request.Headers.Range
              Authorization = authorization
              Store = isStore }
        let known (name: string) (revision: string) (next: HubContent list -> Task) =
            match repository name with
            | _ when this.Token.IsSome && authorization <> $"Bearer {this.Token.Value}" ->
                refuse context 401 "RepoNotFound" "Invalid username or password."
            | None -> refuse context 404 "RepoNotFound" "Repository not found"
            | Some files when revision <> "main" && revision <> commitOf files ->
                refuse context 404 "RevisionNotFound" $"Invalid rev id: {revision}"
            | Some files -> next files
        if this.Before context then
            Task.CompletedTask
        elif isStore then
            match repositories.Values |> Seq.collect id |> Seq.tryFind (fun f -> f.Large && tag f = path[1]) with
            | Some file when authorization = "" && context.Request.QueryString.HasValue -> this.Send context file
            | _ -> refuse context 403 "" "the store takes signed addresses, and no token"
        else
            match path with
            | [| "api"; "models"; owner; name; "revision"; revision |] -> known $"{owner}/{name}" revision (this.List context)
            | [| owner; name; "resolve"; revision; file |] ->
                known $"{owner}/{name}" revision (fun files ->
                    match files |> List.tryFind (fun f -> f.Name = file) with
                    | None -> refuse context 404 "EntryNotFound" "Entry not found"
                    | Some found when not found.Large -> this.Send context found
                    | Some found ->
                        header context "X-Repo-Commit" (commitOf files)
                        header context "X-Linked-ETag" $"\"{tag found}\""
                        header context "X-Linked-Size" (string found.Bytes.Length)
                        header context "Location" $"{store}store/{tag found}?signature=secret"
                        context.Response.StatusCode <- 302
                        Task.CompletedTask)
            | _ -> refuse context 404 "" "no such page"
    member this.Start() =
        let builder = WebApplication.CreateSlimBuilder()
        builder.Logging.ClearProviders() |> ignore
        builder.WebHost.UseUrls("http://127.0.0.1:0", "http://127.0.0.1:0") |> ignore
        let app = builder.Build()
        app.Run(RequestDelegate this.Answer)
        app.StartAsync().Wait()
        let addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>() |> nonNull
        endpoint <- Uri(Seq.head addresses.Addresses)
        store <- Uri(Seq.last addresses.Addresses)
        { new IDisposable with
            member _.Dispose() =
                use soon = new CancellationTokenSource(TimeSpan.FromSeconds 1.0)
                app.StopAsync(soon.Token).Wait()
                app.DisposeAsync().AsTask().Wait() }

/// Runs the action with a started hub.
let withHub (repositories: (string * HubContent list) list) (action: TestHub -> 'a) : 'a =
    let hub = TestHub(Map repositories)
    use _ = hub.Start()
    action hub

/// The files of a folder as a repository; weights are large.
let contentsOf (folder: string) : HubContent list =
    [ for file in Directory.GetFiles folder |> Array.sort do
          { Name = nonNull (Path.GetFileName file)
            Bytes = File.ReadAllBytes file
            Large = file.EndsWith ".safetensors" || file.EndsWith ".gguf" || file.EndsWith "tokenizer.json" } ]

/// Models from a hub that behaves as the real one was reported to: right files, or one line that says what to do.
module Runtime.Tests.Hub.HubPullTests

open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Hub
open Support.RandomCheckpoint
open Support.TestHub

let private bytes (seed: int) (count: int) =
    let all = Array.zeroCreate count
    (Random seed).NextBytes all
    all

let private file name (content: byte[]) = { Name = name; Bytes = content; Large = false }
let private large name (content: byte[]) = { Name = name; Bytes = content; Large = true }

let private index = """{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"""B

let private model =
    [ file ".gitattributes" "x"B
      file "README.md" "a card"B
      file "config.json" "{\"model_type\": \"qwen3\"}"B
      file "merges.txt" ""B
      large "tokenizer.json" (bytes 1 300_000)
      file "model.safetensors.index.json" index
      large "model-00001-of-00002.safetensors" (bytes 2 1_000_003)
      large "model-00002-of-00002.safetensors" (bytes 3 700_001)
      large "pytorch_model.bin" (bytes 4 1000) ]

let private name = "Qwen/Tiny"
let private repository = HubRepository name

let private wanted =
    model |> List.filter (fun f -> f.Name <> ".gitattributes" && f.Name <> "README.md" && f.Name <> "pytorch_model.bin")

let private settings (hub: TestHub) (folder: TemporaryFolder) =
    HubSettings(
        hub.Endpoint,
        null,
        folder.File "hub",
        false,
        FirstWait = TimeSpan.FromMilliseconds 1.0,
        Silence = TimeSpan.FromSeconds 20.0
    )

let private fetchTo (settings: HubSettings) (requests: PullRequest list) =
    HubPull.FetchAsync(requests, settings, 4, null, CancellationToken.None).GetAwaiter().GetResult() |> List.ofSeq

let private fetch (settings: HubSettings) = fetchTo settings [ PullRequest repository ] |> List.exactlyOne

let private right (folder: string) =
    for f in wanted do
        Expect.equal (File.ReadAllBytes(Path.Combine(folder, f.Name))) f.Bytes f.Name
    let names = Directory.GetFiles folder |> Array.map Path.GetFileName |> Array.sort
    Expect.sequenceEqual names (wanted |> List.map _.Name |> List.sort) "only what loading needs"

/// A hub with the model, and a cache of its own.
let private withModel (action: TestHub -> TemporaryFolder -> 'a) =
    use folder = new TemporaryFolder()
    withHub [ name, model ] (fun hub -> action hub folder)

let private refused (settings: HubSettings) (requests: PullRequest list) (part: string) =
    let message =
        try
            fetchTo settings requests |> ignore
            "(no error)"
        with :? ToolkitException as e ->
            e.Message
    Expect.stringContains message part "says what is wrong"
    Expect.isFalse (message.Contains "secret") "no signed address in a message"

let private blob (folder: TemporaryFolder) (f: HubContent) = Path.Combine(folder.File "hub", "models--Qwen--Tiny", "blobs", tag f)
let private first = model |> List.find (fun f -> f.Name = "model-00001-of-00002.safetensors")

let private cacheTests =
    [ test "the cache's layout is the hub's: blobs by hash, relative links, the commit of the branch" {
          withModel (fun hub folder ->
              let pulled = fetch (settings hub folder)
              let commit = commitOf model
              let root = Path.Combine(folder.File "hub", "models--Qwen--Tiny")
              Expect.equal (pulled.Path, pulled.Commit) (Path.Combine(root, "snapshots", commit), commit) "place"
              right pulled.Path
              Expect.equal (File.ReadAllText(Path.Combine(root, "refs", "main"))) commit "refs/main"
              for f in wanted do
                  let link = FileInfo(Path.Combine(pulled.Path, f.Name)).LinkTarget
                  Expect.equal link (Path.Combine("..", "..", "blobs", tag f)) "a relative link"
              Expect.equal (Directory.GetFiles(Path.Combine(root, "blobs")).Length) wanted.Length "no parts are left"
              Expect.equal pulled.Fetched (wanted |> List.sumBy (fun f -> int64 f.Bytes.Length)) "bytes"
              Expect.equal (HubCache(folder.File "hub").Find repository) pulled.Path "found again")
      }
      test "what another program downloaded is found: nothing is fetched again, and offline it is enough" {
          withModel (fun hub folder ->
              let all = settings hub folder
              fetch all |> ignore
              let before = hub.Requests.Length
              let again = fetch all
              Expect.equal again.Fetched 0L "bytes"
              Expect.equal (hub.Requests.Length - before) 1 "only the list was asked for"
              let offline = HubSettings(hub.Endpoint, null, all.Cache, true)
              Expect.equal (fetch offline).Path again.Path "offline"
              Expect.equal (hub.Requests.Length - before) 1 "nothing was asked"
              File.Delete(blob folder first)
              refused offline [ PullRequest repository ] "and HF_HUB_OFFLINE is set")
      }
      test "a part that another program left is gone on with, by range" {
          withModel (fun hub folder ->
              let partial = blob folder first + ".incomplete"
              Directory.CreateDirectory(nonNull (Path.GetDirectoryName partial)) |> ignore
              File.WriteAllBytes(partial, first.Bytes[..599_999])
              let pulled = fetch (settings hub folder)
              right pulled.Path
              Expect.exists hub.Requests (fun r -> r.Range = "bytes=600000-") "asked for the rest"
              Expect.equal pulled.Fetched (wanted |> List.sumBy (fun f -> int64 f.Bytes.Length) |> (+) -600_000L) "bytes")
      }
      test "a part with wrong bytes is thrown away and fetched anew" {
          withModel (fun hub folder ->
              let partial = blob folder first + ".incomplete"
              Directory.CreateDirectory(nonNull (Path.GetDirectoryName partial)) |> ignore
              File.WriteAllBytes(partial, Array.zeroCreate 600_000)
              right (fetch (settings hub folder)).Path)
      }
      test "two programs that fetch the same model at once fetch each file once" {
          withModel (fun hub folder ->
              hub.Wait <- TimeSpan.FromMilliseconds 2.0
              let all = settings hub folder
              let pulled = Array.Parallel.init 2 (fun _ -> fetch all)
              for p in pulled do
                  right p.Path
              let stores = hub.Requests |> Array.filter _.Store |> Array.countBy _.Path
              Expect.all stores (fun (_, count) -> count = 1) "one request a file")
      }
      test "--to: real files in a folder, taken from the cache where that has them; another file there is kept" {
          withModel (fun hub folder ->
              let all = settings hub folder
              let target = folder.File "model"
              let request = [ PullRequest(repository, target) ]
              fetch all |> ignore
              let stores () = hub.Requests |> Array.filter _.Store |> Array.length
              let before = stores ()
              Expect.equal (List.exactlyOne (fetchTo all request)).Path target "place"
              right target
              Expect.equal (stores ()) before "copied, not fetched"
              Expect.equal (List.exactlyOne (fetchTo all request)).Fetched 0L "again"
              File.WriteAllText(Path.Combine(target, "config.json"), "{\"mine\": true}")
              refused all request "got another file; remove it"
              Expect.equal (File.ReadAllText(Path.Combine(target, "config.json"))) "{\"mine\": true}" "kept")
      } ]

let private networkTests =
    [ for cut in [ 1; 70_000; 500_000 ] do
          test $"connections that are cut after {cut} bytes of every second answer: the rest is asked for" {
              withModel (fun hub folder ->
                  let count = [| 0 |]
                  hub.Cut <- fun () -> if Interlocked.Increment(&count[0]) % 2 = 1 then Some cut else None
                  right (fetch (settings hub folder)).Path)
          }
      test "a connection that is always cut before the first byte ends in one line" {
          withModel (fun hub folder ->
              hub.Cut <- fun () -> Some 0
              refused (settings hub folder) [ PullRequest repository ] "8 times in a row")
      }
      test "a server without ranges begins at the start, and the file is right" {
          withModel (fun hub folder ->
              let count = [| 0 |]
              hub.KnowsRanges <- false
              hub.Cut <- fun () -> if Interlocked.Increment(&count[0]) <= 6 then Some 100_000 else None
              right (fetch (settings hub folder)).Path)
      }
      for status in [ 429; 500; 502; 503; 504 ] do
          test $"{status} twice, then the answer" {
              withModel (fun hub folder ->
                  let count = [| 0 |]
                  hub.Before <-
                      fun context ->
                          let fails = Interlocked.Increment(&count[0]) <= 2
                          if fails then
                              context.Response.StatusCode <- status
                              context.Response.Headers["Retry-After"] <- "0"
                          fails
                  right (fetch (settings hub folder)).Path)
          }
      test "429 without end ends in one line with the hub's own words" {
          withModel (fun hub folder ->
              hub.Before <-
                  fun context ->
                      context.Response.StatusCode <- 429
                      context.Response.Headers["X-Error-Message"] <- "We had to rate limit you"
                      true
              refused (settings hub folder) [ PullRequest repository ] "status 429 (We had to rate limit you)")
      }
      test "silence counts as a cut connection" {
          withModel (fun hub folder ->
              let count = [| 0 |]
              hub.Before <-
                  fun _ ->
                      if Interlocked.Increment(&count[0]) = 2 then Thread.Sleep 700
                      false
              let all = settings hub folder
              right
                  (fetch (HubSettings(all.Endpoint, null, all.Cache, false, FirstWait = all.FirstWait, Silence = TimeSpan.FromSeconds 0.3)))
                      .Path)
      }
      test "the token goes to the hub and never to the store that it redirects to" {
          withModel (fun hub folder ->
              hub.Token <- Some "hf_secret"
              let all = settings hub folder
              right (fetch (HubSettings(hub.Endpoint, "hf_secret", all.Cache, false))).Path
              for r in hub.Requests do
                  Expect.equal r.Authorization (if r.Store then "" else "Bearer hf_secret") r.Path)
      }
      test "a gated repository: without a token, with a wrong one" {
          withModel (fun hub folder ->
              hub.Token <- Some "right"
              let all = settings hub folder
              refused
                  all
                  [ PullRequest repository ]
                  "got 401 from 127.0.0.1 (Invalid username or password.): there is no such repository, or it asks for a token in HF_TOKEN"
              refused
                  (HubSettings(hub.Endpoint, "wrong", all.Cache, false))
                  [ PullRequest repository ]
                  "the token in HF_TOKEN is not valid for it"
              hub.Before <-
                  fun context ->
                      context.Response.StatusCode <- 403
                      true
              refused all [ PullRequest repository ] "accept the model's terms on its page")
      }
      test "a hub that does not exist" {
          use folder = new TemporaryFolder()
          let nowhere = HubSettings(Uri "http://127.0.0.1:1", null, folder.File "hub", false, FirstWait = TimeSpan.FromMilliseconds 1.0)
          refused nowhere [ PullRequest repository ] "expected an answer of 127.0.0.1, got 8 times in a row: Connection refused"
      } ]

let private contentTests =
    [ test "bytes that do not have the hash are thrown away and named" {
          withModel (fun hub folder ->
              hub.Change <- fun b -> Array.append [| b[0] ^^^ 1uy |] b[1..]
              refused (settings hub folder) [ PullRequest repository ] "got other bytes; they were thrown away"
              let kept = Directory.GetFiles(Path.Combine(folder.File "hub", "models--Qwen--Tiny", "blobs"))
              Expect.all kept (fun f -> f.EndsWith ".incomplete") "nothing wrong is kept as finished"
              Expect.isNull (HubCache(folder.File "hub").Find repository) "not found"
              hub.Change <- id
              right (fetch (settings hub folder)).Path)
      }
      test "more bytes than the hub lists" {
          withModel (fun hub folder ->
              hub.Change <- fun b -> Array.append b [| 0uy |]
              refused (settings hub folder) [ PullRequest repository ] "bytes as the hub lists them, got more")
      }
      test "fewer bytes than the hub lists" {
          withModel (fun hub folder ->
              hub.Change <- fun b -> b[.. b.Length - 2]
              refused (settings hub folder) [ PullRequest repository ] "bytes as the hub lists them, got fewer")
      }
      test "the disk is looked at before the first byte" {
          withModel (fun hub folder ->
              let all = settings hub folder
              refused
                  (HubSettings(hub.Endpoint, null, all.Cache, false, FreeBytes = fun _ -> Nullable 1_000_000L))
                  [ PullRequest repository ]
                  "GiB free for Qwen/Tiny, got 0.00 GiB"
              Expect.equal hub.Requests.Length 1 "only the list was asked for")
      }
      test "no such repository, revision or file" {
          withModel (fun hub folder ->
              let all = settings hub folder
              refused all [ PullRequest(HubRepository "Qwen/None") ] "got 404 (Repository not found)"
              refused all [ PullRequest(HubRepository(name, "v9")) ] "got 404 (Invalid rev id: v9)"
              refused all [ PullRequest(HubRepository(name, "main", "x.gguf")) ] "expected a file 'x.gguf'")
      }
      test "a commit as revision; one of several .gguf files by its name" {
          use folder = new TemporaryFolder()
          let ggufs = [ large "T-Q4_K_M.gguf" (bytes 5 5000); large "T-Q8_0.gguf" (bytes 6 9000); file "README.md" "x"B ]
          withHub [ "Qwen/T-GGUF", ggufs ] (fun hub ->
              let all = settings hub folder
              refused all [ PullRequest(HubRepository "Qwen/T-GGUF") ] "with one of T-Q4_K_M.gguf, T-Q8_0.gguf"
              let wanted = HubRepository("Qwen/T-GGUF", commitOf ggufs, "T-Q8_0.gguf")
              let pulled = fetchTo all [ PullRequest wanted ] |> List.exactlyOne
              Expect.equal (File.ReadAllBytes pulled.Path) ggufs[1].Bytes "bytes"
              Expect.equal (HubCache(all.Cache).Find wanted) pulled.Path "found")
      }
      test "a .gguf file in parts is fetched whole: as the only model, by its first part, and found again" {
          use folder = new TemporaryFolder()
          let part k = large $"T-Q8_0-0000{k}-of-00003.gguf" (bytes k (3000 + k))
          let parts = [ part 1; part 2; part 3 ]
          withHub [ "Qwen/T-GGUF", parts; "Qwen/Two-GGUF", large "T-Q4_K_M.gguf" (bytes 5 5000) :: parts ] (fun hub ->
              let all = settings hub folder
              let check (wanted: HubRepository) =
                  let pulled = fetchTo all [ PullRequest wanted ] |> List.exactlyOne
                  Expect.stringEnds pulled.Path parts[0].Name "the first part is what a stage's path takes"
                  for p in parts do
                      Expect.equal (File.ReadAllBytes(Path.Combine(nonNull (Path.GetDirectoryName pulled.Path), p.Name))) p.Bytes p.Name
                  Expect.equal (HubCache(all.Cache).Find wanted) pulled.Path "found"
                  File.Delete(pulled.Path.Replace("00001-of", "00002-of"))
                  Expect.isNull (HubCache(all.Cache).Find wanted) "not without one of them"
              check (HubRepository "Qwen/T-GGUF")
              refused all [ PullRequest(HubRepository "Qwen/Two-GGUF") ] "with one of T-Q4_K_M.gguf, T-Q8_0-00001-of-00003.gguf, got none"
              check (HubRepository("Qwen/Two-GGUF", "main", parts[0].Name)))
      }
      test "names that would leave the cache are none" {
          for bad in [ "../x"; "a/../b"; "/etc"; "a/b/c"; "a--b/c"; ""; "a b"; "a/b\n" ] do
              Expect.isFalse (HubRepository.IsName bad) bad
          for bad in [ ".."; "a/b"; "x\n"; "" ] do
              Expect.isFalse (HubRepository.IsFile bad) bad
          Expect.isFalse (HubRepository.IsRevision "a/../../b") "revision"
      }
      test "the environment's variables, as the hub's own programs read them" {
          let from (values: (string * string) list) =
              let all = Map values
              HubSettings.From(fun name -> all |> Map.tryFind name |> Option.toObj)
          let usual = from [ "HF_HOME", "/nowhere/h" ]
          Expect.equal
              (string usual.Endpoint, usual.Token, usual.Cache, usual.Offline)
              (string HubSettings.PublicEndpoint, null, "/nowhere/h/hub", false)
              "usual"
          let set =
              from
                  [ "HF_ENDPOINT", "http://h:1/"
                    "HF_TOKEN", " t "
                    "HF_HUB_CACHE", "/c"
                    "HF_HUB_OFFLINE", "1"
                    "HF_HUB_DOWNLOAD_TIMEOUT", "5" ]
          Expect.equal
              (string set.Endpoint, set.Token, set.Cache, set.Offline, set.Silence.TotalSeconds)
              ("http://h:1/", "t", "/c", true, 5.0)
              "set"
          Expect.equal (from [ "XDG_CACHE_HOME", "/x" ]).Cache "/x/huggingface/hub" "XDG"
          for bad in [ "ftp://h"; "host"; "http://user:pass@h" ] do
              Expect.throwsT<ToolkitException> (fun () -> from [ "HF_ENDPOINT", bad ] |> ignore) bad
      } ]

[<Tests>]
let tests = testList "Hub" (cacheTests @ networkTests @ contentTests)

/// Real servers on the loopback interface for the tests, over the repository's own cascade, and what asks them.
module Server.Tests.Servers

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Text
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Server

/// A file of this repository.
let repositoryFile (path: string) = Path.Combine(Support.Repository.root, path)

let nano = lazy (CascadeFile.Load(repositoryFile "configs/nano.yaml"))
let records = lazy (CascadeRecords.Load(nonNull nano.Value.CalibrationTrace))
let models = lazy (Cascade.Load nano.Value)

/// The nano cascade in this process; the models are loaded once for all tests.
let local () = models.Value.Share()

/// The nano cascade with every stage behind a server; `change` adapts each stage.
let remote (url: Uri) (change: int -> OpenAiSettings -> Uri -> CascadeStage -> CascadeStage) =
    let file = nano.Value
    let stages =
        [| for k, stage in Seq.indexed file.Stages ->
               change k (OpenAiSettings(Uri(url, "v1/"), stage.Name)) url (CascadeStage(stage.Name, "", stage.Cost, Backend = "openai")) |]
    let file =
        CascadeFile(
            file.File,
            file.Name,
            stages,
            file.CalibrationTrace,
            file.Recall,
            file.MaxTokens,
            file.CalibrationQueries,
            file.TestQueries
        )
    new Cascade(
        file,
        [| for stage in stages -> OpenAiStage(StageContext(file.File, stage, file.MaxTokens, ChatMode.None), null) :> IStage |]
    )

let withRemote (settings: OpenAiSettings) (stage: CascadeStage) =
    CascadeStage(stage.Name, "", stage.Cost, Backend = "openai", Settings = settings)

let options = ServeOptions(Port = 0)

/// Runs the action with a server and a client of it.
let serving (cascade: Cascade) (options: ServeOptions) (action: CascadeServer -> HttpClient -> 'a) : 'a =
    let server = CascadeServer.StartAsync(cascade, records.Value, null, 0.01, options).GetAwaiter().GetResult()
    try
        use client = new HttpClient(BaseAddress = server.Address)
        action server client
    finally
        server.DisposeAsync().AsTask().GetAwaiter().GetResult()

let post (client: HttpClient) (path: string) (body: string) : HttpResponseMessage =
    client.PostAsync(path, new StringContent(body, Encoding.UTF8, "application/json")).GetAwaiter().GetResult()

let text (response: HttpResponseMessage) = response.Content.ReadAsStringAsync().GetAwaiter().GetResult()

let json (response: HttpResponseMessage) : JsonElement = JsonDocument.Parse(text response).RootElement

let get (client: HttpClient) (path: string) = client.GetAsync(path).GetAwaiter().GetResult()

let chat (model: string) (prompt: string) (more: string) =
    $"""{{"model":"{model}","messages":[{{"role":"user","content":{JsonSerializer.Serialize prompt}}}]{more}}}"""

/// The data of each server-sent event.
let events (response: HttpResponseMessage) : string list =
    [ for part in (text response).Split("\n\n", StringSplitOptions.RemoveEmptyEntries) do
          if part.StartsWith "data: " then part.Substring 6 ]

/// The value of a counter or gauge of /metrics, summed over its labels that contain the text; 0 where there is none.
let metric (client: HttpClient) (name: string) (label: string) : float =
    [ for line in (text (get client "metrics")).Split('\n') do
          if (line.StartsWith(name + "{") || line.StartsWith(name + " ")) && line.Contains label then float (line.Split(' ')[1]) ]
    |> List.sum

/// A server that does something wrong with every connection; `answer` gets the stream after a request was read.
type FaultyServer(answer: NetworkStream -> CancellationToken -> Task) =
    let listener = new TcpListener(IPAddress.Loopback, 0)
    let stop = new CancellationTokenSource()
    let connections = [| 0 |]
    do
        listener.Start()
        Task.Run(fun () ->
            task {
                while not stop.IsCancellationRequested do
                    let! socket = listener.AcceptTcpClientAsync stop.Token
                    Interlocked.Increment(&connections[0]) |> ignore
                    Task.Run(fun () ->
                        task {
                            use socket = socket
                            try
                                let stream = socket.GetStream()
                                let buffer = Memory<byte>(Array.zeroCreate 65536)
                                let! _ = stream.ReadAsync(buffer, stop.Token)
                                do! answer stream stop.Token
                            with _ ->
                                ()
                        }
                        :> Task)
                    |> ignore
            }
            :> Task)
        |> ignore
    member _.Url = Uri $"http://127.0.0.1:{(listener.LocalEndpoint :?> IPEndPoint).Port}/v1/"
    member _.Connections = connections[0]
    interface IDisposable with
        member _.Dispose() =
            stop.Cancel()
            listener.Stop()

let private send (stream: NetworkStream) (text: string) (cancel: CancellationToken) : Task = task {
    do! stream.WriteAsync(ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes text), cancel)
    do! stream.FlushAsync cancel
}

/// Takes the request and says nothing for a minute.
let slow () = new FaultyServer(fun _ cancel -> Task.Delay(60_000, cancel))

/// Answers 200 with the body given.
let saying (kind: string) (body: string) =
    new FaultyServer(fun stream cancel ->
        send
            stream
            $"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {Encoding.UTF8.GetByteCount body}\r\nConnection: close\r\n\r\n{body}"
            cancel)

/// Answers a status.
let status (code: int) =
    new FaultyServer(fun stream cancel -> send stream $"HTTP/1.1 {code} Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" cancel)

/// Starts a good stream and breaks the connection inside it.
let cutting () =
    new FaultyServer(fun stream cancel ->
        (task {
            let chunk =
                """data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"1"},"logprobs":{"content":[{"token":"1","logprob":-0.1,"bytes":[49],"top_logprobs":[]}],"refusal":null},"finish_reason":null}]}"""
            let bytes = Encoding.UTF8.GetByteCount(chunk + "\n\n")
            do!
                send
                    stream
                    $"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{chunk}\n\n\r\n"
                    cancel
            stream.Socket.LingerState <- LingerOption(true, 0) // the close below is a reset
        }
        :> Task))

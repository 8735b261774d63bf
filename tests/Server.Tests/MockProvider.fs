/// A provider on the loopback interface that does what it is told: what real ones were reported to do.
module Server.Tests.MockProvider

open System
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open Microsoft.AspNetCore.Builder
open Microsoft.AspNetCore.Hosting
open Microsoft.AspNetCore.Http
open Microsoft.AspNetCore.Hosting.Server
open Microsoft.AspNetCore.Hosting.Server.Features
open Microsoft.Extensions.DependencyInjection
open Microsoft.Extensions.Logging

/// Answers a request, given the connection, the request's body and its number, from 0.
type Script = HttpContext -> JsonElement -> int -> Task

type MockProvider(script: Script) =
    let requests = [| 0 |]
    let bodies = Collections.Concurrent.ConcurrentQueue<JsonElement>()
    let app =
        let builder = WebApplication.CreateSlimBuilder()
        builder.Logging.ClearProviders() |> ignore
        builder.WebHost.UseUrls "http://127.0.0.1:0" |> ignore
        let app = builder.Build()
        app.Run(
            RequestDelegate(fun context -> task {
                let number = Interlocked.Increment(&requests[0]) - 1
                use! document = JsonDocument.ParseAsync context.Request.Body
                let body = document.RootElement.Clone()
                bodies.Enqueue body
                do! script context body number
            })
        )
        app.StartAsync().Wait()
        app
    member _.Url =
        let addresses = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>() |> nonNull
        Uri(Seq.head addresses.Addresses + "/v1/")
    member _.Requests = requests[0]
    member _.Bodies = bodies.ToArray()
    interface IDisposable with
        member _.Dispose() =
            use soon = new CancellationTokenSource(TimeSpan.FromSeconds 1.0)
            app.StopAsync(soon.Token).Wait()
            app.DisposeAsync().AsTask().Wait()

let write (context: HttpContext) (text: string) : Task = task {
    do! context.Response.WriteAsync(text, context.RequestAborted)
    do! context.Response.Body.FlushAsync context.RequestAborted
}

/// A token as the protocol reports it; `others` are the rivals at its place.
let token (text: string) (logprob: float) (others: (string * float) list) : string =
    let one (text: string) (logprob: float) =
        let bytes = String.Join(",", [ for b in Text.Encoding.UTF8.GetBytes text -> string b ])
        $"\"token\":{JsonSerializer.Serialize text},\"logprob\":{logprob},\"bytes\":[{bytes}]"
    let top = String.Join(",", [ for t, l in (text, logprob) :: others -> $"{{{one t l}}}" ])
    $"{{{one text logprob},\"top_logprobs\":[{top}]}}"

/// The JSON of a chunk of a chat with this delta, tokens and end.
let chunk (delta: string) (tokens: string list) (finish: string | null) : string =
    let logprobs = if tokens.IsEmpty then "null" else $"""{{"content":[{String.Join(",", tokens)}],"refusal":null}}"""
    let finish = if isNull finish then "null" else $"\"{finish}\""
    $"""{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_1","choices":[{{"index":0,"delta":{delta},"logprobs":{logprobs},"finish_reason":{finish}}}]}}"""

let content (text: string) = $"""{{"content":{JsonSerializer.Serialize text}}}"""

/// A chunk of one token with its text.
let piece (text: string) = chunk (content text) [ token text -0.1 [ " x", -3.0 ] ] null

let last = chunk "{}" [] "stop"

let usage =
    """{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}"""

let event (json: string) = $"data: {json}\n\n"

/// A stream of these chunks, whole.
let stream (chunks: string list) : Script =
    fun context _ _ ->
        context.Response.ContentType <- "text/event-stream"
        write context (String.Join("", [ for c in chunks -> event c ]) + "data: [DONE]\n\n")

/// Text as it is, of this type.
let raw (kind: string) (text: string) : Script =
    fun context _ _ ->
        context.Response.ContentType <- kind
        write context text

/// A status with this body.
let refuse (status: int) (headers: (string * string) list) (body: string) : Script =
    fun context _ _ ->
        context.Response.StatusCode <- status
        for name, value in headers do
            context.Response.Headers[name] <- value
        context.Response.ContentType <- "application/json"
        write context body

/// Chunks, and then nothing more until the client gives up.
let hang (chunks: string list) : Script =
    fun context _ _ -> task {
        context.Response.ContentType <- "text/event-stream"
        for c in chunks do
            do! write context (event c)
        do! Task.Delay(60_000, context.RequestAborted)
    }

/// Chunks, and then the connection breaks.
let cut (chunks: string list) : Script =
    fun context _ _ -> task {
        context.Response.ContentType <- "text/event-stream"
        for c in chunks do
            do! write context (event c)
        do! Task.Delay 20
        context.Abort()
    }

/// The same piece for ever.
let endless (text: string) : Script =
    fun context _ _ -> task {
        context.Response.ContentType <- "text/event-stream"
        while not context.RequestAborted.IsCancellationRequested do
            do! write context text
    }

/// The text "4 is it", token by token.
let good: Script = stream [ chunk """{"role":"assistant","content":""}""" [] null; piece "4"; piece " is"; piece " it"; last; usage ]

/// One script for the first requests, another afterwards.
let first (count: int) (before: Script) (afterwards: Script) : Script =
    fun context body number -> (if number < count then before else afterwards) context body number

/// `toolkit serve`: the whole cascade behind one OpenAI-compatible endpoint.
module OptimalStopping.Cli.Commands.Serve

open System
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Server
open OptimalStopping.Cli.Commands.Shared

type ServeArguments =
    | Config of file: string
    | Policy of file: string
    | Lambda of float
    | Host of address: string
    | Port of int
    | Key_Env of name: string
    | Anonymous
    | Concurrency of int
    | Queue of int
    | Body_Limit of int64
    | Drain of float
    | State of dir: string
    | Decisions of file: string
    | Learn
    | Audit_Rate of float
    | Guarantee of float
    | Budget of float
    | Sessions of int

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Policy _ -> "answer with this policy file of 'toolkit calibrate'; it fixes the price of cost."
            | Lambda _ -> "price of cost: quality that one unit of cost is worth (default: 0.01). A request may name its own."
            | Host _ -> "address to listen on (default: 127.0.0.1)."
            | Port _ -> "port to listen on; 0 for any (default: 8080)."
            | Key_Env _ -> "environment variable with the API keys that are accepted, separated by commas (default: none is asked for)."
            | Anonymous -> "listen on other addresses than this machine's own without asking for a key."
            | Concurrency _ -> "requests answered at once (default: the processors less one; 64 when all stages are remote)."
            | Queue _ -> "requests that may wait; more get 429 (default: 256)."
            | Body_Limit _ -> "largest request body, in bytes (default: 1048576)."
            | Drain _ -> "seconds that requests under way get when the server is stopped (default: 30)."
            | State _ ->
                "where grades are kept: a folder, or \"Host=...\" for a PostgreSQL database that several servers share (default: serve-state)."
            | Decisions _ ->
                "a file to append a line to for each graded answer: what was done, by which policy, with what probability (evaluate --off-policy reads it)."
            | Learn -> "let the online learner (NEST) answer requests that name no price of their own."
            | Audit_Rate _ ->
                "with --learn: the probability with which an answer's grade is asked for (toolkit.audit in its response); the learner passes over other grades (default: 1)."
            | Budget _ ->
                "mean cost of a query, in the cascade's units: the price of cost follows what is spent (Theorem 17), for requests that name no price of their own."
            | Sessions _ ->
                "conversations that begin at the stage that answered them last, whose server has their beginning in its cache; named by the header X-Toolkit-Session, prompt_cache_key or user (default: 0, none)."
            | Guarantee _ -> "mean quality that is guaranteed; the alarm watches it (default: what calibration expects, less 0.02)."

let private atLeast name (least: float) (value: float) =
    if not (value >= least && Double.IsFinite value) then
        raise (UsageException $"{name}: expected a number of at least {least}, got {value}")
    value

let private records (file: CascadeFile) (policy: PolicyFile | null) : CascadeRecords | null =
    match Option.ofObj file.CalibrationTrace with
    | Some path when File.Exists path -> CascadeRecords.Load path
    | _ when not (isNull policy) -> null
    | Some path ->
        raise (
            ToolkitException
                $"{file.File}: key 'calibration_trace': expected a file at {path}, got none; 'toolkit collect --split calibration' writes it"
        )
    | None ->
        raise (
            ToolkitException
                $"{file.File}: key 'calibration_trace': expected the trace file to fit the policy on, got none; or give --policy FILE"
        )

let private keys (variable: string option) =
    match variable with
    | None -> [||]
    | Some name ->
        let value = Environment.GetEnvironmentVariable name |> Option.ofObj |> Option.defaultValue ""
        match value.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries) with
        | [||] -> raise (ToolkitException $"--key-env: expected API keys in the environment variable {name}, got none")
        | keys -> keys

let private isLoopback (host: string) =
    host = "localhost"
    || (match Net.IPAddress.TryParse host with
        | true, address -> Net.IPAddress.IsLoopback(nonNull address)
        | _ -> raise (UsageException $"--host: expected an IP address or localhost, got '{host}'"))

let execute (arguments: ParseResults<ServeArguments>) (cancel: CancellationToken) =
    if arguments.Contains Lambda && arguments.Contains Policy then
        raise (UsageException "--policy: expected no --lambda beside it, since the policy fixes the price of cost")
    if arguments.Contains Learn && arguments.Contains Policy then
        raise (UsageException "--policy: expected no --learn beside it, since the learner draws the policies")
    for flag, given in [ "--lambda", arguments.Contains Lambda; "--policy", arguments.Contains Policy; "--learn", arguments.Contains Learn ] do
        if given && arguments.Contains Budget then
            raise (UsageException $"--budget: expected no {flag} beside it, since the budget decides the price of cost")
    let auditRate = arguments.GetResult(Audit_Rate, defaultValue = 1.0)
    if not (auditRate > 0.0 && auditRate <= 1.0) then
        raise (UsageException $"--audit-rate: expected a number above 0, at most 1, got {auditRate}")
    if arguments.Contains Audit_Rate && not (arguments.Contains Learn) then
        raise (UsageException "--audit-rate: expected --learn beside it, since the learner alone asks for grades")
    let budget = arguments.GetResult(Budget, defaultValue = nan)
    if not (Double.IsNaN budget || (budget > 0.0 && Double.IsFinite budget)) then
        raise (UsageException $"--budget: expected a number above 0, got {budget}")
    let lambda = arguments.GetResult(Lambda, defaultValue = 0.01) |> atLeast "--lambda" 0.0
    let port = arguments.GetResult(Port, defaultValue = 8080)
    if port < 0 || port > 65535 then raise (UsageException $"--port: expected a number from 0 to 65535, got {port}")
    let host = arguments.GetResult(Host, defaultValue = "127.0.0.1")
    let guarantee = arguments.GetResult(Guarantee, defaultValue = nan)
    if not (Double.IsNaN guarantee || (guarantee > 0.0 && guarantee < 1.0)) then
        raise (UsageException $"--guarantee: expected a number strictly between 0 and 1, got {guarantee}")
    let keyVariable = arguments.TryGetResult Key_Env
    if not (isLoopback host) && keyVariable.IsNone && not (arguments.Contains Anonymous) then
        raise (
            UsageException $"--host: expected --key-env NAME beside {host}, or --anonymous for a server that anyone in the network may use"
        )
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult Config))
    let policy = arguments.TryGetResult Policy |> Option.map PolicyFile.Load |> Option.toObj
    let allRemote = file.Stages |> Seq.forall (fun stage -> not stage.IsLocal)
    let whole (flag: string) (least: int) (value: int) =
        if value < least then raise (UsageException $"{flag}: expected at least {least}, got {value}")
        value
    let bodyLimit = arguments.GetResult(Body_Limit, defaultValue = 1048576L)
    if bodyLimit < 1L then raise (UsageException $"--body-limit: expected at least 1, got {bodyLimit}")
    let options =
        ServeOptions(
            Host = host,
            Port = port,
            Keys = keys keyVariable,
            Concurrency =
                whole
                    "--concurrency"
                    1
                    (arguments.GetResult(Concurrency, defaultValue = (if allRemote then 64 else max 1 (Environment.ProcessorCount - 1)))),
            Queue = whole "--queue" 0 (arguments.GetResult(Queue, defaultValue = 256)),
            BodyLimit = bodyLimit,
            Drain = TimeSpan.FromSeconds(arguments.GetResult(Drain, defaultValue = 30.0) |> atLeast "--drain" 0.0),
            State = arguments.GetResult(State, defaultValue = "serve-state"),
            Decisions = Option.toObj (arguments.TryGetResult Decisions),
            Learn = arguments.Contains Learn,
            AuditRate = auditRate,
            Guarantee = guarantee,
            Sessions = whole "--sessions" 0 (arguments.GetResult(Sessions, defaultValue = 0)),
            Budget = budget
        )
    let records = records file policy
    let run = task {
        use! server = CascadeServer.StartAsync(Cascade.Load file, records, policy, lambda, options, cancel)
        printfn
            "%O: the cascade '%s' (%s); page at /, metrics at /metrics%s"
            server.Address
            file.Name
            (String.Join(", ", file.Stages |> Seq.map _.Name))
            (if server.Replayed = 0L then ""
             elif (nonNull options.State).Contains "Host=" then $"; {server.Replayed} grades read from PostgreSQL"
             else $"; {server.Replayed} grades read from {options.State}")
        stdout.Flush()
        // SIGHUP: the policy file is read again, without a restart.
        use _ =
            PosixSignalRegistration.Create(
                PosixSignal.SIGHUP,
                fun signal ->
                    signal.Cancel <- true
                    match arguments.TryGetResult Policy with
                    | None -> eprintfn "toolkit: SIGHUP: expected --policy FILE to read again, got a server without one"
                    | Some path ->
                        try
                            server.ReloadAsync(PolicyFile.Load path).GetAwaiter().GetResult()
                            printfn "%s: read again" path
                            stdout.Flush()
                        with
                        | :? ToolkitException
                        | :? IOException as fault -> eprintfn "toolkit: %s; the server goes on as it was" fault.Message
            )
        do! server.RunAsync cancel
    }
    run.GetAwaiter().GetResult()

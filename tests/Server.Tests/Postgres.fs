/// Servers that share a real PostgreSQL, as Debian packages it, which is killed and started again.
module Server.Tests.Postgres

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Threading
open System.Threading.Tasks
open Expecto
open OptimalStopping.Server
open Support
open Server.Tests.Servers

let private binaries =
    lazy
        (let root = "/usr/lib/postgresql"
         if Directory.Exists root then
             Directory.GetDirectories root
             |> Seq.map (fun version -> Path.Combine(version, "bin"))
             |> Seq.tryFind (fun bin -> File.Exists(Path.Combine(bin, "initdb")))
         else
             None)

/// PostgreSQL refuses to run as root, so root runs it as the user that Debian made for it.
let private run (program: string) (arguments: string list) =
    let asRoot = Environment.UserName = "root"
    let start =
        if asRoot then
            ProcessStartInfo("runuser", [ "-u"; "postgres"; "--"; program ] @ arguments)
        else
            ProcessStartInfo(program, arguments)
    start.RedirectStandardOutput <- true
    start.RedirectStandardError <- true
    start.WorkingDirectory <- "/"
    use child = nonNull (Process.Start start)
    let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
    child.WaitForExit()
    if child.ExitCode <> 0 then failwith $"{program}: {output.Result}{error.Result}"

let private freePort () =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

type private Database(bin: string) =
    let folder = Directory.CreateTempSubdirectory("toolkit-pg-").FullName
    let port = freePort ()
    let data = Path.Combine(folder, "data")
    let control (arguments: string list) =
        run (Path.Combine(bin, "pg_ctl")) ([ "-D"; data; "-w"; "-l"; Path.Combine(folder, "log") ] @ arguments)
    let start () = control [ "-o"; $"-p {port} -k {folder} -c listen_addresses=127.0.0.1"; "start" ]
    do
        if Environment.UserName = "root" then
            use change = Process.Start("chown", [ "postgres"; folder ])
            change.WaitForExit()
        run (Path.Combine(bin, "initdb")) [ "-D"; data; "-A"; "trust"; "-U"; "postgres" ]
        start ()
    member _.Connection = $"Host=127.0.0.1;Port={port};Username=postgres;Database=postgres;Timeout=5;Command Timeout=10"
    /// As a power cut would: nothing is written any more.
    member _.Kill() = control [ "-m"; "immediate"; "stop" ]
    member _.Start() = start ()
    interface IDisposable with
        member _.Dispose() =
            try
                control [ "-m"; "immediate"; "stop" ]
            with _ ->
                ()
            Directory.Delete(folder, true)

let private withDatabase (action: Database -> unit) =
    match binaries.Value with
    | None -> skiptest "install Debian's postgresql to have this test"
    | Some bin ->
        use database = new Database(bin)
        action database

let cases (ids: HttpClient -> int -> string list) (grade: HttpClient -> string -> float -> HttpResponseMessage) =
    [ test "two servers over one PostgreSQL that is killed: no acknowledged grade is lost, none is kept twice" {
          withDatabase (fun database ->
              let options = ServeOptions(Port = 0, State = database.Connection, Learn = true)
              let acknowledged = Collections.Concurrent.ConcurrentBag<string>()
              let kills = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG") then 1 else 10
              serving (local ()) options (fun _ one ->
                  serving (local ()) options (fun _ two ->
                      use stop = new CancellationTokenSource()
                      let workers =
                          [| for client, other in [ one, two; two, one; one, one; two, two ] ->
                                 Task.Run(fun () ->
                                     while not stop.IsCancellationRequested do
                                         for id in ids client 3 do
                                             // The database may be away, and the answer not be there yet.
                                             let rec send tries =
                                                 let reply = grade other id 1.0
                                                 if reply.IsSuccessStatusCode then
                                                     acknowledged.Add id
                                                 elif tries > 0 && not stop.IsCancellationRequested then
                                                     Thread.Sleep 50
                                                     send (tries - 1)
                                             send 40) |]
                      for _ in 1..kills do
                          Thread.Sleep 1500
                          database.Kill()
                          Thread.Sleep 300
                          database.Start()
                      Thread.Sleep 1500
                      stop.Cancel()
                      Task.WaitAll workers))
              Expect.isGreaterThan acknowledged.Count 10 "grades were acknowledged"
              serving (local ()) options (fun server _ ->
                  let kept = ResizeArray<string>()
                  let names = [| for s in nano.Value.Stages -> s.Name |]
                  let store =
                      FeedbackStore.Open(
                          database.Connection,
                          String.Join(",", names),
                          names,
                          fun g ->
                              kept.Add g.Id
                              false
                      )
                  store.DisposeAsync().AsTask().Wait()
                  Expect.isEmpty (Set.ofSeq acknowledged - Set.ofSeq kept) "acknowledged and lost"
                  Expect.equal kept.Count (Seq.length (Seq.distinct kept)) "none twice"
                  Expect.equal server.Replayed (int64 kept.Count) "a new server has them"))
      }
      test "a database that is not there is said in one line, without the password" {
          let fault =
              try
                  let options = ServeOptions(Port = 0, State = "Host=127.0.0.1;Port=1;Username=u;Password=secret1;Timeout=2")
                  serving (local ()) options (fun _ _ -> "no fault")
              with :? OptimalStopping.Runtime.ToolkitException as e ->
                  e.Message
          Expect.stringStarts fault "--state Host=...: expected a database that can be opened" "message"
          Expect.isFalse (fault.Contains "secret1" || fault.Contains '\n') "one line, no password"
      } ]

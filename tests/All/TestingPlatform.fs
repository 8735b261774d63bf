/// Lets `dotnet test` run Expecto's tests: a test framework of Microsoft.Testing.Platform that reports each test as it ends.
module All.TestingPlatform

open System
open System.Reflection
open System.Threading.Tasks
open Expecto
open Expecto.Impl
open Microsoft.Testing.Platform.Builder
open Microsoft.Testing.Platform.Capabilities.TestFramework
open Microsoft.Testing.Platform.Extensions
open Microsoft.Testing.Platform.Extensions.Messages
open Microsoft.Testing.Platform.Extensions.TestFramework
open Microsoft.Testing.Platform.Requests

let private nameOf (test: FlatTest) = String.Join('.', test.name)

/// A test by its full name, which is also its identity.
let private node (name: string) (state: IProperty) (timing: TimeSpan) =
    let ended = DateTimeOffset.UtcNow
    let timing = TimingProperty(TimingInfo(ended - timing, ended, timing))
    TestNode(Uid = TestNodeUid name, DisplayName = name, Properties = PropertyBag(state, timing))

/// The tests that a request asks for: all, or those that it names.
let private asked (filter: ITestExecutionFilter | null) (tests: Test) : Test =
    match filter with
    | :? TestNodeUidListFilter as list ->
        let names = list.TestNodeUids |> Seq.map _.Value |> Set.ofSeq
        Test.filter "." (fun name -> names.Contains(String.Join('.', name))) tests
    | _ -> tests

type private Framework(tests: Test) as this =
    let produced = [| typeof<TestNodeUpdateMessage> |]

    let publish (context: ExecuteRequestContext) (node: TestNode) =
        context.MessageBus.PublishAsync(this, TestNodeUpdateMessage(context.Request.Session.SessionUid, node))

    let run (context: ExecuteRequestContext) (tests: Test) =
        let report name state timing = async { do! Async.AwaitTask(publish context (node name state timing)) }
        let printer =
            { TestPrinters.silent with
                passed = fun name timing -> report name PassedTestNodeStateProperty.CachedInstance timing
                ignored = fun name why -> report name (SkippedTestNodeStateProperty why) TimeSpan.Zero
                failed = fun name why timing -> report name (FailedTestNodeStateProperty why) timing
                exn = fun name fault timing -> report name (ErrorTestNodeStateProperty fault) timing }
        Task.Run(fun () -> runTestsWithCLIArgs [ Printer printer ] [||] tests |> ignore)

    interface IExtension with
        member _.Uid = "Expecto"
        member _.Version = nonNull ((typeof<Test>.Assembly.GetName()).Version) |> string
        member _.DisplayName = "Expecto"
        member _.Description = "Tests of Expecto, by their full names."
        member _.IsEnabledAsync() = Task.FromResult true

    interface ITestFramework with
        member _.CreateTestSessionAsync _ = Task.FromResult(CreateTestSessionResult(IsSuccess = true))
        member _.CloseTestSessionAsync _ = Task.FromResult(CloseTestSessionResult(IsSuccess = true))
        member _.ExecuteRequestAsync context = task {
            match context.Request with
            | :? DiscoverTestExecutionRequest as request ->
                for test in Test.toTestCodeList (asked request.Filter tests) do
                    do! publish context (node (nameOf test) DiscoveredTestNodeStateProperty.CachedInstance TimeSpan.Zero)
            | :? RunTestExecutionRequest as request -> do! run context (asked request.Filter tests)
            | other -> invalidOp $"expected a request to discover or to run tests, got {other.GetType().Name}"
            context.Complete()
        }

    interface IDataProducer with
        member _.DataTypesProduced = produced

/// Whether the command line is that of `dotnet test`.
let isAsked (argv: string[]) = Array.contains "--server" argv

/// Answers `dotnet test`, and returns the process's exit code.
let run (argv: string[]) (tests: Test) : int =
    task {
        let! builder = TestApplication.CreateBuilderAsync argv
        builder.RegisterTestFramework((fun _ -> TestFrameworkCapabilities()), (fun _ _ -> Framework tests)) |> ignore
        use! app = builder.BuildAsync()
        return! app.RunAsync()
    }
    |> _.GetAwaiter().GetResult()

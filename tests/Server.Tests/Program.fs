module Server.Tests.Program

open Expecto

let tests =
    testList
        "Server"
        [ ProtocolTests.tests
          PromptTests.tests
          RemoteStageTests.tests
          ProviderTests.tests
          ClientTests.tests
          FeedbackTests.tests
          CascadeChatClientTests.tests ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests

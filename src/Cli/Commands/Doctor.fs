/// `toolkit doctor`: does the Torch engine work on this device?
module OptimalStopping.Cli.Commands.Doctor

open System
open System.Text.Json
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Cli.Commands.Shared

type DoctorArguments =
    | Device of device: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Device _ -> "cpu or cuda:0, cuda:1, ... (default: cuda:0)."
            | Json -> "print JSON."

let private isDevice (name: string) =
    name = "cpu" || (name.StartsWith "cuda:" && name.Length > 5 && name.Length < 8 && Seq.forall Char.IsAsciiDigit (name.Substring 5))

let execute (arguments: ParseResults<DoctorArguments>) =
    let device = arguments.GetResult(Device, defaultValue = "cuda:0")
    if not (isDevice device) then raise (UsageException $"--device: expected cpu or cuda:0 to cuda:99, got '{device}'")
#if TORCH
    let json = arguments.Contains DoctorArguments.Json
    match Option.ofNullable Torch.Inference.TorchLibrary.Problem with
    | None -> ()
    | Some(struct (cause, remedy)) ->
        eprintfn "toolkit: %s" cause
        raise (ToolkitException remedy)
    let mutable failed = 0
    let checks =
        [| for check in Torch.Inference.TorchDoctor.Run device do
               if not json then printfn "%s  %s: %s" (if check.Passed then "pass" else "FAIL") check.Name check.Detail
               if not check.Passed then failed <- failed + 1
               {| name = check.Name; passed = check.Passed; detail = check.Detail |} |]
    if json then printJson {| device = device; checks = checks |}
    if failed > 0 then
        raise (ToolkitException $"doctor: {device}: expected {checks.Length} checks to pass, got {failed} that failed")
#else
    raise (
        ToolkitException
            $"doctor: expected a build with TorchSharp, got one without; run: dotnet run --project src/Cli -c Release -p:TorchBackend=cuda -- doctor --device {device}"
    )
#endif

using OptimalStopping.Peers;

const string Usage = """
    peers speed [shape] [rounds] [prefills] [contexts]   tokens/s of both engines, e.g. speed qwen3-0.6b 5 8,64,512 0,1024
    peers agree [config] [prompts]                       the same weights in both, e.g. agree configs/miniature.yaml 200
    peers perplexity FILE.gguf TEXT [context] [stride]   llama.cpp's tokens and perplexity of a text, as JSON
    peers torch [folder] [prompts] [rounds]              the same checkpoint through TorchSharp; needs a build with -p:TorchBackend=cpu
    Libraries of llama.cpp: benchmarks/peers/llama (get-llama.sh), or the folder in PEERS_LLAMA. TOOLKIT_THREADS sets the threads of both.
    """;

string At(int index, string otherwise) => args.Length > index ? args[index] : otherwise;
int[] Numbers(string text) => [.. text.Split(',').Select(int.Parse)];
int threads = OptimalStopping.Runtime.Models.WorkerPool.Shared.Size;
string libraries = Environment.GetEnvironmentVariable("PEERS_LLAMA") ?? "benchmarks/peers/llama";

if (args is ["torch", ..])
{
#if TORCH
    TorchPeer.Run(At(1, "models/nano/4"), int.Parse(At(2, "200")), int.Parse(At(3, "5")));
    return 0;
#else
    Console.Error.WriteLine("peers: torch: expected a build with TorchSharp, got one without; add -p:TorchBackend=cpu");
    return 1;
#endif
}
if (args.Length == 0 || args[0] is not ("speed" or "agree") && args is not ["perplexity", _, _, ..])
{
    Console.Error.WriteLine(Usage);
    return 2;
}
if (!Directory.Exists(libraries))
{
    Console.Error.WriteLine($"peers: {libraries}: expected llama.cpp's libraries, got no such folder; run benchmarks/peers/get-llama.sh");
    return 1;
}
Llama.UseFolder(libraries);
if (args[0] == "perplexity")
    Perplexity.Run(args[1], File.ReadAllText(args[2]), int.Parse(At(3, "512")), int.Parse(At(4, "0")), threads);
else if (args[0] == "speed")
    Speed.Run(At(1, "qwen3-0.6b"), int.Parse(At(2, "5")), threads, Numbers(At(3, "8,64,512")), Numbers(At(4, "0,1024")));
else
    Agreement.Run(At(1, "configs/miniature.yaml"), int.Parse(At(2, "200")), threads);
return 0;

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>How a question is put to a model.</summary>
public enum ChatMode
{
    /// <summary>The question itself is the prompt: base models and the embedded cascade.</summary>
    None,

    /// <summary>A turn of a chat with thinking off: Qwen3's template writes an empty <c>think</c> block.</summary>
    Direct,

    /// <summary>A turn of a chat with thinking on: the model writes its <c>think</c> block itself.</summary>
    Thinking,
}

/// <summary>A call of a tool that an earlier answer made.</summary>
/// <param name="Name">The tool.</param>
/// <param name="Arguments">Its arguments: a text is written as it is, anything else as JSON.</param>
public sealed record ChatToolCall(string Name, JsonElement Arguments);

/// <summary>One turn of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>.</param>
/// <param name="Content">What was said; empty for nothing.</param>
public sealed record ChatTurn(string Role, string Content)
{
    /// <summary>What an answer's thinking was (<c>reasoning_content</c>); null where it is in the content, or was none.</summary>
    public string? Reasoning { get; init; }

    /// <summary>The tools that an answer called.</summary>
    public IReadOnlyList<ChatToolCall> ToolCalls { get; init; } = [];
}

/// <summary>
/// A chat template of the Qwen3 family: what the Jinja text in a model's folder renders, written out. Which one a folder
/// has is told by a hash of that text, white space between its tags left out.
/// </summary>
public sealed partial class ChatTemplate
{
    private const string Start = "<|im_start|>",
        End = "<|im_end|>\n",
        ThinkStart = "<think>",
        ThinkEnd = "</think>";

    // What is said of tools before and after their list.
    private const string ToolsBefore =
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        + "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";

    private const string ToolsAfter =
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
        + "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
        + "</tool_call><|im_end|>\n";

    private readonly bool _keepsThinking; // of answers behind the last question, in a block of its own
    private readonly string _direct,
        _thinking; // what the answer begins with
    private readonly bool _quotesAreResults; // a user's turn is no question where it has both tags of a tool's result anywhere

    private ChatTemplate(string name, bool keepsThinking, string direct, string thinking, bool quotesAreResults = false) =>
        (Name, _keepsThinking, _direct, _thinking, _quotesAreResults) = (name, keepsThinking, direct, thinking, quotesAreResults);

    /// <summary>Qwen3 0.6B to 32B, as published in April 2025 and later: thinks, or is told not to by an empty block.</summary>
    public static ChatTemplate Qwen3 { get; } = new("qwen3", true, "<think>\n\n</think>\n\n", "");

    /// <summary>Qwen's own GGUF files of the same models: an earlier text, which tells questions from tools' results otherwise.</summary>
    public static ChatTemplate Qwen3Gguf { get; } = new("qwen3-gguf", true, "<think>\n\n</think>\n\n", "", quotesAreResults: true);

    /// <summary>Qwen3-Instruct-2507: never thinks.</summary>
    public static ChatTemplate Qwen3Instruct2507 { get; } = new("qwen3-instruct-2507", false, "", "");

    /// <summary>Qwen3-Thinking-2507: always thinks, and the template writes the block's beginning.</summary>
    public static ChatTemplate Qwen3Thinking2507 { get; } = new("qwen3-thinking-2507", true, "<think>\n", "<think>\n");

    /// <summary>The templates by their names, as the cascade file's key <c>chat_template</c> has them.</summary>
    public static IReadOnlyList<ChatTemplate> All { get; } = [Qwen3, Qwen3Gguf, Qwen3Instruct2507, Qwen3Thinking2507];

    /// <summary>The name.</summary>
    public string Name { get; }

    /// <summary>Whether the mode is one that the model was made for: Thinking-2507 cannot be told not to think.</summary>
    public bool Allows(ChatMode mode) => mode != ChatMode.Direct || this != Qwen3Thinking2507;

    /// <summary>The template that a Jinja text is; null for one that is not known.</summary>
    public static ChatTemplate? Recognise(string jinja) => Find(Hash(jinja));

    /// <summary>The template of a <see cref="Hash"/>; null for one that is not known.</summary>
    public static ChatTemplate? Find(string hash) =>
        hash switch
        {
            // Two texts that differ where a content is no text, which a ChatTurn's always is.
            "593ab84140f76eae8ad875e18a5fbaeb23790135481fbebd5d569737122975d2"
            or "8c31b32b1c535b9e7f87d69eaf1c8b1ac4ad86a308cd349cfc2ae33d25d57901" => Qwen3,
            "3e071bf9d07be741d09d972b7dde6f6259514e32bc73db43c9a526453f9109c5" => Qwen3Gguf,
            // With and without the search for the last question, which this template does not need.
            "ead45c37ff1436dfdedabc21c3dd645af5c2f9e6b0079cb3c451a2ca75bca4f4"
            or "276f7dbcb55f8da240e82837400a89eda3f64a9aef0e3bddbfd1e9fa5e0d47f9" => Qwen3Instruct2507,
            "174edb799fd825642a0c3d2b54b398a249425b3ab5782b34c3b25889f47842cf" => Qwen3Thinking2507,
            _ => null,
        };

    /// <summary>SHA-256, in lower-case hexadecimal, of a Jinja text whose white space is brought to one form.</summary>
    public static string Hash(string jinja)
    {
        // A tag that begins with a minus takes the white space before it away.
        string text = Spaces().Replace(SpacesBeforeTag().Replace(jinja, ""), " ").Trim();
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
    }

    /// <summary>The prompt behind which the model writes its answer.</summary>
    /// <param name="turns">At least one.</param>
    /// <param name="thinking">Whether the model may think first.</param>
    /// <param name="tools">Descriptions of tools that the model may call, as JSON.</param>
    /// <exception cref="ToolkitException">There is no turn, or one has another role.</exception>
    public string Render(IReadOnlyList<ChatTurn> turns, bool thinking, IReadOnlyList<JsonElement>? tools = null)
    {
        if (turns.Count == 0)
            throw new ToolkitException("messages: expected at least one, got none");
        int lastQuestion = turns.Count - 1;
        while (lastQuestion > 0 && !IsQuestion(turns[lastQuestion]))
            lastQuestion--;
        if (!IsQuestion(turns[lastQuestion]))
            lastQuestion = turns.Count - 1; // the template's default

        var prompt = new StringBuilder();
        if (tools is { Count: > 0 })
            AppendTools(prompt, turns[0], tools);
        for (int i = 0; i < turns.Count; i++)
        {
            ChatTurn turn = turns[i];
            switch (turn.Role)
            {
                case "system" when i == 0 && tools is { Count: > 0 }:
                    break; // stands before the tools
                case "system" or "user":
                    prompt.Append(Start).Append(turn.Role).Append('\n').Append(turn.Content).Append(End);
                    break;
                case "assistant":
                    prompt.Append(Start).Append("assistant\n");
                    AppendAnswer(prompt, turn, i > lastQuestion, i == turns.Count - 1);
                    prompt.Append(End);
                    break;
                case "tool":
                    if (i == 0 || turns[i - 1].Role != "tool")
                        prompt.Append(Start).Append("user");
                    prompt.Append("\n<tool_response>\n").Append(turn.Content).Append("\n</tool_response>");
                    if (i == turns.Count - 1 || turns[i + 1].Role != "tool")
                        prompt.Append(End);
                    break;
                default:
                    throw new ToolkitException($"messages[{i}].role: expected system, user, assistant or tool, got '{turn.Role}'");
            }
        }
        return prompt.Append(Start).Append("assistant\n").Append(thinking ? _thinking : _direct).ToString();
    }

    /// <summary>The prompt of one question.</summary>
    public string Render(string question, ChatMode mode) =>
        mode == ChatMode.None ? question : Render([new ChatTurn("user", question)], mode == ChatMode.Thinking);

    /// <summary>What a model wrote, cut into its thinking and its answer; the answer is null where thinking did not end.</summary>
    public static (string Thinking, string? Answer) Split(string text)
    {
        int end = text.LastIndexOf(ThinkEnd, StringComparison.Ordinal);
        if (end >= 0)
            return (Inside(text[..end]), text[(end + ThinkEnd.Length)..].TrimStart('\n'));
        return text.Contains(ThinkStart, StringComparison.Ordinal) ? (Inside(text), null) : ("", text);
    }

    private bool IsQuestion(ChatTurn turn)
    {
        const string first = "<tool_response>",
            last = "</tool_response>";
        string text = turn.Content;
        bool isResult = _quotesAreResults
            ? text.Contains(first, StringComparison.Ordinal) && text.Contains(last, StringComparison.Ordinal)
            : text.StartsWith(first, StringComparison.Ordinal) && text.EndsWith(last, StringComparison.Ordinal);
        return turn.Role == "user" && !isResult;
    }

    private static void AppendTools(StringBuilder prompt, ChatTurn first, IReadOnlyList<JsonElement> tools)
    {
        prompt.Append(Start).Append("system\n");
        if (first.Role == "system")
            prompt.Append(first.Content).Append("\n\n");
        prompt.Append(ToolsBefore);
        foreach (JsonElement tool in tools)
            PythonJson.Append(prompt.Append('\n'), tool);
        prompt.Append(ToolsAfter);
    }

    private void AppendAnswer(StringBuilder prompt, ChatTurn turn, bool current, bool last)
    {
        string thinking = turn.Reasoning ?? "",
            content = turn.Content;
        if (_keepsThinking)
        {
            if (turn.Reasoning is null && content.Contains(ThinkEnd, StringComparison.Ordinal))
            {
                string[] parts = content.Split(ThinkEnd);
                (thinking, content) = (Inside(parts[0]), parts[^1].TrimStart('\n'));
            }
            if (current && (last || thinking != ""))
                prompt.Append("<think>\n").Append(thinking.Trim('\n')).Append("\n</think>\n\n").Append(content.TrimStart('\n'));
            else
                prompt.Append(content);
        }
        else
            prompt.Append(content);
        for (int i = 0; i < turn.ToolCalls.Count; i++)
        {
            if (i > 0 || content != "")
                prompt.Append('\n');
            ChatToolCall call = turn.ToolCalls[i];
            prompt.Append("<tool_call>\n{\"name\": \"").Append(call.Name).Append("\", \"arguments\": ");
            if (call.Arguments.ValueKind == JsonValueKind.String)
                prompt.Append(call.Arguments.GetString());
            else
                PythonJson.Append(prompt, call.Arguments);
            prompt.Append("}\n</tool_call>");
        }
    }

    private static string Inside(string text) => text.TrimEnd('\n').Split(ThinkStart)[^1].TrimStart('\n');

    [GeneratedRegex(@"\s+(?=\{[%{]-)")]
    private static partial Regex SpacesBeforeTag();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}

/// <summary>JSON as Python's <c>json.dumps(ensure_ascii=False)</c> writes it, which is what templates give a model to read.</summary>
internal static class PythonJson
{
    /// <summary>Appends a value; objects keep the order of their keys.</summary>
    public static void Append(StringBuilder text, JsonElement value)
    {
        string separator = "";
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                text.Append('{');
                foreach (JsonProperty item in value.EnumerateObject())
                {
                    AppendText(text.Append(separator), item.Name);
                    Append(text.Append(": "), item.Value);
                    separator = ", ";
                }
                text.Append('}');
                break;
            case JsonValueKind.Array:
                text.Append('[');
                foreach (JsonElement item in value.EnumerateArray())
                {
                    Append(text.Append(separator), item);
                    separator = ", ";
                }
                text.Append(']');
                break;
            case JsonValueKind.String:
                AppendText(text, value.GetString()!);
                break;
            case JsonValueKind.Number:
                text.Append(Number(value.GetRawText()));
                break;
            case JsonValueKind.True:
            case JsonValueKind.False:
                text.Append(value.ValueKind == JsonValueKind.True ? "true" : "false");
                break;
            default:
                text.Append("null");
                break;
        }
    }

    private static void AppendText(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (char c in value)
            _ = c switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                '\b' => text.Append("\\b"),
                '\f' => text.Append("\\f"),
                < ' ' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => text.Append(c),
            };
        text.Append('"');
    }

    // A whole number as it stands; another one as Python shows a float: the shortest digits that read back, with an exponent
    // below 1e-4 and from 1e16 on.
    private static string Number(string raw)
    {
        if (raw.AsSpan().IndexOfAny('.', 'e', 'E') < 0)
            return raw == "-0" ? "0" : raw;
        double value = double.Parse(raw, CultureInfo.InvariantCulture);
        if (double.IsInfinity(value))
            return value > 0 ? "Infinity" : "-Infinity";
        string digits = value.ToString("E16", CultureInfo.InvariantCulture);
        for (int precision = 0; precision < 17; precision++)
            if (
                value.ToString($"E{precision}", CultureInfo.InvariantCulture) is var shorter
                && double.Parse(shorter, CultureInfo.InvariantCulture) == value
            )
            {
                digits = shorter;
                break;
            }
        int mark = digits.IndexOf('E'),
            exponent = int.Parse(digits.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        if (value != 0 && exponent is < -4 or >= 16)
            return $"{digits[..mark]}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        string plain = value.ToString(
            $"F{Math.Max(1, mark - (digits.Contains('.') ? digits.IndexOf('.') + 1 : mark) - exponent)}",
            CultureInfo.InvariantCulture
        );
        return plain;
    }
}

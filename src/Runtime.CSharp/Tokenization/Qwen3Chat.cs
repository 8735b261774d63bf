using System.Text;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c> or <c>assistant</c>.</param>
public sealed record ChatTurn(string Role, string Content);

/// <summary>
/// Qwen3's chat template, for conversations without tools: what its <c>tokenizer_config.json</c> renders, written out.
/// Thinking of earlier answers is left out of the prompt; only answers after the last question keep theirs.
/// </summary>
public static class Qwen3Chat
{
    private const string Start = "<|im_start|>",
        End = "<|im_end|>\n",
        ThinkStart = "<think>",
        ThinkEnd = "</think>";

    /// <summary>The prompt behind which the model writes its answer.</summary>
    /// <param name="turns">At least one.</param>
    /// <param name="thinking">False: an empty <c>think</c> block is written, and the model answers at once.</param>
    /// <exception cref="ToolkitException">There is no turn, or one has another role.</exception>
    public static string Render(IReadOnlyList<ChatTurn> turns, bool thinking)
    {
        if (turns.Count == 0)
            throw new ToolkitException("messages: expected at least one, got none");
        int lastQuestion = turns.Count - 1;
        while (lastQuestion > 0 && !IsQuestion(turns[lastQuestion]))
            lastQuestion--;
        if (!IsQuestion(turns[lastQuestion]))
            lastQuestion = turns.Count - 1; // the template's default

        var prompt = new StringBuilder();
        for (int i = 0; i < turns.Count; i++)
        {
            ChatTurn turn = turns[i];
            prompt.Append(Start).Append(turn.Role).Append('\n');
            switch (turn.Role)
            {
                case "system" or "user":
                    prompt.Append(turn.Content);
                    break;
                case "assistant":
                    AppendAnswer(prompt, turn.Content, i > lastQuestion, i == turns.Count - 1);
                    break;
                default:
                    throw new ToolkitException($"messages[{i}].role: expected system, user or assistant, got '{turn.Role}'");
            }
            prompt.Append(End);
        }
        prompt.Append(Start).Append("assistant\n");
        if (!thinking)
            prompt.Append(ThinkStart).Append("\n\n").Append(ThinkEnd).Append("\n\n");
        return prompt.ToString();
    }

    /// <summary>The prompt of one question.</summary>
    public static string Render(string question, ChatMode mode) =>
        mode == ChatMode.None ? question : Render([new ChatTurn("user", question)], mode == ChatMode.Thinking);

    /// <summary>What a model wrote, cut into its thinking and its answer; the answer is null where thinking did not end.</summary>
    public static (string Thinking, string? Answer) Split(string text)
    {
        int end = text.LastIndexOf(ThinkEnd, StringComparison.Ordinal);
        if (end >= 0)
            return (Inside(text[..end]), text[(end + ThinkEnd.Length)..].TrimStart('\n'));
        return text.Contains(ThinkStart, StringComparison.Ordinal) ? (Inside(text), null) : ("", text);
    }

    private static bool IsQuestion(ChatTurn turn) =>
        turn.Role == "user"
        && !(
            turn.Content.StartsWith("<tool_response>", StringComparison.Ordinal)
            && turn.Content.EndsWith("</tool_response>", StringComparison.Ordinal)
        );

    private static void AppendAnswer(StringBuilder prompt, string content, bool current, bool last)
    {
        string thinking = "";
        if (content.Contains(ThinkEnd, StringComparison.Ordinal))
        {
            string[] parts = content.Split(ThinkEnd);
            (thinking, content) = (Inside(parts[0]), parts[^1].TrimStart('\n'));
        }
        if (current && (last || thinking != ""))
            prompt
                .Append(ThinkStart)
                .Append('\n')
                .Append(thinking.Trim('\n'))
                .Append('\n')
                .Append(ThinkEnd)
                .Append("\n\n")
                .Append(content.TrimStart('\n'));
        else
            prompt.Append(content);
    }

    private static string Inside(string text) => text.TrimEnd('\n').Split(ThinkStart)[^1].TrimStart('\n');
}

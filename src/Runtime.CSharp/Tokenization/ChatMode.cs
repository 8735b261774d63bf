namespace OptimalStopping.Runtime.Tokenization;

/// <summary>How a question is put to a model.</summary>
public enum ChatMode
{
    /// <summary>The question itself is the prompt: base models and the embedded cascade.</summary>
    None,

    /// <summary>A turn of a Qwen3 chat with thinking off: the template writes an empty <c>think</c> block.</summary>
    Direct,

    /// <summary>A turn of a Qwen3 chat with thinking on: the model writes its <c>think</c> block itself.</summary>
    Thinking,
}

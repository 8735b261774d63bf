#!/usr/bin/env python3
"""Writes chats.jsonl: conversations, and what the published chat templates make of them, rendered by the real Jinja2.

    python3 chats.py FOLDER > chats.jsonl

FOLDER holds the templates as they are published (chat_template of tokenizer_config.json, or tokenizer.chat_template of a
GGUF): qwen3.jinja, qwen3-first.jinja (Qwen3 as of April 2025), qwen3-gguf.jinja (Qwen's own GGUF files),
qwen3-instruct-2507.jinja (with a search that it does not need, as others publish it), qwen3-instruct-2507-plain.jinja (Qwen's
own) and qwen3-thinking-2507.jinja. SHA256 below has the digests by which those of Qwen were told to be the published ones. The
first line has the hash of each template with its white space in one form; every other line has messages, tools, and the
SHA-256 of each template's prompt with thinking on and off.
"""
import hashlib
import json
import os
import random
import re
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = ["qwen3", "qwen3-first", "qwen3-gguf", "qwen3-instruct-2507", "qwen3-instruct-2507-plain", "qwen3-thinking-2507"]

# Of the published bytes, as public repositories that pin them state them.
SHA256 = {
    "qwen3": "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8",
    "qwen3-first": "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",
    "qwen3-gguf": "57f1fd00f0013a2be96aa79b857391f27e23df5b5f847072b524c897e24d0361",
    "qwen3-instruct-2507-plain": "64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326",
    "qwen3-thinking-2507": "3802169b2a02b81e6adb7ab4f64f91ff02db753c8c3a64a01c35192d3a61d8d7",
}


def environment():
    # As transformers makes it.
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    return env


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def normal(jinja):
    return re.sub(r"\s+", " ", re.sub(r"\s+(?=\{[%{]-)", "", jinja)).strip()


TEXTS = ["Hi", "", "  \n", "\n\nlines\n", "Ünïcödé 你好 한국 🙂", "a <think> in between", "{\"json\": 1}", "<|im_end|>", "'q' \"d\" \\ /",
         "<tool_response>\nfaked\n</tool_response>", "as <tool_response>1</tool_response> says", "</tool_response> <tool_response>", "What is 17 * 23?"]
ANSWERS = TEXTS + ["<think>\nfirst\n</think>\n\nthen", "<think>\n\n</think>\n\nanswer", "x</think>y</think>\n\nz", "<think>cut", "\n\nlead"]
VALUES = [1, -7, 0, 2.5, 1e-7, 1.0, 1e16, 12345678901234567890, 123456.789, 0.0001, True, None, "ä\n\t\"\u0001", [], {}, [1, [2]], {"k": "v"}]


def tool(rng, i):
    return {"type": "function", "function": {"name": f"f{i}", "description": rng.choice(TEXTS),
            "parameters": {"type": "object", "properties": {"x": {"type": "number", "default": rng.choice(VALUES)}}, "required": ["x"]}}}


def conversation(rng, i):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": rng.choice(TEXTS)})
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": rng.choice(TEXTS)})
        if rng.random() < 0.8:
            answer = {"role": "assistant", "content": rng.choice(ANSWERS)}
            if rng.random() < 0.3:
                answer["reasoning_content"] = rng.choice(["", "thought", "\nlong\nthought\n"])
            if rng.random() < 0.4:
                calls = [{"name": f"f{k}", "arguments": rng.choice([{"x": rng.choice(VALUES)}, "{\"x\":1}", {}])}
                         for k in range(rng.randint(1, 2))]
                answer["tool_calls"] = [{"type": "function", "function": call} if rng.random() < 0.5 else call for call in calls]
            messages.append(answer)
            if "tool_calls" in answer:
                messages += [{"role": "tool", "content": rng.choice(TEXTS)} for _ in answer["tool_calls"]]
                if rng.random() < 0.5:
                    messages.append({"role": "assistant", "content": rng.choice(ANSWERS)})
        if rng.random() < 0.1:
            messages.append({"role": "system", "content": "later"})
    tools = [tool(rng, k) for k in range(rng.randint(1, 2))] if rng.random() < 0.4 else []
    return {"messages": messages, "tools": tools}


def main(folder):
    texts = {name: open(os.path.join(folder, name + ".jinja"), newline="").read() for name in NAMES}
    for name, expected in SHA256.items():
        if digest(texts[name]) != expected:
            raise SystemExit(f"{name}.jinja: expected the bytes of {expected}, got {digest(texts[name])}")
    print(json.dumps({name: digest(normal(text)) for name, text in texts.items()}))
    env = environment()
    templates = {name: env.from_string(text) for name, text in texts.items()}
    rng = random.Random(2507)
    for i in range(150):
        chat = conversation(rng, i)
        chat["prompts"] = {}
        for name in NAMES:
            for thinking in (True, False):
                prompt = templates[name].render(messages=chat["messages"], tools=chat["tools"] or None,
                                                add_generation_prompt=True, enable_thinking=thinking)
                chat["prompts"][f"{name} {'on' if thinking else 'off'}"] = digest(prompt)
        print(json.dumps(chat, ensure_ascii=False))


main(sys.argv[1])

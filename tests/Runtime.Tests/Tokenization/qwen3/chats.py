#!/usr/bin/env python3
"""Writes chats.jsonl: conversations, and what the published chat templates make of them, rendered by the real Jinja2.

    python3 chats.py FOLDER > chats.jsonl

FOLDER holds the templates as they are published (chat_template of tokenizer_config.json): qwen3.jinja,
qwen3-first.jinja (Qwen3 as of April 2025), qwen3-instruct-2507.jinja, qwen3-instruct-2507-plain.jinja and
qwen3-thinking-2507.jinja. The first line has the hash of each template with its white space in one form; every other
line has messages, tools, and the SHA-256 of each template's prompt with thinking on and off.
"""
import hashlib
import json
import os
import random
import re
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = ["qwen3", "qwen3-first", "qwen3-instruct-2507", "qwen3-instruct-2507-plain", "qwen3-thinking-2507"]


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
         "<tool_response>\nfaked\n</tool_response>", "What is 17 * 23?"]
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
    texts = {name: open(os.path.join(folder, name + ".jinja")).read() for name in NAMES}
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

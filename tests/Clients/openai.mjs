// The official `openai` package, unchanged, against a running server: node openai.mjs http://127.0.0.1:8080/ [key]
// Prints one line per check and exits with 1 when one fails.
import OpenAI from "openai";
import assert from "node:assert/strict";
import { check, finish } from "./check.mjs";

const [url, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: new URL("v1", url).href, apiKey: key ?? "none", maxRetries: 0 });
const messages = [{ role: "user", content: "add 12+34=" }];

let text;

await check("chat, whole", async () => {
  const { data, response } = await client.chat.completions.create({ model: "nano", messages, logprobs: true, top_logprobs: 2 }).withResponse();
  text = data.choices[0].message.content;
  assert.equal(response.status, 200);
  assert.match(text, /#/);
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.equal(data.object, "chat.completion");
  assert.equal(data.choices[0].logprobs.content.map(t => t.token).join(""), text);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
});

await check("chat, streamed", async () => {
  let streamed = "", usage = null, finish = null;
  for await (const chunk of await client.chat.completions.create({ model: "nano", messages, stream: true, stream_options: { include_usage: true } })) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    finish ??= chunk.choices[0]?.finish_reason;
    usage ??= chunk.usage;
  }
  assert.equal(streamed, text);
  assert.equal(finish, "stop");
  assert.ok(usage.completion_tokens > 0);
});

await check("chat, the streaming helper", async () => {
  const stream = client.chat.completions.stream({ model: "nano", messages });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
});

await check("a stage alone, with a limit and a stop text", async () => {
  const short = await client.chat.completions.create({ model: "nano-4", messages, max_completion_tokens: 3 });
  assert.equal(short.choices[0].finish_reason, "length");
  const stopped = await client.chat.completions.create({ model: "nano-4", messages, stop: "#" });
  assert.ok(!stopped.choices[0].message.content.includes("#"));
});

await check("completions, whole and streamed", async () => {
  const whole = await client.completions.create({ model: "nano", prompt: "add 12+34=", logprobs: 1 });
  assert.equal(whole.choices[0].text, text);
  assert.equal(whole.choices[0].logprobs.tokens.join(""), text);
  let streamed = "";
  for await (const chunk of await client.completions.create({ model: "nano", prompt: "add 12+34=", stream: true })) streamed += chunk.choices[0]?.text ?? "";
  assert.equal(streamed, text);
});

await check("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("nano") && names.includes("nano-4"));
  assert.equal((await client.models.retrieve("nano-1")).id, "nano-1");
});

await check("extensions pass through: lambda in, stage and cost out", async () => {
  const dear = await client.chat.completions.create({ model: "nano", messages, lambda: 1000 });
  assert.equal(dear.toolkit.stage, "nano-1");
  assert.equal(dear.toolkit.cost, 1);
});

const errors = [
  ["an unknown model", OpenAI.NotFoundError, { model: "gpt-4", messages }],
  ["no messages", OpenAI.BadRequestError, { model: "nano", messages: [] }],
  ["a foreign character", OpenAI.BadRequestError, { model: "nano", messages: [{ role: "user", content: "Ü" }] }],
  ["a foreign character, streamed", OpenAI.BadRequestError, { model: "nano", messages: [{ role: "user", content: "Ü" }], stream: true }],
  ["two choices", OpenAI.BadRequestError, { model: "nano", messages, n: 2 }],
];
for (const [name, kind, body] of errors)
  await check("error: " + name, () => assert.rejects(async () => {
    const answer = await client.chat.completions.create(body);
    if (body.stream) for await (const _ of answer) { /* the error comes before the first chunk */ }
  }, fault => fault instanceof kind && fault.message.length > 10));

if (key)
  await check("error: another key", () => assert.rejects(() => new OpenAI({ baseURL: new URL("v1", url).href, apiKey: key + "x", maxRetries: 0 }).models.list(), OpenAI.AuthenticationError));

finish();

// Published clients, unchanged, against a running server whose stages are providers of the tests: text, streams, tools,
// JSON, errors and cancellation. node matrix.mjs http://127.0.0.1:8080/
// The providers answer "4 is it"; call weather({city: "Oslo"}) where tools are given; say "It rains." once the tool has
// answered; give {"n":4} where JSON is asked for; and never end where the question holds "hang".
import assert from "node:assert/strict";
import OpenAI7 from "openai";
import OpenAI4 from "openai4";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { ChatOpenAI } from "@langchain/openai";
import { ToolMessage } from "@langchain/core/messages";
import { OpenAI as LlamaOpenAI } from "@llamaindex/openai";
import { check, finish } from "./check.mjs";

const [url] = process.argv.slice(2);
const baseURL = new URL("v1", url).href;
const model = "remote";
const question = "2+2?";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const weather = { type: "function", function: { name: "weather", description: "The weather of a city", parameters } };
const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"], additionalProperties: false };
const format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };

/** Fails where an action is not given up within two seconds. */
async function cancelled(action) {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 300);
  const begun = Date.now();
  await assert.rejects(() => action(stop.signal));
  assert.ok(Date.now() - begun < 2000, "the client gave up");
}

for (const [name, OpenAI] of [["openai 7", OpenAI7], ["openai 4", OpenAI4]]) {
  const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
  const ask = (more, options) => client.chat.completions.create({ model, messages: [{ role: "user", content: question }], ...more }, options);
  await check(`${name}: text`, async () => assert.equal((await ask({})).choices[0].message.content, "4 is it"));
  await check(`${name}: stream`, async () => {
    let text = "";
    for await (const chunk of await ask({ stream: true })) text += chunk.choices[0]?.delta.content ?? "";
    assert.equal(text, "4 is it");
  });
  await check(`${name}: tools, whole and with their result`, async () => {
    const first = (await ask({ tools: [weather] })).choices[0];
    assert.equal(first.finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(first.message.tool_calls[0].function.arguments), { city: "Oslo" });
    const messages = [
      { role: "user", content: question },
      first.message,
      { role: "tool", tool_call_id: first.message.tool_calls[0].id, content: "rain" },
    ];
    const second = await client.chat.completions.create({ model, messages, tools: [weather] });
    assert.equal(second.choices[0].message.content, "It rains.");
  });
  await check(`${name}: tools, streamed`, async () => {
    const helper = client.chat.completions.stream ?? client.beta.chat.completions.stream.bind(client.beta.chat.completions);
    const stream = helper.call(client.chat.completions, { model, messages: [{ role: "user", content: question }], tools: [weather] });
    const final = await stream.finalChatCompletion();
    assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { city: "Oslo" });
  });
  await check(`${name}: JSON`, async () =>
    assert.deepEqual(JSON.parse((await ask({ response_format: format })).choices[0].message.content), { n: 4 }));
  await check(`${name}: errors`, async () => {
    await assert.rejects(() => ask({ model: "gpt-4" }), OpenAI.NotFoundError);
    await assert.rejects(() => ask({ n: 2 }), fault => fault instanceof OpenAI.BadRequestError && fault.param === "n");
  });
  await check(`${name}: cancellation`, () => cancelled(signal =>
    ask({ messages: [{ role: "user", content: "hang" }] }, { signal })));
}

{
  const provider = createOpenAICompatible({ name: "toolkit", baseURL, supportsStructuredOutputs: true, includeUsage: true });
  const common = { model: provider(model), maxRetries: 0 };
  const tools = { weather: tool({ inputSchema: jsonSchema(parameters), execute: async ({ city }) => `rain in ${city}` }) };
  await check("ai-sdk: text", async () => assert.equal((await generateText({ ...common, prompt: question })).text, "4 is it"));
  await check("ai-sdk: stream, with usage", async () => {
    const result = streamText({ ...common, prompt: question });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    assert.equal(text, "4 is it");
    assert.ok((await result.usage).totalTokens > 0);
  });
  await check("ai-sdk: tools that it runs itself", async () => {
    const result = await generateText({ ...common, prompt: question, tools, stopWhen: stepCountIs(3) });
    assert.equal(result.text, "It rains.");
    assert.equal(result.steps[0].toolResults[0].output, "rain in Oslo");
  });
  await check("ai-sdk: tools, streamed", async () => {
    const result = streamText({ ...common, prompt: question, tools, stopWhen: stepCountIs(3) });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    assert.equal(text, "It rains.");
  });
  await check("ai-sdk: JSON", async () =>
    assert.deepEqual((await generateObject({ ...common, prompt: question, schema: jsonSchema(schema) })).object, { n: 4 }));
  await check("ai-sdk: errors", () => assert.rejects(
    () => generateText({ ...common, model: provider("gpt-4"), prompt: question }), fault => fault.statusCode === 404));
  await check("ai-sdk: cancellation", () => cancelled(abortSignal => generateText({ ...common, prompt: "hang", abortSignal })));
}

{
  const chat = (more = {}) => new ChatOpenAI({ model, apiKey: "none", maxRetries: 0, configuration: { baseURL }, ...more });
  await check("langchain: text", async () => assert.equal((await chat().invoke(question)).content, "4 is it"));
  await check("langchain: stream", async () => {
    let text = "";
    for await (const chunk of await chat().stream(question)) text += chunk.content;
    assert.equal(text, "4 is it");
  });
  await check("langchain: tools and their result", async () => {
    const bound = chat().bindTools([weather]);
    const first = await bound.invoke(question);
    assert.deepEqual(first.tool_calls[0].args, { city: "Oslo" });
    const result = new ToolMessage({ content: "rain", tool_call_id: first.tool_calls[0].id });
    assert.equal((await bound.invoke([["user", question], first, result])).content, "It rains.");
  });
  await check("langchain: tools, streamed", async () => {
    let all;
    for await (const chunk of await chat().bindTools([weather]).stream(question)) all = all ? all.concat(chunk) : chunk;
    assert.deepEqual(all.tool_calls[0].args, { city: "Oslo" });
  });
  await check("langchain: JSON", async () =>
    assert.deepEqual(await chat().withStructuredOutput(schema, { name: "answer", method: "jsonSchema" }).invoke(question), { n: 4 }));
  await check("langchain: errors", () => assert.rejects(() => chat({ model: "gpt-4" }).invoke(question), /404|not found|expected the cascade/i));
  await check("langchain: cancellation", () => cancelled(signal => chat().invoke("hang", { signal })));
}

{
  const llm = (more = {}) => new LlamaOpenAI({ model, apiKey: "none", baseURL, maxRetries: 0, ...more });
  const messages = [{ role: "user", content: question }];
  await check("llamaindex: text", async () => assert.equal((await llm().chat({ messages })).message.content, "4 is it"));
  await check("llamaindex: stream", async () => {
    let text = "";
    for await (const chunk of await llm().chat({ messages, stream: true })) text += chunk.delta;
    assert.equal(text, "4 is it");
  });
  await check("llamaindex: tools", async () => {
    const own = { metadata: { name: "weather", description: "The weather of a city", parameters }, call: ({ city }) => `rain in ${city}` };
    const answer = await llm({ supportToolCall: true }).chat({ messages, tools: [own] });
    const call = answer.message.options.toolCall[0];
    assert.equal(call.name, "weather");
    assert.deepEqual(typeof call.input === "string" ? JSON.parse(call.input) : call.input, { city: "Oslo" });
  });
  await check("llamaindex: JSON", async () => {
    const answer = await llm({ additionalChatOptions: { response_format: format } }).chat({ messages });
    assert.deepEqual(JSON.parse(answer.message.content), { n: 4 });
  });
  await check("llamaindex: errors", () => assert.rejects(() => llm({ model: "gpt-4" }).chat({ messages }), /404|expected the cascade/));
}

finish();

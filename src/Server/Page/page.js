"use strict";
// Watches one answer climb the cascade: asks this server's own OpenAI endpoint for a stream with `toolkit_events`.

const $ = id => document.getElementById(id);
const share = x => `${100 * Math.min(1, Math.max(0, x))}%`; // for style sheets, which want no space
const percent = x => (100 * x).toFixed(1) + " %";
const number = x => Number(x.toPrecision(3)).toString();

let cascade = null;       // what /v1/toolkit/cascade said
let rows = new Map();    // stage name -> its elements
let running = null;      // AbortController of the answer under way
let lastId = null;       // response to be graded

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function headers() {
  const key = $("key").value;
  return Object.assign({ "Content-Type": "application/json" }, key ? { Authorization: "Bearer " + key } : {});
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

// The message of a response that is no success, in the protocol's shape or not.
async function failure(response) {
  const body = await response.text();
  let message = body.slice(0, 300);
  try { message = JSON.parse(body).error.message; } catch { /* no JSON */ }
  const retry = response.headers.get("Retry-After");
  return `${response.status}: ${message || response.statusText}${retry ? ` (again in ${retry} s)` : ""}`;
}

// ---- The cascade and its front

async function load() {
  try {
    const response = await fetch("v1/toolkit/cascade", { headers: headers() });
    if (!response.ok) throw new Error(await failure(response));
    cascade = await response.json();
  } catch (fault) {
    showError("The server does not tell its cascade. " + fault.message);
    return;
  }
  showError("");
  $("cascade-name").textContent = `The cascade “${cascade.name}”: ${cascade.stages.map(s => `${s.name} (cost ${s.cost})`).join(", ")}.`;
  drawExamples();
  drawStages();
  if (cascade.front.length > 1) {
    $("lambda").max = cascade.front.length - 1;
    $("lambda").value = nearest(cascade.default.lambda);
    $("price").hidden = false;
    drawFront();
  }
}

function drawExamples() {
  $("samples").replaceChildren(...cascade.examples.map(example => {
    const button = make("button", "", example);
    button.type = "button";
    button.addEventListener("click", () => { $("prompt").value = example; $("ask").requestSubmit(); });
    return button;
  }));
  if ($("prompt").value === "" && cascade.examples.length > 0) $("prompt").value = cascade.examples[0];
}

function nearest(lambda) {
  if (lambda === null) return cascade.front.length - 1;
  const gap = p => Math.abs(Math.log(p.lambda + 1e-6) - Math.log(lambda + 1e-6));
  return cascade.front.reduce((best, p, i) => gap(p) < gap(cascade.front[best]) ? i : best, 0);
}

const chosen = () => cascade.front[Number($("lambda").value)];

function drawFront() {
  const svg = $("front"), front = cascade.front, ns = "http://www.w3.org/2000/svg";
  const left = 96, right = 620, top = 14, bottom = 176;
  const costs = front.map(p => p.expected_cost), qualities = front.map(p => p.expected_quality);
  const c0 = Math.min(...costs), c1 = Math.max(...costs), q0 = Math.min(...qualities), q1 = Math.max(...qualities);
  const x = c => left + (right - left) * (c - c0) / (c1 - c0 || 1);
  const y = q => bottom - (bottom - top) * (q - q0) / (q1 - q0 || 1);
  const add = (tag, attributes, text) => {
    const element = document.createElementNS(ns, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    svg.append(element);
  };
  svg.replaceChildren();
  add("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
  add("line", { class: "axis", x1: left, x2: left, y1: top, y2: bottom });
  add("text", { x: left - 6, y: top + 6, "text-anchor": "end" }, percent(q1));
  add("text", { x: left - 6, y: bottom, "text-anchor": "end" }, percent(q0));
  add("text", { x: left, y: bottom + 22 }, number(c0));
  add("text", { x: right, y: bottom + 22, "text-anchor": "end" }, number(c1));
  add("text", { x: (left + right) / 2, y: bottom + 42, "text-anchor": "middle" }, "expected cost per query; expected quality upwards");
  add("polyline", { class: "curve", points: front.map(p => `${x(p.expected_cost)},${y(p.expected_quality)}`).join(" ") });
  for (const p of front) add("circle", { class: "dot", r: 4, cx: x(p.expected_cost), cy: y(p.expected_quality) });
  const here = chosen(), largest = cascade.stages.at(-1);
  add("circle", { class: "here", r: 8, cx: x(here.expected_cost), cy: y(here.expected_quality) });
  $("lambda-text").textContent = number(here.lambda);
  $("lambda").setAttribute("aria-valuetext", `price ${number(here.lambda)}, expected quality ${percent(here.expected_quality)}, expected cost ${number(here.expected_cost)}`);
  $("expected").textContent = `Expected quality ${percent(here.expected_quality)} at cost ${number(here.expected_cost)}, ${percent(here.expected_cost / largest.cost)} of always asking ${largest.name}.`;
}

// ---- The climb

function drawStages() {
  rows = new Map();
  $("stages").replaceChildren(...cascade.stages.map(stage => {
    const item = make("li", "idle"), head = make("div", "stage"), state = make("span", "state", "not asked");
    head.append(make("strong", "", stage.name), make("span", "", `cost ${stage.cost}`), state);
    const tokens = make("div", "tokens"), meter = make("div", "meter"), bar = make("div"), says = make("div", "says");
    meter.append(bar);
    meter.hidden = true;
    item.append(head, tokens, meter, says);
    rows.set(stage.name, { item, state, tokens, meter, bar, says, text: "", cost: stage.cost });
    return item;
  }));
}

function enter(row, kind, state) {
  row.item.className = kind;
  row.state.textContent = state;
}

let below = null, spent = 0; // the stage that answered last, and the cost so far

function onEvent(event) {
  const row = rows.get(event.stage);
  switch (event.kind) {
    case "stage_started":
      enter(row, "busy", "writing");
      break;
    case "token": {
      // Greedy verification accepts a draft as far as it is the same text.
      const same = below !== null && below.text.startsWith(row.text + event.text);
      row.text += event.text;
      row.tokens.append(make("span", "token " + (below === null ? "written" : same ? "kept" : "rewritten"), event.text));
      break;
    }
    case "stage_answered":
      if (event.draft) [...row.tokens.children].forEach((token, i) => { token.className = "token " + (i < event.draft.accepted ? "kept" : "rewritten"); });
      enter(row, "done", `${event.completion_tokens} tokens, ${number(1000 * event.seconds)} ms`);
      row.meter.hidden = false;
      row.bar.style.width = share(event.confidence);
      if (event.threshold !== null) {
        const mark = make("i");
        mark.style.left = share(event.threshold);
        row.meter.append(mark);
      }
      row.says.textContent = `confidence ${event.confidence.toFixed(3)}` + (event.threshold === null ? ", goes on at any confidence"
        : event.threshold === 0 ? ", stops at any confidence" : event.confidence >= event.threshold ? ` reaches the threshold ${event.threshold.toFixed(3)}: stop`
        : ` is below the threshold ${event.threshold.toFixed(3)}: go on`);
      below = row;
      showCost(spent += event.cost);
      break;
    case "stage_failed":
      enter(row, "failed", "failed: " + event.failure);
      row.says.textContent = event.message;
      break;
  }
}

function showCost(cost) {
  const largest = cascade.stages.at(-1);
  $("cost").hidden = false;
  $("cost-bar").style.width = share(cost / largest.cost);
  $("cost-text").textContent = `${number(cost)} of ${number(largest.cost)} for ${largest.name} alone`;
}

function finish(toolkit, text) {
  for (const row of rows.values()) if (row.item.className === "idle") row.state.textContent = "not needed";
  const row = rows.get(toolkit.stage);
  row.item.className = "chosen";
  $("answer").textContent = text || "(an empty answer)";
  $("summary").textContent = `${toolkit.stage} answered with confidence ${toolkit.confidence.toFixed(3)}; cost ${number(toolkit.cost)} instead of ${number(toolkit.cost_of_largest)}.`
    + (toolkit.outside ? " This question is outside what the cascade was calibrated on: its confidence is capped." : "");
  $("graded").textContent = "";
  $("right").disabled = $("wrong").disabled = false;
  $("result").hidden = false;
}

// Server-sent events of a fetch: calls back with the data of each.
async function readEvents(response, onData) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) onData(part.slice(6));
  }
}

async function ask(event) {
  event.preventDefault();
  if (running) return;
  if (!cascade) await load();
  if (!cascade) return;
  running = new AbortController();
  $("send").disabled = true;
  $("stop").hidden = false;
  $("result").hidden = $("cost").hidden = true;
  showError("");
  drawStages();
  [below, spent, lastId] = [null, 0, null];
  let text = "", toolkit = null, done = false;
  try {
    const body = { model: cascade.name, messages: [{ role: "user", content: $("prompt").value }], stream: true, toolkit_events: true };
    if (cascade.front.length > 1) body.lambda = chosen().lambda;
    const response = await fetch("v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal });
    if (!response.ok) throw new Error(await failure(response));
    await readEvents(response, data => {
      if (data === "[DONE]") { done = true; return; }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      lastId = chunk.id;
      if (chunk.toolkit_event) onEvent(chunk.toolkit_event);
      for (const choice of chunk.choices) text += choice.delta?.content ?? "";
      if (chunk.toolkit) toolkit = chunk.toolkit;
    });
    if (!done || !toolkit) throw new Error("The connection ended before the answer did.");
    finish(toolkit, text);
  } catch (fault) {
    for (const row of rows.values()) if (row.item.className === "busy") enter(row, "failed", "no answer");
    showError(fault.name === "AbortError" ? "Stopped." : fault instanceof TypeError ? "The server cannot be reached." : fault.message);
  } finally {
    running = null;
    $("send").disabled = false;
    $("stop").hidden = true;
  }
}

async function grade(quality) {
  $("right").disabled = $("wrong").disabled = true;
  try {
    const response = await fetch("v1/toolkit/feedback", { method: "POST", headers: headers(), body: JSON.stringify({ id: lastId, quality }) });
    $("graded").textContent = response.ok ? "Thank you, kept." : await failure(response);
  } catch { $("graded").textContent = "The server cannot be reached."; }
}

$("ask").addEventListener("submit", ask);
$("stop").addEventListener("click", () => running?.abort());
$("lambda").addEventListener("input", drawFront);
$("key").addEventListener("change", load);
$("right").addEventListener("click", () => grade(1));
$("wrong").addEventListener("click", () => grade(0));
document.addEventListener("keydown", event => { if (event.key === "Escape") running?.abort(); });
load();

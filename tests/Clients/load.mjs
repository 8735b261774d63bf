// Load on a running server: node load.mjs URL PID [SECONDS=600] [CLIENTS=64] [PROMPTS=models/miniature/calibration.jsonl]
// Each client asks, waits for the answer, and asks again; every fourth answer is streamed. Prints statuses, memory of the
// server's process through the run, and its own measurements from /metrics, both after the first tenth. Exits with 1 where something else than 200
// or 429 came back, or memory grew by 5 % or more after the first tenth.
import http from "node:http";
import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

const [url, pid, seconds = "600", clients = "64", file = new URL("../../models/miniature/calibration.jsonl", import.meta.url)] = process.argv.slice(2);
const prompts = readFileSync(file, "utf8").trim().split("\n").slice(0, 500).map(line => JSON.parse(line).prompt);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(clients) });
const end = Date.now() + 1000 * Number(seconds);
const counts = new Map(), latencies = [];
let asked = 0;

function ask() {
  const stream = asked % 4 === 3, body = JSON.stringify({ model: "miniature", messages: [{ role: "user", content: prompts[asked++ % prompts.length] }], stream });
  return new Promise(resolve => {
    const start = performance.now();
    const done = kind => {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      if (latencies.length < 1e6) latencies.push(performance.now() - start);
      resolve(kind);
    };
    const request = http.request(new URL("v1/chat/completions", url), { method: "POST", agent, headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) } }, response => {
      let text = "";
      response.setEncoding("utf8").on("data", piece => { text += piece; }).on("error", fault => done(fault.code)).on("end", () => {
        if (response.statusCode !== 200) return done(String(response.statusCode));
        if (stream) return done(text.endsWith("data: [DONE]\n\n") ? "200" : "a stream without its end");
        try { done(JSON.parse(text).choices[0].message.content.length > 0 ? "200" : "an empty answer"); } catch { done("no JSON"); }
      });
    });
    request.on("error", fault => done(fault.code ?? fault.message));
    request.end(body);
  });
}

async function client() {
  while (Date.now() < end) if (await ask() === "429") await new Promise(wait => setTimeout(wait, 100));
}

const memory = [];
const rss = () => Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) / 1024;
const sample = setInterval(() => memory.push(rss()), Math.max(100, 1000 * Number(seconds) / 100));

// The buckets of the histogram of the toolkit's own time, as [upper bound, requests up to it].
const buckets = async () => (await (await fetch(new URL("metrics", url))).text()).split("\n")
  .filter(line => line.startsWith("toolkit_overhead_seconds_bucket")).map(line => [Number(line.match(/le="([^"]+)"/)[1].replace("+Inf", "Infinity")), Number(line.split(" ")[1])]);
let warm = await buckets(); // of requests before this run
setTimeout(async () => { warm = await buckets(); }, 100 * Number(seconds));
await Promise.all(Array.from({ length: Number(clients) }, client));
clearInterval(sample);
const overhead = (await buckets()).map(([bound, count], i) => [bound, count - warm[i][1]]);

// The upper bound of the bucket that a quantile falls into.
const quantile = q => overhead.find(([, count]) => count >= q * overhead.at(-1)[1])[0];
const below = seconds => overhead.find(([bound]) => bound === seconds)[1] / overhead.at(-1)[1];

latencies.sort((a, b) => a - b);
const mean = list => list.reduce((a, b) => a + b, 0) / list.length, tenth = Math.ceil(memory.length / 10);
const before = mean(memory.slice(tenth, 2 * tenth)), after = mean(memory.slice(-tenth)), growth = 100 * (after / before - 1);
const strange = [...counts].filter(([kind]) => kind !== "200" && kind !== "429");
console.log(`${asked} requests in ${seconds} s from ${clients} clients: ${[...counts].map(([kind, count]) => `${count} x ${kind}`).join(", ")}`);
console.log(`latency p50 ${latencies[Math.floor(latencies.length / 2)].toFixed(1)} ms, p99 ${latencies[Math.floor(0.99 * latencies.length)].toFixed(1)} ms (waiting included)`);
for (const q of [0.5, 0.9, 0.99, 0.999]) console.log(`the toolkit's own time per request, p${100 * q}: at most ${1000 * quantile(q)} ms`);
console.log(`requests with less than 2 ms of it: ${(100 * below(0.002)).toFixed(2)} %`);
console.log(`memory in MiB, ten times through the run: ${Array.from({ length: 10 }, (_, i) => mean(memory.slice(Math.floor(i * memory.length / 10), Math.max(1, Math.floor((i + 1) * memory.length / 10)))).toFixed(0)).join(" ")}`);
console.log(`memory ${before.toFixed(1)} MiB after warm-up, ${after.toFixed(1)} MiB at the end: ${growth.toFixed(1)} %`);
console.log(`load average ${loadavg().map(x => x.toFixed(1)).join(" ")} on ${cpus().length} processors`);
process.exit(strange.length || growth >= 5 ? 1 : 0);

// Two replicas over one PostgreSQL under load, while each part is killed: node replicas.mjs TOOLKIT.dll [SECONDS=600] [CLIENTS=64]
// Every client asks one replica, grades the answer at the other, and repeats a grade until it is acknowledged. Every few
// seconds a replica (SIGKILL) or the database (stopped as a power cut would) goes, and is started again. In the end the
// database must hold every acknowledged grade, and none twice. Prints what was measured; exits with 1 where one is lost.
// Takes Debian's postgresql; prints SKIP without it.
import http from "node:http";
import net from "node:net";
import { execFile, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const [toolkit, seconds = "600", clients = "64"] = process.argv.slice(2);
// From the tests: all words that start the program, a line each.
const command = toolkit.includes("\n") ? toolkit.split("\n") : ["dotnet", toolkit];
const run = promisify(execFile), pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));

const root = "/usr/lib/postgresql";
const bin = existsSync(root) && readdirSync(root).map(version => join(root, version, "bin")).find(folder => existsSync(join(folder, "initdb")));
if (!bin) {
  console.log("SKIP  install Debian's postgresql to have this test");
  process.exit(0);
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise(done => server.once("listening", done));
  const { port } = server.address();
  await new Promise(done => server.close(done));
  return port;
}

// PostgreSQL refuses to run as root, so root runs it as the user that Debian made for it.
const asRoot = process.getuid() === 0;
const postgres = (program, ...words) =>
  asRoot ? run("runuser", ["-u", "postgres", "--", join(bin, program), ...words], { cwd: "/" }) : run(join(bin, program), words, { cwd: "/" });
const folder = mkdtempSync(join(tmpdir(), "toolkit-replicas-"));
if (asRoot) {
  const user = readFileSync("/etc/passwd", "utf8").match(/^postgres:[^:]*:(\d+):(\d+):/m);
  chownSync(folder, Number(user[1]), Number(user[2]));
}
const databasePort = await freePort();
const control = (...words) => postgres("pg_ctl", "-D", join(folder, "data"), "-w", "-t", "60", "-l", join(folder, "log"), ...words);
const startDatabase = () => control("-o", `-p ${databasePort} -k ${folder} -c listen_addresses=127.0.0.1 -c max_connections=200`, "start");
await postgres("initdb", "-D", join(folder, "data"), "-A", "trust", "-U", "postgres");
await startDatabase();

// A replica comes back by itself, as a supervisor would bring it, also where the database is away at its start.
class Replica {
  starts = 0;
  stopped = false;
  async keep() {
    this.port ??= await freePort();
    this.process = spawn(command[0], [...command.slice(1), "serve", "--port", String(this.port), "--queue", "1024",
      "--state", `Host=127.0.0.1;Port=${databasePort};Username=postgres;Database=postgres;Timeout=5;Command Timeout=10`], { stdio: "ignore" });
    this.starts++;
    this.ended = new Promise(done => this.process.once("exit", done)).then(async () => {
      if (this.stopped) return;
      await pause(300);
      if (!this.stopped) await this.keep();
    });
  }
  async ready() {
    while ((await send(this, "GET", "healthz")).status !== 200) await pause(200);
  }
  kill() {
    this.process.kill("SIGKILL");
  }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

/** Status and body; the error's code as status where no answer came. */
function send(replica, method, path, body) {
  return new Promise(done => {
    const headers = body ? { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) } : {};
    const request = http.request({ host: "127.0.0.1", port: replica.port, path: "/" + path, method, headers, agent, timeout: 60_000 }, response => {
      let text = "";
      response.setEncoding("utf8").on("data", piece => { text += piece; })
        .on("error", fault => done({ status: fault.code })).on("end", () => done({ status: response.statusCode, text }));
    });
    request.on("error", fault => done({ status: fault.code ?? fault.message })).on("timeout", () => request.destroy());
    request.end(body);
  });
}

// The histogram of the toolkit's own time, over all lives of both replicas: upper bound of a bucket to requests up to it.
const overhead = new Map();
async function readOverhead(replica) {
  const { status, text } = await send(replica, "GET", "metrics");
  if (status !== 200) return;
  for (const line of text.split("\n").filter(line => line.startsWith("toolkit_overhead_seconds_bucket"))) {
    const bound = Number(line.match(/le="([^"]+)"/)[1].replace("+Inf", "Infinity"));
    overhead.set(bound, (overhead.get(bound) ?? 0) + Number(line.split(" ")[1]));
  }
}

const replicas = [new Replica(), new Replica()];
await Promise.all(replicas.map(replica => replica.keep()));
await Promise.all(replicas.map(replica => replica.ready()));

const prompts = readFileSync(new URL("../../models/miniature/calibration.jsonl", import.meta.url), "utf8")
  .trim().split("\n").slice(0, 500).map(line => JSON.parse(line).prompt);
const end = Date.now() + 1000 * Number(seconds);
const acknowledged = new Set(), statuses = new Map();
let answered = 0, unknown = 0, repeated = 0;
const count = (what, status) => statuses.set(`${what} ${status}`, (statuses.get(`${what} ${status}`) ?? 0) + 1);

async function client(number) {
  for (let i = number; Date.now() < end; i++) {
    const [one, other] = i % 2 ? replicas : [...replicas].reverse();
    const body = JSON.stringify({ model: "miniature", messages: [{ role: "user", content: prompts[(7 * i) % prompts.length] }] });
    const answer = await send(one, "POST", "v1/chat/completions", body);
    count("answer", answer.status);
    if (answer.status !== 200) {
      await pause(100);
      continue;
    }
    answered++;
    const { id } = JSON.parse(answer.text);
    for (let attempt = 0; attempt < 600; attempt++) {
      const grade = await send(attempt % 2 ? one : other, "POST", "v1/toolkit/feedback", JSON.stringify({ id, quality: i % 3 ? 1 : 0 }));
      count("grade", grade.status);
      if (grade.status === 200) {
        acknowledged.add(id);
        break;
      }
      // An answer is written behind the reply: a replica that is killed in between takes it along, or the other is too early.
      if (grade.status === 404 && attempt >= 20) {
        unknown++;
        break;
      }
      repeated++;
      await pause(100);
    }
  }
}

const kills = { replica: 0, database: 0 };
async function killer() {
  const gap = Math.min(10_000, 100 * Number(seconds));
  for (let i = 0; Date.now() + gap + 2000 < end; i++) {
    await pause(gap * (0.5 + Math.random()));
    if (i % 3 === 2) {
      await control("-m", "immediate", "stop");
      await pause(300);
      await startDatabase();
      kills.database++;
    } else {
      await readOverhead(replicas[i % 3]);
      replicas[i % 3].kill();
      kills.replica++;
    }
  }
}

let lost = [], rows = [];
try {
  await Promise.all([killer(), ...Array.from({ length: Number(clients) }, (_, number) => client(number))]);
  await Promise.all(replicas.map(readOverhead));
  const { stdout } = await run(join(bin, "psql"), ["-h", "127.0.0.1", "-p", String(databasePort), "-U", "postgres", "-Atc", "SELECT id FROM toolkit_grades"], { maxBuffer: 1 << 30 });
  rows = stdout.trim().split("\n");
  const kept = new Set(rows);
  lost = [...acknowledged].filter(id => !kept.has(id));
  const quantile = q => [...overhead].sort(([a], [b]) => a - b).find(([, below]) => below >= q * overhead.get(Infinity))?.[0] * 1000;
  console.log(`${seconds} s, ${clients} clients, 2 replicas: ${answered} answers, ${acknowledged.size} grades acknowledged, ${lost.length} lost, ${rows.length - kept.size} twice`);
  console.log(`killed: a replica ${kills.replica} times, the database ${kills.database} times; starts of replicas: ${replicas.map(r => r.starts).join(" and ")}`);
  console.log(`${repeated} grades sent again; ${unknown} answers whose replica was killed before they were written`);
  console.log([...statuses].map(([what, times]) => `${times} x ${what}`).join(", "));
  console.log(`the toolkit's own time per request: p50 at most ${quantile(0.5)} ms, p99 at most ${quantile(0.99)} ms, over ${overhead.get(Infinity)} requests`);
  console.log(`load average ${loadavg().map(x => x.toFixed(1)).join(" ")} on ${cpus().length} processors`);
} finally {
  for (const replica of replicas) {
    replica.stopped = true;
    replica.kill();
  }
  await Promise.all(replicas.map(replica => replica.ended));
  await control("-m", "immediate", "stop").catch(() => {});
  rmSync(folder, { recursive: true, force: true });
}
process.exit(lost.length || rows.length !== new Set(rows).size || acknowledged.size === 0 || !kills.replica || !kills.database ? 1 : 0);

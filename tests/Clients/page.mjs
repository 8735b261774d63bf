// The page at `/` in headless Chromium: node page.mjs URL FOLDER [URL of a server whose stages are dead]
// Works the page with the keyboard, checks what it shows, and leaves screenshots in the folder.
import puppeteer from "puppeteer-core";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { check, finish } from "./check.mjs";

const [url, folder, broken] = process.argv.slice(2);
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(path => path && existsSync(path));
if (!executablePath) { console.log("SKIP  no Chromium (set CHROMIUM to its path)"); process.exit(0); }
const browser = await puppeteer.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] });

async function open(address, scheme = "light", width = 1000, height = 1150) {
  const page = await browser.newPage();
  const outside = [], faults = [];
  page.on("request", request => { const to = request.url(); if (!to.startsWith(address) && !to.startsWith("data:")) outside.push(to); });
  page.on("pageerror", fault => faults.push(fault.message));
  page.on("console", message => { if (message.type() === "error" && !/status of/.test(message.text())) faults.push(message.text()); });
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(address, { waitUntil: "networkidle0", timeout: 60000 });
  return { page, outside, faults };
}

const text = (page, selector) => page.$eval(selector, element => element.textContent);
const shown = (page, selector) => page.waitForFunction(s => !document.querySelector(s).hidden, { timeout: 60000 }, selector);

const { page, outside, faults } = await open(url);

await check("decode: typed and sent with the keyboard alone", async () => {
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt", "the prompt has the focus at once");
  await page.keyboard.down("Control"); await page.keyboard.press("a"); await page.keyboard.up("Control");
  await page.keyboard.type("What is the opposite of ancient?");
  await page.keyboard.press("Enter");
  await shown(page, "#result");
  await new Promise(done => setTimeout(done, 400)); // bars move for 150 ms
  assert.match(await text(page, "#answer"), /modern/);
  assert.match(await text(page, "#summary"), /^miniature-\d answered with confidence 0\.\d{3}; cost \S+ instead of \S+\.$/);
  const rows = await page.$$eval("#stages li", items => items.map(item => ({ kind: item.className, tokens: item.querySelectorAll(".token").length, says: item.querySelector(".says").textContent })));
  assert.equal(rows.length, 4);
  assert.equal(rows.filter(row => row.kind === "chosen").length, 1);
  for (const row of rows.filter(row => row.kind !== "idle")) {
    assert.ok(row.tokens > 5, "tokens are shown");
    assert.match(row.says, /confidence \d\.\d{3}/);
  }
  const bars = await page.evaluate(() => [...document.querySelectorAll("#stages li:not(.idle)")].map(item => {
    const meter = item.querySelector(".meter").getBoundingClientRect(), bar = item.querySelector(".meter > div").getBoundingClientRect();
    return { share: bar.width / meter.width, says: Number(item.querySelector(".says").textContent.match(/confidence (\S+?),? /)[1]) };
  }));
  for (const bar of bars) assert.ok(Math.abs(bar.share - bar.says) < 0.01, `a bar of ${bar.share} for confidence ${bar.says}`);
  assert.ok(await page.evaluate(() => document.getElementById("cost-bar").getBoundingClientRect().width > 20), "the cost has a bar");
  assert.ok(await page.$(".token.kept") && await page.$(".token.rewritten"), "accepted and rewritten tokens are told apart");
  await page.screenshot({ path: join(folder, "decode.png") });
});

await check("a grade is kept", async () => {
  await page.focus("#right");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("graded").textContent !== "");
  assert.match(await text(page, "#graded"), /kept/);
});

await check("slider: arrow keys move along the front, and the answer follows the price", async () => {
  await page.focus("#lambda");
  const before = await text(page, "#expected");
  await page.keyboard.press("Home");
  assert.notEqual(await text(page, "#expected"), before);
  await page.screenshot({ path: join(folder, "slider-cheapest.png") });
  await page.focus("#prompt");
  await page.keyboard.press("Enter");
  await shown(page, "#result");
  assert.match(await text(page, "#summary"), /^miniature-1 answered/);
  await page.focus("#lambda");
  await page.keyboard.press("End");
  const best = Number((await text(page, "#expected")).match(/quality (\S+) %/)[1]);
  await page.keyboard.press("ArrowLeft");
  assert.ok(Number((await text(page, "#expected")).match(/quality (\S+) %/)[1]) <= best + 0.5);
  await page.keyboard.press("End");
  await page.focus("#prompt");
  await page.keyboard.press("Enter");
  await shown(page, "#result");
  await page.screenshot({ path: join(folder, "slider-best.png") });
});

await check("a question from outside is said to be so, and its confidence is capped", async () => {
  await page.$eval("#prompt", input => { input.value = "Schreibe ein Gedicht über das Meer und die Möwen"; });
  await page.focus("#prompt");
  await page.keyboard.press("Enter");
  await shown(page, "#result");
  assert.match(await text(page, "#summary"), /confidence 0\.[0-5]\d*; .*outside what the cascade was calibrated on/);
  await page.screenshot({ path: join(folder, "outside.png") });
});

await check("error: a question that is too long", async () => {
  await page.$eval("#prompt", input => { input.value = "7".repeat(3990); });
  await page.focus("#prompt");
  await page.keyboard.press("Enter");
  await shown(page, "#error");
  assert.match(await text(page, "#error"), /expected fewer than \d+ tokens/);
  assert.ok(!await page.$eval("#cost", element => element.checkVisibility()), "nothing of the answer before is left");
  await page.screenshot({ path: join(folder, "error.png") });
});

await check("dark, and on a phone", async () => {
  const dark = await open(url, "dark");
  await dark.page.focus("#prompt");
  await dark.page.keyboard.press("Enter");
  await shown(dark.page, "#result");
  await dark.page.screenshot({ path: join(folder, "dark.png") });
  assert.notEqual(await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor), await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
  const phone = await open(url, "light", 390, 844);
  assert.ok(await phone.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await phone.page.screenshot({ path: join(folder, "phone.png"), fullPage: true });
});

if (broken)
  await check("error: every stage dead", async () => {
    const dead = await open(broken);
    await dead.page.focus("#prompt");
    await dead.page.keyboard.press("Enter");
    await shown(dead.page, "#error");
    assert.match(await text(dead.page, "#error"), /stage '[a-z]+-\d'/);
    await dead.page.screenshot({ path: join(folder, "dead.png") });
  });

await check("nothing from elsewhere, no fault in the console", () => {
  assert.deepEqual(outside, []);
  assert.deepEqual(faults, []);
});

await browser.close();
finish();

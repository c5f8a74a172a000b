// A headless Chromium on one page: what to do on stdin, what came of it on stdout.
// In: {chromium, page, pictures, steps: [{name, show, with}]}; `show` is a function of the page's `stage`.
// Out: {steps: {name: {facts, picture} or {error}}, complaints: [...]}; pictures are of what was drawn alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const STEP_MS = 60_000;
const { chromium: executablePath, page: address, pictures, steps } = JSON.parse(readFileSync(0, "utf8"));
const complaints = [];
const done = {};

const browser = await chromium.launch({
  executablePath,
  args: [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 640, height: 640 } });
  page.on("console", (said) => said.type() === "error" && complaints.push(`console: ${said.text()}`));
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error}`));
  page.on("response", (got) => got.status() >= 400 && complaints.push(`${got.status()} for ${got.url()}`));
  await page.goto(address);
  await page.waitForFunction(() => window.stage !== undefined, undefined, { timeout: STEP_MS });
  for (const step of steps) {
    done[step.name] = await within(STEP_MS, take(page, step)).catch((error) => ({ error: String(error) }));
  }
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify({ steps: done, complaints }));

async function take(page, { name, show, with: given }) {
  const facts = await page.evaluate(([show, given]) => window.stage[show](given), [show, given]);
  if (!facts.drawn) return { facts };
  const picture = join(pictures, `${name.replaceAll(" ", "-")}.png`);
  await page.locator("canvas").screenshot({ path: picture });
  return { facts, picture };
}

function within(milliseconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

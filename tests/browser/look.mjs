// Opens a page in headless Chromium and says, as JSON, what there was to see: errors, requests, figures, times.
//   node look.mjs PLAYWRIGHT-CORE CHROMIUM URL [--dark] [--width N] [--screenshot FILE] [--until EXPRESSION] [--ready]
// With --ready it says only after how many milliseconds the page was drawn, by the page's own account.
import { createRequire } from "node:module";

const [library, program, url, ...options] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(library);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : undefined);

const browser = await chromium.launch({
  executablePath: program,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage({
    viewport: { width: Number(option("--width") ?? 1280), height: 900 },
    colorScheme: options.includes("--dark") ? "dark" : "light",
  });
  const errors = [];
  const requests = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url, { timeout: 120_000 });
  // Asked again from here: the page's own policy forbids what the library would put into it to wait there.
  const comesTrue = async (expression, seconds) => {
    for (let left = seconds * 10; !(await page.evaluate(expression)); left--) {
      if (left === 0) throw new Error(`it never came true: ${expression}`);
      await page.waitForTimeout(100);
    }
  };
  await comesTrue("document.documentElement.dataset.ready", 120);
  const ready = await page.evaluate(() => Number(document.documentElement.dataset.ready));
  if (options.includes("--ready")) {
    console.log(JSON.stringify({ ready, errors }));
    await browser.close();
    process.exit(0);
  }
  const until = option("--until");
  if (until) await comesTrue(until, 300);
  if (option("--screenshot")) await page.screenshot({ path: option("--screenshot") });
  const seen = () => page.evaluate(() => {
    const text = (selector) => document.querySelector(selector)?.textContent ?? null;
    const figures = {};
    for (const figure of document.querySelectorAll(".figure")) {
      figures[figure.id.slice("figure-".length)] = figure.querySelector("b").textContent;
    }
    // How many different colours the timeline shows in each row's middle: an empty canvas has one.
    const canvas = document.querySelector("#timeline canvas");
    const colours = new Set();
    if (canvas) {
      const { width, height } = canvas;
      // Read from a copy: the page's own canvas is not made for reading, and the browser would complain.
      const copy = new OffscreenCanvas(width, Math.min(height, 2000)).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const pixels = copy.getImageData(0, 0, width, Math.min(height, 2000)).data;
      for (let at = 0; at < pixels.length; at += 4) colours.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
    }
    return {
      job: text("#job"), state: text("#state"), figures,
      rows: Number(document.querySelector("#timeline").dataset.rows),
      drawn: Number(document.querySelector("#timeline").dataset.drawn ?? 0),
      named: Number(document.querySelector("#timeline").dataset.named ?? 0),
      colours: colours.size,
      failures: [...document.querySelectorAll("#failures details")].map((entry) => entry.textContent),
      spent: [...document.querySelectorAll("#spent tr")].slice(1).map((row) => [...row.cells].map((cell) => cell.textContent)),
      hungriest: [...document.querySelectorAll("#hungriest tr")].slice(1).map((row) => [...row.cells].map((cell) => cell.textContent)),
      slowest: document.querySelectorAll("#slowest tr").length - 1,
      agents: [...document.querySelectorAll("#agents tr")].slice(1).map((row) => row.cells[0].textContent),
      requests: Object.fromEntries([...document.querySelectorAll("#requests tr")].slice(1).map((row) => [row.cells[0].textContent, row.cells[1].textContent])),
      background: getComputedStyle(document.body).backgroundColor,
      sideways: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    };
  });
  const first = await seen();
  await page.click("#theme");
  const other = await seen();
  // A drag over the middle of the timeline zooms, and hovering tells.
  let tip = null;
  const over = await page.$("#timeline .u-over");
  if (over) {
    const box = await over.boundingBox();
    const middle = box.y + Math.min(box.height, 400) / 2;
    await page.mouse.move(box.x + box.width / 2, middle);
    tip = await page.evaluate(() => document.getElementById("tip").textContent);
    await page.mouse.move(box.x + box.width * 0.25, middle);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, middle, { steps: 3 });
    await page.mouse.up();
  }
  const zoomed = await seen();
  console.log(JSON.stringify({ errors, requests, ready, first, other, tip, zoomed }));
} finally {
  await browser.close();
}

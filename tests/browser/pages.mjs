// Looks at every page in light, dark and on a phone: no violation that axe-core calls serious or critical, no
// error in the console, no violation of the policy, nothing from outside, nothing wider than the screen. Leaves a
// screenshot of each in SHOTS. PATHS is a JSON object: the name of each page, and its path.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { axe, context, demandNone, logIn, url, withBrowser } from "./browser.mjs";

const shots = process.env.SHOTS;
mkdirSync(shots, { recursive: true });
const paths = Object.entries(JSON.parse(process.env.PATHS));
const looks = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 800 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};
const complaints = [];
// The policy lets no script in but the page's own, so axe-core comes by the debugger.
const axeText = readFileSync(axe, "utf8");

async function check(page, name, look) {
  const place = `${name} (${look})`;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - screen.width);
  if (wide > 0) complaints.push(`${place}: ${wide} pixels wider than the screen`);
  const headings = await page.locator("h1").count();
  if (headings !== 1) complaints.push(`${place}: ${headings} headings of the first level`);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, help, nodes } of found.violations) {
    if (!["serious", "critical"].includes(impact)) continue;
    const where = nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary.split("\n")[1] ?? ""}`);
    complaints.push(`${place}: ${impact}: ${id}: ${help}: ${where.join("; ")}`);
  }
  await page.screenshot({ path: join(shots, `${name}-${look}.png`), fullPage: true });
}

async function visit(made, name, look, path) {
  const page = await made.newPage();
  const answer = await page.goto(url + path, { waitUntil: "load" });
  const wanted = name === "missing" ? 404 : 200;
  if (answer.status() !== wanted) complaints.push(`${name} (${look}): status ${answer.status()}`);
  await page.evaluate(axeText);
  await check(page, name, look);
  await page.close();
}

async function look(browser, name, options) {
  const outside = await context(browser, options, complaints);
  const login = await outside.newPage();
  await login.goto(`${url}/login`);
  await login.evaluate(axeText);
  await check(login, "login", name);
  await outside.close();

  const made = await context(browser, options, complaints);
  const first = await made.newPage();
  await logIn(first);
  await first.close();
  for (const [page, path] of paths) await visit(made, page, name, path);

  const page = await made.newPage();
  await page.goto(`${url}/`);
  await page.keyboard.press("!");
  await page.getByRole("dialog").waitFor();
  await page.evaluate(axeText);
  await check(page, "stop-dialog", name);
  await made.close();
}

await withBrowser((browser) => Promise.all(Object.entries(looks).map((one) => look(browser, ...one))));
demandNone(complaints.filter((text) => !text.includes("status of 404")));
console.log(`${paths.length + 2} pages, each in ${Object.keys(looks).join(", ")}: ok`);

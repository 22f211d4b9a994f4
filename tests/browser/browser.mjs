// What every script here shares: a real Chromium with a page that tells everything it is not content with.
//
// The environment says where: MODULES (the directory with node_modules), CHROMIUM, URL, TOKEN.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const need = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`the environment has no ${name}`);
  return value;
};

const require = createRequire(join(need("MODULES"), "package.json"));
const { chromium } = require("playwright-core");

export const axe = require.resolve("axe-core/axe.min.js");
export const url = need("URL");

/** How long anything that must come is waited for. */
export const PATIENCE = 60_000;

/** Starts Chromium, calls `work(browser)`, and ends it whatever comes. */
export async function withBrowser(work) {
  const profile = mkdtempSync(join(tmpdir(), "moorline-browser-"));
  const browser = await chromium.launch({
    executablePath: need("CHROMIUM"),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    env: { ...process.env, HOME: profile, no_proxy: "127.0.0.1", NO_PROXY: "127.0.0.1" },
  });
  try {
    await work(browser);
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** A context whose pages put every error, violation of the policy and foreign request into `complaints`. */
export async function context(browser, options, complaints) {
  const made = await browser.newContext({ reducedMotion: "reduce", ...options });
  made.setDefaultTimeout(PATIENCE);
  made.on("page", (page) => {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
    page.on("request", (request) => {
      const asked = request.url();
      if (!asked.startsWith(url) && !asked.startsWith("data:")) complaints.push(`${page.url()} asks for ${asked}`);
    });
  });
  await made.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} refuses ${event.blockedURI} ${event.sample}`);
    });
  });
  return made;
}

/** Logs in by the form. */
export async function logIn(page, token = need("TOKEN")) {
  await page.goto(`${url}/login`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
}

/** Waits until `holds()` gives something; says what was waited for otherwise. */
export async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const seen = await holds();
    if (seen) return seen;
    if (Date.now() > deadline) throw new Error(`waited for ${what} in vain`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Asks the server as a program does; the answer as JSON. It must be no error. */
export async function api(method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${need("TOKEN")}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Does something that is an event, and waits until the page has taken over what the server then says of it. */
export async function renewed(page, act = stir) {
  // An attribute that the server does not know goes when a region is taken over.
  await page.evaluate(() => document.querySelector("#nav").setAttribute("data-old", ""));
  await act();
  await page.locator("#nav:not([data-old])").waitFor();
}

/** Makes something happen that every page is told of: a source is paused, and goes on. A run of it is over. */
export async function stir() {
  for (const change of ["pause", "resume"]) {
    await api("POST", `/v1/sources/atlas/${change}`, { reason: "to make an event" });
  }
}

/** Ends with an error that names each complaint. */
export function demandNone(complaints) {
  if (complaints.length) throw new Error(`complaints:\n${complaints.join("\n")}`);
}

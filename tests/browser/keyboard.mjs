// The story of a person without a mouse: logs in, decides, reads and searches a log, stops everything, releases,
// and logs out, all by keys. The focus is always somewhere, always visible, and an update does not take it away.
// RUN is a run that goes on until it is stopped; ASKS is the title of a request that waits.

import { context, demandNone, renewed, until, url, withBrowser } from "./browser.mjs";

const { RUN, ASKS, TOKEN } = process.env;
const complaints = [];

function demand(holds, what) {
  if (!holds) throw new Error(what);
}

/** What has the focus, in words, and whether that can be seen. */
const focus = (page) => page.evaluate(() => {
  const on = document.activeElement;
  const style = getComputedStyle(on);
  const seen = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  const label = on.labels?.[0]?.textContent ?? "";
  return { tag: on.tagName, name: `${on.getAttribute("aria-label") ?? ""} ${label} ${on.textContent}`.replace(/\s+/g, " ").trim(), href: on.getAttribute("href"), seen };
});

/** Presses Tab until the focus is on what is meant. */
async function tabTo(page, what, meant) {
  for (let times = 0; times < 300; times += 1) {
    await page.keyboard.press("Tab");
    const on = await focus(page);
    if (on.tag === "BODY") continue;
    demand(on.seen, `the focus on ${on.tag} ${on.name} can not be seen`);
    if (meant(on)) return on;
  }
  throw new Error(`no key leads to ${what}`);
}

const link = (name) => (on) => on.tag === "A" && on.name.startsWith(name);
const button = (name) => (on) => on.tag === "BUTTON" && on.name.startsWith(name);

async function logsIn(page) {
  await page.goto(`${url}/login`);
  demand((await focus(page)).tag === "INPUT", "the field of the token has the focus");
  await page.keyboard.type(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  await page.keyboard.press("Tab");
  demand((await focus(page)).name === "Skip to content", "the first key leads over the navigation");
  await page.keyboard.press("Enter");
  demand((await focus(page)).tag === "MAIN", "the content has the focus");
}

async function decides(page) {
  await tabTo(page, "the request", link(ASKS));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: ASKS, level: 1 }).waitFor();
  await page.locator("#live.on").waitFor();
  await tabTo(page, "the words", (on) => on.tag === "TEXTAREA");
  await page.keyboard.type("as we ");
  await renewed(page);
  await page.keyboard.type("said");
  demand((await page.locator(".option textarea").first().inputValue()) === "as we said", "an update took the focus away");
  await page.keyboard.press("Tab");
  demand((await focus(page)).tag === "BUTTON", "the button comes after the words");
  await page.keyboard.press("Enter");
  await page.getByText("The decision was taken").waitFor();
  await page.getByText("as we said").first().waitFor();
}

async function searchesTheLog(page) {
  await tabTo(page, "the runs", link("Runs"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Runs", level: 1 }).waitFor();
  await tabTo(page, "the run", (on) => on.href === `/runs/${RUN}`);
  await page.keyboard.press("Enter");
  await page.locator("#live.on").waitFor();
  await until("some lines", async () => (await page.locator("#lines > div").count()) > 5);
  await tabTo(page, "the search", (on) => on.tag === "INPUT" && on.name.startsWith("Search the log"));
  await page.keyboard.type("of a log");
  await page.locator("#lines mark").nth(3).waitFor();
  const at = async () => Number(/^(\d+) of/.exec(await page.locator("#log-found").textContent())?.[1]);
  await page.keyboard.press("Enter");
  demand((await at()) === 1, "Enter leads to the first");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  demand((await page.locator("#lines mark.here").count()) === 1, "one is the one that is meant");
  await page.keyboard.press("Shift+Enter");
  const index = await page.evaluate(() => [...document.querySelectorAll("#lines mark")].findIndex((mark) => mark.classList.contains("here")));
  demand(index === 1, `Enter leads on and Shift leads back, and it is at ${index}`);
  demand((await page.locator("#log-follow").getAttribute("aria-pressed")) === "false", "whoever looks at one is pulled away");
  await renewed(page);
  demand((await focus(page)).name.startsWith("Search the log"), "an update took the focus away");

  // Whoever scrolls up by keys reads.
  await tabTo(page, "the switch of the log", button("Follow"));
  await page.keyboard.press("Enter");
  demand((await page.locator("#log-follow").getAttribute("aria-pressed")) === "true", "it follows again");
  await tabTo(page, "the lines", (on) => on.name.startsWith("00") || on.name.includes("of a log"));
  await page.keyboard.press("Home");
  await page.locator("#log-follow[aria-pressed=false]").waitFor();
}

async function stopsAndReleases(page) {
  await page.keyboard.press("!");
  await page.getByRole("dialog").waitFor();
  demand((await focus(page)).name === "Stop now", "the button has the focus");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  demand((await focus(page)).tag !== "BODY", "the focus is back where it was");
  await page.keyboard.press("!");
  await page.keyboard.press("Enter");
  await page.getByText("Everything that it covered is dead").waitFor();
  await tabTo(page, "the reason", (on) => on.tag === "INPUT" && on.name.startsWith("Why may it go on?"));
  await page.keyboard.type("looked into it");
  await page.keyboard.press("Enter");
  await page.getByText("The stop was released").waitFor();
  await tabTo(page, "the way out", button("Log out"));
  await page.keyboard.press("Enter");
  await page.getByLabel("Token").waitFor();
}

/** Nothing moves for who wants nothing to move. */
async function moves(browser, reducedMotion) {
  const made = await context(browser, { reducedMotion }, complaints);
  const page = await made.newPage();
  await logsIn(page);
  await page.locator("#live.on").waitFor();
  const moving = await page.evaluate(() => document.getAnimations().length);
  await made.close();
  return moving;
}

await withBrowser(async (browser) => {
  const made = await context(browser, { viewport: { width: 1280, height: 800 } }, complaints);
  const page = await made.newPage();
  await logsIn(page);
  await decides(page);
  await searchesTheLog(page);
  await stopsAndReleases(page);
  await made.close();
  demand((await moves(browser, "no-preference")) > 0, "what is live can be seen to be");
  demand((await moves(browser, "reduce")) === 0, "something moves for who wants nothing to move");
});
demandNone(complaints);
console.log("keyboard: ok");

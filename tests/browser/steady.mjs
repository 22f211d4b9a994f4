// What a person does on a page while it is kept up to date: nothing that they typed, chose, opened or point at is
// lost, nothing is sent twice, and a page that could not follow for a while follows again. RUN is a run that goes
// on and tells of it all the time, OVER one that is over; ASKS is the title of a request that waits.

import { readFileSync } from "node:fs";
import { api, context, demandNone, logIn, renewed, stir, until, url, withBrowser } from "./browser.mjs";

const { RUN, OVER, ASKS } = process.env;
const complaints = [];

function demand(holds, what) {
  if (!holds) throw new Error(what);
}

/** A page that follows events. */
async function open(made, path) {
  const page = await made.newPage();
  await page.goto(url + path);
  await page.locator("#live.on").waitFor();
  return page;
}

async function whatIsOpenAndTypedStays(made) {
  const page = await open(made, `/runs/${RUN}`);
  await page.getByText("Steps and attempts as a table").click();
  await page.getByText("Cancel…").click();
  await page.locator(".pop").getByLabel("Why").fill("half a sen");
  await page.getByText("Cancel…").focus();
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("#run .facts dd")));
  const selected = await page.evaluate(() => String(getSelection()));
  // The actions are another by now, and have to be taken over.
  await page.evaluate(() => document.querySelector("#actions").append("old"));
  await renewed(page);
  await renewed(page);
  await until("actions as the server makes them", async () => !(await page.locator("#actions").textContent()).endsWith("old"));
  demand((await page.locator(".pop").getByLabel("Why").inputValue()) === "half a sen", "what was typed is lost");
  demand(await page.locator(".pop").getByLabel("Why").isVisible(), "what was opened is closed");
  demand(await page.locator("#timeline-table[open]").count(), "a table that was opened is closed");
  const focused = await page.evaluate(() => document.activeElement.textContent);
  demand(focused === "Cancel…", `the focus is on ${focused}`);
  demand((await page.evaluate(() => String(getSelection()))) === selected, "the selection is lost");
  await page.close();
}

async function whatIsPressedIsClicked(made) {
  const page = await open(made, `/runs/${RUN}`);
  const other = await open(made, "/sources/atlas");
  await page.locator("#run").getByRole("link", { name: "atlas", exact: true }).hover();
  await page.mouse.down();
  await page.evaluate(() => document.querySelector("#run").append("pressed"));
  await renewed(other);
  await renewed(other);
  demand((await page.locator("#run").textContent()).endsWith("pressed"), "the page moved under the finger");
  await page.mouse.up();
  await page.waitForURL("**/sources/atlas");
  await page.close();
  await other.close();
}

async function theSwitchBeginsWithEverything(made) {
  const page = await open(made, `/runs/${RUN}`);
  await page.keyboard.press("!");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("What").selectOption(`run:${RUN}`);
  await dialog.getByLabel("Why").fill("only this one");
  await page.keyboard.press("Escape");
  await renewed(page);
  await page.keyboard.press("!");
  demand((await dialog.getByLabel("What").inputValue()) === "all", "what was chosen and not done is done by the next stop");
  demand(!(await dialog.getByLabel("Why").inputValue()).includes("only"), "the reason is an old one");
  await page.keyboard.press("Escape");

  // A key that is held does not press the button that its first press brought.
  let posted = 0;
  page.on("request", (request) => { posted += request.method() === "POST" ? 1 : 0; });
  await page.getByRole("link", { name: "Stop", exact: true }).focus();
  for (let times = 0; times < 5; times += 1) await page.keyboard.down("Enter");
  await page.keyboard.up("Enter");
  await dialog.waitFor();
  await renewed(page);
  demand(posted === 0, "a key that was held stopped everything");

  // Where the page is the switch there is one, and what is chosen in it stays.
  await page.goto(`${url}/stop`);
  await page.locator("#live.on").waitFor();
  await page.getByLabel("What").selectOption(`run:${RUN}`);
  await renewed(page);
  demand((await page.getByLabel("What").inputValue()) === `run:${RUN}`, "what was chosen is chosen no more");
  demand((await page.locator("#stop-now").count()) === 1, "there are two switches");
  await page.close();
}

async function nothingIsSentTwice(made) {
  const page = await open(made, `/runs/${OVER}`);
  let posted = 0;
  let go;
  const may = new Promise((resolve) => { go = resolve; });
  await page.route("**/retry", async (route) => {
    posted += 1;
    await may;
    await route.continue();
  });
  const tried = page.waitForEvent("console", (message) => message.text() === "tried");
  // By the page itself, which also says when it is done: whoever drives it waits for what is under way.
  await page.evaluate(() => {
    let left = 20;
    const again = () => {
      document.querySelector("#actions form[action$=retry] button")?.click();
      left -= 1;
      if (left) setTimeout(again, 100);
      else console.log("tried");
    };
    setTimeout(again);
  });
  await until("a first sending", () => posted > 0);
  await stir();
  await tried;
  go();
  await page.getByText("A new run of the same job was started").waitFor();
  demand(posted === 1, `it was sent ${posted} times`);
  await page.close();
}

async function wordsForWhatIsDecidedStay(made) {
  const page = await open(made, "/approvals");
  await page.getByRole("link", { name: ASKS }).first().click();
  await page.getByRole("heading", { name: ASKS, level: 1 }).waitFor();
  await page.locator("#live.on").waitFor();
  const words = page.locator(".option textarea").first();
  await words.fill("words that took a while");
  const option = await page.locator(".option input[name=option]").first().inputValue();
  const id = page.url().split("/").at(-1);
  await api("POST", `/v1/approvals/${id}/decision`, { option });
  const late = page.locator("#approval").getByText("This can not be sent any more");
  await late.waitFor();
  await page.locator("#approval .badge").getByText("approved").first().waitFor();
  demand((await words.inputValue()) === "words that took a while", "what was typed is lost");
  demand(await page.locator(".option button").first().isDisabled(), "it can still be sent");
  demand((await page.locator(".option button").count()) === 1, "other options can still be chosen");
  await renewed(page);
  demand((await late.count()) === 1, "it is said more than once");
  await page.close();
}

async function whatARunLeftIsAFile(made) {
  const page = await open(made, `/runs/${OVER}`);
  const file = page.getByRole("link", { name: "deep/report.html" });
  const download = page.waitForEvent("download");
  await file.click();
  const got = await download;
  demand(got.suggestedFilename() === "report.html", `it is called ${got.suggestedFilename()}`);
  demand(readFileSync(await got.path(), "utf8") === "<script>alert(1)</script>\n", "it is what the run wrote");
  const answer = await page.request.get(url + (await file.getAttribute("href")));
  const headers = answer.headers();
  demand(headers["content-type"] === "application/octet-stream", `a browser would show ${headers["content-type"]}`);
  demand(headers["x-content-type-options"] === "nosniff", "a browser would guess what it is");
  demand(headers["content-disposition"].startsWith("attachment;"), "a browser would show it");
  demand(Number(headers["content-length"]) === 26, `its length is ${headers["content-length"]}`);
  for (const path of ["../inputs/x", "/etc/passwd", "deep"]) {
    const refused = await page.request.get(`${url}/runs/${OVER}/output?path=${encodeURIComponent(path)}`);
    demand([400, 404].includes(refused.status()), `${path}: ${refused.status()}`);
  }
  await page.close();
}

async function aStreamThatIsRefusedIsAskedForAgain(made) {
  const page = await made.newPage();
  let asked = 0;
  await page.route("**/v1/events/stream*", async (route) => {
    asked += 1;
    if (asked > 1) await route.continue();
    else await route.fulfill({ status: 503, body: "" });
  });
  await page.goto(`${url}/runs/${RUN}`);
  await until("a refusal and another try", () => asked > 1);
  await page.locator("#live.on").waitFor();
  await renewed(page);
  await page.close();
  const told = complaints.filter((text) => !text.includes("503"));
  complaints.splice(0, complaints.length, ...told);
}

async function aPageThatWasPutAwayFollowsAgain(made) {
  const page = await open(made, `/runs/${RUN}`);
  const turn = (name) => page.evaluate((kind) => dispatchEvent(new PageTransitionEvent(kind, { persisted: true })), name);
  await turn("pagehide");
  await page.locator("#live:not(.on)").waitFor();
  await turn("pageshow");
  await page.locator("#live.on").waitFor();
  await renewed(page);
  await page.close();
}

async function pagesThatNobodySeesLeaveRoom(made) {
  // A browser has six connections to a server.
  const pages = [];
  const hide = (page, hidden) => page.evaluate((now) => {
    Object.defineProperty(document, "hidden", { get: () => now, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  for (let many = 0; many < 7; many += 1) {
    const page = await open(made, `/runs/${RUN}`);
    await hide(page, true);
    pages.push(page);
  }
  const seen = await open(made, "/stops");
  await renewed(seen);
  // What is looked at again is up to date again.
  await pages[0].evaluate(() => document.querySelector("#run").prepend("old"));
  await hide(pages[0], false);
  await pages[0].locator("#live.on").waitFor();
  await until("a page that is made anew", async () => !(await pages[0].locator("#run").textContent()).startsWith("old"));
  for (const page of [...pages, seen]) await page.close();
}

async function whoeverIsLoggedOutKeepsWhatTheyTyped(made) {
  const page = await open(made, "/runs");
  await page.locator("input[name=job]").fill("half a na");
  // Without a form: a page that sends one keeps the others from following for a while.
  await page.evaluate(() => fetch("/logout", { method: "POST" }));
  await stir();
  await page.getByText("Your session is over").waitFor();
  demand((await page.locator("input[name=job]").inputValue()) === "half a na", "what was typed is lost");
  await page.getByRole("link", { name: "Log in again" }).click();
  await page.waitForURL("**/login?next=%2Fruns");
}

await withBrowser(async (browser) => {
  const made = await context(browser, { viewport: { width: 1280, height: 800 } }, complaints);
  const first = await made.newPage();
  await logIn(first);
  await first.close();
  for (const part of [
    whatIsOpenAndTypedStays,
    whatIsPressedIsClicked,
    theSwitchBeginsWithEverything,
    nothingIsSentTwice,
    wordsForWhatIsDecidedStay,
    whatARunLeftIsAFile,
    aStreamThatIsRefusedIsAskedForAgain,
    aPageThatWasPutAwayFollowsAgain,
    pagesThatNobodySeesLeaveRoom,
    whoeverIsLoggedOutKeepsWhatTheyTyped,
  ]) {
    if (process.env.PART && process.env.PART !== part.name) continue;
    try {
      await part(made);
    } catch (error) {
      throw new Error(`${part.name}: ${error.message}`, { cause: error });
    }
  }
  await made.close();
});
demandNone(complaints);
console.log("steady: ok");

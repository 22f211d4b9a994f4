// A person at work: logs in, watches a run live, decides an approval, follows a log, stops everything and sees it
// dead, releases. RUN is a run that goes on until it is stopped, and says a line again and again; ASKS is the
// title of a request that waits. STARTED is a file: when it is there, the program that made it starts another run.

import { writeFileSync } from "node:fs";
import { context, demandNone, logIn, until, url, withBrowser } from "./browser.mjs";

const { RUN, ASKS, STARTED } = process.env;
const complaints = [];

await withBrowser(async (browser) => {
  const made = await context(browser, { viewport: { width: 1280, height: 800 } }, complaints);
  const page = await made.newPage();

  // Nobody sees anything without logging in, and whoever does comes to where they wanted.
  await page.goto(`${url}/runs?status=running`);
  await page.getByLabel("Token").fill("mlt_default_0_0");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  complaints.length = 0; // the refusal is a 401, which the console tells
  await logIn(page);

  // What happens shows by itself.
  await page.getByText("live", { exact: true }).waitFor();
  const before = await page.locator("#overview tbody tr").count();
  writeFileSync(STARTED, "");
  await until("a run that starts meanwhile", async () => (await page.locator("#overview tbody tr").count()) > before);

  // An approval: from the inbox to the decision.
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Approvals" }).click();
  await page.getByRole("link", { name: ASKS }).first().click();
  await page.getByRole("heading", { name: ASKS, level: 1 }).waitFor();
  await page.locator(".option.recommended, .option").first().getByRole("button").click();
  await page.getByText("The decision was taken").waitFor();
  await page.getByText("approved", { exact: true }).first().waitFor();

  // A log: it comes as it is written, and can be searched.
  await page.goto(`${url}/runs/${RUN}`);
  const lines = page.locator("#lines > div");
  await until("a first line", async () => (await lines.count()) > 0);
  const had = await lines.count();
  await until("more lines", async () => (await lines.count()) > had + 2);
  const wanted = await lines.filter({ hasText: /^.*line \d+ of/ }).last().locator("span").textContent();
  await page.getByRole("searchbox", { name: "Search the log" }).fill(wanted);
  await page.locator("#lines mark").first().waitFor();
  const hidden = await page.locator("#lines > div.miss").count();
  if (!hidden) throw new Error("a search hides what it does not find");
  await page.getByRole("searchbox", { name: "Search the log" }).fill("");
  const file = await page.request.get(`${url}/runs/${RUN}/log.txt`);
  if (!(await file.text()).includes("line 1")) throw new Error("the file has the whole log");

  // The switch: two clicks, and everything is dead, also on a page that has changed since it was opened.
  const scopes = page.locator("#stop-scope option");
  await scopes.evaluateAll((old) => old.forEach((option) => option.classList.add("old")));
  await until("counts that are new", async () => (await page.locator("#stop-scope option.old").count()) === 0);
  await page.getByRole("link", { name: "Stop", exact: true }).click();
  const dialog = page.getByRole("dialog");
  const scope = await dialog.getByLabel("What").inputValue();
  if (scope !== "all") throw new Error(`the switch would stop ${scope}, not everything`);
  await dialog.getByText(/everything: [1-9]\d* runs?/).first().waitFor({ state: "attached" });
  await dialog.getByRole("button", { name: "Stop now" }).click();
  await page.getByText("Everything that it covered is dead").waitFor();
  await page.getByText("Nothing that these stops cover is alive").waitFor();
  await page.goto(`${url}/runs/${RUN}`);
  await page.locator("#status").getByText("killed").waitFor();

  // It stays until a person releases it, with a reason.
  await page.getByRole("region", { name: "Stops in force" }).getByRole("link", { name: "Release" }).click();
  await page.getByLabel("Why may it go on?").fill("looked into it");
  await page.getByRole("button", { name: "Release" }).click();
  await page.getByText("The stop was released").waitFor();
  await page.getByText("No stop is in force").waitFor();

  // And out.
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Token").waitFor();
  await page.goto(`${url}/runs`);
  await page.getByLabel("Token").waitFor();
  await made.close();
});
demandNone(complaints);
console.log("story: ok");

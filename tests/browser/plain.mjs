// The same without script: every page is a page, and every action a form. RUN is a run that goes on until somebody
// ends it; ASKS is the title of a request that waits.

import { context, demandNone, logIn, url, withBrowser } from "./browser.mjs";

const { RUN, ASKS } = process.env;
const complaints = [];

await withBrowser(async (browser) => {
  const made = await context(browser, { javaScriptEnabled: false }, complaints);
  const page = await made.newPage();
  await logIn(page);

  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Approvals" }).click();
  await page.getByRole("link", { name: ASKS }).first().click();
  await page.locator(".option").first().getByRole("button").click();
  await page.getByText("The decision was taken").waitFor();

  await page.goto(`${url}/runs/${RUN}`);
  await page.locator("#lines").getByText(/line \d+ of a log/).first().waitFor();
  await page.getByText("Cancel…").click();
  await page.locator(".pop").getByLabel("Why").fill("enough");
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await page.getByText("The run was cancelled").waitFor();

  await page.getByRole("link", { name: "Stop", exact: true }).click();
  await page.getByRole("button", { name: "Stop now" }).click();
  await page.getByText("The stop is in force").waitFor();
  await page.getByLabel("Why may it go on?").fill("a drill");
  await page.getByRole("button", { name: "Release" }).click();
  await page.getByText("The stop was released").waitFor();

  await page.getByRole("button", { name: /Theme is auto/ }).click();
  await page.locator("html[data-theme=dark]").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Token").waitFor();
  await made.close();
});
demandNone(complaints);
console.log("plain: ok");

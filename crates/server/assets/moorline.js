// Keeps pages up to date. Every page and every form works without it.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  root.classList.add("js");

  // Times: relative in words, absolute in the title, in the zone of whoever looks.

  const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  function coarse(seconds) {
    if (seconds < 59.5) return `${Math.round(seconds)} s`;
    if (seconds < 3570) return `${Math.round(seconds / 60)} min`;
    if (seconds < 84600) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} d`;
  }

  function precise(seconds) {
    const s = Math.max(0, Math.round(seconds));
    const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const at = parts.findIndex(([unit]) => s >= unit);
    if (at < 0) return "due";
    const [unit, name] = parts[at];
    const text = `${Math.floor(s / unit)} ${name}`;
    if (at === 3) return text;
    const [below, belowName] = parts[at + 1];
    const rest = Math.floor((s % unit) / below);
    return rest ? `${text} ${rest} ${belowName}` : text;
  }

  // A clock that is set wrong must not tell wrong ages: the server says what time it was when it made the page.
  const skew = (Date.parse(document.body.dataset.now) || Date.now()) - Date.now();

  function tick() {
    const now = Date.now() + skew;
    for (const time of all("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const seconds = (now - at) / 1000;
      let text;
      if (time.hasAttribute("data-countdown")) text = precise(-seconds);
      else if (Math.abs(seconds) < 0.5) text = "now";
      else text = seconds < 0 ? `in ${coarse(-seconds)}` : `${coarse(seconds)} ago`;
      if (time.textContent !== text) time.textContent = text;
      const title = absolute.format(at);
      if (time.title !== title) time.title = title;
    }
  }

  // Buttons that copy.

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.classList.add("done");
      announce("Copied");
      setTimeout(() => button.classList.remove("done"), 1500);
    } catch {
      announce("The browser does not let this page copy");
    }
  });

  function announce(text) {
    const place = $("#announce");
    if (place) place.textContent = text;
  }

  // The stop switch: a dialog that is there already, so that it needs no answer of the server to open.

  const dialog = $("#stop-dialog");
  if (dialog) {
    const open = () => {
      if (dialog.open) return;
      dialog.showModal();
      $("#stop-now").focus();
    };
    $("#stop-switch").addEventListener("click", (event) => {
      event.preventDefault();
      open();
    });
    $("#stop-close", dialog).addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
      if (event.key === "!" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        open();
      }
    });
  }

  // What was sent is not sent twice by a second click.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    for (const form of all("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });

  // Live updates: an event makes the page ask for itself again and take over the regions that changed.

  const cursor = document.body.dataset.cursor;
  const live = $("#live");
  let following = true;
  let due = null;
  let asking = false;
  let again = false;
  // What the server wrote into each region: the times in it have changed here since.
  const written = new WeakMap();

  // What a region says, but for how long ago that was.
  const said = (region) => region.innerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");

  function busy(region) {
    const active = document.activeElement;
    return region.contains(active) && active.matches("input, textarea, select");
  }

  function take(region, fresh) {
    for (const details of all("details[id]", region)) {
      const other = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (other) other.open = details.open;
    }
    const scrolled = all(".figure", region).map((figure) => figure.scrollLeft);
    const focused = region.contains(document.activeElement) ? document.activeElement : null;
    const path = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") && `a[href="${CSS.escape(focused.getAttribute("href"))}"]`);
    region.replaceChildren(...fresh.childNodes);
    for (const name of fresh.getAttributeNames()) region.setAttribute(name, fresh.getAttribute(name));
    all(".figure", region).forEach((figure, at) => { figure.scrollLeft = scrolled[at] ?? 0; });
    if (path) $(path, region)?.focus({ preventScroll: true });
  }

  // The counts of the switch, unless somebody is about to use it. What it stops stays what it was, or everything:
  // options that are moved from one list to another are all selected, and the last of them would win.
  function recount(fresh) {
    if (dialog.open) return;
    const scope = $("#stop-scope");
    const chosen = scope.value;
    scope.replaceChildren(...fresh.childNodes);
    scope.value = chosen;
    if (scope.selectedIndex < 0) scope.selectedIndex = 0;
  }

  async function refresh() {
    due = null;
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (response.redirected) {
        location.reload();
        return;
      }
      if (response.ok) {
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const region of all("[data-region]")) {
          const other = fresh.getElementById(region.id);
          if (!other || busy(region)) continue;
          const raw = said(other);
          if (raw === written.get(region)) continue;
          const says = other.dataset.announce;
          if (says && says !== region.dataset.announce) announce(says);
          take(region, other);
          written.set(region, raw);
        }
        const scope = fresh.querySelector("#stop-scope");
        if (dialog && scope) recount(scope);
        tick();
      }
    } catch {
      // The stream tells when the server is there again.
    } finally {
      asking = false;
      if (again) {
        again = false;
        schedule();
      }
    }
  }

  // At once for the first event, then at most once a second.
  let last = 0;
  function schedule() {
    if (!following || due !== null || document.hidden) {
      if (document.hidden) again = true;
      return;
    }
    const wait = Math.max(60, 1000 - (performance.now() - last));
    due = setTimeout(() => {
      last = performance.now();
      refresh();
    }, wait);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && again) {
      again = false;
      schedule();
    }
  });

  if (cursor && live && "EventSource" in window) {
    for (const region of all("[data-region]")) written.set(region, said(region));
    live.hidden = false;
    const told = {
      "approval.requested": "A run waits for a decision",
      "stop.engaged": "A stop is in force",
      "stop.released": "A stop was released",
      "alert.raised": "An alert was raised",
    };
    const source = new EventSource(`/v1/events/stream?after=${encodeURIComponent(cursor)}`);
    const state = (on, text) => {
      live.classList.toggle("on", on);
      live.title = text;
      $("span", live).textContent = on ? "live" : "not live";
    };
    source.addEventListener("open", () => state(true, "Updates come as they happen"));
    source.addEventListener("error", () => state(false, "The connection is lost; it is tried again"));
    const heard = (event) => {
      if (told[event.type]) announce(told[event.type]);
      schedule();
    };
    for (const kind of live.dataset.kinds.split(" ")) source.addEventListener(kind, heard);
    addEventListener("pagehide", () => source.close());
  }

  const follow = $("#follow");
  if (follow) {
    follow.hidden = false;
    follow.addEventListener("click", () => {
      following = follow.getAttribute("aria-pressed") !== "true";
      follow.setAttribute("aria-pressed", String(following));
      if (following) schedule();
    });
  }

  // The log of a run: lines as they come, search, follow, wrap.

  const log = $("#log");
  if (log) {
    const KEPT = 5000;
    const lines = $("#lines");
    const search = $("#log-search");
    const found = $("#log-found");
    const followLog = $("#log-follow");
    const wrap = $("#log-wrap");
    for (const control of [search, followLog, wrap]) control.hidden = false;
    let seen = Number(log.dataset.last);
    const over = "over" in log.dataset;
    const pressed = (button) => button.getAttribute("aria-pressed") === "true";
    const bottom = () => { lines.scrollTop = lines.scrollHeight; };

    const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

    function element(line) {
      const row = document.createElement("div");
      row.className = line.stream;
      const at = document.createElement("time");
      at.textContent = clock.format(Date.parse(line.at));
      at.title = absolute.format(Date.parse(line.at));
      const step = document.createElement("i");
      step.textContent = `${line.step}/${line.attempt}`;
      const text = document.createElement("span");
      text.textContent = line.text;
      row.append(at, " ", step, " ", text);
      return row;
    }

    function show(row) {
      const wanted = search.value.trim().toLowerCase();
      const span = row.lastElementChild;
      const text = span.textContent;
      const at = wanted ? text.toLowerCase().indexOf(wanted) : -1;
      row.classList.toggle("miss", Boolean(wanted) && at < 0);
      if (at < 0) {
        if (span.firstElementChild) span.textContent = text;
        return false;
      }
      const mark = document.createElement("mark");
      mark.textContent = text.slice(at, at + wanted.length);
      span.replaceChildren(text.slice(0, at), mark, text.slice(at + wanted.length));
      return true;
    }

    function find() {
      const hits = [...lines.children].filter(show).length;
      found.textContent = search.value.trim() ? `${hits} ${hits === 1 ? "line" : "lines"}` : "";
      if (pressed(followLog)) bottom();
    }

    search.addEventListener("input", find);
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      $("mark", lines)?.scrollIntoView({ block: "center" });
    });
    followLog.addEventListener("click", () => {
      const on = !pressed(followLog);
      followLog.setAttribute("aria-pressed", String(on));
      if (on) bottom();
    });
    wrap.addEventListener("click", () => {
      const on = !pressed(wrap);
      wrap.setAttribute("aria-pressed", String(on));
      lines.classList.toggle("wrap", on);
    });
    // Whoever scrolls up reads, and is not pulled down.
    lines.addEventListener("wheel", (event) => {
      if (event.deltaY < 0) followLog.setAttribute("aria-pressed", "false");
    }, { passive: true });

    function add(batch) {
      $("#log-empty")?.remove();
      const rows = batch.map(element);
      if (search.value.trim()) rows.forEach(show);
      lines.append(...rows);
      while (lines.children.length > KEPT) lines.firstElementChild.remove();
      if (search.value.trim()) find();
      if (pressed(followLog)) bottom();
    }

    async function read() {
      const url = `/v1/runs/${encodeURIComponent(log.dataset.run)}/logs?follow=true&after=${seen}`;
      const response = await fetch(url, { headers: { accept: "application/x-ndjson" }, credentials: "same-origin" });
      if (!response.ok) throw new Error(String(response.status));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n");
        rest = parts.pop();
        const batch = [];
        for (const part of parts) {
          if (!part.trim()) continue;
          const line = JSON.parse(part);
          // The server ends, or could not go on: the rest is asked for again.
          if (line.reconnect || line.problem) throw new Error("broken off");
          batch.push(line);
        }
        if (batch.length) {
          seen = batch.at(-1).line;
          add(batch);
        }
      }
    }

    async function keepReading() {
      for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
        try {
          await read();
          return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, wait));
        }
      }
    }

    for (const time of all("time", lines)) {
      // Lines that the server wrote have the time in UTC.
      const at = Date.parse(time.title.replace(" UTC", "Z").replace(" ", "T"));
      if (!Number.isNaN(at)) {
        time.textContent = clock.format(at);
        time.title = absolute.format(at);
      }
    }
    bottom();
    if (!over) keepReading();
  }

  tick();
  setInterval(tick, 1000);
})();

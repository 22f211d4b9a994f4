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
  let skew = (Date.parse(document.body.dataset.now) || Date.now()) - Date.now();

  function tick() {
    const now = Date.now() + skew;
    for (const time of all("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const seconds = (now - at) / 1000;
      let text;
      if (time.hasAttribute("data-countdown")) text = precise(-seconds);
      else if (seconds > -5 && seconds < 0.5) text = "now";
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
      // Browsers copy on pages that came by TLS, and on the machine itself. Elsewhere a key does it.
      const code = button.parentElement.querySelector("code");
      if (code) getSelection().selectAllChildren(code);
      announce("Selected; the browser does not let this page copy");
    }
  });

  function announce(text) {
    const place = $("#announce");
    if (!place) return;
    // The same words again are heard again.
    place.textContent = "";
    setTimeout(() => { place.textContent = text; }, 50);
  }

  // The stop switch: a dialog that is there already, so that it needs no answer of the server to open.

  const dialog = $("#stop-dialog");
  const open = () => {
    if (!dialog || dialog.open) {
      $("#stop-now")?.focus();
      return;
    }
    // Each time from the beginning: what was chosen and not done before is not done by a press of a key now.
    $("form", dialog).reset();
    dialog.showModal();
    $("#stop-now").focus();
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "!" && !typing && !event.ctrlKey && !event.metaKey && $("#stop-now")) {
      event.preventDefault();
      open();
    }
  });
  if (dialog) {
    $("#stop-switch").addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open();
    });
    $("#stop-close").addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
    // A key that is held opens the dialog, and no more.
    dialog.addEventListener("keydown", (event) => {
      if (event.repeat && ["Enter", " "].includes(event.key)) event.preventDefault();
    });
  }

  // What was sent is not sent twice by a second click, and what it was sent from is not renewed meanwhile. A sending
  // that was broken off may be sent again, and a stop at once: whoever stops twice stops.
  const UNSURE = 30000;
  const room = "BroadcastChannel" in window ? new BroadcastChannel("moorline") : null;
  let sending = 0;
  let lift = null;

  function free() {
    sending = 0;
    clearTimeout(lift);
    for (const form of all("form[aria-busy]")) form.removeAttribute("aria-busy");
    renew();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    const now = performance.now();
    const patience = form.classList.contains("stop-form") ? 1000 : UNSURE;
    if (sending && now - sending < patience) {
      event.preventDefault();
      return;
    }
    sending = now;
    form.setAttribute("aria-busy", "true");
    clearTimeout(lift);
    lift = setTimeout(free, UNSURE);
    // A browser has six connections to a server, and each page that follows events holds one of them.
    silence();
    room?.postMessage("make room");
  });
  let crowded = 0;
  room?.addEventListener("message", () => {
    crowded = performance.now() + 5000;
    silence();
    setTimeout(renew, 5000);
  });
  // Whether this page may keep a connection open: one that nobody sees, and one that sends, give it back.
  const mayHold = () => !document.hidden && !sending && performance.now() >= crowded;

  // Taking over a page that was made anew: elements that are there stay themselves, so that focus, selection, what
  // is open and what was typed stay as they are.

  function key(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeType;
    const of = (named) => ["id", "aria-labelledby", "name", "action", "href"].map((name) => named?.getAttribute(name)).find(Boolean);
    let name = of(node);
    if (!name && node.matches("tr, li")) name = of($("[id], [href], [action]", node));
    if (!name && node.matches("option")) name = node.value;
    return `${node.nodeName} ${name ?? ""}`;
  }

  // Attributes that are the browser's to say.
  const own = (node, name) =>
    name === "aria-busy" || name === "tabindex" || (name === "open" && node.matches("details, dialog")) || (name === "title" && node.matches("time"));

  function patch(node, fresh) {
    if (node.nodeType !== Node.ELEMENT_NODE) {
      if (node.data !== fresh.data) node.data = fresh.data;
      return;
    }
    for (const name of node.getAttributeNames()) {
      if (!fresh.hasAttribute(name) && !own(node, name)) node.removeAttribute(name);
    }
    for (const name of fresh.getAttributeNames()) {
      const value = fresh.getAttribute(name);
      if (node.getAttribute(name) !== value && !own(node, name)) node.setAttribute(name, value);
    }
    // What a time says is said here.
    if (node.matches("time[datetime]")) return;
    const spare = new Map();
    for (const child of node.childNodes) {
      const name = key(child);
      if (!spare.has(name)) spare.set(name, []);
      spare.get(name).push(child);
    }
    const pairs = [...fresh.childNodes].map((wanted) => [spare.get(key(wanted))?.shift(), wanted]);
    for (const child of [...spare.values()].flat()) drop(child);
    let at = node.firstChild;
    for (const [child, wanted] of pairs) {
      if (!child) {
        node.insertBefore(document.importNode(wanted, true), at);
        continue;
      }
      if (child === at) at = at.nextSibling;
      else node.insertBefore(child, at);
      patch(child, wanted);
    }
  }

  const filled = (form) =>
    [...form.elements].some((field) => field.matches("textarea, input:not([type=hidden])") && field.value !== field.defaultValue);

  // A form in which somebody has written stays, though there is nothing to send it to any more.
  function drop(node) {
    const forms = node.nodeType === Node.ELEMENT_NODE ? all("form", node) : [];
    if (node.nodeName === "FORM") forms.push(node);
    const kept = forms.filter(filled);
    if (!kept.length) {
      node.remove();
      return;
    }
    for (const form of kept.filter((form) => !$(".late", form))) {
      for (const field of form.elements) {
        if (field.matches("button")) field.disabled = true;
        else field.readOnly = true;
      }
      const late = document.createElement("p");
      late.className = "notice late";
      late.textContent = "This can not be sent any more. What you wrote stays here for you to copy.";
      form.prepend(late);
      announce(late.textContent);
    }
  }

  function take(region, fresh) {
    const says = fresh.dataset.announce;
    if (says && says !== region.dataset.announce) announce(says);
    const focused = region.contains(document.activeElement) ? document.activeElement : null;
    patch(region, fresh);
    if (!focused || document.activeElement === focused) return;
    const href = focused.getAttribute("href");
    const same = focused.isConnected && !focused.disabled ? focused : href && $(`a[href="${CSS.escape(href)}"]`, region);
    if (!same) region.tabIndex = -1;
    (same || region).focus({ preventScroll: true });
  }

  // Live updates: an event makes the page ask for itself again.

  const live = $("#live");
  const follows = Boolean(document.body.dataset.cursor && live && "EventSource" in window);
  let cursor = document.body.dataset.cursor;
  let source = null;
  let ended = false;
  let following = true;
  let pressed = false;
  let due = null;
  let asking = false;
  let again = false;
  let last = 0;
  let took = 0;
  // Answers that did not come, and streams that did not open, one after the other.
  let failures = 0;
  let breaks = 0;

  function renew() {
    if (!follows || ended) return;
    if (document.hidden || pressed || sending || asking) {
      again = true;
      return;
    }
    if (due !== null) return;
    // Soon for the first event, then at most once a second, and seldom where the server has much to do; never all
    // browsers at the same time.
    const pause = Math.min(30000, Math.max(1000, 10 * took) * 2 ** Math.min(failures + breaks, 5));
    const wait = Math.max(0, pause - (performance.now() - last)) + Math.random() * Math.max(300, pause / 4);
    due = setTimeout(() => {
      due = null;
      refresh();
    }, wait);
  }

  // Does what had to wait for something to be over.
  function catchUp() {
    if (again) {
      again = false;
      renew();
    }
  }

  async function refresh() {
    asking = true;
    last = performance.now();
    try {
      const response = await fetch(location.href, {
        headers: { accept: "text/html" },
        credentials: "same-origin",
        signal: AbortSignal.timeout(UNSURE),
      });
      if (new URL(response.url).pathname === "/login") {
        leave();
        return;
      }
      if (response.status === 429 || response.status >= 500) throw new Error(String(response.status));
      const text = await response.text();
      took = performance.now() - last;
      failures = 0;
      if (response.ok && (pressed || sending)) again = true;
      else if (response.ok) show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      failures += 1;
      again = true;
    } finally {
      asking = false;
      if (!failures) listen();
      catchUp();
    }
  }

  function show(fresh) {
    for (const region of all("[data-region]")) {
      const other = fresh.getElementById(region.id);
      if (other && (following || region.id !== "events")) take(region, other);
    }
    // What the switch counts, unless somebody is about to use it.
    const scope = fresh.querySelector("#stop-dialog select");
    if (dialog && !dialog.open && scope) patch($("select", dialog), scope);
    const { now, cursor: newest } = fresh.body.dataset;
    if (now) skew = Date.parse(now) - Date.now();
    if (Number(newest) > Number(cursor)) cursor = newest;
    tick();
  }

  // The session is over. The page stays: somebody may have written something.
  function leave() {
    ended = true;
    silence();
    state(false, "You are logged out");
    const notice = document.createElement("p");
    notice.className = "refused";
    notice.setAttribute("role", "alert");
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "Log in again";
    notice.append("Your session is over, and this page is not up to date any more. ", link);
    $("#main").prepend(notice);
  }

  function state(on, text) {
    if (!follows) return;
    live.hidden = false;
    live.classList.toggle("on", on);
    live.title = text;
    $("span", live).textContent = on ? "live" : "not live";
  }

  const told = {
    "approval.requested": "A run waits for a decision",
    "stop.engaged": "A stop is in force",
    "stop.released": "A stop was released",
    "alert.raised": "An alert was raised",
  };
  // What attempts say while they run comes often, and is shown on the page of their run and in the list of events.
  const often = ["run.progress", "run.metric"];
  const run = $("[data-run]")?.dataset.run;

  function heard(event) {
    cursor = event.lastEventId || cursor;
    if (often.includes(event.type) && !$("#events") && JSON.parse(event.data).run_id !== run) return;
    if (told[event.type]) announce(told[event.type]);
    renew();
  }

  // Follows events, once the page is as the cursor says. A stream that ends is opened anew behind a page that is
  // made anew, so nothing has to be told twice, however long it was lost.
  function listen() {
    if (source || ended || !follows || !mayHold()) return;
    const mine = new EventSource(`/v1/events/stream?after=${encodeURIComponent(cursor)}`);
    source = mine;
    mine.addEventListener("open", () => {
      breaks = 0;
      state(true, "Updates come as they happen");
    });
    mine.addEventListener("error", () => {
      if (source !== mine) return;
      silence();
      breaks += 1;
      last = performance.now();
      renew();
    });
    for (const kind of live.dataset.kinds.split(" ")) mine.addEventListener(kind, heard);
  }

  function silence() {
    source?.close();
    source = null;
    state(false, "The connection is lost; it is tried again");
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) silence();
    else if (!source) renew();
    else catchUp();
  });
  addEventListener("pagehide", silence);
  addEventListener("pageshow", (event) => {
    if (sending) free();
    if (event.persisted) renew();
  });
  // Nothing moves under a finger.
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const kind of ["pointerup", "pointercancel", "dragend", "blur"]) {
    addEventListener(kind, () => setTimeout(() => {
      pressed = false;
      catchUp();
    }), true);
  }
  state(false, "Not connected yet");
  listen();

  const follow = $("#follow");
  if (follow) {
    follow.hidden = false;
    follow.addEventListener("click", () => {
      following = follow.getAttribute("aria-pressed") !== "true";
      follow.setAttribute("aria-pressed", String(following));
      if (following) renew();
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
    const isOn = (button) => button.getAttribute("aria-pressed") === "true";
    const pull = (on) => followLog.setAttribute("aria-pressed", String(on));
    const bottom = () => { lines.scrollTop = lines.scrollHeight; };
    const count = (hits) => `${hits} ${hits === 1 ? "line" : "lines"}`;

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

    function tell() {
      const marks = all("mark", lines);
      const at = marks.findIndex((mark) => mark.classList.contains("here"));
      found.textContent = search.value.trim() ? `${at < 0 ? "" : `${at + 1} of `}${count(marks.length)}` : "";
    }

    function find() {
      for (const row of lines.children) show(row);
      tell();
      if (isOn(followLog)) bottom();
    }

    search.addEventListener("input", find);
    // The next one, or with Shift the one before; whoever looks at it is not pulled away from it.
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      const marks = all("mark", lines);
      if (!marks.length) return;
      const at = marks.findIndex((mark) => mark.classList.contains("here"));
      const to = event.shiftKey ? (at < 1 ? marks.length : at) - 1 : (at + 1) % marks.length;
      marks[at]?.classList.remove("here");
      marks[to].classList.add("here");
      pull(false);
      marks[to].scrollIntoView({ block: "center" });
      tell();
    });
    followLog.addEventListener("click", () => {
      pull(!isOn(followLog));
      if (isOn(followLog)) bottom();
    });
    wrap.addEventListener("click", () => {
      const on = !isOn(wrap);
      wrap.setAttribute("aria-pressed", String(on));
      lines.classList.toggle("wrap", on);
    });
    // Whoever scrolls up reads, by whatever means, and is not pulled down.
    let top = 0;
    lines.addEventListener("scroll", () => {
      const left = lines.scrollHeight - lines.clientHeight - lines.scrollTop;
      if (lines.scrollTop < top && left > 4) pull(false);
      top = lines.scrollTop;
    }, { passive: true });

    function add(batch) {
      $("#log-empty")?.remove();
      const rows = batch.map(element);
      const hits = rows.filter(show).length;
      lines.append(...rows);
      while (lines.children.length > KEPT) lines.firstElementChild.remove();
      if (hits) tell();
      if (isOn(followLog)) bottom();
    }

    let reading = null;

    async function read() {
      const url = `/v1/runs/${encodeURIComponent(log.dataset.run)}/logs?follow=true&after=${seen}`;
      reading = new AbortController();
      const response = await fetch(url, {
        headers: { accept: "application/x-ndjson" },
        credentials: "same-origin",
        signal: reading.signal,
      });
      // Who may not read it any more does not ask again and again.
      if ([401, 403, 404].includes(response.status)) return;
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
      for (let wait = 500; ;) {
        while (!mayHold()) await new Promise((resolve) => setTimeout(resolve, 500));
        const before = seen;
        try {
          await read();
          return;
        } catch {
          wait = seen > before ? 500 : Math.min(wait * 2, 10000);
          await new Promise((resolve) => setTimeout(resolve, wait));
        }
      }
    }
    const pause = () => reading?.abort();
    document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); });
    document.addEventListener("submit", (event) => { if (!event.defaultPrevented && event.target.method === "post") pause(); });
    room?.addEventListener("message", pause);

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

  // On a phone the navigation is one line that scrolls.
  const here = $("#nav [aria-current]");
  if (here && here.offsetLeft + here.offsetWidth > innerWidth) here.closest("nav").scrollLeft = here.offsetLeft - 40;

  tick();
  setInterval(tick, 1000);
})();

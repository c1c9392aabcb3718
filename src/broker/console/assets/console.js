// Makes pages better and is needed by none: times in the reader's zone, countdowns, and what is live kept fresh.
"use strict";
(() => {
  const began = Date.now();
  const offset = Number(document.body.dataset.now || 0) * 1000 - began;
  const now = () => Math.floor((Date.now() + offset) / 1000);
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const span = (seconds) => {
    let left = Math.max(0, seconds);
    const parts = units.map(([size, name]) => { const n = Math.floor(left / size); left %= size; return [n, name]; });
    const first = parts.findIndex(([n]) => n > 0);
    if (first < 0) return "0s";
    return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, name]) => n + name).join(" ");
  };
  const local = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      if (time.title) continue;
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.textContent;
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  };
  const tick = () => {
    for (const rel of document.querySelectorAll(".rel[data-at]")) {
      const away = now() - Number(rel.dataset.at);
      rel.textContent = away >= 0 ? `(${span(away)} ago)` : `(in ${span(-away)})`;
    }
    for (const until of document.querySelectorAll(".until[data-until]")) {
      until.textContent = span(Number(until.dataset.until) - now());
    }
  };
  // What is being filled in is left alone; everything else stays live, whatever has the focus.
  const busy = (part) => part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  const places = "a, button, summary, pre[tabindex], .scroll";
  const swap = (fresh) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = part.id && fresh.getElementById(part.id);
      if (!next || busy(part)) continue;
      const focused = [...part.querySelectorAll(places)].indexOf(document.activeElement);
      const open = [...part.querySelectorAll("details")].map((one) => one.open);
      const tops = [...part.querySelectorAll(".scroll")].map((one) => one.scrollTop);
      part.replaceChildren(...next.childNodes);
      [...part.querySelectorAll("details")].forEach((one, n) => { one.open = open[n] || one.open; });
      [...part.querySelectorAll(".scroll")].forEach((one, n) => { one.scrollTop = tops[n] || 0; });
      const again = part.querySelectorAll(places)[focused];
      if (again) again.focus({ preventScroll: true });
      local(part);
    }
    tick();
  };
  let every = Number(document.body.dataset.liveEvery || 0);
  const offline = document.getElementById("offline");
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store", headers: { accept: "text/html" } });
      if (answer.redirected || answer.status === 401 || answer.status === 403) { location.reload(); return; }
      if (offline) offline.hidden = answer.ok || answer.status === 429;
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        every = Number(fresh.body.dataset.liveEvery) || every;
        swap(fresh);
      }
    } catch { if (offline) offline.hidden = false; }
  };
  local(document);
  tick();
  setInterval(tick, 1000);
  // How often a page is looked at may change with what it shows.
  const again = () => setTimeout(async () => { await look(); again(); }, every * 1000);
  if (every > 0) {
    again();
    document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  }
  for (const field of document.querySelectorAll("input[data-confirm]")) {
    const button = field.form && field.form.querySelector("button[data-confirmed]");
    if (!button || button.disabled) continue;
    const follow = () => { button.disabled = field.value.trim() !== field.dataset.confirm; };
    field.addEventListener("input", follow);
    follow();
  }
})();

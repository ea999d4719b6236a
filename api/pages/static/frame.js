// What every page does beyond reading: times in the reader's zone, keys, and staying current.
// Everything on a page works without it.

// --- times ---------------------------------------------------------------------------------------

const FORMS = {
  full: { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" },
  brief: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit" },
};

/** Put the times below a node into the reader's zone; the title keeps them in UTC. */
export function localise(root = document) {
  for (const time of root.querySelectorAll("time[data-form]:not([data-local])")) {
    const form = { ...FORMS[time.dataset.form], hourCycle: "h23" };
    const moment = new Date(time.dateTime);
    if (time.dataset.form === "brief" && moment.getFullYear() !== new Date().getFullYear()) {
      form.year = "numeric";
    }
    time.textContent = new Intl.DateTimeFormat("en-GB", form).format(moment);
    time.dataset.local = "";
  }
}

// --- keys ----------------------------------------------------------------------------------------

function isTyping(target) {
  return target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName);
}

const account = document.querySelector(".account");

/** Close what hangs over the page, and stand where it was opened. */
function fold() {
  if (!account?.open) return;
  if (account.contains(document.activeElement)) account.querySelector("summary").focus();
  account.open = false;
}

/** `/` goes to the search box; `j` and `k` go down and up the links of a list; Escape folds. */
function onKey(event) {
  if (event.key === "Escape") fold();
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = event.key === "j" ? at + 1 : Math.max(at - 1, 0);
    rows[Math.min(next, rows.length - 1)].focus();
  }
}

// --- staying current -----------------------------------------------------------------------------
// The parts of a page that are `data-live` (and have an id) are fetched again when the log has moved.

const PAUSE_MS = 1000;
const SILENCE_MS = 40000;
let stream = null;
let heardAt = 0;
let shown = Number(document.body.dataset.position || 0);
let wanted = shown;
let fetching = false;

function listen() {
  stream?.close();
  stream = null;
  if (document.hidden) return; // a browser opens few streams at once: those that are looked at
  heardAt = Date.now();
  stream = new EventSource(`/live?after=${shown}`);
  stream.onopen = () => { heard(); tell(true); };
  stream.addEventListener("still", heard);
  stream.addEventListener("moved", (event) => {
    heard();
    wanted = Math.max(wanted, Number(event.data));
    refresh();
  });
  stream.addEventListener("over", () => location.reload());
  stream.onerror = () => {
    tell(false);
    if (stream?.readyState === EventSource.CLOSED) setTimeout(lookAgain, 3 * PAUSE_MS);
  };
}

/** The stream was refused: because the session is over, or because the service is not ready. */
async function lookAgain() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) location.reload();
  else listen();
}

function heard() {
  heardAt = Date.now();
}

function tell(isLive) {
  document.querySelector(".lost")?.toggleAttribute("hidden", isLive);
}

async function refresh() {
  if (fetching || document.hidden) return;
  fetching = true;
  try {
    while (wanted > shown && !document.hidden) {
      const asked = wanted;
      const answer = await fetch(location.href, { headers: { "Statekeeper-Position": `${asked}`, Accept: "text/html" } });
      if (answer.redirected) return location.reload();
      if (!answer.ok) throw new Error(`${answer.status}`);
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      shown = asked;
      await new Promise((go) => setTimeout(go, PAUSE_MS));
    }
  } catch {
    setTimeout(refresh, 5 * PAUSE_MS);
  } finally {
    fetching = false;
  }
}

/** Take over what is live from a page as it is now; whoever is in the middle of it is left alone. */
function show(page) {
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const now = page.getElementById(part.id);
    if (!now) continue;
    localise(now);
    if (now.innerHTML === part.innerHTML) continue;
    const held = part.contains(document.activeElement) ? document.activeElement : null;
    if (held && isTyping(held)) continue;
    const place = held ? [...part.querySelectorAll("a, button, summary")].indexOf(held) : -1;
    part.replaceChildren(...now.childNodes);
    if (place >= 0) part.querySelectorAll("a, button, summary")[place]?.focus();
    part.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
  }
}

// --- beginning -----------------------------------------------------------------------------------

localise();
document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => { if (!account?.contains(event.target)) fold(); });
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
for (const form of document.querySelectorAll("form[data-blank]")) {
  // What was not filled in does not stand in the address.
  form.addEventListener("submit", () => {
    for (const field of form.elements) field.disabled = field.name && !field.value;
    setTimeout(() => { for (const field of form.elements) field.disabled = false; });
  });
}
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-sends]")) event.target.form.requestSubmit();
});
if (document.querySelector("[data-live]")) {
  listen();
  // A laptop that slept, a network that was away: look again as soon as somebody does.
  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden) refresh();
  });
  setInterval(() => { if (stream && Date.now() - heardAt > SILENCE_MS) listen(); }, SILENCE_MS / 4);
}

// The page of a case: dragging through time, and a history that is searched and scrolled in place.
// Everything here is a link or a form that works without it.

// The frame's script stands under an address with its digest: the same one is the same module.
const { localise } = await import(document.querySelector('script[src*="/frame.js"]').src);

const page = document.querySelector(".case");
const base = page.dataset.base;
page.classList.add("scripted");
const PAUSE_MS = 60;

/** Fetch a part of this page at an address of it; null where another request overtook this one. */
function latest() {
  let last = null;
  return async (query, part) => {
    last?.abort();
    const mine = (last = new AbortController());
    const asked = new URLSearchParams(query);
    asked.set("part", part);
    try {
      const answer = await fetch(`${base}?${asked}`, { signal: mine.signal, headers: { Accept: "text/html" } });
      if (answer.redirected) location.reload();
      if (!answer.ok) return null;
      const found = document.createElement("template");
      found.innerHTML = await answer.text();
      localise(found.content);
      return found.content;
    } catch (fault) {
      if (fault.name !== "AbortError") throw fault;
      return null;
    }
  };
}

// --- looking back --------------------------------------------------------------------------------

const then = document.getElementById("then");
const time = document.querySelector(".case-time");
const slider = document.getElementById("moment");
const output = time.querySelector("output");
const fetchThen = latest();
let waiting = 0;
/** The moment that the address names, until the slider is dragged (Unix ms); 0: none. */
let pinned = Number(time.dataset.then) || 0;

const listed = document.getElementById("moments");
let moments = read();

/** Every change of the case: version, when it happened, when it was recorded (Unix ms). */
function read() {
  return listed.textContent.split(",").map((one) => one.split(" ").map(Number));
}

function by() {
  return time.querySelector("input[name=by]:checked").value;
}

function momentOf(index) {
  const [version, at, known] = moments[index - 1];
  return { version, ms: by() === "at" ? at : known };
}

function isNow() {
  return Number(slider.value) === moments.length;
}

function told(ms) {
  return new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }).format(new Date(ms));
}

/** Say which moment the slider stands at, to eyes and ears. */
function say() {
  const { version, ms } = momentOf(slider.value);
  const text = isNow() && !pinned
    ? "Now. Drag to look back"
    : `As it was on ${told(pinned || ms)}, after change ${version}`;
  output.textContent = text;
  slider.setAttribute("aria-valuetext", text);
}

/** Lines that were not there yet stand back. */
function dim() {
  const { ms } = momentOf(slider.value);
  for (const line of document.querySelectorAll(".case-lines > li[data-at]")) {
    const at = Number(by() === "at" ? line.dataset.at : line.dataset.known);
    line.classList.toggle("later", !isNow() && at > ms);
  }
}

async function look() {
  const query = new URLSearchParams(location.search);
  for (const name of ["at", "known_at"]) query.delete(name);
  if (!isNow()) query.set(by(), new Date(momentOf(slider.value).ms).toISOString());
  then.classList.add("stale");
  const found = await fetchThen(query, "then");
  if (!found) return;
  then.replaceChildren(found);
  then.classList.remove("stale");
  then.toggleAttribute("data-live", isNow());
  dim();
  history.replaceState(null, "", `${base}${query.size ? `?${query}` : ""}${location.hash}`);
}

function soon() {
  pinned = 0;
  say();
  clearTimeout(waiting);
  waiting = setTimeout(look, PAUSE_MS);
}

/** Stand where the address says: at the last change up to its moment. */
function stand() {
  const asked = pinned;
  const index = asked ? moments.filter((_, place) => momentOf(place + 1).ms <= asked).length : moments.length;
  slider.value = Math.max(index, 1);
  say();
}

function backToNow(event) {
  if (!event.target.closest("[data-now]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  slider.value = moments.length;
  soon();
  slider.focus();
}

/** What was unfolded stays so when this part is renewed. */
let unfolded = false;
then.addEventListener("toggle", (event) => {
  if (event.target.isConnected) unfolded = event.target.open;
}, true);
then.addEventListener("renewed", () => {
  const folded = then.querySelector(".case-stays");
  if (folded) folded.open = unfolded;
});

/** Another change came: whoever looks at now goes on to look at now. */
function goOn() {
  const wasNow = isNow();
  moments = read();
  time.hidden = moments.length < 2;
  slider.max = moments.length;
  if (wasNow) slider.value = moments.length;
  say();
}

time.hidden = moments.length < 2;
slider.max = moments.length;
stand();
time.querySelector(".case-slider").hidden = false;
time.querySelector(".case-moments").hidden = true;
slider.addEventListener("input", soon);
for (const one of time.querySelectorAll("input[name=by]")) one.addEventListener("change", soon);
then.addEventListener("click", backToNow);
listed.addEventListener("renewed", goOn);

// --- the history ---------------------------------------------------------------------------------

const story = document.getElementById("history");
const fetchStory = latest();
const fetchMore = latest();
let typing = 0;

/** Show another view of the history, in its place. */
async function turn(query, push) {
  for (const name of ["at", "known_at"]) {
    const kept = new URLSearchParams(location.search).get(name);
    if (kept) query.set(name, kept);
  }
  const found = await fetchStory(query, "history");
  if (!found) return;
  const held = document.activeElement?.name;
  const caret = document.activeElement?.selectionStart;
  story.replaceChildren(found);
  story.setAttribute("data-live", "");
  const field = held && story.querySelector(`[name="${held}"]`);
  if (field && field.type === "search") {
    field.focus();
    field.setSelectionRange(caret, caret);
  }
  watch();
  dim();
  const address = `${base}${query.size ? `?${query}` : ""}`;
  history[push ? "pushState" : "replaceState"](null, "", address);
}

/** What the form asks for; the kinds that are ticked anyway are no wish at all. */
function wanted(form) {
  const query = new URLSearchParams(new FormData(form));
  const boxes = [...form.querySelectorAll("[name=kind]")];
  if (boxes.every((box) => box.checked === box.hasAttribute("data-default"))) query.delete("kind");
  if (query.get("order") === "newest") query.delete("order");
  if (!query.get("text")) query.delete("text");
  return query;
}

story.addEventListener("submit", (event) => {
  event.preventDefault();
  turn(wanted(event.target), true);
});
story.addEventListener("change", (event) => {
  if (event.target.form?.matches(".case-filter") && event.target.type !== "search") {
    const name = event.target.name;
    const value = event.target.value;
    turn(wanted(event.target.form), true).then(() => {
      story.querySelector(`[name="${name}"]${event.target.type === "checkbox" ? `[value="${value}"]` : ""}`)?.focus();
    });
  }
});
story.addEventListener("input", (event) => {
  if (event.target.type !== "search") return;
  clearTimeout(typing);
  typing = setTimeout(() => turn(wanted(event.target.form), false), 4 * PAUSE_MS);
});
story.addEventListener("click", (event) => {
  const link = event.target.closest("[data-history]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const at = [...story.querySelectorAll("[data-history]")].indexOf(link);
  turn(new URL(link.href).searchParams, true).then(() => story.querySelectorAll("[data-history]")[at]?.focus());
});
addEventListener("popstate", () => location.reload());

/** More lines come as one scrolls; from then on this part is not renewed under the reader. */
async function more(link) {
  const item = link.closest("li");
  const hadFocus = item.contains(document.activeElement);
  const found = await fetchMore(new URL(link.href).searchParams, "lines");
  if (!found || !item.isConnected) return;
  story.removeAttribute("data-live");
  const first = found.querySelector("li a");
  item.replaceWith(found);
  if (hadFocus) first?.focus();
  dim();
  watch();
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    more(entry.target);
  }
}, { rootMargin: "600px" });

function watch() {
  const link = story.querySelector("[data-more]");
  if (link) seen.observe(link);
}

story.addEventListener("renewed", watch);
story.addEventListener("click", (event) => {
  const link = event.target.closest("[data-more]");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  more(link);
});
watch();
dim();

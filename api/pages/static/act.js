// What an act would change, shown anew as its form is filled in. Without this, a button does it.

// The address carries a digest, and must be the same everywhere: else it were not the same module.
const { localise } = await import(document.querySelector('script[src*="/frame.js"]').src);

const PAUSE_MS = 250;
const form = document.querySelector(".act-form");
const plan = document.getElementById("plan");
const doing = form.querySelector(".act-do");
let asked = null;
let waiting = 0;

/** Fetch what it would do now; another request overtakes this one. */
async function look() {
  clearTimeout(waiting);
  waiting = 0;
  asked?.abort();
  const mine = (asked = new AbortController());
  plan.setAttribute("aria-busy", "true");
  const body = new URLSearchParams(new FormData(form));
  body.set("step", "part");
  try {
    const answer = await fetch(form.action, { method: "POST", body, signal: mine.signal, headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload();
    if (answer.ok) show(await answer.text());
    plan.removeAttribute("aria-busy");
  } catch (fault) {
    if (fault.name !== "AbortError") throw fault;
  }
}

function show(text) {
  const found = document.createElement("template");
  found.innerHTML = text;
  localise(found.content);
  plan.replaceChildren(found.content);
  doing.hidden = !plan.querySelector("[name=mark]");
}

/** Whether somebody has filled something in, perhaps before this was here to see it. */
function isFilledIn() {
  return [...form.elements].some((one) => {
    if (doing.contains(one)) return false;
    const chosen = one.options && ([...one.options].find((option) => option.defaultSelected) ?? one.options[0]);
    return one.value !== (chosen ? chosen.value : one.defaultValue ?? one.value);
  });
}

form.classList.add("scripted");
form.addEventListener("input", (event) => {
  if (doing.contains(event.target)) return;
  clearTimeout(waiting);
  waiting = setTimeout(look, PAUSE_MS);
});
// What was not looked at yet is looked at first.
form.addEventListener("submit", (event) => {
  if (event.submitter?.value !== "plan" && !waiting && !plan.hasAttribute("aria-busy")) return;
  event.preventDefault();
  look();
});
if (isFilledIn()) look();

// Reads the page again, and replaces those of its parts that have changed: each element with an id and `data-live`.
// Where a person is stays: a form that is being filled in, a selected text, an opened detail, the focus, a table's scrolling.

const HTML = { headers: { Accept: "text/html" } };
const CAN_HAVE_FOCUS = "a[href], button, summary, [tabindex]";

// Returns whether a part has changed; null where the page could not be read. Each new part is given to `onShown`.
export async function readAgain(address = location.href, onShown = () => {}) {
  const answer = await fetch(address, HTML).catch(() => null);
  if (!answer?.ok || answer.redirected) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  const parts = [...page.querySelectorAll("[data-live][id]")];
  // new items from the last to the first, so that they come to stand in their order
  const isShown = [...parts.filter(showAgain), ...parts.reverse().filter(showNew)];
  isShown.forEach(onShown);
  return isShown.length > 0;
}

function showAgain(fresh) {
  const shown = document.getElementById(fresh.id);
  if (!shown || isInUse(shown, fresh)) return false;
  if (fresh.dataset.version && fresh.dataset.version === shown.dataset.version) return false;
  document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: fresh } }));
  return !shown.isEqualNode(fresh) && replace(shown, fresh);
}

// What is new in a list comes to its head, if the list has its newest item there.
function showNew(fresh) {
  const list = document.querySelector(`#${fresh.parentElement?.id || "none"}[data-newest-first]`);
  if (!list || document.getElementById(fresh.id)) return false;
  document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: fresh } }));
  list.prepend(fresh);
  return true;
}

function isInUse(shown, fresh) {
  const chosen = getSelection();
  const opened = (part) => part.querySelectorAll("details[open]").length;
  return shown.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")
    || shown.matches("[data-typed]") || shown.querySelector("[data-typed]") !== null
    || !chosen.isCollapsed && shown.contains(chosen.anchorNode)
    || opened(shown) > opened(fresh);
}

// What has the focus has it in the new part too; where it is gone from there, the part stays until the focus is elsewhere.
function replace(shown, fresh) {
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  const same = focused === shown ? fresh
    : focused && [...fresh.querySelectorAll(CAN_HAVE_FOCUS)].find((each) => meaning(each) === meaning(focused));
  if (focused && !same) return false;
  const scrolled = [...shown.querySelectorAll(".scroll")].map((box) => [box.getAttribute("aria-label"), box.scrollLeft]);
  shown.replaceWith(fresh);
  for (const [name, left] of scrolled) {
    const box = [...fresh.querySelectorAll(".scroll")].find((each) => each.getAttribute("aria-label") === name);
    if (box) box.scrollLeft = left;
  }
  same?.focus({ preventScroll: true });
  return true;
}

// Where a link leads, what a button sends, or what the element is called: its text may change.
function meaning(element) {
  const by = element.type === "submit" ? element : null; // one form may have a button in each row
  const sent = element.form && `${element.form.getAttribute("action")}?${new URLSearchParams(new FormData(element.form, by))}`;
  return [element.tagName, element.getAttribute("href") ?? sent ?? element.getAttribute("aria-label") ?? element.textContent].join(" ");
}

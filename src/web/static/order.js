// Orders the tracks of a list: a row is dragged by its handle, moved there by the arrow keys, or by its buttons, which also work without this.
// The row itself stays in the page, and the others step over it: so it keeps the focus and the finger.

import { readAgain } from "./live.js";

const EDGE = 64;
let dragged = null;
let saving = Promise.resolve();
let unsaved = 0;

const uriOf = (row) => row?.querySelector("input[name=uri]").value;

// Moves a row by one place; returns whether there was one.
function step(row, down) {
  const other = down ? row.nextElementSibling : row.previousElementSibling;
  if (other && down) row.before(other);
  else if (other) row.after(other);
  return Boolean(other);
}

function say(row) {
  const rows = [...row.parentElement.children];
  document.getElementById("order-said").textContent = `${row.dataset.title}: place ${rows.indexOf(row) + 1} of ${rows.length}.`;
}

// Sends before which other row this one stands now; moves are sent one after the other.
function save(row) {
  const list = row.parentElement;
  say(row);
  if (!list.dataset.route) return void list.closest("form").setAttribute("data-typed", ""); // which has the order, and warns
  const next = uriOf(row.nextElementSibling);
  const change = JSON.stringify({ uri: uriOf(row), before: next ? { uri: next } : null });
  unsaved += 1;
  list.dataset.typed = "true"; // it is not read again meanwhile
  saving = saving.then(() => send(list, change)).finally(() => {
    unsaved -= 1;
    if (!unsaved) delete list.dataset.typed;
  });
}

async function send(list, change) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  const answer = await fetch(list.dataset.route, { method: "PATCH", headers, body: change }).catch(() => null);
  const shown = document.getElementById("order-problem");
  shown.hidden = Boolean(answer?.ok);
  if (answer?.ok) return;
  const problem = await answer?.json().catch(() => null);
  shown.textContent = `Not moved: ${problem?.detail?.message ?? "the connection was cut off."}`;
  delete list.dataset.typed;
  delete list.dataset.version;
  await readAgain();
}

document.addEventListener("keydown", (event) => {
  const row = event.target.closest(".handle")?.closest("li");
  if (!row || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  if (step(row, event.key === "ArrowDown")) save(row);
});

document.addEventListener("submit", (event) => {
  const { submitter } = event;
  const row = submitter?.closest("#order > li");
  const [way] = submitter?.value.split(":") ?? [];
  if (!row || !["up", "down"].includes(way)) return;
  event.preventDefault();
  if (step(row, way === "down")) save(row);
  if (getComputedStyle(submitter).visibility === "hidden") row.querySelector(".handle").focus();
});

document.addEventListener("pointerdown", (event) => {
  const handle = event.target.closest(".handle");
  if (!handle || event.button !== 0) return;
  const row = handle.closest("li");
  dragged = { row, before: row.nextElementSibling };
  row.classList.add("dragged");
  row.parentElement.dataset.typed = "true";
  handle.setPointerCapture(event.pointerId);
});

document.addEventListener("pointermove", ({ clientY }) => {
  if (!dragged) return;
  const { row } = dragged;
  const middle = (other) => { const box = other.getBoundingClientRect(); return box.top + box.height / 2; };
  while (row.previousElementSibling && clientY < middle(row.previousElementSibling)) step(row, false);
  while (row.nextElementSibling && clientY > middle(row.nextElementSibling)) step(row, true);
  if (clientY < EDGE) scrollBy(0, -EDGE / 4);
  if (clientY > innerHeight - EDGE) scrollBy(0, EDGE / 4);
});

function drop() {
  if (!dragged) return;
  const { row, before } = dragged;
  dragged = null;
  row.classList.remove("dragged");
  if (row.nextElementSibling !== before) save(row);
  else if (!unsaved) delete row.parentElement.dataset.typed;
}

for (const type of ["pointerup", "pointercancel"]) document.addEventListener(type, drop);

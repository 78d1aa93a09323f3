// Everything here adds to pages that work without it.

import { readAgain } from "./live.js";
import { addLine, element, megabytes, problemOf, sendInTurn, showRefusal, takeFiles } from "./uploads.js";
import { drawWaves, showKeys } from "./wave.js";

// ---- Counting what one types, as the API counts it: bytes of UTF-8, items between commas. ----

const bytes = (text) => new TextEncoder().encode(text.replace(/\r\n/g, "\n")).length;
const items = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);

function countOf(field) {
  if (field.dataset.bytes) return { used: bytes(field.value), most: Number(field.dataset.bytes), of: "bytes" };
  return { used: items(field.value).length, most: Number(field.dataset.items), of: "" };
}

function showCount(field, count) {
  const { used, most, of } = countOf(field);
  const longest = Math.max(0, ...items(field.value).map((each) => [...each].length));
  const tooLong = Number(field.dataset.characters) < longest;
  const isOver = used > most || tooLong;
  count.textContent = tooLong ? `at most ${field.dataset.characters} characters each` : `${used} of ${most} ${of}`.trim();
  count.classList.toggle("over", isOver);
  count.hidden = !isOver && used < most * 0.8 && document.activeElement !== field;
  field.setCustomValidity(isOver ? `Too long: ${count.textContent}.` : "");
}

function countTyping(root) {
  for (const field of root.querySelectorAll("[data-bytes], [data-items]")) {
    const hint = field.parentElement.querySelector(".hint");
    const count = Object.assign(document.createElement("span"), { className: "count" });
    hint.prepend(count);
    for (const type of ["input", "focus", "blur"]) field.addEventListener(type, () => setTimeout(showCount, 0, field, count));
    showCount(field, count);
  }
}

// ---- The selection of tracks. ----

function followSelection() {
  const form = document.getElementById("selection");
  const bulk = document.getElementById("bulk");
  if (!form || !bulk) return;
  const show = () => {
    const picked = form.querySelectorAll("input[name=id]:checked").length;
    bulk.hidden = picked === 0;
    document.getElementById("picked").textContent = `${picked} ${picked === 1 ? "track" : "tracks"} selected`;
  };
  form.addEventListener("change", show);
  addEventListener("pageshow", show); // when one comes back, the browser has ticked again what was ticked
  show();
}

// ---- A longer list: what read it is gone with it, so the first of the new rows gets the focus. ----

document.addEventListener("htmx:afterSwap", ({ target }) => {
  if (document.activeElement === document.body) target.querySelector("input, a:not([tabindex])")?.focus();
});

// ---- Uploads of tracks. ----

function titleOf(file) {
  return file.name.replace(/\.[^.]+$/, "").replace(/[_\s]+/g, " ").trim() || file.name;
}

function beginUpload(file) {
  const upload = { file, ...addLine(titleOf(file)), key: crypto.randomUUID() };
  sendInTurn(() => send(upload));
}

function send(upload) {
  const { file, state, bar } = upload;
  const form = new FormData();
  form.append("title", titleOf(file));
  form.append("file", file);
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/tracks");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Idempotency-Key", upload.key);
    request.upload.addEventListener("progress", (event) => {
      bar.value = event.total ? event.loaded / event.total : 0;
      state.textContent = `${megabytes(event.loaded)} of ${megabytes(event.total)} MB sent`;
    });
    request.upload.addEventListener("load", () => {
      bar.removeAttribute("value");
      state.textContent = "Checking: whether it is audio, how long it is, whether you have it already";
    });
    request.addEventListener("loadend", () => {
      const pause = request.status === 429 ? Number(request.getResponseHeader("Retry-After")) : 0;
      if (pause) {
        state.textContent = `Many at once: it goes on in ${pause} seconds`;
        setTimeout(() => done(send(upload)), pause * 1000);
        return;
      }
      if (request.status === 201) showUploaded(upload, JSON.parse(request.responseText));
      else showRefused(upload, request);
      done();
    });
    request.send(form);
  });
}

function showUploaded({ line, state, bar }, track) {
  bar.remove();
  state.className = "mark good";
  state.textContent = "Uploaded";
  const link = element("a", "button quiet", "Edit title, notes and cover");
  link.href = `/studio/tracks/${track.id}`;
  const actions = element("p", "actions");
  actions.append(link);
  line.append(actions);
}

function showRefused(upload, request) {
  const { line, file } = upload;
  const problem = problemOf(request);
  const message = problem.error === "duplicate_audio" ? "You have a track with exactly this audio already." : problem.message;
  showRefusal(upload, message ?? "The connection was cut off. Nothing was changed; try again.");
  const actions = element("p", "actions");
  if (problem.track_id) {
    const link = element("a", "button quiet", "Open that track");
    link.href = `/studio/tracks/${problem.track_id}`;
    actions.append(link);
  } else {
    const again = element("button", "button quiet", "Try again");
    again.addEventListener("click", () => { line.remove(); beginUpload(file); });
    actions.append(again);
  }
  line.append(actions);
}

// ---- Live: a hint of a change makes the page read its parts again. ----

const FIRST_MS = 100;
const BETWEEN_MS = 1000;
const BUSY_MS = 3000;
const MOST_ROWS = 100;
const REOPEN_MS = 3000;
let timer = null;
let readAt = -BETWEEN_MS;
let stream = null;

const rows = () => [...document.querySelectorAll("#tracks .row-mark")];

// The address alone gives the first rows: the others that are shown are asked for by name, those nearest to the middle first.
function nearestRows() {
  const far = new Map(rows().map((row) => [row.id, Math.abs(row.getBoundingClientRect().top - innerHeight / 2)]));
  return [...far.keys()].sort((one, other) => far.get(one) - far.get(other)).slice(0, MOST_ROWS);
}

function addressToRead() {
  // what was refused stands at the address of its form, where nothing can be read
  const here = new URL(document.querySelector("[data-address]")?.dataset.address ?? location.href, location);
  for (const row of nearestRows()) here.searchParams.append("row", row.replace("mark-", ""));
  here.searchParams.set("rows", document.querySelectorAll("[data-newest-first] > li[data-live]").length);
  return here;
}

function readSoon() {
  timer ??= setTimeout(() => {
    timer = null;
    readAt = performance.now();
    readAgain(addressToRead(), (part) => { htmx.process(part); countTyping(part); });
  }, Math.max(FIRST_MS, readAt + BETWEEN_MS - performance.now()));
}

function follow() {
  if (document.hidden) {
    stream?.close();
    clearTimeout(timer);
    stream = timer = null;
  } else if (!stream) {
    stream = new EventSource("/events");
    stream.addEventListener("mirror", readSoon);
    stream.addEventListener("error", reopen);
  }
}

// A browser opens a stream again by itself, but not after an answer like a proxy's 502.
function reopen({ target }) {
  if (target.readyState !== EventSource.CLOSED || target !== stream) return;
  stream = null;
  setTimeout(follow, REOPEN_MS);
}

if (document.querySelector("[data-live]")) {
  follow();
  document.addEventListener("visibilitychange", follow); // each stream begins with a hint, so the page catches up
  setInterval(() => { if (!document.hidden && document.querySelector("[data-busy]")) readSoon(); }, BUSY_MS); // no hint comes of it
  document.addEventListener("scrollend", () => { if (rows().length > MOST_ROWS) readSoon(); });
}
countTyping(document);
followSelection();
if (document.getElementById("drop")) takeFiles(document.getElementById("drop"), (files) => files.forEach(beginUpload));
drawWaves(document);
document.querySelectorAll(".deck").forEach(showKeys);

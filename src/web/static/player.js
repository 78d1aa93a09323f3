// One player for all public pages: links between them replace <main> while something is queued, so that it goes on.

import { clock, drawWave, drawWaves } from "./wave.js";

const KEY = "mastertape.queue";
const PUBLIC = /^\/$|^\/(@(?!.*\/versions$)|tags(\/|$)|search$)/;
const SEEK_SECONDS = 5;
const GONE = new Set([403, 404, 410]);
const bar = document.querySelector("#player");
const audio = bar.appendChild(new Audio());
const part = (name) => bar.querySelector(`[data-part="${name}"]`);
const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
const queue = { ids: kept?.ids ?? [], at: kept?.at ?? 0 };
let current = null;
let turn = 0;

const keep = () => sessionStorage.setItem(KEY, JSON.stringify({ ...queue, seconds: audio.currentTime }));
const isPlaying = () => !audio.paused && !audio.ended;
const say = (message) => { part("message").textContent = message; };

async function read(id) {
  const answer = await fetch(`/tracks/${id}`, { headers: { Accept: "application/json" } }).catch(() => null);
  return { answer, track: answer?.ok ? await answer.json().catch(() => null) : null };
}

// Each choice of a track ends those before it, whose answers may come later.
async function load(at, { play = true, seconds = 0 } = {}) {
  const mine = ++turn;
  queue.at = at;
  const { answer, track } = await read(queue.ids[at]);
  if (turn !== mine) return;
  if (track === null) return GONE.has(answer?.status) ? skip("A track of the queue is gone.", { play }) : say("The track cannot be loaded now. Play tries again.");
  current = track;
  audio.src = track.audio_url;
  if (seconds) audio.currentTime = seconds;
  show();
  bar.dataset.waveform = `/tracks/${track.id}/waveform`;
  bar.dataset.comments = track.comment_count ? `/tracks/${track.id}/comments?limit=100` : "";
  drawWave(bar);
  if (play) await audio.play().catch(() => {}); // an error of the audio has its own handler
  keep();
}

// What cannot be played stays in the queue, with the reason shown, and the next one plays.
function skip(reason, options) {
  say(reason);
  if (queue.at + 1 < queue.ids.length) load(queue.at + 1, options);
}

function play(ids, seconds = 0) {
  queue.ids = ids;
  say("");
  load(0, { seconds });
}

function add(ids) {
  const isFirst = queue.ids.length === 0;
  queue.ids.push(...ids);
  say(ids.length === 1 ? "Added to the queue." : `${ids.length} tracks were added to the queue.`);
  if (isFirst) load(0, { play: false });
  show();
  keep();
}

function move(by) {
  const at = queue.at + by;
  if (at >= 0 && at < queue.ids.length) load(at);
}

function show() {
  bar.hidden = queue.ids.length === 0;
  part("previous").disabled = queue.at === 0;
  part("next").disabled = queue.at + 1 >= queue.ids.length;
  part("count").textContent = queue.ids.length > 1 ? `${queue.at + 1} of ${queue.ids.length}` : "";
  part("toggle").setAttribute("aria-label", isPlaying() ? "Pause" : "Play");
  part("toggle").querySelector("path").setAttribute("d", isPlaying() ? "M6 4h4.5v16H6zM13.5 4H18v16h-4.5z" : "M7 4v16l13-8z");
  if (!current) return;
  part("title").textContent = current.title;
  part("title").href = page();
  if (part("like")) showAsListener();
  part("artist").textContent = current.artist;
  part("cover").hidden = !current.thumbnail_url;
  if (current.thumbnail_url) part("cover").src = new URL(current.thumbnail_url).pathname;
  if (!("mediaSession" in navigator)) return;
  const artwork = current.image_url ? [{ src: current.image_url }] : [];
  navigator.mediaSession.metadata = new MediaMetadata({ title: current.title, artist: current.artist, album: current.album ?? "", artwork });
}

const page = () => `/@${current.artist_handle}/${current.id}`;

function showAsListener() {
  part("like").setAttribute("aria-pressed", current.is_liked);
  part("comment").hidden = !current.comments;
  part("comment").href = `${page()}#new-comment`;
}

// The page of the track has a button of its own, which counts, too.
async function like() {
  if (!current) return;
  const ofPage = document.querySelector(`main form[action$="/${current.id}/like"]`);
  if (ofPage) return ofPage.requestSubmit();
  const answer = await fetch(`/tracks/${current.id}/like`, { method: current.is_liked ? "DELETE" : "PUT" }).catch(() => null);
  if (!answer?.ok) return say("The like could not be saved. Try again.");
  current.is_liked = !current.is_liked;
  showAsListener();
}

function showTime() {
  const length = audio.duration || current?.duration || 0;
  part("time").textContent = `${clock(audio.currentTime)} / ${clock(length)}`;
  part("seek").max = Math.floor(length);
  part("seek").value = Math.floor(audio.currentTime);
  part("seek").setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(length)}`);
}

function toggle() {
  if (isPlaying()) audio.pause();
  else if (audio.getAttribute("src")) audio.play().catch(() => {});
  else load(queue.at);
}
const seek = (by) => { audio.currentTime = Math.max(0, audio.currentTime + by); };

function close() {
  turn += 1;
  audio.pause();
  audio.removeAttribute("src");
  Object.assign(queue, { ids: [], at: 0 });
  current = null;
  sessionStorage.removeItem(KEY);
  show();
}

const ACTIONS = { toggle, like, previous: () => move(-1), next: () => move(1), close };
bar.addEventListener("click", (event) => ACTIONS[event.target.closest("button")?.dataset.part]?.());
part("seek").addEventListener("input", (event) => { audio.currentTime = event.target.value; });
for (const type of ["play", "pause"]) audio.addEventListener(type, () => { show(); keep(); });
audio.addEventListener("timeupdate", showTime);
audio.addEventListener("loadedmetadata", showTime);
audio.addEventListener("ended", () => move(1));
audio.addEventListener("error", () => {
  if (current && audio.getAttribute("src")) skip(current.support_gate ? `${current.title} is for supporters.` : `${current.title} cannot be played.`);
});
// One sound at a time: a page has a player of its own as well.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);
addEventListener("pagehide", () => queue.ids.length && keep());
if ("mediaSession" in navigator) {
  const handlers = { play: toggle, pause: toggle, previoustrack: () => move(-1), nexttrack: () => move(1), seekto: (asked) => { audio.currentTime = asked.seekTime; } };
  for (const [name, handler] of Object.entries(handlers)) navigator.mediaSession.setActionHandler(name, handler);
}

// Keys act where they mean nothing else.
const KEYS = { " ": toggle, ArrowLeft: () => seek(-SEEK_SECONDS), ArrowRight: () => seek(SEEK_SECONDS), n: () => move(1), p: () => move(-1) };
document.addEventListener("keydown", (event) => {
  const isTaken = event.target.closest("input, textarea, select, button, a, summary, audio, [contenteditable]");
  if (isTaken || bar.hidden || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// Buttons that play stand on a page only where this runs.
function begin(root) {
  for (const controls of root.querySelectorAll(".play-controls[hidden]")) controls.hidden = false;
  drawWaves(root);
}

const idsOf = (controls) => controls.dataset.tracks.split(",").map(Number);
document.addEventListener("click", (event) => {
  const button = event.target.closest(".play-controls button");
  if (button) (button.dataset.does === "play" ? play : add)(idsOf(button.closest(".play-controls")));
});
document.addEventListener("hear", (event) => {
  const controls = event.target.nextElementSibling;
  if (!controls?.matches(".play-controls")) return;
  event.preventDefault();
  const ids = idsOf(controls);
  if (current?.id !== ids[0]) return play(ids, event.detail);
  audio.currentTime = event.detail;
  audio.play().catch(() => {});
});

const HEAD = 'link[rel="canonical"], link[rel="alternate"], meta[property], meta[name="robots"], meta[name="description"]';
let shown = location.pathname + location.search;
let visits = 0;

// Back shows a page where it was left: `top` is how far down.
async function visit(address, { isBack = false, top = 0, ...request } = {}) {
  const mine = ++visits;
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...request }).catch(() => null);
  const there = answer && new URL(answer.url);
  const text = answer?.headers.get("Content-Type")?.startsWith("text/html") && PUBLIC.test(there.pathname) ? await answer.text() : null;
  if (mine !== visits) return;
  if (text === null) return location.assign(request.method ? location.href : address);
  if (!isBack) history.replaceState({ top: scrollY }, ""); // before another page has another length
  const page = new DOMParser().parseFromString(text, "text/html");
  document.title = page.title;
  for (const old of document.head.querySelectorAll(HEAD)) old.remove();
  document.head.append(...page.head.querySelectorAll(HEAD));
  for (const place of ["main", "header.bar"]) document.querySelector(place).replaceWith(page.querySelector(place));
  shown = there.pathname + there.search;
  const { hash } = new URL(address, location);
  if (!isBack) history.pushState(null, "", shown + hash);
  const main = document.querySelector("main");
  begin(main); // what it shows moves what is below
  main.tabIndex = -1;
  main.focus({ preventScroll: true });
  const place = hash && document.getElementById(hash.slice(1));
  if (place) {
    place.scrollIntoView();
    place.focus();
  } else scrollTo(0, top);
  document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: main } }));
  if (request.method && current) {
    current.is_liked = (await read(current.id)).track?.is_liked ?? current.is_liked;
    show();
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (bar.hidden || !link || document.querySelector("form[data-typed]") || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
  const there = new URL(link.href, location);
  if (there.origin !== location.origin || !PUBLIC.test(there.pathname) || (there.hash && there.pathname + there.search === shown)) return;
  event.preventDefault();
  visit(there.href);
});

// A search, a like or a comment keeps the music too.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const there = new URL(form.action);
  if (bar.hidden || event.defaultPrevented || there.origin !== location.origin || !PUBLIC.test(there.pathname)) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  if (form.method === "get") visit(`${there.pathname}?${fields}`);
  else visit(there.href, { method: "POST", body: fields });
});
addEventListener("popstate", ({ state }) => {
  if (location.pathname + location.search === shown) return; // a link to a place on the page
  visit(location.href, { isBack: true, top: state?.top });
});

begin(document);
if (queue.ids.length) load(queue.at, { play: false, seconds: kept.seconds });

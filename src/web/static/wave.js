// Waveforms of what plays, as bars that also seek, with comments at their places.

const SVG = "http://www.w3.org/2000/svg";
const MOST_BARS = 160;
const SAID_MS = 5000;
const drawn = new WeakMap();

function shape(name, attributes, ...inside) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function path(peaks, attributes) {
  const bars = peaks.map((peak, at) => {
    const height = Math.max(0.02, peak);
    return `M${at + 0.5} ${(1 - height).toFixed(3)}V${(1 + height).toFixed(3)}`;
  });
  return shape("path", { d: bars.join(""), stroke: "currentColor", "stroke-width": 0.6, ...attributes });
}

function louder(peaks, bars) {
  const each = peaks.length / bars;
  const found = Array.from({ length: bars }, (_, at) =>
    Math.max(...peaks.slice(Math.floor(at * each), Math.max(Math.floor(at * each) + 1, Math.floor((at + 1) * each)))));
  const most = Math.max(...found, 0.01);
  return found.map((peak) => peak / most);
}

function mark({ timestamp_ms, handle, text }, duration, bars) {
  const at = Math.min(timestamp_ms / 1000 / duration, 1) * bars;
  const title = shape("title", {}, `@${handle}: ${text}`);
  return shape("path", { d: `M${at.toFixed(2)} 1.5V2`, stroke: "currentColor", "stroke-width": 1.5, class: "wave-comment" }, title);
}

const json = (answer) => (answer?.ok ? answer.json().catch(() => null) : null);
const read = (address) => fetch(address, { cache: "no-cache", headers: { Accept: "application/json" } }).catch(() => null);

// Draws at a place the waveform that its data name, and tells what is known of it; unless they have come to name another one.
export async function drawWave(place, tries = 3) {
  const { waveform, comments } = place.dataset;
  place.querySelector(".wave")?.remove();
  const answer = await read(waveform);
  const later = Number(answer?.headers.get("Retry-After"));
  if (later && tries > 1) setTimeout(() => place.dataset.waveform === waveform && drawWave(place, tries - 1), later * 1000);
  const body = await json(answer);
  const said = comments ? (await json(await read(comments)))?.items ?? [] : [];
  if (!body?.peaks?.length || place.dataset.waveform !== waveform) return;
  const bars = Math.min(body.peaks.length, MOST_BARS);
  const peaks = louder(body.peaks, bars);
  const played = shape("rect", { x: 0, y: 0, height: 2, width: 0 });
  const clip = shape("clipPath", { id: `played-${Math.random().toString(36).slice(2)}` }, played);
  const wave = shape(
    "svg",
    { viewBox: `0 0 ${bars} 2`, preserveAspectRatio: "none", class: "wave", "aria-hidden": true },
    clip,
    path(peaks, { class: "wave-all" }),
    path(peaks, { class: "wave-played", "clip-path": `url(#${clip.id})` }),
    ...said.map((each) => mark(each, body.duration, bars)),
  );
  wave.addEventListener("click", ({ clientX }) => {
    const { left, width } = wave.getBoundingClientRect();
    seek(place, ((clientX - left) / width) * body.duration);
  });
  (place.querySelector(".seek") ?? place).prepend(wave);
  drawn.set(place, { played, bars, said });
  place.dataset.loudness = body.loudness ?? "";
  place.dispatchEvent(new Event("wave", { bubbles: true }));
}

// The player of a page plays it from there; where there is none, the place does.
function seek(place, seconds) {
  if (!place.dispatchEvent(new CustomEvent("hear", { bubbles: true, cancelable: true, detail: seconds }))) return;
  const audio = place.querySelector("audio");
  audio.currentTime = seconds;
  audio.play().catch(() => {});
}

// The place of a comment leads to the audio, which the player of the page plays from there.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.at");
  const place = document.querySelector("main [data-waveform]");
  if (!link || !place) return;
  event.preventDefault();
  seek(place, Number(link.hash.replace("#t=", "")));
});

document.addEventListener("timeupdate", ({ target }) => {
  for (const place of document.querySelectorAll("[data-waveform]")) {
    const known = drawn.get(place);
    if (!known || place.querySelector("audio").src !== target.src) continue;
    known.played.setAttribute("width", (target.duration ? target.currentTime / target.duration : 0) * known.bars);
    const line = place.querySelector("[data-said]");
    const since = ({ timestamp_ms }) => target.currentTime * 1000 - timestamp_ms;
    const now = known.said.find((each) => since(each) >= 0 && since(each) < SAID_MS);
    if (line) line.textContent = now ? `@${now.handle}: ${now.text}` : "";
  }
}, true);

export const drawWaves = (root) => root.querySelectorAll("[data-waveform]").forEach((place) => drawWave(place));

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// The waveform with keys of ours, in place of the browser's own player.
export function showKeys(deck) {
  const audio = deck.querySelector("audio");
  const keys = deck.querySelector(".deck-keys");
  if (!keys) return;
  const [button, position, time] = ["button", "input", "[data-time]"].map((each) => keys.querySelector(each));
  keys.hidden = false;
  deck.querySelector("[data-length]").remove();
  audio.hidden = true;
  button.addEventListener("click", () => (audio.paused ? audio.play().catch(() => {}) : audio.pause()));
  position.addEventListener("input", () => {
    audio.currentTime = position.value;
    show();
  });
  for (const type of ["play", "pause"]) audio.addEventListener(type, () => { button.textContent = audio.paused ? "Play" : "Pause"; });
  audio.addEventListener("error", () => { time.textContent = "It cannot be played now."; });
  audio.addEventListener("timeupdate", show);
  function show() {
    position.value = audio.currentTime;
    time.textContent = `${clock(audio.currentTime)} / ${clock(position.max)}`;
    position.setAttribute("aria-valuetext", time.textContent.replace("/", "of"));
  }
}

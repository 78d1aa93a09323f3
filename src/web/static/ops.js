// The console reads its screens again: soon after something has changed, more rarely while nothing does, and never while hidden.

import { readAgain } from "./live.js";

const SHORTEST_PAUSE_MS = 3000;
const LONGEST_PAUSE_MS = 10_000;
const SHARE_OF_TIME = 5; // a read that takes long is repeated the later
let timer = null;
let isReading = false;
let readAt = performance.now();
let pause = SHORTEST_PAUSE_MS;

async function read() {
  isReading = true;
  readAt = performance.now();
  const isChanged = await readAgain();
  const took = performance.now() - readAt;
  isReading = false;
  showWhetherStale(isChanged === null);
  pause = isChanged ? SHORTEST_PAUSE_MS : Math.min(2 * pause, LONGEST_PAUSE_MS);
  plan(Math.max(pause, SHARE_OF_TIME * took));
}

function plan(milliseconds) {
  clearTimeout(timer);
  timer = document.hidden || isReading ? null : setTimeout(read, milliseconds);
}

function showWhetherStale(isStale) {
  const notice = document.getElementById("stale");
  if (isStale && notice.hidden) {
    const at = new Date().toLocaleTimeString("en-GB");
    notice.textContent = `This page could not be read again since ${at}: what it shows may be old. It goes on trying.`;
  }
  notice.hidden = !isStale;
}

if (document.querySelector(".console-main [data-live]")) {
  plan(pause);
  document.addEventListener("visibilitychange", () => {
    pause = SHORTEST_PAUSE_MS;
    plan(Math.max(0, readAt + pause - performance.now()));
  });
}

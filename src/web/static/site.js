"use strict";

// Times are in UTC until a script runs; then in the time zone and words of the one who reads.
const SHOWN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "long" });

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not(.utc)")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = (time.classList.contains("day") ? DAY : SHOWN).format(at);
    }
  }
}

// A menu closes when the focus or a click goes elsewhere, and with Escape.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

for (const type of ["click", "focusin"]) {
  document.addEventListener(type, (event) => closeMenus(event.target.closest("details.menu")));
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest("details.menu");
  closeMenus(null);
  menu?.querySelector("summary").focus();
});
document.addEventListener("htmx:load", (event) => showLocalTimes(event.detail.elt));
showLocalTimes(document);

// The place of a new comment follows the player until one is typed.
const place = document.querySelector("[data-follows-player] [name=place]");
const player = document.querySelector("audio.player");
if (place !== null && player !== null) {
  let isTyped = false;
  place.addEventListener("input", () => { isTyped = true; });
  player.addEventListener("timeupdate", () => {
    const seconds = Math.floor(player.currentTime);
    if (!isTyped) place.value = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  });
}

// A button that copies stands beside each snippet only where it works: with scripts, over https or on this machine.
for (const snippet of navigator.clipboard ? document.querySelectorAll(".snippet") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(snippet.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  snippet.append(button);
}

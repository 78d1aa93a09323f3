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

// The place of a new comment follows what plays of its track until one is typed.
document.addEventListener("timeupdate", (event) => {
  const place = document.querySelector("[data-follows-player] [name=place]:not([data-is-typed])");
  if (place === null || event.target.currentSrc !== document.querySelector("audio.player")?.src) return;
  const seconds = Math.floor(event.target.currentTime);
  place.value = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}, true);
document.addEventListener("input", (event) => {
  if (event.target.name === "place") event.target.dataset.isTyped = "";
});

// A button that copies stands beside each snippet only where it works: with scripts, over https or on this machine.
function offerCopies(root) {
  for (const snippet of navigator.clipboard ? root.querySelectorAll(".snippet:not(:has(.copy))") : []) {
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
}

function prepare(root) {
  showLocalTimes(root);
  offerCopies(root);
}
document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
prepare(document);

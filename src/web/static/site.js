"use strict";

// Times are in UTC until a script runs; then in the time zone and words of the one who reads.
const SHOWN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

function showLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.dateTime;
      time.textContent = SHOWN.format(at);
    }
  }
}

// A menu closes when the focus or a click goes elsewhere, and with Escape.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest("details.menu");
  closeMenus(null);
  menu?.querySelector("summary").focus();
});
document.addEventListener("htmx:load", (event) => showLocalTimes(event.detail.elt));
showLocalTimes(document);

// What the pages with uploads share: files that are chosen or dropped, two of them sent at a time, each with a line of its own.

const AT_ONCE = 2;
const waiting = [];
let running = 0;

export function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

export const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

export function addLine(name) {
  const line = element("li", "upload card");
  const head = element("div", "upload-line");
  const state = element("span", "mark way", "Waiting for its turn");
  const bar = Object.assign(element("progress", "progress"), { max: 1, value: 0 });
  bar.setAttribute("aria-label", `Upload of ${name}`);
  head.append(element("span", "upload-title", name), state);
  line.append(head, bar);
  document.getElementById("uploads").append(line);
  return { line, state, bar };
}

export function showRefusal({ line, state, bar }, message) {
  bar.remove();
  Object.assign(state, { className: "mark bad", textContent: "Not uploaded" });
  const words = element("p", "error", message);
  words.setAttribute("role", "alert");
  line.append(words);
}

export function problemOf(request) {
  try { return JSON.parse(request.responseText).detail ?? {}; } catch { return {}; } // no answer, or none in JSON
}

export function sendInTurn(send) {
  waiting.push(send);
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift()().finally(() => { running -= 1; next(); });
  }
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const each of some) found.push(...await filesIn(each));
  }
}

// Shows where files are dropped or chosen, in place of the plain form.
export function takeFiles(drop, take) {
  const takeShown = (files) => take([...files].filter((file) => !file.name.startsWith(".")));
  drop.hidden = false;
  document.getElementById("plain-upload").hidden = true;
  for (const chosen of drop.querySelectorAll("[type=file]")) chosen.addEventListener("change", () => { takeShown(chosen.files); chosen.value = ""; });
  for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", async ({ dataTransfer }) => {
    drop.classList.remove("over");
    const dropped = [...dataTransfer.items].map((item) => [item.webkitGetAsEntry(), item.getAsFile()]); // none is there later
    const found = await Promise.all(dropped.map(([entry, file]) => (entry ? filesIn(entry) : [file])));
    takeShown(found.flat().filter(Boolean));
  });
  addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
}

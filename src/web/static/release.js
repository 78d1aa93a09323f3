// Uploads to a release. Each goes on where it broke: after a lost connection by itself, after a reload when its file is chosen again.

import { addLine, megabytes, problemOf, sendInTurn, showRefusal, takeFiles } from "./uploads.js";

const PART_BYTES = 8 * 1024 * 1024;
const PAUSE_MS = 1000;
const MAX_PAUSE_MS = 15000;
const OVER = Symbol("over");
const form = document.getElementById("release");
const drop = document.getElementById("release-uploads");
const uploads = [];

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- What is known of earlier uploads: their addresses, by what tells their files apart. ----

const key = () => `uploads:${drop.dataset.release}`;
const known = () => JSON.parse(localStorage.getItem(key()) ?? "{}");
const nameOf = (file) => [file.name, file.size, file.lastModified].join("/");

function remember({ file, address }) {
  const all = known();
  if (address) all[nameOf(file)] = address;
  else delete all[nameOf(file)];
  localStorage.setItem(key(), JSON.stringify(all));
}

// ---- One upload: begin it, look where it goes on, append. ----

function ask(method, address, headers = {}, body = null, progressed = () => {}) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    for (const [name, value] of Object.entries({ Accept: "application/json", ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded }) => progressed(loaded));
    request.addEventListener("loadend", () => done(request));
    request.send(body);
  });
}

async function begin(upload) {
  const { file } = upload;
  const headers = { "Upload-Complete": "?0", "Upload-Length": file.size, "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}` };
  const answer = await ask("POST", `${drop.dataset.release}/uploads`, headers);
  if (answer.status === 201) {
    Object.assign(upload, { address: answer.getResponseHeader("Location"), offset: 0 });
    remember(upload);
  }
  return answer;
}

async function look(upload) {
  const answer = await ask("HEAD", upload.address);
  if (answer.status === 204) upload.offset = Number(answer.getResponseHeader("Upload-Offset"));
  return answer;
}

async function append(upload) {
  const { file, offset } = upload;
  const part = file.slice(offset, offset + PART_BYTES);
  const isLast = offset + part.size === file.size;
  const headers = { "Content-Type": "application/partial-upload", "Upload-Offset": offset, "Upload-Complete": isLast ? "?1" : "?0" };
  const answer = await ask("PATCH", upload.address, headers, part, (loaded) => { upload.loaded = Math.min(loaded, part.size); show(); });
  upload.loaded = 0;
  if (answer.status === 204) upload.offset = Number(answer.getResponseHeader("Upload-Offset"));
  if (problemOf(answer).error === "mismatching_upload_offset") upload.offset = null;
  return answer.status === 200 ? OVER : answer;
}

// Takes the next step; returns how long to wait before another one, or that it is over.
async function step(upload) {
  const answer = await (!upload.address ? begin : upload.offset === null ? look : append)(upload);
  if (answer === OVER) {
    await finish(upload);
    return OVER;
  }
  if (answer.status >= 200 && answer.status < 300 || problemOf(answer).error === "mismatching_upload_offset") {
    upload.failures = 0;
    return 0;
  }
  if (answer.status === 404 && upload.address) {
    Object.assign(upload, { address: null, offset: null });
    remember(upload);
    return 0;
  }
  const later = Number(answer.getResponseHeader("Retry-After"));
  if ([0, 408].includes(answer.status) || answer.status >= 500 || later) {
    upload.offset = null; // some of it may have come
    upload.failures += 1;
    upload.state.textContent = answer.status ? "Waiting to go on" : "The connection was cut off: it goes on by itself";
    return later ? later * 1000 : Math.min(PAUSE_MS * 2 ** (upload.failures - 1), MAX_PAUSE_MS);
  }
  refuse(upload, answer);
  return OVER;
}

async function run(upload) {
  upload.isBegun = true;
  for (let wait = await step(upload); wait !== OVER; wait = await step(upload)) {
    if (wait) await pause(wait);
    show();
  }
}

// ---- What is shown. ----

function add(file) {
  const address = known()[nameOf(file)] ?? null;
  if (address && document.getElementById(`file-${address.split("/").pop()}`)) return; // it is there
  const upload = { file, ...addLine(file.name), address, offset: null, loaded: 0, failures: 0 };
  if (file.size > Number(drop.dataset.most)) {
    showRefusal(upload, `It has ${megabytes(file.size)} MB, and at most ${megabytes(Number(drop.dataset.most))} MB are taken.`);
    return;
  }
  uploads.push(upload);
  sendInTurn(() => run(upload).finally(show));
  show();
}

function show() {
  const left = uploads.filter((each) => !each.isOver);
  const all = uploads.reduce((sum, { file }) => sum + file.size, 0);
  const sentOf = (each) => (each.isOver ? each.file.size : (each.offset ?? 0) + each.loaded);
  const sent = uploads.reduce((sum, each) => sum + sentOf(each), 0);
  for (const each of left) {
    each.bar.value = sentOf(each) / Math.max(each.file.size, 1);
    if (each.isBegun && !each.failures) each.state.textContent = each.bar.value >= 1 ? "Checking" : `${megabytes(sentOf(each))} of ${megabytes(each.file.size)} MB sent`;
  }
  document.getElementById("sending").hidden = uploads.length === 0;
  document.getElementById("whole").value = all ? sent / all : 0;
  const said = document.getElementById("whole-said"); // it is read aloud
  const files = `${uploads.length - left.length} of ${uploads.length} files`;
  if (said.textContent !== files) said.textContent = files;
  document.getElementById("whole-sent").textContent = `, ${megabytes(sent)} of ${megabytes(all)} MB`;
}

// The page as it is now; that of a refused form may stand at another address.
async function read(ms = PAUSE_MS) {
  const answer = await fetch(form.action, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) return new DOMParser().parseFromString(await answer.text(), "text/html");
  if (answer && answer.status < 500 && answer.status !== 429) return null;
  await pause(Number(answer?.headers.get("Retry-After")) * 1000 || ms);
  return read(Math.min(ms * 2, MAX_PAUSE_MS));
}

// A new file gets its row where the release has it; what is typed in the others stays.
async function finish(upload) {
  upload.isOver = true;
  const fresh = await read();
  upload.line.remove();
  if (!fresh) return;
  const order = document.getElementById("order");
  const seen = form.elements["version-order"];
  const ids = seen.value.split(" ").filter(Boolean);
  for (const row of fresh.querySelectorAll("#order > li")) {
    if (document.getElementById(row.id)) continue;
    const before = row.previousElementSibling && document.getElementById(row.previousElementSibling.id);
    if (before) before.after(document.importNode(row, true));
    else order.prepend(document.importNode(row, true));
    ids.splice(before ? ids.indexOf(idOf(before)) + 1 : 0, 0, idOf(row));
  }
  seen.value = ids.join(" ");
  takeTitle(fresh);
  document.getElementById("title-taken").replaceWith(document.importNode(fresh.getElementById("title-taken"), true));
  document.getElementById("no-files").hidden = order.children.length > 0;
  for (const old of document.querySelectorAll("[id^=upload-]")) if (!fresh.getElementById(old.id)) old.remove();
}

const idOf = (row) => row.id.slice("file-".length);

// The tags of the first file name the album, or another tab did: a title that is typed here stays, and the other is shown.
function takeTitle(fresh) {
  const { title } = form.elements;
  const other = fresh.getElementById("field-title").value;
  if (title.defaultValue || !other) return;
  const typed = title.value;
  title.defaultValue = other;
  form.elements["version-title"].value = fresh.querySelector("[name=version-title]").value;
  if (typed && typed !== other) document.getElementById("about-title").prepend(`Meanwhile its title is “${other}”. Yours is above; saving puts yours in its place. `);
}

function refuse(upload, answer) {
  const { reason, message } = problemOf(answer);
  upload.isOver = true;
  showRefusal(upload, reason ?? message ?? "It was not taken.");
  if (!upload.address || answer.status === 401) return; // who signs in again goes on
  ask("DELETE", upload.address); // the release goes on without it
  upload.address = null;
  remember(upload);
}

// An image beside the audio is the cover, as in the folders that shops send; the one that is called so, if there are more.
function take(files) {
  files.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const images = files.filter((file) => file.type.startsWith("image/"));
  const image = images.find((file) => /cover|front|folder/i.test(file.name)) ?? images[0];
  if (image) setCover(image);
  files.filter((file) => !images.includes(file)).forEach(add);
}

async function setCover(image) {
  const body = new FormData();
  body.append("image", image);
  const answer = await ask("PATCH", drop.dataset.release, {}, body);
  if (answer.status !== 200) return showRefusal(addLine(image.name), problemOf(answer).message ?? "It was not taken.");
  const fresh = await read();
  if (fresh) document.getElementById("cover").replaceWith(document.importNode(fresh.getElementById("cover"), true));
}

if (drop) {
  takeFiles(drop, take);
  const { at, zone } = form.elements;
  zone.addEventListener("change", () => at.removeEventListener("change", setZone)); // one that is chosen stays
  at.addEventListener("change", setZone);
  if (!at.defaultValue) setZone();
}

// The zone has another offset in summer: it is that of the time which is typed.
function setZone() {
  const { at, zone } = form.elements;
  const minutes = -new Date(at.value || Date.now()).getTimezoneOffset();
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  if ([...zone.options].some((each) => each.value === offset)) zone.value = offset;
}

// What is typed into a form is kept in this browser until the service has it: the page that is opened again has it back,
// and one that is left warns. Its hidden versions are kept too, so that saving it later overwrites nothing of others.

const PREFIX = "mastertape.typed ";
const TEXT = "textarea, input:not([type]), input[type=text]";
const addressOf = (form) => new URL(form.getAttribute("action") ?? "", location).pathname;
const nameOf = (form) => `${PREFIX}${document.body.dataset.account} ${addressOf(form)}`;
const keptOf = (form) => JSON.parse(localStorage.getItem(nameOf(form)));
const put = (form, kept) => localStorage.setItem(nameOf(form), JSON.stringify(kept));
const drop = (form) => localStorage.removeItem(nameOf(form));
const fieldsOf = (form) => [...form.elements].filter((each) => each.name && each.type !== "file" && each.autocomplete !== "off");
const isKept = (form) => form.method === "post" && fieldsOf(form).some((each) => each.matches(TEXT));
const isHidden = (field) => field.type === "hidden" || field.type === "submit";
const versionsOf = (form) => [...form.elements].filter((each) => each.type === "hidden" && each.name.startsWith("version"));
const isOn = (field) => field.type === "checkbox" || field.type === "radio";

function isTyped(field) {
  if (isHidden(field)) return false;
  if (isOn(field)) return field.checked !== field.defaultChecked;
  if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((each) => each.defaultSelected));
  return field.value !== field.defaultValue;
}

// On the page of a refusal, what was refused is not typed anew, and not saved either.
function keep(form) {
  const refused = form.hasAttribute("data-refused") ? keptOf(form)?.typed.map(([name]) => name) ?? [] : [];
  const typed = fieldsOf(form).filter((each) => !isHidden(each) && (refused.includes(each.name) || isTyped(each)));
  form.toggleAttribute("data-typed", typed.length > 0);
  if (!isKept(form)) return;
  if (!typed.length) drop(form);
  else put(form, { typed: typed.map((each) => [each.name, each.value, each.checked]), versions: versionsOf(form).map((each) => [each.name, each.value]) });
}

// A form that was sent leads to another page, unless it was refused. Where it did neither, the service was not reached.
function bringBack(form, isAnswered) {
  const { typed, versions, isSent } = keptOf(form) ?? {};
  if (!typed) return;
  if (isSent && document.querySelector("[role=alert]") !== null) {
    form.setAttribute("data-refused", "");
    return keep(form);
  }
  if (isSent && isAnswered) return drop(form);
  for (const [name, value, isChecked] of typed) {
    for (const field of fieldsOf(form).filter((each) => each.name === name && !isHidden(each))) {
      if (!isOn(field)) field.value = value;
      else if (field.value === value) field.checked = isChecked;
    }
  }
  if (!fieldsOf(form).some(isTyped)) return drop(form);
  for (const field of versionsOf(form)) field.value = Object.fromEntries(versions)[field.name] ?? field.value;
  for (const field of fieldsOf(form).filter(isTyped)) field.closest("details")?.setAttribute("open", "");
  keep(form);
  tell(form);
}

function tell(form) {
  const said = Object.assign(document.createElement("p"), { className: "notice wait", textContent: "What you typed here before is back, and is not saved yet. " });
  const button = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: "Drop it" });
  button.addEventListener("click", () => {
    drop(form);
    form.removeAttribute("data-typed");
    location.reload();
  });
  said.setAttribute("role", "status");
  said.append(button);
  form.prepend(said);
}

function forgetAll() {
  for (const name of Object.keys(localStorage)) if (name.startsWith(PREFIX)) localStorage.removeItem(name);
}

// The button of a form that was sent shows that it waits; not on a page that comes back from the browser's memory.
function showWaiting(form, button) {
  button?.setAttribute("aria-busy", "true");
  for (const said of form.querySelectorAll("[data-waiting]")) said.textContent = said.dataset.waiting;
}

function prepareForms(root, isAnswered) {
  for (const form of root.querySelectorAll("form:not([data-typed])")) if (isKept(form)) bringBack(form, isAnswered);
}

document.addEventListener("input", ({ target: { form } }) => { if (form) keep(form); });
document.addEventListener("submit", ({ target: form, submitter }) => {
  if (addressOf(form) === "/accounts/sign-out") forgetAll();
  if (isKept(form) && keptOf(form)) put(form, { ...keptOf(form), isSent: true });
  form.removeAttribute("data-typed");
  showWaiting(form, submitter);
});
addEventListener("beforeunload", (event) => {
  if ([...document.querySelectorAll("form[data-typed]")].some(isKept)) event.preventDefault();
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  for (const said of document.querySelectorAll("[data-waiting]")) said.textContent = "";
});
document.addEventListener("htmx:load", ({ detail }) => prepareForms(detail.elt, true));
prepareForms(document, performance.getEntriesByType("navigation")[0]?.redirectCount > 0);

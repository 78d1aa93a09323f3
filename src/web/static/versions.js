// Two versions of a track: a button goes on with the other one at the same place, each as loud as the quieter one.

const decks = [...document.querySelectorAll(".pair .deck")];
const audios = decks.map((deck) => deck.querySelector("audio"));
const controls = document.querySelector("[data-switch]");
const buttons = [...controls.querySelectorAll("button")];
const equally = controls.querySelector("input");
let heard = null;

function hear(at) {
  if (!audios[at].paused) return audios[at].pause();
  if (heard !== null && heard !== at) audios[at].currentTime = audios[heard].currentTime;
  audios[at].play();
}

function match() {
  const loud = decks.map(({ dataset }) => parseFloat(dataset.loudness));
  const difference = loud[0] - loud[1];
  const volumes = loud.map((each) => (equally.checked && difference ? 10 ** ((Math.min(...loud) - each) / 20) : 1));
  audios.forEach((audio, at) => { audio.volume = volumes[at]; });
  const isSet = audios.every((audio, at) => Math.abs(audio.volume - volumes[at]) < 0.01);
  controls.querySelector("[role=status]").textContent = Number.isNaN(difference)
    ? "How loud they are is not known, so they play as they are."
    : `${difference > 0 ? "A" : "B"} is ${Math.abs(difference).toFixed(1)} dB louder${!equally.checked ? "." : isSet ? ", and is played so much softer." : ", and this browser does not let a page play it softer."}`;
}

if (decks.length === 2) {
  controls.hidden = false;
  buttons.forEach((button, at) => button.addEventListener("click", () => hear(at)));
  equally.addEventListener("change", match);
  document.addEventListener("wave", match);
  audios.forEach((audio, at) => {
    audio.addEventListener("play", () => { heard = at; });
    for (const type of ["play", "pause"]) audio.addEventListener(type, () => buttons[at].setAttribute("aria-pressed", !audio.paused));
  });
  match();
}

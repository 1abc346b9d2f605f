// The race: all modes on one clock. Each speaks up when its first sound is ready, so that one hears who is first.
import { button, el } from "./dom.js";

const LAST_STARTS_AFTER = 4; // seconds, in the slow motion that is proposed
const ORDINALS = ["1st", "2nd", "3rd"];

// Slow enough that the last first sound comes after some seconds: milliseconds are not heard.
function proposed(firsts) {
  const last = Math.max(...firsts);
  return Math.max(1, Math.min(1000, Math.round(LAST_STARTS_AFTER / last)));
}

export function createRace(lanes, status) {
  let frame = 0;
  let begun = null;
  let factor = 1;
  const company = Symbol("race");
  const start = button("⚑ Race", () => (begun === null ? run() : stop()), { disabled: true, title: "All modes on one clock" });
  const slider = el("input", { type: "range", min: 0, max: 3, step: 0.01, value: 0, disabled: true, oninput: () => set(10 ** slider.value) });
  const text = el("output", {}, "");
  const label = el("label", { class: "lab-slow" }, "slow motion ", slider, text);
  slider.setAttribute("aria-label", "Slow motion: by how much the time until the first sound is stretched");

  const racers = () => lanes().filter((lane) => lane.player.ready && lane.first !== null);

  function set(value) {
    factor = Math.max(1, value);
    text.textContent = ` ${factor < 10 ? factor.toFixed(1) : Math.round(factor)} ×`;
  }

  function offer() {
    const found = racers();
    start.disabled = slider.disabled = found.length < 2;
    if (found.length < 2) return;
    set(proposed(found.map((lane) => lane.first)));
    slider.value = Math.log10(factor);
  }

  function run() {
    const found = racers();
    let arrived = 0;
    const waiting = new Set(found);
    for (const lane of found) {
      lane.player.pause();
      lane.player.company = company;
      lane.place.textContent = "";
      lane.place.removeAttribute("data-place");
    }
    begun = performance.now();
    start.textContent = "■ Stop race";
    start.classList.add("lab-stop");
    status("The race is on.");
    const tick = () => {
      const now = (performance.now() - begun) / 1000 / factor;
      for (const lane of found) lane.race(now);
      for (const lane of [...waiting].sort((a, b) => a.first - b.first)) {
        if (now < lane.first) continue;
        waiting.delete(lane);
        arrived += 1;
        lane.place.textContent = ORDINALS[arrived - 1] ?? `${arrived}th`;
        lane.place.dataset.place = arrived;
        lane.player.play({ from: 0 });
      }
      const over = !waiting.size && found.every((lane) => !lane.player.playing && now > lane.first + 0.3 / factor);
      if (over) stop();
      else frame = requestAnimationFrame(tick);
    };
    tick();
  }

  function stop() {
    if (begun === null) return;
    cancelAnimationFrame(frame);
    begun = null;
    start.textContent = "⚑ Race";
    start.classList.remove("lab-stop");
    for (const lane of lanes()) {
      lane.player.pause();
      lane.player.company = null;
      lane.race(null);
    }
    status("The race is over.");
  }

  return { root: el("div", { class: "lab-bar lab-race" }, start, label), offer, stop, get on() { return begun !== null; } };
}

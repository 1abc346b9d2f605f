// The interleaved sequence as a strip of tokens that wraps like text, each audio token over its own stretch of waveform.
import { el, svg } from "./dom.js";

const POINTS = 12;
const NAMES = { text: "text token", begin: "begin of audio", audio: "audio token", end: "end of audio" };
const SIGNS = { begin: "[", end: "]" };

export function makerName(module) {
  return module < 0 ? "the backbone" : `MCTP module ${module}`;
}

// Later modules in lighter blue; the number on the cell says the same to those who do not see the shade.
export function makerClass(module) {
  return module < 0 ? "lab-by-backbone" : `lab-by-mctp lab-shade-${Math.min(module, 9)}`;
}

// What the colors and shapes mean.
export function legend(modules) {
  const items = [el("span", {}, el("i", { class: "lab-key lab-by-backbone" }), "made by the backbone")];
  if (modules) {
    const shades = [...Array(Math.min(modules, 10)).keys()].map((k) => el("i", { class: `lab-key lab-key-thin ${makerClass(k)}` }));
    items.push(el("span", {}, ...shades, `made by MCTP module 0 to ${modules - 1}`));
  }
  return el("div", { class: "lab-legend" }, ...items);
}

function wave(peaks, place) {
  let path = "";
  for (let point = 0; point < POINTS; point += 1) {
    const [low, high] = [peaks[2 * (place * POINTS + point)], peaks[2 * (place * POINTS + point) + 1]];
    path += `M${point + 0.5} ${20 - (high / 127) * 19}V${Math.max(20 - (low / 127) * 19, 20.6 - (high / 127) * 19)}`;
  }
  return svg(
    "svg",
    { viewBox: `0 0 ${POINTS} 40`, preserveAspectRatio: "none", class: "lab-wave", "aria-hidden": "true" },
    svg("path", { d: path }),
  );
}

// A strip. rows: [kind, module, label, start, end]; peaks: int8 lows and highs under each audio token.
export function createStrip({ rows, peaks, player, context = 1, rate = 12.5 }) {
  const playhead = el("div", { class: "lab-playhead", "aria-hidden": "true", hidden: true });
  const list = el("div", {
    class: "lab-strip",
    role: "listbox",
    "aria-multiselectable": "true",
    "aria-label": "Tokens. Arrow keys move, Enter plays one, Shift and arrows select a span to loop, Space plays or pauses.",
  });
  const cells = [];
  const audio = [];
  let focused = 0;
  let anchor = null;
  let selection = null;

  rows.forEach(([kind, module, label], index) => {
    const sign = SIGNS[kind] ?? (kind === "audio" ? (module < 0 ? "♪" : String(module)) : label.trim() || "·");
    const cell = el(
      "div",
      {
        class: `lab-cell lab-${kind}`,
        role: "option",
        "aria-selected": "false",
        "data-index": index,
        "data-kind": kind,
        "data-module": module,
        tabindex: index === 0 ? "0" : "-1",
        "aria-label": `${index}: ${NAMES[kind]}${label.trim() ? ` ${label.trim()}` : ""}, made by ${makerName(module)}`,
        title: `${NAMES[kind]}${label.trim() ? ` “${label.trim()}”` : ""} · token ${index}\nmade by ${makerName(module)}`,
      },
      el("span", { class: `lab-token ${makerClass(module)}` }, sign),
      kind === "audio" ? wave(peaks, audio.length) : el("span", { class: "lab-wave" }),
    );
    if (kind === "audio") audio.push(cell);
    cells.push(cell);
    list.append(cell);
  });
  list.append(playhead);

  function focus(index, show = true) {
    cells[focused]?.setAttribute("tabindex", "-1");
    focused = Math.max(0, Math.min(cells.length - 1, index));
    cells[focused].setAttribute("tabindex", "0");
    if (show) cells[focused].focus();
  }

  function select(first, last) {
    selection = first === null ? null : [Math.min(first, last), Math.max(first, last)];
    cells.forEach((cell, index) => {
      const inside = selection !== null && index >= selection[0] && index <= selection[1];
      cell.setAttribute("aria-selected", String(inside));
    });
  }

  // Hear one token, with as much before and after it as makes it speech.
  function hear(index) {
    const [, , , start, end] = rows[index];
    select(null);
    cells.forEach((cell, place) => cell.classList.toggle("lab-heard", place === index));
    if (start < 0) return;
    player.play({ from: Math.max(0, start - context / rate), to: Math.min(end + context / rate, audio.length / rate) });
  }

  function loopSelection() {
    const times = selection ? rows.slice(selection[0], selection[1] + 1).filter(([kind]) => kind === "audio") : [];
    if (times.length) player.play({ from: times[0][3], to: times.at(-1)[4], loop: true });
  }

  function clear() {
    select(null);
    cells.forEach((cell) => cell.classList.remove("lab-heard"));
    player.pause();
    player.span = null;
  }

  const at = (event) => {
    const cell = event.target.closest?.(".lab-cell");
    return cell && list.contains(cell) ? Number(cell.dataset.index) : null;
  };
  let dragged = false;
  list.addEventListener("pointerdown", (event) => {
    const index = at(event);
    if (index === null || event.button !== 0) return;
    if (event.shiftKey) {
      select(focused, index);
      loopSelection();
      return;
    }
    anchor = index;
    dragged = false;
    focus(index);
    event.preventDefault();
  });
  list.addEventListener("pointerover", (event) => {
    const index = at(event);
    if (anchor === null || index === null || (index === anchor && !dragged)) return;
    dragged = true;
    select(anchor, index);
  });
  const release = () => {
    if (anchor === null) return;
    if (dragged) loopSelection();
    else hear(anchor);
    anchor = null;
  };
  window.addEventListener("pointerup", release);
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: below(1), ArrowUp: below(-1), Home: -1e6, End: 1e6 };
    if (event.key in steps) {
      const from = selection && event.shiftKey ? (selection[0] === focused ? selection[1] : selection[0]) : focused;
      focus(focused + steps[event.key]);
      if (event.shiftKey) {
        select(from, focused);
        if (player.playing && player.loop) loopSelection();
      }
    } else if (event.key === "Enter") {
      if (selection) loopSelection();
      else hear(focused);
    } else if (event.key === " ") {
      player.toggle();
    } else if (event.key === "Escape") {
      clear();
    } else {
      return;
    }
    // JupyterLab has shortcuts of its own for some of these.
    event.preventDefault();
    event.stopPropagation();
  });

  // How many cells further the one below (or above) in the next line is.
  function below(direction) {
    const own = cells[focused]?.getBoundingClientRect();
    if (!own) return 0;
    let best = 0;
    let least = Infinity;
    for (let place = focused + direction; place >= 0 && place < cells.length; place += direction) {
      const other = cells[place].getBoundingClientRect();
      const lines = Math.round(Math.abs(other.top - own.top) / own.height);
      if (lines > 1) break;
      const distance = Math.abs(other.left - own.left);
      if (lines === 1 && distance < least) [best, least] = [place - focused, distance];
    }
    return best;
  }

  let now = null;
  function move(time, playing) {
    const place = Math.min(audio.length - 1, Math.floor(time * rate + 1e-6));
    const cell = audio[place];
    if (now !== cell) {
      now?.classList.remove("lab-now");
      now = cell;
    }
    if (!cell) return;
    cell.classList.toggle("lab-now", playing);
    // A sound at rest at its beginning needs no playhead.
    playhead.hidden = !playing && time === 0;
    const left = cell.offsetLeft + Math.min(1, time * rate - place) * cell.offsetWidth;
    playhead.style.transform = `translate(${left}px, ${cell.offsetTop}px)`;
    playhead.style.height = `${cell.offsetHeight}px`;
  }
  player.listeners.add(move);
  // Lines break elsewhere in another width.
  const watch = new ResizeObserver(() => move(player.time, player.playing));
  watch.observe(list);

  return {
    root: list,
    clear,
    loopSelection,
    selectAll: () => select(0, cells.length - 1),
    dispose() {
      watch.disconnect();
      player.listeners.delete(move);
      window.removeEventListener("pointerup", release);
    },
  };
}

// Play, pause, speed and time, above a strip or a map.
export function transport(player, extra = []) {
  const toggle = el("button", { type: "button", class: "lab-button lab-primary lab-play", onclick: () => player.toggle() }, "▶ Play");
  const rest = el("button", { type: "button", class: "lab-button", title: "From the beginning", "aria-label": "Play from the beginning",
    onclick: () => player.play({ from: 0 }) }, "|◀");
  const time = el("output", { class: "lab-time", "aria-label": "Seconds played" }, "0.00 s");
  const speed = el("select", { class: "lab-input", "aria-label": "Speed", onchange: () => { player.audio.playbackRate = Number(speed.value); } });
  for (const [value, text] of [["0.5", "half speed"], ["0.75", "¾ speed"], ["1", "normal speed"]]) {
    speed.append(el("option", { value, selected: value === "1" }, text));
  }
  const update = (now, playing) => {
    toggle.textContent = playing ? "❚❚ Pause" : "▶ Play";
    toggle.disabled = !player.ready;
    time.textContent = `${now.toFixed(2)} s`;
  };
  player.listeners.add(update);
  update(0, false);
  return { root: el("div", { class: "lab-bar" }, toggle, rest, speed, ...extra, time), update: () => update(player.time, player.playing) };
}

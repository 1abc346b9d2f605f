// Text against audio as a map of colors, with a cursor, a playhead, and the waveform under the same seconds.
import { el, svg } from "./dom.js";

const ROW = 36;
const NARROWEST = 9;
const POINTS_PER_TOKEN = 12;
// Anchors of cividis, which looks alike to all eyes and turns into an even gray.
const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];

export function cividis(share) {
  const place = Math.max(0, Math.min(1, share)) * (CIVIDIS.length - 1);
  const below = Math.min(CIVIDIS.length - 2, Math.floor(place));
  const rest = place - below;
  return `rgb(${CIVIDIS[below].map((value, i) => Math.round(value + rest * (CIVIDIS[below + 1][i] - value))).join(",")})`;
}

// words: labels; times: [start, end] of each; rate and tokens: of the audio; pick(column, row): a cell was chosen.
export function createHeatmap({ words, times, rate, tokens, perColumn, peaks, pick, toggle }) {
  const columns = Math.ceil(tokens / perColumn);
  const seconds = tokens / rate;
  let weights = null;
  let measure = "";
  let most = 1;
  let cursor = [0, 0];
  const canvas = el("canvas", { "aria-hidden": "true" });
  const playhead = el("div", { class: "lab-playhead", "aria-hidden": "true", hidden: true });
  const mark = el("div", { class: "lab-cursor", "aria-hidden": "true" });
  const wave = svg("svg", { class: "lab-map-wave", viewBox: `0 0 ${tokens * POINTS_PER_TOKEN} 40`, preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { d: path(peaks, tokens) }));
  const axis = el("div", { class: "lab-map-axis", "aria-hidden": "true" });
  for (let tick = 0; tick <= seconds; tick += seconds > 12 ? 2 : seconds > 4 ? 1 : 0.5) {
    axis.append(el("span", { style: `left:${(100 * tick) / seconds}%` }, tick === 0 ? "0 s" : String(tick)));
  }
  const plot = el("div", { class: "lab-plot", style: `min-width:${columns * NARROWEST}px` }, canvas, mark, wave, axis, playhead);
  const surface = el(
    "div",
    { class: "lab-map-scroll", tabindex: 0, role: "application", "aria-label": "Attention from audio tokens (across) to words (down). Arrow keys move, Enter plays the token, Space plays or pauses." },
    plot,
  );
  const labels = words.map((word) => el("div", { class: "lab-map-word" }, word));
  const told = el("p", { class: "lab-told", role: "status" });
  const root = el("div", { class: "lab-map" }, el("div", { class: "lab-map-words" }, ...labels), surface);

  function draw() {
    const width = plot.clientWidth;
    if (!width || !weights) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${ROW * words.length}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(ROW * words.length * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    // The last column may hold fewer tokens than the others.
    const x = (column) => (Math.min(column * perColumn, tokens) / tokens) * width;
    for (let column = 0; column < columns; column += 1) {
      for (let row = 0; row < words.length; row += 1) {
        context.fillStyle = cividis(weights[column * words.length + row] / most);
        context.fillRect(x(column), row * ROW, x(column + 1) - x(column) + 0.5, ROW);
      }
    }
    context.strokeStyle = "#d55e00";
    context.lineWidth = 3;
    times.forEach(([start, end], row) => {
      context.strokeRect((start / seconds) * width + 1.5, row * ROW + 1.5, ((end - start) / seconds) * width - 3, ROW - 3);
    });
    place();
  }

  function place() {
    const width = plot.clientWidth;
    const [column, row] = cursor;
    const left = (column * perColumn) / tokens;
    mark.style.left = `${100 * left}%`;
    mark.style.width = `${Math.max(6, (perColumn / tokens) * width)}px`;
    mark.style.top = `${row * ROW}px`;
  }

  function move(column, row, show = true) {
    cursor = [Math.max(0, Math.min(columns - 1, column)), Math.max(0, Math.min(words.length - 1, row))];
    place();
    labels.forEach((label, index) => label.classList.toggle("lab-chosen", index === cursor[1]));
    if (!weights) return;
    const share = weights[cursor[0] * words.length + cursor[1]];
    told.textContent = `${((cursor[0] * perColumn) / rate).toFixed(2)} s · “${words[cursor[1]]}” gets ${(100 * share).toFixed(1)} % ${measure}`;
    if (show) mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((((event.clientX - box.left) / box.width) * tokens) / perColumn);
    move(column, Math.floor((event.clientY - box.top) / ROW), false);
    pick(...cursor);
  });
  surface.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: [-1e6, 0], End: [1e6, 0] };
    if (event.key in steps) move(cursor[0] + steps[event.key][0], cursor[1] + steps[event.key][1]);
    else if (event.key === "Enter") pick(...cursor);
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const watch = new ResizeObserver(draw);
  watch.observe(plot);

  return {
    root,
    told,
    canvas,
    show(values, what) {
      measure = what;
      weights = values;
      most = Math.max(1e-6, ...values);
      draw();
      move(...cursor, false);
      return most;
    },
    // Where the sound is: the playhead, the word attended to most, and the one that truly sounds.
    at(time, playing) {
      playhead.hidden = !playing && time === 0;
      playhead.style.left = `${(100 * Math.min(time, seconds)) / seconds}%`;
      const column = Math.min(columns - 1, Math.floor((time * rate) / perColumn + 1e-6));
      const own = weights ? [...weights.slice(column * words.length, (column + 1) * words.length)] : [];
      const best = own.indexOf(Math.max(...own));
      labels.forEach((label, index) => {
        label.classList.toggle("lab-attended", playing && index === best);
        label.classList.toggle("lab-sounding", playing && time >= times[index][0] && time < times[index][1]);
      });
    },
    dispose: () => watch.disconnect(),
  };
}

function path(peaks, tokens) {
  let line = "";
  for (let point = 0; point < tokens * POINTS_PER_TOKEN; point += 1) {
    line += `M${point + 0.5} ${20 - (peaks[2 * point + 1] / 127) * 19}V${20.5 - (peaks[2 * point] / 127) * 19}`;
  }
  return line;
}

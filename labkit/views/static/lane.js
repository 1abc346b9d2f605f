// One mode in the comparer: a timeline of marks that grows, numbers, its sound, its tokens.
import { button, el, seconds, svg, typed } from "./dom.js";
import { Player } from "./player.js";
import { createStrip, makerClass, transport } from "./strip.js";

// The lane of one mode. clock() gives the seconds that the whole width stands for.
export class Lane {
  constructor({ name, title, schedule }, company) {
    this.name = name;
    this.title = title;
    this.count = 0;
    this.end = 0;
    this.first = null;
    this.strip = null;
    this.player = new Player();
    this.company = company;
    this.paths = new Map();
    this.marks = svg("svg", { class: "lab-marks", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.flag = el("div", { class: "lab-flag", hidden: true });
    this.cover = el("div", { class: "lab-cover", hidden: true });
    this.needle = el("div", { class: "lab-needle", hidden: true });
    this.track = el("div", { class: "lab-track", role: "img", "aria-label": `${title}: waiting` }, this.marks, this.cover, this.flag, this.needle);
    this.play = button("▶ Play", () => this.player.toggle(), { disabled: true, class: "lab-button lab-play" });
    this.mute = button("Mute", () => this.#toggleMute(), { "aria-pressed": "false", title: "Silent in the race", disabled: true });
    this.place = el("span", { class: "lab-place", role: "status" });
    this.numbers = el("div", { class: "lab-numbers", role: "list" });
    this.heard = el("p", { class: "lab-verdict" });
    this.bar = el("div", { class: "lab-sung" }, el("i"));
    this.details = el("details", { class: "lab-details", hidden: true, ontoggle: () => this.#open() }, el("summary", {}, "Tokens"), el("div"));
    this.root = el(
      "article",
      { class: "lab-lane", "data-mode": name, "data-state": "waiting", "data-tokens": 0, "aria-label": title },
      el("header", {}, el("h3", {}, title), el("code", {}, schedule), this.place, el("span", { class: "lab-push" }), this.play, this.mute),
      this.track, this.bar, this.numbers, this.heard, this.details, this.player.audio,
    );
    this.player.listeners.add((time, playing) => this.#moved(time, playing));
  }

  grow(marks, first) {
    for (const [, module, at] of marks) {
      const kind = makerClass(module);
      if (!this.paths.has(kind)) {
        const path = svg("path", { class: `lab-mark ${module < 0 ? "lab-mark-backbone" : `lab-mark-shade-${Math.min(module, 9)}`}`, d: "" });
        this.paths.set(kind, path);
        this.marks.append(path);
      }
      const path = this.paths.get(kind);
      path.setAttribute("d", `${path.getAttribute("d")}M${at} ${module < 0 ? 0.04 : 1.1}V${module < 0 ? 0.98 : 1.96}`);
      this.end = at;
    }
    this.count += marks.length;
    this.first = first;
    this.root.dataset.tokens = this.count;
    this.root.dataset.state = "working";
    this.track.setAttribute("aria-label", `${this.title}: ${this.count} tokens in ${seconds(this.end)}`);
  }

  scale(clock) {
    this.clock = clock;
    this.marks.setAttribute("viewBox", `0 0 ${clock} 2`);
    this.flag.hidden = this.first === null;
    if (this.first !== null) {
      const share = this.first / clock;
      this.flag.style.left = `${100 * share}%`;
      this.flag.classList.toggle("lab-flag-left", share > 0.75);
      this.flag.textContent = `♪ ${seconds(this.first)}`;
      this.root.dataset.first = this.first;
    }
  }

  said(content, buffers) {
    this.content = content;
    const [sound, peaks] = buffers;
    this.player.load(sound);
    this.peaks = typed(Int8Array, peaks);
    this.play.disabled = this.mute.disabled = !this.player.ready;
    this.details.hidden = false;
    this.root.dataset.state = "done";
    this.lasts = content.lasts;
    this.first = content.first;
  }

  // The numbers, beside those of the slowest: speed-ups are over Vanilla where it was ticked.
  report(vanilla) {
    const { first, first_passes: passes, speed, text, audio, passes: backbone, steps } = this.content;
    const rows = [
      ["first sound", first === null ? "none" : `${seconds(first)}`, passes === null ? "no chunk of 8 audio tokens" : `${passes} backbone pass${passes === 1 ? "" : "es"}`],
      ["tokens a second", speed === null ? "–" : speed.toFixed(0), vanilla ? `${(speed / vanilla).toFixed(2)} × Vanilla` : `in ${seconds(this.content.seconds)}`],
      ["text : audio", text ? `1 : ${(audio / text).toFixed(1)}` : "no text", `${text} and ${audio} tokens`],
      ["work", `${backbone} + ${steps}`, "passes + module steps"],
    ];
    this.numbers.replaceChildren(
      ...rows.map(([name, value, note]) => el("div", { role: "listitem" }, el("small", {}, name), el("strong", {}, value), el("small", {}, note))),
    );
    if (!this.content.ended) this.place.textContent = "cut at its limit";
  }

  hear(text) {
    this.heard.replaceChildren(el("small", {}, "the judge hears "), el("q", {}, text || "nothing"));
    this.root.dataset.heard = text;
  }

  // The race's clock, in this machine's seconds; null when there is no race.
  race(now) {
    const racing = now !== null;
    this.cover.hidden = this.needle.hidden = !racing;
    if (!racing) return;
    const share = Math.min(1, now / this.clock);
    this.cover.style.left = this.needle.style.left = `${100 * share}%`;
  }

  #toggleMute() {
    this.player.audio.muted = !this.player.audio.muted;
    this.mute.setAttribute("aria-pressed", String(this.player.audio.muted));
  }

  #moved(time, playing) {
    this.play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    this.root.classList.toggle("lab-speaks", playing);
    this.bar.firstChild.style.width = this.lasts ? `${Math.min(100, (100 * time) / this.lasts)}%` : "0";
  }

  // The strip is made when someone looks: four of them at once are many elements.
  #open() {
    if (!this.details.open || this.strip) return;
    this.strip = createStrip({ rows: this.content.rows, peaks: this.peaks, player: this.player, rate: this.content.rate });
    this.bar2 = transport(this.player);
    this.details.lastChild.replaceChildren(this.bar2.root, this.strip.root);
    this.bar2.update();
  }

  dispose() {
    this.strip?.dispose();
    this.player.dispose();
  }
}

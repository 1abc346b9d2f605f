// One sound that plays whole, in part, or round and round, and says where it is while it does.
import { el } from "./dom.js";

const EVENT = "labkit-plays";

export class Player {
  constructor() {
    this.audio = el("audio", { preload: "auto", class: "lab-audio" });
    this.span = null;
    this.loop = false;
    this.listeners = new Set();
    this.url = null;
    this.frame = 0;
    // Whoever begins to play silences the others, except those that play in company.
    this.hush = (event) => {
      if (event.detail.player !== this && !(event.detail.company && event.detail.company === this.company)) this.pause();
    };
    this.company = null;
    window.addEventListener(EVENT, this.hush);
    this.audio.addEventListener("play", () => this.#watch());
    this.audio.addEventListener("pause", () => this.#tell());
    this.audio.addEventListener("seeked", () => this.#tell());
    this.audio.addEventListener("ended", () => this.#tell());
    // Frames stand still in a hidden tab; this keeps spans from running on there.
    this.audio.addEventListener("timeupdate", () => this.#bound());
  }

  // Take a WAV file: unlike compressed sound, a browser seeks in it to the sample.
  load(bytes) {
    this.pause();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = bytes && bytes.byteLength ? URL.createObjectURL(new Blob([bytes], { type: "audio/wav" })) : null;
    if (this.url) this.audio.src = this.url;
    else this.audio.removeAttribute("src");
    this.span = null;
  }

  get ready() {
    return this.url !== null;
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  get time() {
    return this.audio.currentTime;
  }

  // Play from one second to another; without an end, to the sound's.
  async play({ from = null, to = null, loop = false } = {}) {
    if (!this.ready) return;
    this.span = to === null ? null : [from ?? 0, to];
    this.loop = loop;
    if (from !== null) this.audio.currentTime = from;
    else if (this.audio.ended) this.audio.currentTime = 0;
    window.dispatchEvent(new CustomEvent(EVENT, { detail: { player: this, company: this.company } }));
    try {
      await this.audio.play();
    } catch (error) {
      // A pause or another sound right after the start is no fault.
      if (error.name !== "AbortError") throw error;
    }
  }

  pause() {
    this.audio.pause();
  }

  // Play all of it, or go on, or pause.
  toggle() {
    if (this.playing) this.pause();
    else this.play({ from: this.span ? this.span[0] : null, to: this.span ? this.span[1] : null, loop: this.loop });
  }

  dispose() {
    cancelAnimationFrame(this.frame);
    window.removeEventListener(EVENT, this.hush);
    this.load(null);
    this.listeners.clear();
  }

  #bound() {
    if (!this.span || !this.playing || this.audio.currentTime < this.span[1]) return;
    if (this.loop) {
      this.audio.currentTime = this.span[0];
    } else {
      this.pause();
      this.span = null;
    }
  }

  #watch() {
    cancelAnimationFrame(this.frame);
    const tick = () => {
      this.#bound();
      this.#tell();
      if (this.playing) this.frame = requestAnimationFrame(tick);
    };
    tick();
  }

  #tell() {
    for (const listener of this.listeners) listener(this.audio.currentTime, this.playing);
  }
}

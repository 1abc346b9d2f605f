// The mask bench: words to hide, where in the model to hide them, and what the sentence sounds like before and after.
import { button, el, field, frame, select } from "./dom.js";
import { Player } from "./player.js";
import { transport } from "./strip.js";

// A row of buttons that are pressed or not.
function toggles(labels, { pressed = false, hint = () => "" } = {}) {
  const keys = labels.map((label, index) => button(label, () => set(index, keys[index].getAttribute("aria-pressed") !== "true"), { class: "lab-button lab-chip", "aria-pressed": String(pressed), "aria-label": hint(index), title: hint(index) }));
  const set = (index, on) => keys[index].setAttribute("aria-pressed", String(on));
  return {
    keys,
    set: (chosen) => keys.forEach((_, index) => set(index, chosen.includes(index))),
    get chosen() {
      return keys.flatMap((key, index) => (key.getAttribute("aria-pressed") === "true" ? [index] : []));
    },
  };
}

// One side: what was said, heard, and how it was read.
function card(title) {
  const player = new Player();
  const bar = transport(player);
  const verdict = el("p", { class: "lab-reading", role: "status" }, "not said yet");
  const heard = el("p", { class: "lab-heard-as" });
  const root = el("article", { class: "lab-card", "aria-label": title }, el("h3", {}, title), bar.root, verdict, heard, player.audio);
  return {
    root,
    player,
    clear() {
      player.load(null);
      verdict.replaceChildren("not said yet");
      verdict.className = "lab-reading";
      heard.textContent = "";
      root.removeAttribute("data-reading");
      bar.update();
    },
    show({ reading, meant, babble, heard: phonemes }, sound) {
      player.load(sound);
      bar.update();
      const right = !babble && reading === meant;
      verdict.replaceChildren(el("strong", {}, babble ? "✗ babble" : `${right ? "✓" : "✗"} ${reading ?? "neither reading"}`), ` meant: ${meant}`);
      verdict.className = `lab-reading ${right ? "lab-right" : "lab-wrong"}`;
      heard.replaceChildren(el("small", {}, "the judge hears "), phonemes || "nothing");
      root.dataset.reading = babble ? "babble" : reading ?? "none";
    },
  };
}

function bars(sides) {
  const { words, homograph } = sides.before;
  const most = Math.max(1e-6, ...sides.before.attention, ...(sides.after?.attention ?? []));
  const bar = (side, index) => (sides[side] ? el("i", { class: `lab-bar-${side}`, style: `width:${(100 * sides[side].attention[index]) / most}%`, title: `${side}: ${(100 * sides[side].attention[index]).toFixed(1)} %` }) : null);
  return el(
    "div",
    { class: "lab-shares", role: "img", "aria-label": "Attention of the homograph's audio to each word, before and after" },
    ...words.flatMap((word, index) => [
      el("span", { class: index === homograph ? "lab-homograph" : "" }, word),
      el("div", {}, bar("before", index), bar("after", index)),
      el("small", {}, ["before", "after"].filter((side) => sides[side]).map((side) => `${(100 * sides[side].attention[index]).toFixed(1)} %`).join(" → ")),
    ]),
  );
}

export default {
  render({ model, el: host }) {
    const view = frame(model, host, "mask-bench", "Mask bench");
    const offer = model.get("offer");
    let probe = 0;
    let sides = {};
    let copies = {};
    const holder = el("div", { class: "lab-copies" });
    const count = (number) => [...Array(number).keys()].map(String);
    const places = {
      layers: toggles(count(offer.layers), { pressed: true, hint: (index) => `backbone layer ${index}` }),
      heads: toggles(count(offer.heads), { pressed: true, hint: (index) => `head ${index}` }),
      modules: toggles(count(offer.modules), { pressed: true, hint: (index) => `MCTP module ${index}` }),
    };
    const chart = el("div");
    const key = el("div", { class: "lab-legend" }, el("span", {}, el("i", { class: "lab-key lab-bar-before" }), "before"), el("span", {}, el("i", { class: "lab-key lab-bar-after" }), "after the cut"));
    const cards = { before: card("Before"), after: card("After the cut") };

    function layOut() {
      const words = offer.words[probe];
      const named = (copy) => ({ hint: (index) => `hide “${words[index]}” in the ${copy}` });
      copies = { asked: toggles(words, named("prompt")), written: toggles(words, named("answer")) };
      [copies.asked, copies.written].forEach((row) => row.keys[offer.homographs[probe]].classList.add("lab-homograph"));
      holder.replaceChildren(
        el("div", { class: "lab-label" }, "Read in the prompt"), el("div", { class: "lab-words", "data-copy": "asked" }, ...copies.asked.keys),
        el("div", { class: "lab-label" }, "Written in the answer"), el("div", { class: "lab-words", "data-copy": "written" }, ...copies.written.keys),
      );
      sides = {};
      chart.replaceChildren();
      Object.values(cards).forEach((each) => each.clear());
    }
    const hide = (choose) => {
      const every = offer.words[probe].map((_, index) => index).filter((index) => choose(index));
      copies.asked.set(every);
      copies.written.set(every);
    };
    const roles = el(
      "div", { class: "lab-bar" },
      button("Hide all text", () => hide(() => true)),
      button("All but the homograph", () => hide((index) => index !== offer.homographs[probe])),
      button("The deciding word", () => hide((index) => offer.deciding[probe].includes(index))),
      button("The homograph", () => hide((index) => index === offer.homographs[probe])),
      button("Nothing", () => hide(() => false)),
    );
    const when = select([["word", "while the homograph is said"], ["whole", "while all of the sentence is said"]], "word", () => {});
    const go = button("Say it", () => {
      model.send({
        do: "say", title: "speaking", probe, whole: when.value === "whole",
        asked: copies.asked.chosen, written: copies.written.chosen,
        layers: places.layers.chosen, heads: places.heads.chosen, modules: places.modules.chosen,
      });
    }, { class: "lab-button lab-primary" });
    const stop = button("■ Stop", () => model.send({ do: "stop" }), { class: "lab-button lab-stop", disabled: true });
    const where = el(
      "details", { class: "lab-where" }, el("summary", {}, "Only in some layers, heads or modules"),
      ...Object.entries(places).filter(([name]) => offer[name]).map(([name, row]) => el("div", { class: "lab-bar", "data-place": name }, el("span", { class: "lab-label" }, name === "modules" ? "MCTP modules" : name), ...row.keys, button("all", () => row.set(row.keys.map((_, index) => index))), button("none", () => row.set([])))),
    );
    view.root.append(
      field("Sentence with a homograph", select(offer.probes.map((text, index) => [String(index), text]), "0", (value) => { probe = Number(value); layOut(); })),
      el("div", { class: "lab-label" }, "Click the words that the audio shall not see; the framed word is the homograph."),
      holder, roles, where,
      el("div", { class: "lab-bar" }, el("label", { class: "lab-when" }, "Hide them ", when), go, stop),
      view.errors,
      el("div", { class: "lab-sides" }, cards.before.root, cards.after.root),
      chart,
    );
    view.listen("msg:custom", (content, buffers) => {
      if (content.do !== "said" || content.probe !== offer.probes[probe]) return;
      if (content.side === "before") {
        sides = {};
        cards.after.clear();
      }
      sides[content.side] = content;
      cards[content.side].show(content, buffers[0]);
      chart.replaceChildren(el("h3", {}, "What the homograph's audio looks at"), bars(sides), key);
    });
    const update = () => {
      const busy = Boolean(model.get("busy"));
      go.disabled = busy;
      stop.disabled = !busy;
      go.textContent = busy ? "Speaking …" : "Say it";
      view.root.setAttribute("aria-busy", String(busy));
    };
    view.listen("change:busy", update);
    view.leaving.push(() => Object.values(cards).forEach((each) => each.player.dispose()));
    layOut();
    update();
    model.send({ do: "show" });
    return view.leave;
  },
};

// Attention with sound: a map of text against audio, whose cells are heard when clicked.
import { el, field, frame, select, typed } from "./dom.js";
import { cividis, createHeatmap } from "./heatmap.js";
import { Player } from "./player.js";
import { transport } from "./strip.js";

const ONE_HEAD = "one head";
const LOOKS = {
  predicting: "the row that predicts the audio token",
  own: "the audio token's own row",
  prompt: "text in the prompt",
  answer: "text in the answer",
  both: "both copies of the text",
};

export default {
  render({ model, el: host }) {
    const view = frame(model, host, "attention-player", "Attention player");
    const offer = model.get("offer");
    const player = new Player();
    player.load(model.get("sound"));
    let look = { ...model.get("look") };

    const ask = (change) => {
      look = { ...look, ...change };
      model.send({ do: "look", ...look });
    };
    const pairs = (names) => names.map((name) => [String(name), LOOKS[name] ?? String(name).replace(".", " ")]);
    const head = select(pairs(offer.heads[look.place]), String(look.head), (value) => ask({ head: value }));
    const place = select(pairs(Object.keys(offer.heads)), look.place, (value) => {
      const own = offer.heads[value];
      const kept = own.includes(Number(look.head)) ? Number(look.head) : own[0];
      head.replaceChildren(...own.map((index) => el("option", { value: index, selected: index === kept }, String(index))));
      ask({ place: value, head: kept });
    });
    const single = [
      field("Layer or module", place),
      field("Head", head),
      field("Looking from", select(pairs(offer.rows), look.row, (value) => ask({ row: value }))),
      field("Looking at", select(pairs(offer.copies), look.copy, (value) => ask({ copy: value }))),
    ];
    const which = select(offer.maps.map((name) => [name, name]), look.map, (value) => ask({ map: value }));
    const scale = el("div", { class: "lab-scale" });

    const map = createHeatmap({
      words: offer.words,
      times: offer.times,
      rate: offer.rate,
      tokens: offer.tokens,
      perColumn: offer.per_column,
      peaks: typed(Int8Array, model.get("peaks")),
      toggle: () => player.toggle(),
      pick(column, row) {
        const start = (column * offer.per_column) / offer.rate;
        const end = Math.min(offer.tokens, (column + 1) * offer.per_column) / offer.rate;
        view.root.dataset.picked = `${column},${row}`;
        player.play({ from: Math.max(0, start - offer.context / offer.rate), to: end + offer.context / offer.rate });
      },
    });
    player.listeners.add(map.at);
    const bar = transport(player);
    view.root.append(
      el("div", { class: "lab-fields" }, field("Shown", which), ...single),
      bar.root, view.errors, map.root, map.told,
      el("div", { class: "lab-legend" }, scale, el("span", {}, el("i", { class: "lab-key lab-key-frame" }), "when the word truly sounds"), el("span", {}, el("i", { class: "lab-key lab-key-attended" }), "word with the most attention while it plays")),
      player.audio,
    );

    function draw() {
      // What is drawn may lag behind `look`, what was asked for last: the kernel answers one choice after the other.
      const shown = model.get("look");
      single.forEach((each) => { each.hidden = shown.map !== ONE_HEAD; });
      const weights = typed(Float32Array, model.get("weights"));
      if (!weights.length) return;
      // The maps share out what goes to words; a single head's attention goes elsewhere, too.
      const measure = shown.map === ONE_HEAD ? "of the attention" : "of the attention on words";
      const most = map.show(weights, measure);
      const colors = [0, 0.25, 0.5, 0.75, 1].map(cividis).join(",");
      scale.replaceChildren(el("span", {}, "0 %"), el("i", { class: "lab-ramp", style: `background:linear-gradient(90deg,${colors})` }), el("span", {}, `${(100 * most).toFixed(0)} % ${measure}`));
      view.root.dataset.look = shown.map === ONE_HEAD ? `${shown.place} ${shown.head} ${shown.row} ${shown.copy}` : shown.map;
    }
    view.listen("change:weights", draw);
    view.listen("change:look", draw);
    view.leaving.push(() => map.dispose(), () => player.dispose());
    draw();
    return view.leave;
  },
};

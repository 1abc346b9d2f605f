// The mode comparer: what to say and how, a lane for each mode, and the race.
import { button, el, field, frame, freshId, seconds, select } from "./dom.js";
import { Lane } from "./lane.js";
import { createRace } from "./race.js";
import { legend } from "./strip.js";

const TICKS = 5;

function form(offer, send) {
  const examples = el("datalist", { id: freshId("lab-examples") }, ...offer.examples.map((each) => el("option", { value: each })));
  const sentence = el("input", { class: "lab-input lab-sentence", value: offer.sentence, list: examples.id, spellcheck: "false", autocomplete: "off" });
  const schedule = el("input", { class: "lab-input", placeholder: "such as 1 6 3 10", autocomplete: "off" });
  const modes = Object.entries(offer.modes).map(([name, pairs]) => {
    const box = el("input", { type: "checkbox", value: name, checked: true });
    return el("label", { class: "lab-tick" }, box, el("span", {}, name[0].toUpperCase() + name.slice(1)), el("code", {}, pairs));
  });
  const model = select(offer.models.map((name) => [name, name]), offer.models[0], () => {});
  const temperature = el("input", { class: "lab-input", type: "number", min: 0, max: 2, step: 0.1, value: 0 });
  const topP = el("input", { class: "lab-input", type: "number", min: 0.05, max: 1, step: 0.05, value: 1 });
  const seed = el("input", { class: "lab-input", type: "number", min: 0, step: 1, value: 0 });
  const steps = el("input", { class: "lab-input", value: offer.steps, autocomplete: "off" });
  const root = el(
    "form",
    {
      class: "lab-form",
      onsubmit: (event) => {
        event.preventDefault();
        const ticked = modes.map((each) => each.querySelector("input")).filter((box) => box.checked);
        send({
          do: "compare",
          title: "comparing",
          sentence: sentence.value,
          modes: ticked.map((box) => box.value),
          schedule: schedule.value,
          model: model.value,
          temperature: temperature.value,
          top_p: topP.value,
          seed: seed.value,
          steps: steps.value,
        });
      },
      // JupyterLab's shortcuts must not run while someone types.
      onkeydown: (event) => event.stopPropagation(),
    },
    field("Sentence, English or Mandarin", sentence, { class: "lab-field lab-wide" }),
    examples,
    el("fieldset", { class: "lab-field lab-modes" }, el("legend", { class: "lab-label" }, "Modes: tokens from the backbone and from the MCTP modules, in turn"), ...modes),
    field("Your own schedule", schedule),
    el(
      "details",
      { class: "lab-settings" },
      el("summary", {}, "Model, sampling, codec steps"),
      el("div", { class: "lab-fields" }, field("Model", model), field("Temperature (0: likeliest token)", temperature), field("Top-p", topP), field("Seed", seed), field("Euler steps, chunk by chunk", steps)),
    ),
  );
  return root;
}

export default {
  render({ model, el: host }) {
    const view = frame(model, host, "mode-comparer", "Mode comparer");
    const offer = model.get("offer");
    let lanes = [];
    let done = 0;
    const send = (content) => {
      race.stop();
      model.send(content);
    };
    const status = el("span", { class: "lab-status", role: "status" });
    const say = (text) => { status.textContent = text; };
    const controls = form(offer, send);
    const go = el("button", { type: "submit", class: "lab-button lab-primary", form: (controls.id = freshId("lab-form")) }, "Generate");
    const stop = button("■ Stop", () => model.send({ do: "stop" }), { class: "lab-button lab-stop", disabled: true });
    const progress = el("progress", { class: "lab-progress", max: 1, value: 0, hidden: true, "aria-label": "Modes that have spoken" });
    const race = createRace(() => lanes, say);
    const field_ = el("div", { class: "lab-lanes" });
    const axis = el("div", { class: "lab-axis", "aria-hidden": "true", hidden: true });
    const key = legend(10);
    key.hidden = true;
    view.root.append(controls, el("div", { class: "lab-bar" }, go, stop, progress, status), view.errors, race.root, field_, axis, key);
    race.root.hidden = true;

    function rescale() {
      const clock = Math.max(0.05, ...lanes.map((lane) => Math.max(lane.end, lane.first ?? 0))) * 1.02;
      for (const lane of lanes) lane.scale(clock);
      axis.replaceChildren(...[...Array(TICKS + 1).keys()].map((tick) => el("span", {}, tick ? seconds((clock * tick) / TICKS) : "0")));
    }

    const clear = () => {
      race.stop();
      lanes.forEach((lane) => lane.dispose());
      lanes = [];
    };
    const lane = (name) => lanes.find((each) => each.name === name);
    const hears = {
      begin(content) {
        clear();
        done = 0;
        lanes = content.lanes.map((each) => new Lane(each));
        field_.replaceChildren(...lanes.map((each) => each.root));
        axis.hidden = key.hidden = race.root.hidden = false;
        race.offer();
        rescale();
        say(`“${content.sentence}”`);
      },
      marks({ lane: name, marks, first }) {
        lane(name)?.grow(marks, first);
        progress.value = (done + 0.5) / lanes.length;
        rescale();
      },
      said(content, buffers) {
        const own = lane(content.lane);
        if (!own) return;
        own.said(content, buffers);
        done += 1;
        progress.value = done / lanes.length;
        const vanilla = lane("vanilla")?.content?.speed;
        lanes.filter((each) => each.content).forEach((each) => each.report(vanilla));
        rescale();
        race.offer();
        say(`${own.title} has spoken.`);
        if (done === lanes.length && offer.judged) say("All have spoken; the judge listens.");
      },
      heard({ lane: name, text }) {
        lane(name)?.hear(text);
      },
      end() {
        say("All have spoken.");
      },
    };
    view.listen("msg:custom", (content, buffers) => hears[content.do]?.(content, buffers));
    const update = () => {
      const busy = Boolean(model.get("busy"));
      go.disabled = busy;
      stop.disabled = progress.hidden = !busy;
      view.root.setAttribute("aria-busy", String(busy));
      stop.disabled = !busy;
      if (!busy && done < lanes.length) {
        say("Stopped.");
        lanes.filter((each) => !each.content).forEach((each) => { each.root.dataset.state = "stopped"; });
      }
    };
    view.listen("change:busy", update);
    view.leaving.push(clear);
    update();
    model.send({ do: "show" });
    return view.leave;
  },
};

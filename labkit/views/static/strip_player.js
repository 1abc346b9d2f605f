// The token strip player: a strip, its sound, and what the colors mean.
import { button, el, frame, typed } from "./dom.js";
import { Player } from "./player.js";
import { createStrip, legend, transport } from "./strip.js";

export default {
  render({ model, el: host }) {
    const view = frame(model, host, "strip-player", model.get("title") || "Token strip player");
    const player = new Player();
    let strip = null;
    const holder = el("div");
    const bar = transport(player, [
      button("⟲ Loop selection", () => strip?.loopSelection(), { title: "Select tokens by dragging, or with Shift and arrow keys" }),
      button("Clear", () => strip?.clear()),
    ]);
    function draw() {
      const rows = model.get("rows");
      strip?.dispose();
      player.load(model.get("sound"));
      const peaks = typed(Int8Array, model.get("peaks"));
      strip = createStrip({ rows, peaks, player, context: model.get("context"), rate: model.get("rate") });
      holder.replaceChildren(strip.root, legend(Math.max(0, ...rows.map(([, module]) => module + 1))));
      bar.update();
    }
    view.root.append(bar.root, holder, view.errors, player.audio);
    view.listen("change:rows", draw);
    view.leaving.push(() => strip?.dispose(), () => player.dispose());
    draw();
    return view.leave;
  },
};

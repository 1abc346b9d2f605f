// Building elements, and the parts that every widget has: a frame with an error area, labeled controls.

// A fresh id for a label and what it names; every widget on the page has its own copy of this file, so it is drawn.
export function freshId(prefix) {
  return `${prefix}-${Math.random().toString(36).slice(2)}`;
}

// An element: properties that begin with "on" are listeners, the others attributes; null leaves one out.
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function button(label, onclick, properties = {}) {
  return el("button", { type: "button", class: "lab-button", onclick, ...properties }, label);
}

// A control under its label.
export function field(label, control, properties = {}) {
  control.id ||= freshId("lab-field");
  return el("div", { class: "lab-field", ...properties }, el("label", { for: control.id }, label), control);
}

// A choice of [value, text] pairs.
export function select(options, value, onchange) {
  const control = el("select", { class: "lab-input", onchange: () => onchange(control.value) });
  for (const [key, text] of options) control.append(el("option", { value: key, selected: key === value }, text));
  return control;
}

// The place where errors of the kernel show, with what to do.
function errorArea(model) {
  const area = el("div", { class: "lab-error", role: "alert", hidden: true });
  const update = () => {
    const { message = "", trace = "" } = model.get("error");
    area.replaceChildren(message);
    if (trace) area.append(el("details", {}, el("summary", {}, "traceback"), el("pre", {}, trace)));
    area.hidden = !message;
  };
  model.on("change:error", update);
  update();
  return { area, off: () => model.off("change:error", update) };
}

// The frame of a widget. Its `leave` is called when the view goes; add to `leaving` what must end then.
export function frame(model, host, name, title) {
  const errors = errorArea(model);
  const root = el("section", { class: `lab lab-${name}`, "aria-label": title });
  const leaving = [errors.off];
  host.replaceChildren(root);
  return {
    root,
    errors: errors.area,
    leaving,
    listen(event, callback) {
      model.on(event, callback);
      leaving.push(() => model.off(event, callback));
    },
    leave: () => leaving.forEach((each) => each()),
  };
}

// Bytes that came with a message or a trait, as a view of a typed array, wherever they begin.
export function typed(Kind, buffer) {
  const bytes = new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
  return new Kind(bytes.slice().buffer);
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`;
}

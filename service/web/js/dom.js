// Small helpers around the document.

export const $ = (id) => document.getElementById(id);

/** An element: h("button", { type: "button", onclick: f, "aria-label": "x" }, "text", child) */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Tell screen readers, once. */
export function announce(text) {
  $("announce").textContent = text;
}

export function swatch(colour, text) {
  const mark = h("span", { class: "swatch" });
  mark.style.background = colour;
  return h("span", {}, mark, text);
}

/** The value of a CSS colour variable, as the current theme has it. */
export function colour(name) {
  const probe = h("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** A canvas whose pixels are the screen's: [context, width, height] in CSS pixels. */
export function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return [context, width, height];
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// The board that is edited. Its value is the rows joined by "/"; whoever changes a cell sets it and says "input".
// props: symbols, the characters of a cell, the open one first; once, those of which a board holds one.
let brush = null;

const rows = () => String(props.value || "").split("/");
const columns = () => rows()[0].length;
const cell = (i) => element.querySelector(`[data-i="${i}"]`);
const own = (symbol) => symbol && props.symbols.includes(symbol);
const chosen = () => (own(brush) ? brush : props.symbols[1]);

function put(i, symbol) {
  const n = columns();
  const cells = rows().join("").split("");
  if (props.once.includes(symbol)) {
    cells.forEach((other, at) => { if (other === symbol) cells[at] = props.symbols[0]; });
  }
  cells[i] = symbol;
  const lines = [];
  for (let at = 0; at < cells.length; at += n) lines.push(cells.slice(at, at + n).join(""));
  props.value = lines.join("/");
  trigger("input");
  setTimeout(() => { mark(); cell(i)?.focus({ preventScroll: true }); }, 0);
}

function mark() {
  element.querySelectorAll("[data-brush]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.brush === chosen()));
  });
}

element.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-brush]");
  if (pressed) { brush = pressed.dataset.brush; mark(); return; }
  const square = event.target.closest("[data-i]");
  if (!square) return;
  const i = Number(square.dataset.i);
  put(i, square.dataset.s === chosen() ? props.symbols[0] : chosen());
});

element.addEventListener("keydown", (event) => {
  const square = event.target.closest("[data-i]");
  if (!square || event.ctrlKey || event.metaKey || event.altKey) return;
  const i = Number(square.dataset.i), n = columns(), total = rows().join("").length;
  const move = { ArrowLeft: i % n ? -1 : 0, ArrowRight: (i + 1) % n ? 1 : 0, ArrowUp: -n, ArrowDown: n }[event.key];
  const typed = [event.key, event.key.toUpperCase()].find((key) => own(key));
  if (move !== undefined) {
    if (i + move >= 0 && i + move < total) cell(i + move).focus();
  } else if (typed) {
    put(i, typed);
  } else if (["Backspace", "Delete", "0"].includes(event.key)) {
    put(i, props.symbols[0]);
  } else {
    return;
  }
  event.preventDefault();
});

watch("value", mark);
mark();

// The surprise of lesson 02 on a page without a kernel: the formulas of explore.py, written again.
"use strict";

lossLab.drawings.surprise = ({ axes, drawing: { words } }) => {
  const { fixed, scales, shape, bars, softmax, row } = lossLab;
  const [curve, chances, pulls] = axes;
  const { x, y } = scales(curve);

  return ({ z0, z1, z2, z3, z4, target }) => {
    const logits = [z0, z1, z2, z3, z4];
    const highest = Math.max(...logits);
    const p = softmax(logits);
    const loss = highest - logits[target] + Math.log(logits.reduce((sum, one) => sum + Math.exp(one - highest), 0));
    const pull = p.map((one, i) => i === target ? one - 1 : one);
    const colours = p.map((_, i) => i === target ? "orange" : "blue");
    const svg = shape.line([[x(p[target]), y(0)], [x(p[target]), y(loss)]], "stroke:var(--ink);stroke-dasharray:4 3") +
      shape.dot(x(p[target]), y(loss), 7, "fill:var(--orange);stroke:var(--ink)") +
      shape.text(x(0.98), y(8.8), `−ln p = ${fixed(loss, 4)}`, 16, "end") +
      bars(chances, p, colours, 4) + bars(pulls, pull, colours, 4);
    const text = [
      `z     = ${row(logits, 1)}`,
      `p     = ${row(p, 4)}`,
      `p − q = ${row(pull, 4)}`,
      `−ln p = ${fixed(loss, 4)} ${words.nat} = ${fixed(loss / Math.LN2, 4)} ${words.bit}   ` +
        `${words.target}${words.names[target]}`,
    ].join("\n");
    return { svg, text };
  };
};

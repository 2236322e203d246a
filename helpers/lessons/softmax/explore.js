// The temperature of lesson 01 on a page without a kernel: the formulas of explore.py, written again.
"use strict";

lossLab.softmax = (logits) => {
  const highest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - highest));
  const total = exps.reduce((sum, one) => sum + one, 0);
  return exps.map((one) => one / total);
};
// Five numbers in columns, as next_word.py has them.
lossLab.row = (numbers, digits) =>
  numbers.map((number) => lossLab.signed(number, digits).padStart(4 + digits).padEnd(8)).join(" ").trimEnd();

lossLab.drawings.temperature = ({ axes, drawing: { hottest, reaches, words } }) => {
  const { fixed, signed, scales, shape, bars, softmax, row } = lossLab;
  const [scores, chances, curve] = axes;
  const blue = Array(5).fill("blue");
  const entropyOf = (p) => -p.reduce((sum, one) => sum + (one > 0 ? one * Math.log(one) : 0), 0);
  const { x, y } = scales(curve);
  const temperatures = Array.from({ length: 100 }, (_, i) => 0.05 + (hottest - 0.05) * i / 99);

  return ({ z0, z1, z2, z3, z4, c, tau }) => {
    const shifted = [z0, z1, z2, z3, z4].map((logit) => logit + c);
    const at = (temperature) => softmax(shifted.map((logit) => logit / temperature));
    const p = at(tau);
    const entropy = entropyOf(p);
    const largest = p.indexOf(Math.max(...p));
    const reach = reaches.find((one) => Math.max(...shifted.map(Math.abs)) <= one);
    const limits = [-1.1 * reach, 1.1 * reach];
    const ticks = scales({ ...scores, xlim: limits });
    const svg = bars(scores, shifted, blue, 1, limits) + bars(chances, p, blue, 4) +
      [-reach, 0, reach].map((tick) =>
        shape.text(ticks.x(tick), scores.top + scores.height + 16, signed(tick, 0), 13, "middle")).join("") +
      shape.line(temperatures.map((one) => [x(one), y(entropyOf(at(one)))]), "stroke:var(--ink);stroke-width:1.5") +
      shape.dot(x(tau), y(entropy), 6, "fill:var(--ink)");
    const text = [
      `z + c = ${row(shifted, 1)}`,
      `p     = ${row(p, 4)}`,
      `τ = ${fixed(tau, 1)}   ${words.entropy} ${signed(entropy, 4)} ${words.unit}   ` +
        `${words.largest}${words.names[largest]} ${fixed(p[largest], 4)}`,
    ].join("\n");
    return { svg, text };
  };
};

// The skyline of lesson 05 on a page without a kernel: the formulas of explore.py, written again.
"use strict";

lossLab.drawings.skyline = ({ axes, drawing: { K, highest, words } }) => {
  const { fixed, signed, scales, shape } = lossLab;
  const unit = highest / 6;
  const sides = [scales(axes[0]), scales(axes[1])];
  const [left, right] = axes;
  const across = (right.left - left.left - left.width) / right.width;
  const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

  return (values) => {
    const index = [...Array(K).keys()];
    const n = index.map((i) => values[`n${i + 1}`]);
    const m = index.map((i) => values[`m${i + 1}`]);
    const N = sum(n);
    const weights = [n.map(() => 1 / N), n.map((count) => 1 / (K * count))];
    const ratios = index.map((i) => weights[1][i] / weights[0][i]);
    const [G, A] = weights.map((weight) => sum(index.map((i) => n[i] * weight[i] * m[i])));
    const means = [N / K, sum(m) / K];
    const covariance = sum(index.map((i) => (n[i] - means[0]) * (m[i] - means[1]))) / K;
    const gap = -covariance / means[0];

    const colours = ratios.map((ratio) => ratio > 1 ? "red" : ratio < 1 ? "pale" : "blue");
    let svg = "";
    sides.forEach(({ x, y }, side) => {
      const edges = [0];
      index.forEach((i) => edges.push(edges[i] + n[i] * weights[side][i]));
      for (const i of index) {
        svg += shape.rect(x(edges[i]), y(0), x(edges[i + 1]), y(m[i]), `fill:var(--${colours[i]});stroke:var(--ink)`);
        for (let j = 1; j < n[i]; j++) {
          const at = x(edges[i] + weights[side][i] * j);
          svg += shape.line([[at, y(0)], [at, y(m[i])]], `stroke:var(--${colours[i] === "pale" ? "edge" : "paper"})`);
        }
      }
      for (const i of index) {
        if (i) svg += shape.line([[x(edges[i]), y(0)], [x(edges[i]), y(Math.max(m[i - 1], m[i]))]], "stroke:var(--ink);stroke-width:3");
        const caption = side ? `×${fixed(ratios[i], 3)}` : n[i];
        svg += shape.text(x((edges[i] + edges[i + 1]) / 2), y(-0.2 * unit) + (side ? 12 : 14), caption, side ? 14 : 17, "middle");
      }
    });
    const level = ({ x, y }, from, to, height, style) => shape.line([[x(from), y(height)], [x(to), y(height)]], style);
    const halo = "stroke:var(--paper);stroke-width:6";
    const solid = "stroke:var(--ink);stroke-width:3";
    const dashed = "stroke:var(--ink);stroke-width:1.5;stroke-dasharray:6 4.5";
    svg += level(sides[0], 0.01, 1, G, halo) + level(sides[1], 0.01, 1, G, halo) + level(sides[1], 0.01, 1, A, halo);
    svg += level(sides[0], 0.01, 1, G, solid) + level(sides[1], -across, 1, G, dashed) + level(sides[1], 0.01, 1, A, solid);
    const { x, y } = sides[1];
    svg += shape.line([[x(1.035), y(G)], [x(1.035), y(A)]], "stroke:var(--ink);stroke-width:8");
    const room = highest + 0.2 * unit - G;
    svg += shape.text(x(-across / 2), y(G + (room > 0.9 * unit ? 0.1 : -0.6) * unit), `G = ${fixed(G, 4)}`, 13, "middle");
    const top = y(Math.min(Math.max(A + 0.3 * unit, 2 * unit), highest)) + 12;
    [`A = ${fixed(A, 4)}`, "A − G =", signed(gap, 4, true)].forEach((line, i) => {
      svg += shape.text(x(1.075), top + 20 * i, line, 13);
    });
    const row = (numbers, digits) => numbers.map((number) => fixed(number, digits)).join(" ");
    const text = [
      `n = ${n.join(" ")}    N = ${N}, N/K = ${fixed(means[0], 2)}`,
      `m = ${row(m, 2)}`,
      `${words.weight} N/(K·n)${words.colon}${ratios.map((ratio) => `×${fixed(ratio, 3)}`).join(" ")}`,
      `${words.token_mean} G = Σnm/N = ${fixed(G, 4)}    ${words.mean_of_means} A = Σm/K = ${fixed(A, 4)}`,
      `Cov(n, m) = ${signed(-gap * means[0], 4, true)}    A − G = −Cov(n, m)·K/N = ${signed(gap, 4, true)}`,
    ].join("\n");
    return { svg, text };
  };
};

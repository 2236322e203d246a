// The staircase of lesson 07 on a page without a kernel: stairs.py and explore.py, written again.
"use strict";

lossLab.stairs = (T, V, D, chunk, method, keep) => {
  if (method === "whole") chunk = T;
  const steps = [];
  const [copy, dW, dh, n] = [4 * chunk * V, 4 * V * D, 4 * chunk * D, T / chunk];
  const step = (operation, alive) => steps.push([operation, alive]);
  if (method === "forward") {
    const grads = dW + n * dh;
    step("dW, dh", { "dW, dh": grads });
    for (let k = 0; k < n; k++) {
      step("z", { "dW, dh": grads, z: copy, "z kept": keep && k > 0 ? copy : 0 });
      step("dz", { "dW, dh": grads, dz: copy });
      step("dh", { "dW, dh": grads + dh, dz: copy });
      step("dW", { "dW, dh": grads, dz: copy });
    }
    step("end", { "dW, dh": grads, dz: keep ? copy : 0 });
    return steps;
  }
  const again = method === "checkpoint";
  const saved = again ? 0 : 1;
  const kept = keep && !again ? copy : 0;
  for (let k = 0; k < n; k++) {
    step("z", { "ln p": saved * k * copy, z: copy, "z kept": k > 0 ? kept : 0 });
    step("ln p", { "ln p": (saved * k + 1) * copy, z: copy });
    step("loss", { "ln p": (saved * k + 1) * copy, z: copy });
  }
  step("backward", { "ln p": saved * n * copy, "z kept": kept });
  for (let k = 0; k < n; k++) {
    const grads = (k ? dW : 0) + k * dh;
    const before = saved * (n - k - 1) * copy;
    if (again) {
      step("z", { "dW, dh": grads, z: copy });
      step("ln p", { "dW, dh": grads, "ln p": copy, z: copy });
      step("loss", { "dW, dh": grads, "ln p": copy, z: copy });
    }
    step("d ln p", { "dW, dh": grads, "ln p": before + copy, "z kept": kept, "d ln p": copy });
    step("dz", { "dW, dh": grads, "ln p": before + copy, "z kept": kept, "d ln p": copy, dz: copy });
    step("dW", { "dW, dh": grads + dW, "ln p": before, "z kept": kept, dz: copy });
    step("dh", { "dW, dh": grads + dW + dh, "ln p": before, "z kept": kept, dz: copy });
    if (k) step("dW + dW", { "dW, dh": grads + 2 * dW + dh, "ln p": before, "z kept": kept });
  }
  if (method !== "whole") step("join dh", { "dW, dh": dW + 2 * n * dh, "z kept": kept });
  return steps;
};

lossLab.drawings.staircase = ({ axes, drawing: { colours, card, scales: tops, words } }) => {
  const { fixed, scales, shape, stairs } = lossLab;
  const { x, y } = scales(axes[0]);
  const GiB = 2 ** 30;
  const sum = (alive) => Object.values(alive).reduce((total, one) => total + one, 0);

  return ({ T, V, D, parts, method, keep }) => {
    const chunk = T / parts;
    const steps = stairs(T, V, D, chunk, method, keep);
    const sums = steps.map(([, alive]) => sum(alive));
    const peak = Math.max(...sums);
    const [copy, both] = [4 * T * V, 4 * D * (T + V)];
    const at = sums.indexOf(peak);
    const top = tops.find((size) => 1.12 * peak <= size * GiB);
    const edges = Array.from({ length: steps.length + 1 }, (_, i) => i / steps.length);
    let low = steps.map(() => 0);
    let svg = "";
    for (const [name, colour] of Object.entries(colours)) {
      const high = steps.map(([, alive], i) => low[i] + (alive[name] ?? 0) / GiB / top);
      const corners = (levels) => levels.flatMap((level, i) => [[x(edges[i]), y(level)], [x(edges[i + 1]), y(level)]]);
      const around = [...corners(high), ...corners(low).reverse()];
      svg += shape.line([...around, around[0]], `fill:var(--${colour});stroke:var(--ink);stroke-width:0.6`);
      low = high;
    }
    const level = (height, style) => shape.line([[x(0), y(height)], [x(1), y(height)]], `stroke:var(--ink);stroke-width:2;${style}`);
    svg += level(both / GiB / top, "");
    if (top >= card) {
      svg += level(card / top, "stroke-dasharray:10 6") + shape.text(x(1.012), y(Math.min(card / top, 1)) + 4.6, `${card} GiB`, 13);
    }
    steps.forEach(([operation], i) => {
      if (operation === "backward") svg += shape.line([[x(edges[i]), y(0)], [x(edges[i]), y(1)]], "stroke:var(--ink);stroke-width:1.2;stroke-dasharray:1.2 2.4");
    });
    const middle = Math.min(Math.max((edges[at] + edges[at + 1]) / 2, 0.1), 0.9);
    svg += shape.text(x(middle), y(peak / GiB / top + 0.01) - 3, `${fixed(peak / GiB, 2)} GiB`, 16, "middle");
    for (let quarter = 0; quarter < 5; quarter++) {
      svg += shape.text(x(-0.018), y(quarter / 4) + 4.6, String(Number((top * quarter / 4).toPrecision(6))), 13, "end");
    }
    const text = [
      `T = ${T}, V = ${V}, D = ${D}${words.comma}${words.chunk} = ${method === "whole" ? T : chunk}`,
      `${words.copy} = ${fixed(copy / GiB, 2)} GiB`,
      `${words.peak} = ${fixed(peak / GiB, 2)} GiB = ${fixed(peak / copy, 2)} ${words.copies_at} ${steps[at][0]}`,
      `dW + dh = ${fixed(both / GiB, 2)} GiB${words.comma}${words.card} = ${card} GiB`,
    ].join("\n");
    return { svg, text };
  };
};

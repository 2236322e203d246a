"""What `audit` answers: the rule, the faults and the numbers of each step, in words and as a picture."""

from dataclasses import dataclass, field

from torch import Tensor

from .names import FAULTS, RIGHT_RULE_WITH_FAULTS, RULES, in_language, printable

COLOURS = ("#1f5a99", "#9a86cf", "#1d6b4a", "#3d2470")  # of the steps, in turn: neither red nor orange, which judge
GREY, INK = "#bdbdbd", "#1a1a1a"  # masked targets; the line at 1/N, and edges


@dataclass(frozen=True)
class Step:
    """One step beside the right one: G against Σ g / N over the valid tokens of its window.

    `ratio` of the norms, `cosine`, `error` |G - right| / |right|; `loss` is the token mean, `logged` what the loop
    returned (None if nothing), `descended` Σ w l with the weights that were read; losses in nats.
    """

    batch_size: int
    K: int
    number: int
    ratio: float
    cosine: float
    error: float
    loss: float
    logged: float | None
    descended: float

    def __str__(self) -> str:
        logged = f"{'–':>9}" if self.logged is None else f"{self.logged:9.4f}"
        error = 0.0 if self.error < 1e-9 else self.error
        return (
            f"{self.batch_size} × {self.K}  {self.number:3}  {self.ratio:8.4f}  {self.cosine:8.5f}  {error:8.4f}"
            f"  {self.loss:8.4f} {logged}  {self.descended:8.4f}"
        )


@dataclass(frozen=True)
class Verdict:
    """Which weight a loop gives to each token.

    `rule`: "token_mean", "mean_of_means", "sequence_mean", "sum" or "unknown". `faults`: names of what is wrong.
    `remarks`: sentences on what is not wrong, or could not be seen. `weights`: {(batch_size, K): (steps, tokens)},
    float64, the weight of every target, row after row, those with the label -100 too; a rule in full is 1/N in the
    window and 0 elsewhere. `right`: the same for the token mean. `masked` (tokens,): whether a target is ignored.
    `steps`: the numbers of each step. `str(verdict)` says it all, `verdict.skyline()` draws it.
    """

    rule: str
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    weights: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)
    right: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)
    masked: Tensor | None = field(default=None, repr=False)
    steps: list[Step] = field(default_factory=list, repr=False)
    language: str = "en"

    @property
    def ok(self) -> bool:
        """Whether the rule is the token mean and nothing is wrong; remarks do not count."""
        return self.rule == "token_mean" and not self.faults

    def __str__(self) -> str:
        lines = [f"✗ {in_language(self.language, *FAULTS[name])} [{name}]" for name in self.faults]
        if self.rule == "token_mean" and self.faults:  # what is wrong comes first, and the rule has no cross
            lines.append(f"· {in_language(self.language, *RIGHT_RULE_WITH_FAULTS)} [{self.rule}]")
        else:
            lines.insert(0, f"{'✓' if self.ok else '✗'} {in_language(self.language, *RULES[self.rule])} [{self.rule}]")
        lines += [f"· {remark}" for remark in self.remarks]
        if self.steps:
            zh = "B × K   步  范数之比      余弦  相对误差      损失    记录的    实际的"
            en = "B × K step     ratio    cosine     error      loss    logged descended"
            lines.append({"zh": zh, "en": en, "both": f"{zh}\n{en}"}[self.language])
        return printable("\n".join(lines + [str(step) for step in self.steps]))

    def skyline(self):
        """A matplotlib Figure: one panel for each partition B × K, one bar for each target, a line at 1/N.

        The bars of a step have one colour, those of masked targets are grey; the only words are symbols and digits.
        Raises ValueError where no weights were read.
        """
        from matplotlib.figure import Figure  # only who draws needs it

        if not self.weights:
            zh, en = "没有读出权重，也就没有图可画", "no weights were read, so there is nothing to draw"
            raise ValueError(in_language(self.language, zh, en))
        figure = Figure(figsize=(8, 1.7 * len(self.weights) + 0.4), layout="constrained")
        panels = figure.subplots(len(self.weights), squeeze=False)[:, 0]
        for panel, (partition, weights) in zip(panels, self.weights.items(), strict=True):
            heavy = weights.abs() > 1e-6 * weights.abs().max()
            together = len(weights) if (heavy.sum(0) > 1).any() else 1  # a token in several steps: bars side by side
            for step, values in enumerate(weights.tolist()):
                left = 0.8 * (step + 0.5) / together - 0.4 if together > 1 else 0.0
                colours = [GREY if masked else COLOURS[step % len(COLOURS)] for masked in self.masked.tolist()]
                places = [left + place for place in range(len(values))]
                panel.bar(places, values, 0.8 / together, color=colours, edgecolor=INK, linewidth=0.5)
            for values in self.right[partition]:
                members = values.nonzero().squeeze(1).tolist()
                if members:
                    ends = (members[0] - 0.5, members[-1] + 0.5)
                    panel.plot(ends, [values.max().item()] * 2, color=INK, linewidth=1.2)
            panel.set_title(f"{partition[0]} × {partition[1]}", loc="left", fontsize=9)
            panel.set_ylabel("$w$")
            panel.margins(x=0.01)
            panel.spines[["top", "right"]].set_visible(False)
        panels[-1].set_xlabel("$t$")
        return figure

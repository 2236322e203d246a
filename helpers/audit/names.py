"""The names that a verdict holds, and a sentence for each, in Chinese and in English."""

import sys

LANGUAGES = ("zh", "en", "both")

# fmt: off
RULES = {
    "token_mean": ("词元平均：窗口里每个有效词元的权重都是 1/N",
        "token mean: every valid token of a window weighs 1/N"),
    "mean_of_means": ("平均的平均：每个微批次（或每个进程）的权重相同，所以结果随拆法而变",
        "mean of means: every micro-batch (or rank) weighs the same, so the result depends on the split"),
    "sequence_mean": ("序列平均：每条序列的权重相同；这是另一个目标，不是词元平均",
        "sequence mean: every sequence weighs the same, which is another objective than the token mean"),
    "sum": ("求和：没有除以词元数，所以梯度随批次大小而变",
        "sum: not divided by the number of tokens, so the gradient grows with the batch"),
    "unknown": ("没有一条已知的规则给出这些权重",
        "no known rule gives these weights"),
}

RIGHT_RULE_WITH_FAULTS = ("规则没有错，是词元平均：每个有效词元的权重相同；错在上面",
    "the rule is right, the token mean: every valid token weighs the same; the faults are above")

FAULTS = {
    "fixed_divisor": ("除数固定为 K：最后一个不满的窗口被缩小了",
        "the divisor is K even where the last window holds fewer micro-batches, so that window is scaled down"),
    "times_K": ("梯度大了，倍数是微批次数 K：少除了一次 K",
        "the gradient is K times too large: a division by K is missing"),
    "over_K": ("梯度被多除了一次 K",
        "the gradient is divided by K once too often"),
    "unshifted_count": ("数 N 时用的是错开前的标签，把没有预测对象的第一个标签也数了进去",
        "N counts the labels before the shift, and with them first labels that nothing predicts"),
    "attention_count": ("数 N 时用的是 attention_mask，把提示和第一个词元也数了进去",
        "N counts the attention mask, and with it prompts and first tokens"),
    "prompt_count": ("数 N 时把被掩掉的提示也数了进去",
        "N counts the targets of prompts, which are masked"),
    "padded_count": ("数 N 时用的是整个张量的大小，把填充和被掩掉的位置也数了进去",
        "N counts all positions of the padded batch, ignored ones too"),
    "prompt_in_loss": ("提示也计入了损失",
        "the prompts are in the loss"),
    "padding_in_loss": ("填充也计入了损失",
        "the padding is in the loss"),
    "labels_not_shifted": ("标签没有错开：每个词元预测的是它自己",
        "the labels are not shifted: each token predicts itself"),
    "labels_shifted_twice": ("标签错开了两次：每个词元预测的是后面第二个",
        "the labels are shifted twice: each token predicts the one after the next"),
    "weight_decay": ("损失里加了参数的平方（L2）",
        "the squares of the parameters are added to the loss (L2)"),
    "zero_grad_forgotten": ("没有清零梯度：每一步都带着以前各步的梯度",
        "the gradient is not set to zero: each step holds those of all steps before it"),
    "window_dropped": ("有的窗口没有走优化器的一步，被丢掉了",
        "a window takes no optimizer step: it is dropped"),
    "no_accumulation": ("每个微批次之后都走了一步，没有累积",
        "there is a step after every micro-batch, so nothing is accumulated"),
    "shuffled": ("行的顺序被打乱了",
        "the rows are not taken in order: they are shuffled"),
    "clipped_too_early": ("每次反向传播之后都裁剪：先来的微批次被缩小了好几次",
        "the gradient is clipped after each backward, so early micro-batches are made smaller again and again"),
    "logged_not_descended": ("记录的损失不是梯度实际在降低的那个损失",
        "the logged loss is not the loss whose gradient is descended"),
    "left_padding": ("左填充：第一个词元由填充位置预测，也计入了损失",
        "left padding: the first token of a row is predicted from padding, and is in the loss"),
    "packed_boundary": ("打包的边界：前一行的最后一个词元要预测后一行的第一个",
        "packed boundary: the last token of a row predicts the first of the next one"),
    "local_count": ("每个进程除以它自己的词元数，而不是所有进程的总数",
        "each rank divides by its own count of tokens, not by that of all ranks"),
    "over_world": ("对各进程求平均时又除以了进程数，少乘了一次 W",
        "the gradient is 1/W of what it should be: ranks are averaged, and the factor W is missing"),
    "times_world": ("梯度大了 W 倍：W 乘了两次，或本该求平均却求了和",
        "the gradient is W times too large for W ranks"),
}
# fmt: on


def printable(text: str) -> str:
    """The text as standard output can show it, with other marks where it has no ✓ and ✗: a file in GBK, for one."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        for mark, others in (("✓", "√+"), ("✗", "×x"), ("×", "x"), ("–", "-"), ("−", "-")):
            text = text.replace(mark, next((one for one in others if _holds(encoding, one)), others[-1]))
        return text.encode(encoding, "replace").decode(encoding)


def _holds(encoding: str, mark: str) -> bool:
    return mark.encode(encoding, "ignore") != b""


def in_language(language: str, zh: str, en: str) -> str:
    """`zh` or `en`, or both with a dot between them.

    >>> in_language("both", "词元", "token")
    '词元 · token'
    """
    return {"zh": zh, "en": en, "both": f"{zh} · {en}"}[language]

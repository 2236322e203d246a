"""What PyTorch's and Python's own errors mean in words of a lesson, whatever the exercise; and an error of our own."""


class Refusal(Exception):
    """What an exercise cannot take, said in both languages: `Refusal(zh, en)`, raised while an answer runs."""


_PAIR = (
    "沿着一维取 max、min、sort 得到一对：数值和位置；取 .values 或 [0]，或者用 amax",
    "max, min or sort along a dimension gives a pair, values and positions: take .values or [0], or use amax",
)
KNOWN_ERRORS = [  # a part of "Type: message", and its name in both languages
    ("torch.return_types.m", *_PAIR),
    ("torch.return_types.sort", *_PAIR),
    ("torch.return_types.topk", *_PAIR),
    (
        "could not infer output dtype",
        "整数张量不能直接 mean()：先 .double() 或 .float()",
        "mean() does not take integers: .double() or .float() first",
    ),
    (
        "Class values must be non-negative",
        "有负数到了 one_hot，比如 −100：先换成一个合法的编号",
        "a negative number, such as −100, reached one_hot: put a legal number in its place first",
    ),
    (
        "requires grad. Use tensor.detach().numpy()",
        "有计算图的张量不能直接变成 numpy：变了，梯度就传不回来；用 PyTorch 的运算",
        "a tensor in a graph does not become numpy, and backward could not go that way: stay with PyTorch's operations",
    ),
]

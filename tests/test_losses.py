"""helpers/losses.py against PyTorch's own functions, which are computed another way, and against hand arithmetic."""

import doctest
import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from helpers import losses

DTYPES = [torch.float64, torch.float32]
HALVES = [torch.float16, torch.bfloat16]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)


def batch(rows: int = 7, classes: int = 5, ignored: int = -100) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets that cover every class, and in two places `ignored`."""
    targets = torch.arange(rows) % classes
    targets[1:5:3] = ignored
    return random(rows, classes), targets


def value_and_gradient(function, logits: torch.Tensor, *arguments, **options) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    value = function(logits, *arguments, **options)
    value.sum().backward()
    return value.detach(), logits.grad


def assert_like_torch(logits: torch.Tensor, targets: torch.Tensor, **options) -> None:
    ours = value_and_gradient(losses.cross_entropy, logits, targets, **options)
    theirs = value_and_gradient(F.cross_entropy, logits, targets, **options)
    torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_examples_in_the_docstrings():
    assert doctest.testmod(losses).failed == 0
    assert doctest.testmod(losses).attempted > 5


# softmax, log_softmax, logsumexp


@pytest.mark.parametrize("dim", [-1, 0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.1, 3.0, 1000.0])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_as_in_torch(name, scale, dtype, dim):
    logits = random(4, 6, 3, dtype=dtype, scale=scale)
    ours = value_and_gradient(getattr(losses, name), logits, dim)
    theirs = value_and_gradient(getattr(torch, name), logits, dim)
    torch.testing.assert_close(ours, theirs)


def test_logsumexp_keeps_the_dimension_only_on_request():
    logits = random(4, 6)
    assert losses.logsumexp(logits).shape == (4,)
    assert losses.logsumexp(logits, dim=0, keepdim=True).shape == (1, 6)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("row", [[0.0, -math.inf], [-math.inf, -math.inf], [math.inf, 0.0], [math.nan, 0.0], [-1e4]])
def test_infinities_as_in_torch(name, row):
    logits = torch.tensor([row])
    torch.testing.assert_close(getattr(losses, name)(logits), getattr(torch, name)(logits, -1), equal_nan=True)


@pytest.mark.parametrize("function", [losses.softmax, losses.log_softmax, losses.logsumexp, losses.z_loss])
def test_gradcheck(function):
    assert torch.autograd.gradcheck(function, random(3, 4).requires_grad_())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("function", [losses.softmax, losses.log_softmax, losses.logsumexp, losses.z_loss])
def test_half_precision_is_computed_and_returned_in_fp32(function, dtype):
    logits = random(3, 40, dtype=dtype)
    assert function(logits).dtype == torch.float32
    torch.testing.assert_close(function(logits), function(logits.float()), rtol=0, atol=0)


# cross_entropy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ignored", [-100, -1, 2])
@pytest.mark.parametrize(
    ("reduction", "smoothing", "weighted"),
    list(itertools.product(["mean", "sum", "none"], [0.0, 0.1, 0.5, 1.0], [False, True])),
)
def test_cross_entropy_for_every_combination(reduction, smoothing, weighted, ignored, dtype):
    logits, targets = batch(ignored=ignored)
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=dtype) if weighted else None
    options = {"weight": weight, "ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing}
    assert_like_torch(logits.to(dtype), targets, **options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)])
def test_every_target_ignored(weight, smoothing, reduction):
    targets = torch.full((7,), -100)
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    assert_like_torch(batch()[0], targets, **options)
    value, gradient = value_and_gradient(losses.cross_entropy, batch()[0], targets, **options)
    assert not gradient.any()
    assert value.isnan().all() if reduction == "mean" else not value.any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", [[0, 1], [1, 2], [-100, 0], [2, 2]])
def test_minus_infinity(targets, smoothing, reduction):
    logits = torch.tensor([[0.3, -math.inf, 1.0], [-math.inf, 2.0, -math.inf]])
    assert_like_torch(logits, torch.tensor(targets), reduction=reduction, label_smoothing=smoothing)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("rows", "classes"), [(3, 1), (0, 4), (0, 1), (1, 2), (5, 200)])
def test_odd_sizes(rows, classes, smoothing, reduction):
    targets = torch.arange(rows) % classes
    assert_like_torch(random(rows, classes), targets, reduction=reduction, label_smoothing=smoothing)


def test_one_row_without_a_batch():
    assert_like_torch(random(5), torch.tensor(3))
    assert losses.token_losses(random(5), torch.tensor(3)).shape == ()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)])
def test_more_dimensions_are_like_more_rows(weight, smoothing, reduction):
    logits, targets = random(2, 3, 4, 5), torch.arange(24).reshape(2, 3, 4) % 5
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    ours = losses.cross_entropy(logits, targets, **options)
    theirs = F.cross_entropy(logits.movedim(-1, 1), targets, **options)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("ignored", [2**63 - 1, 2**62, 1 - 2**63])
def test_every_int64_may_be_ignored(ignored):
    logits, targets = batch(ignored=ignored)
    assert losses.token_losses(logits, targets, ignore_index=ignored)[1:5:3].tolist() == [0.0, 0.0]


def test_options_are_named_and_the_rest_may_be():
    logits, targets = batch()
    assert losses.cross_entropy(logits=logits, targets=targets) == losses.cross_entropy(logits, targets)
    assert losses.z_loss(logits=logits, targets=targets) == losses.z_loss(logits, targets)
    assert losses.token_losses(logits=logits, targets=targets).equal(losses.token_losses(logits, targets))
    for function in (losses.cross_entropy, losses.token_losses, losses.z_loss):
        with pytest.raises(TypeError, match="positional argument"):
            function(logits, targets, -100)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_half_precision_cross_entropy_is_that_of_fp32(smoothing, dtype):
    logits, targets = batch()
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=dtype)
    value, gradient = value_and_gradient(
        losses.cross_entropy, logits.to(dtype), targets, weight=weight, label_smoothing=smoothing
    )
    wanted, slope = value_and_gradient(
        F.cross_entropy, logits.to(dtype).float(), targets, weight=weight.float(), label_smoothing=smoothing
    )
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, slope.to(dtype))


def test_half_precision_does_not_overflow_on_a_large_vocabulary():
    logits = torch.zeros(1, 70000, dtype=torch.float16)
    assert losses.cross_entropy(logits, torch.tensor([0])).item() == pytest.approx(math.log(70000))


def test_gradcheck_of_cross_entropy():
    _, targets = batch()
    weight = torch.tensor([0.5, 2.0, 0.1, 1.0, 3.0], dtype=torch.float64)

    def loss(logits):
        return losses.cross_entropy(logits, targets, weight=weight, label_smoothing=0.2)

    assert torch.autograd.gradcheck(loss, random(7, 5).requires_grad_())


# corners

INF, NAN = math.inf, math.nan
CORNERS = {
    "normal": [[0.3, -1.2, 2.0], [1.0, 0.5, -0.5], [0.1, 0.2, 0.3], [-2.0, 1.0, 0.0]],
    "some -inf": [[0.3, -INF, 1.0], [-INF, 2.0, -INF], [1.0, 2.0, 3.0], [0.0, 0.0, -INF]],
    "all -inf": [[-INF] * 3] * 4,
    "some +inf": [[INF, 0.0, 1.0], [1.0, INF, 0.0], [0.0, 1.0, 2.0], [INF, INF, 1.0]],
    "some nan": [[NAN, 0.0, 1.0], [1.0, 2.0, 0.0], [0.0, NAN, 2.0], [1.0, 1.0, 1.0]],
    "far apart": [[800.0, 0.0, -800.0], [0.0, -800.0, 800.0], [1e308, -1e308, 0.0], [5.0, 5.0, 5.0]],
}
WEIGHTS = [None, [0.5, 2.0, 3.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0], [0.0] * 3, [INF, 1.0, 1.0], [1.0, NAN, 0.0]]
WEIGHTS += [[-1.0, 1.0, 2.0], [-1.0, 1.0, 0.0]]  # the latter adds up to 0


@pytest.mark.parametrize("weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("corner", CORNERS)
def test_value_and_gradient_are_those_of_pytorch_in_every_corner(corner, weight):
    """Among them: valid targets of weight 0 alone, weight 0 times an infinite loss, an infinite weight where a target
    is ignored, no valid target at all, a class that is ignored."""
    logits = torch.tensor(CORNERS[corner], dtype=torch.float64)
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    rows = [(0, 0, 0, 0), (0, 1, 2, -100), (2, -100, -100, 0), (1, 0, 1, 2), (-100,) * 4, (1, 1, 2, 2)]
    for targets, reduction, smoothing in itertools.product(rows, ("mean", "sum", "none"), (0.0, 0.1, 1.0)):
        for ignored in (-100,) if -100 in targets else (-100, 1):
            options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
            assert_like_torch(logits, torch.tensor(targets), weight=weight, **options)


def test_strides_do_not_matter():
    """Transposed, expanded, and every second of a larger tensor, targets too."""
    logits, targets = random(5, 4, 3).permute(1, 2, 0), (torch.arange(12).view(3, 4) % 5).T
    torch.testing.assert_close(losses.cross_entropy(logits, targets), F.cross_entropy(logits.movedim(-1, 1), targets))
    assert_like_torch(random(1, 5).expand(7, 5), batch()[1])
    assert_like_torch(random(14, 10)[::2, ::2], batch()[1].repeat_interleave(2)[::2])


@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES])
def test_weights_of_another_dtype(dtype):
    """PyTorch's own function wants the dtype of the logits."""
    logits, targets = batch()
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0])
    options = {"weight": weight.to(dtype), "label_smoothing": 0.1}
    found = value_and_gradient(losses.cross_entropy, logits, targets, **options)
    wanted = value_and_gradient(F.cross_entropy, logits, targets, **{**options, "weight": weight.double()})
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_may_require_a_gradient(reduction):
    """PyTorch's own function refuses them."""
    logits, targets = batch()
    weight = torch.tensor([0.5, 2.0, 0.1, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    options = {"reduction": reduction, "label_smoothing": 0.1}
    assert torch.autograd.gradcheck(lambda w: losses.cross_entropy(logits, targets, weight=w, **options), weight)


def test_second_derivatives():
    logits, targets = batch()
    assert torch.autograd.gradgradcheck(
        lambda z: losses.cross_entropy(z, targets, label_smoothing=0.1), logits.requires_grad_()
    )


# transforms

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch.func.jvp uses it

TRANSFORMED = random(6, 4, 5, seed=1)
CLASSES = torch.randint(5, (6, 4), generator=torch.Generator().manual_seed(2))
CLASSES[0, 1] = -100
OPTIONS = [{}, {"label_smoothing": 0.1}, {"weight": torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)}]
OPTIONS += [{**OPTIONS[1], **OPTIONS[2]}, {**OPTIONS[2], "reduction": "sum"}, {"reduction": "none"}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
def test_transforms_of_torch_func(options):
    """Against PyTorch's function in a loop: of its own, `vmap` takes the smoothed one not at all."""

    def ours(z, y):
        return losses.cross_entropy(z, y, **options).sum()

    def theirs(z, y):
        return F.cross_entropy(z, y, **options).sum()

    z, y = TRANSFORMED, CLASSES
    func = torch.func
    each = [theirs(*pair) for pair in zip(z, y, strict=True)]
    torch.testing.assert_close(func.vmap(ours)(z, y), torch.stack(each))
    torch.testing.assert_close(func.vmap(ours, (0, None))(z, y[0]), torch.stack([theirs(row, y[0]) for row in z]))
    gradients = [func.grad(theirs)(*pair) for pair in zip(z, y, strict=True)]
    torch.testing.assert_close(func.vmap(func.grad(ours))(z, y), torch.stack(gradients))
    torch.testing.assert_close(func.jacrev(ours)(z[0], y[0]), gradients[0])
    torch.testing.assert_close(func.jacfwd(ours)(z[0], y[0]), gradients[0])
    torch.testing.assert_close(
        func.jvp(lambda z: ours(z, y[0]), (z[0],), (z[1],)), (each[0], (gradients[0] * z[1]).sum())
    )
    hessian = torch.autograd.functional.hessian(lambda z: theirs(z, y[0]), z[0])
    torch.testing.assert_close(func.hessian(ours)(z[0], y[0]), hessian)


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.jacrev, torch.func.jacfwd])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_transforms_of_the_functions_of_logits(name, transform):
    found = transform(getattr(losses, name))(TRANSFORMED[0])
    torch.testing.assert_close(found, transform(lambda z: getattr(torch, name)(z, -1))(TRANSFORMED[0]))


def test_gradients_of_each_sample_of_a_model():
    """functional_call, grad and vmap together, as in PyTorch's tutorial on per-sample gradients."""
    model = torch.nn.Linear(3, 5, dtype=torch.float64)
    inputs = random(6, 3)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(parameters, x, y):
        z = torch.func.functional_call(model, parameters, (x,))
        return losses.token_losses(z, y) + losses.z_loss(z, y, coefficient=0.1)

    found = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, inputs, CLASSES[1:, 0].repeat(2)[:6])
    for i, (x, y) in enumerate(zip(inputs, CLASSES[1:, 0].repeat(2)[:6], strict=True)):
        model.zero_grad()
        z = model(x)
        (F.cross_entropy(z, y) + 0.1 * z.logsumexp(-1).square()).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name][i], parameter.grad)


def test_a_target_outside_inside_vmap_is_pytorchs_to_find():
    with pytest.raises(RuntimeError, match="index 5 is out of bounds for dimension"):
        torch.func.vmap(losses.token_losses)(TRANSFORMED, CLASSES + 101 * (CLASSES == -100) + 1)


def test_compiled_in_one_graph():
    """`fullgraph`: nothing at the door asks for a number that is known only later."""
    options = {"weight": OPTIONS[2]["weight"], "label_smoothing": 0.1}

    def everything(z, y):
        return losses.cross_entropy(z, y, **options) + losses.z_loss(z, y) + losses.log_softmax(z).mean()

    compiled = torch.compile(everything, backend="eager", fullgraph=True)
    z = TRANSFORMED[0]
    torch.testing.assert_close(
        value_and_gradient(compiled, z, CLASSES[0]), value_and_gradient(everything, z, CLASSES[0])
    )


def test_shapes_and_dtypes_on_the_meta_device():
    z, y = torch.empty(2, 3, 5, device="meta", dtype=torch.bfloat16), torch.empty(2, 3, device="meta").long()
    for function, shape in [
        (lambda: losses.softmax(z), (2, 3, 5)),
        (lambda: losses.log_softmax(z, 0), (2, 3, 5)),
        (lambda: losses.logsumexp(z, 1, keepdim=True), (2, 1, 5)),
        (lambda: losses.token_losses(z, y), (2, 3)),
        (lambda: losses.cross_entropy(z, y, weight=z[0, 0], label_smoothing=0.1), ()),
        (lambda: losses.z_loss(z, y), ()),
    ]:
        result = function()
        assert (result.device.type, result.dtype, result.shape) == ("meta", torch.float32, shape)


# token_losses and z_loss


def test_token_losses_by_hand():
    """Two equal logits share p = 1/2; of logits 0 and ln 3 the shares are 1/4 and 3/4."""
    logits = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]], [[0.0, math.log(3)], [5.0, 1.0]]])
    targets = torch.tensor([[1, 0], [1, 7]])
    expected = torch.tensor([[math.log(2), math.log(4)], [math.log(4 / 3), 0.0]])
    torch.testing.assert_close(losses.token_losses(logits, targets, ignore_index=7), expected)


def test_z_loss_by_hand():
    """LSE is ln 2 + c for logits (c, c). Only the rows with c = 1 and c = 3 are valid."""
    logits = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], dtype=torch.float64)
    ln2 = math.log(2)
    valid = ((ln2 + 1) ** 2 + (ln2 + 3) ** 2) / 2
    every = ((ln2 + 1) ** 2 + (ln2 + 2) ** 2 + (ln2 + 3) ** 2) / 3
    assert losses.z_loss(logits, torch.tensor([0, -100, 1])).item() == pytest.approx(1e-4 * valid)
    assert losses.z_loss(logits, torch.tensor([0, 5, 1]), ignore_index=5).item() == pytest.approx(1e-4 * valid)
    assert losses.z_loss(logits, coefficient=0.5).item() == pytest.approx(0.5 * every)


def test_z_loss_without_a_valid_target():
    value, gradient = value_and_gradient(losses.z_loss, random(3, 4), torch.full((3,), -100))
    assert value.isnan()
    assert not gradient.any()


# classes and dimensions that are not there (the rest: test_bad_input.py)


def test_minus_100_never_wraps_around():
    """Indexing by -100 into 200 classes would silently take class 100."""
    logits, targets = random(1, 200), torch.tensor([-100])
    assert losses.token_losses(logits, targets).item() == 0.0
    with pytest.raises(IndexError):
        losses.token_losses(logits, targets, ignore_index=-1)


@pytest.mark.parametrize("function", [losses.softmax, losses.log_softmax, losses.logsumexp])
def test_no_classes_along_the_dimension(function):
    with pytest.raises(ValueError, match=r"at least one class in dimension 0, got shape \(0, 3\)"):
        function(torch.zeros(0, 3), dim=0)


@pytest.mark.parametrize("function", [losses.softmax, losses.log_softmax, losses.logsumexp])
@pytest.mark.parametrize("dim", [2, -3])
def test_no_such_dimension(dim, function):
    with pytest.raises(IndexError, match=rf"dim must lie in \[-2, 2\), the dimensions of logits, got {dim}"):
        function(torch.zeros(3, 5), dim)

"""Whatever is handed to a helper, it answers or says in a sentence what is wrong; never with an error from within."""

import inspect
import linecache
import random
import re
import traceback

import numpy as np
import pytest
import torch

from helpers import accumulation, batches, losses, precision, tiny_lm
from helpers.classroom import bilingual
from helpers.lessons.cross_entropy.explore import surprise
from helpers.tiny_lm import TinyLM, train
from tests.build.test_lessons import solutions

ODD = [
    None,
    ...,
    True,
    0,
    -1,
    3,
    10**30,
    2.5,
    float("nan"),
    float("inf"),
    1j,
    "",
    "tea",
    "token_mean",
    b"tea",
    [],
    (),
    {},
    {1, 2},
    [1, 2],
    [[1, 2], [3]],
    [[1.0]],
    ["tea"],
    [None],
    [torch.ones(2)],
    [torch.ones(2), None],
    [(torch.ones(2, 2).long(), torch.ones(2, 2).long())],
    [(torch.ones(2, 2), torch.ones(2).long())],
    object(),
    torch,
    len,
    lambda x: x,
    np.ones(3),
    np.ones((2, 3), dtype=np.int64),
    torch.float32,
    torch.tensor(2.0),
    torch.tensor(2),
    torch.empty(0),
    torch.empty(0, dtype=torch.int64),
    torch.empty(2, 0),
    torch.empty(0, 3),
    torch.ones(3),
    torch.ones(3).long(),
    torch.ones(2, 3),
    torch.ones(2, 3).long(),
    torch.full((2, 3), float("nan")),
    torch.full((2, 3), float("-inf")),
    torch.ones(2, 3, dtype=torch.int32),
    torch.ones(2, 3, dtype=torch.bool),
    torch.ones(2, 3, dtype=torch.complex64),
    torch.ones(2, 3, dtype=torch.float16),
    torch.ones(2, 3, 4),
    torch.tensor([0, -100]),
    torch.tensor([0, 2**40]),
    torch.tensor([-1, 1]),
    torch.nn.Linear(2, 2),
]
FUNCTIONS = [
    (module, name)
    for module in (losses, batches, accumulation, precision, tiny_lm, bilingual)
    for name in module.__all__
    if callable(getattr(module, name)) and name not in ("Limits", "train", "say")
]


def says_what_is_wrong(call) -> None:
    """`call` returns, or raises at the door: in a line of helpers/ that says `raise`, with a sentence."""
    try:
        call()
    except (TypeError, ValueError, IndexError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(frame.filename, frame.lineno).strip()
        arity = "argument" in str(error) and frame.name == "call"
        assert arity or line.startswith("raise "), f"{type(error).__name__}: {error}, from {frame.filename}: {line}"
        assert len(str(error).split()) >= 4, f"not a sentence: {error}"


@pytest.mark.parametrize(("module", "name"), FUNCTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_one_odd_argument_after_another(module, name):
    function = getattr(module, name)
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    choose = random.Random(name)
    tried = [{parameters[0].name: odd} for odd in ODD] if parameters else []
    tried += [{parameter.name: choose.choice(ODD) for parameter in parameters} for _ in range(1500)]
    for arguments in tried:
        required = {p.name for p in parameters if p.default is p.empty}
        arguments = {key: value for key, value in arguments.items() if key in required or choose.random() < 0.3}

        def call(arguments=arguments):
            return function(**arguments)

        try:
            says_what_is_wrong(call)
        except Exception as error:
            raise AssertionError(f"{name}({arguments}): {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd is not ...])
def test_an_odd_model_or_number_of_steps(odd):
    says_what_is_wrong(lambda: train(odd, steps=0))
    says_what_is_wrong(lambda: train(TinyLM(235, width=2, heads=1), odd, steps=0))
    if type(odd) is not int:
        says_what_is_wrong(lambda: train(TinyLM(235, width=2, heads=1), steps=odd))
        says_what_is_wrong(lambda: train(TinyLM(235, width=2, heads=1), accumulation_steps=odd, steps=0))


def test_an_odd_value_for_a_control():
    explorer = surprise()
    for odd in ODD:
        for name in ("z0", "target", "z9"):
            says_what_is_wrong(lambda name=name, odd=odd: explorer.set(**{name: odd}))


# exercises

# Tensors whose numbers are elsewhere, or nowhere.
STRANGE = [
    torch.empty(2, 2, device="meta"),
    torch.empty(1, 3, 3, device="meta"),
    torch.empty((), device="meta"),
    torch.eye(2).to_sparse(),
    torch.tensor([80.0, -40.0]).to_sparse(),
]


def exercises() -> list:
    """Each check with the right answer to it: a function or a value."""
    found = []
    for parameter in solutions():
        imports, answer, call = parameter.values
        found.append(pytest.param(imports, answer, call, id=parameter.id))
    return found


def verdict(check, answer, capsys) -> str:
    """What the check prints for an answer, in both languages: one verdict, never an error of its own."""
    capsys.readouterr()
    check(answer)
    verdicts = re.findall(r"^[○✗✓] .*", capsys.readouterr().out, re.M)
    assert len(verdicts) == 1, verdicts
    assert len(verdicts[0]) >= 6
    return verdicts[0]


def odd_functions() -> list:
    """Functions that learners hand in by accident, none of them right."""

    def raises(*_):
        raise KeyError("somewhere")

    def recursion(*arguments):
        return recursion(*arguments)

    def generator(*_):
        yield 1

    def no_arguments():
        return torch.ones(3)

    def prints(*arguments):
        print(*arguments)

    constants = [lambda *_, odd=odd: odd for odd in ODD + STRANGE if odd is not ...]
    return [
        raises,
        recursion,
        generator,
        no_arguments,
        prints,
        *constants,
        torch.nn.Linear(2, 2),
        Exception,
        print,
        int,
    ]


def spoilt(right) -> list:
    """Functions that come near the right one, and are wrong."""

    def in_place(*arguments):
        for argument in arguments:
            if isinstance(argument, torch.Tensor) and argument.numel():
                argument.view(-1)[0] += 1
        return right(*arguments)

    def nan_once(*arguments):
        result = torch.as_tensor(right(*arguments)).detach().clone().double()
        result.view(-1)[-1] = float("nan")
        return result

    def then(change):
        return lambda *arguments: change(torch.as_tensor(right(*arguments)).detach().double())

    return [
        in_place,
        nan_once,
        then(lambda x: x * 1.001),
        then(lambda x: x + 1e-3),
        then(lambda x: -x - 1e-3),
        then(lambda x: x.unsqueeze(0)),
        then(lambda x: x.to(torch.complex128)),
        then(lambda x: [x, x]),
        then(str),
        then(lambda x: None),
    ]


def is_function(answer) -> bool:
    return inspect.isfunction(answer)


@pytest.mark.parametrize(("imports", "answer", "call"), exercises())
def test_every_check_on_every_odd_answer(imports, answer, call, capsys):
    namespace = {}
    exec(imports, namespace)
    exec(answer, namespace)
    name, _, argument = call.rstrip(")").partition("(")
    check = eval(name, namespace)
    given = [part.strip() for part in argument.split(",")]
    if len(given) != 1:
        pytest.skip("a check of several values at once has tests of its own")
    right = namespace[given[0]]
    assert verdict(check, right, capsys).startswith("✓")
    assert verdict(check, ..., capsys).startswith("○")
    for odd in [odd for odd in ODD if odd is not ...] + STRANGE + odd_functions():
        assert not verdict(check, odd, capsys).startswith("✓"), odd
    if is_function(right):
        for wrong in spoilt(right):
            assert verdict(check, wrong, capsys).startswith("✗")

        def in_lists(*arguments):
            result = torch.as_tensor(right(*arguments)).detach()
            return result.tolist()

        def loud(*arguments):
            print("here")
            return right(*arguments)

        if "rank_loss" not in name:  # whose answer has to stay in the graph
            assert verdict(check, in_lists, capsys).startswith("✓")
        assert verdict(check, loud, capsys).startswith("✓")

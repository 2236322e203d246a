"""helpers/tiny_lm.py: the corpus as a text, the model against a second one written with PyTorch's parts, training."""

import doctest
import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from helpers import tiny_lm, tokenizer
from helpers.batches import pack, pad
from helpers.tiny_lm import END, TinyLM, corpus, decode, encode, train, vocabulary
from tests.devices import AnotherDevice

STEPS = 150  # as in the lesson
WAYS = {"full": ("token_mean", 1), "naive": ("mean_of_means", 8), "repaired": ("token_mean", 8)}


def sequences() -> list[torch.Tensor]:
    return [encode(END + sentence + END) for sentence in corpus()]


def model(seed: int = 0, vocab_size: int = 12, **options) -> TinyLM:
    return TinyLM(vocab_size, seed=seed, **options)


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(12, shape, generator=torch.Generator().manual_seed(seed))


def corpus_loss(lm: TinyLM) -> float:
    """The mean over all tokens, sentence by sentence, unpadded and unpacked."""
    losses = []
    with torch.no_grad():
        for sequence in sequences():
            losses.append(F.cross_entropy(lm(sequence[None, :-1])[0], sequence[1:], reduction="none"))
    return torch.cat(losses).mean().item()


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[TinyLM, list[float]]]:
    """The three ways of lesson 05: same model, same data, in the same order."""
    found = {}
    for way, (rule, accumulation_steps) in WAYS.items():
        lm = TinyLM(len(vocabulary()))
        found[way] = lm, train(lm, rule, accumulation_steps=accumulation_steps, steps=STEPS)
    return found


def test_examples_in_the_docstrings():
    for module, least in ((tiny_lm, 3), (tokenizer, 4)):
        results = doctest.testmod(module)
        assert results.failed == 0
        assert results.attempted >= least


# corpus, vocabulary, encode, decode


def test_corpus_is_a_few_hundred_different_sentences_half_of_them_chinese():
    assert 300 <= len(corpus()) <= 400
    assert len(set(corpus())) == len(corpus())
    chinese = [sentence for sentence in corpus() if sentence[-1] in "。？"]
    english = [sentence for sentence in corpus() if sentence[-1] in ".?"]
    assert list(corpus()) == chinese + english
    assert 0.4 < len(chinese) / len(corpus()) < 0.6
    assert all(ord(character) > 0x2FFF for character in "".join(chinese))
    assert "".join(english).isascii()


def test_sentences_are_of_uneven_length_and_fit_the_model():
    lengths = [len(sentence) for sentence in corpus()]
    assert min(lengths) == 2
    assert 40 <= max(lengths) <= 46
    assert len(set(lengths)) > 30


def test_vocabulary_is_every_character_once():
    assert 150 <= len(vocabulary()) <= 250
    assert Counter(vocabulary()) == Counter(set("".join(corpus())) | {END})
    assert vocabulary().index(END) == 0


def test_text_survives_encoding():
    text = END.join(corpus())
    ids = encode(text)
    assert ids.dtype == torch.int64
    assert ids.shape == (len(text),)
    assert decode(ids) == text
    assert encode("").tolist() == []
    assert encode("").dtype == torch.int64
    assert decode(encode("")) == ""


# TinyLM


def test_the_model_is_small_and_in_double_precision():
    """V = 235, width 16, context 48: embeddings 235·16 + 48·16, attention 4·16², MLP 8·16², three norms of 2·16."""
    parameters = list(TinyLM(len(vocabulary())).parameters())
    assert sum(parameter.numel() for parameter in parameters) == 3760 + 768 + 1024 + 2048 + 96 == 7696
    assert {parameter.dtype for parameter in parameters} == {torch.float64}


def test_the_seed_alone_makes_the_parameters():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = model(seed=3)
    assert torch.random.get_rng_state().equal(before)
    torch.manual_seed(2)
    for parameter, same, other in zip(
        first.parameters(), model(seed=3).parameters(), model(seed=4).parameters(), strict=True
    ):
        assert parameter.equal(same)
        assert parameter.dim() == 1 or not parameter.equal(other)  # the norms start as 1 and 0


@pytest.mark.parametrize("options", [{}, {"width": 12, "heads": 3, "context": 9}])
def test_logits_as_from_the_parts_of_pytorch(options):
    lm, inputs = model(**options), tokens(2, 9)
    heads, width = lm.heads, lm.token_embedding.shape[1]
    for parameter in lm.norms.parameters():
        parameter.data += 0.1 * torch.arange(width)  # otherwise they could be left out or exchanged
    norms = [lambda x, n=n: F.layer_norm(x, (width,), n.weight, n.bias) for n in lm.norms]
    x = F.embedding(inputs, lm.token_embedding) + lm.position_embedding[:9]
    parts = F.linear(norms[0](x), lm.query_key_value.T).split(width, dim=-1)
    seen = []
    for head in range(heads):
        columns = slice(head * width // heads, (head + 1) * width // heads)
        seen.append(F.scaled_dot_product_attention(*(part[..., columns] for part in parts), is_causal=True))
    x = x + F.linear(torch.cat(seen, dim=-1), lm.attention_output.T)
    x = x + F.linear(F.gelu(F.linear(norms[1](x), lm.mlp_hidden.T)), lm.mlp_output.T)
    torch.testing.assert_close(lm(inputs), F.linear(norms[2](x), lm.token_embedding))


def test_what_comes_later_changes_nothing_earlier_and_everything_from_there_on():
    lm, inputs = model(), tokens(1, 10)
    changed = inputs.clone()
    changed[0, 6] = (inputs[0, 6] + 1) % 12
    difference = (lm(inputs) - lm(changed)).abs().amax(-1)[0]
    assert (difference[:6] == 0).all()
    assert (difference[6:] > 1e-6).all()


def test_padding_changes_nothing():
    lm = model()
    inputs, _ = pad([tokens(5), tokens(9)])
    torch.testing.assert_close(lm(inputs)[0, :4], lm(tokens(1, 5)[:, :4])[0])


def test_a_packed_sequence_gets_the_logits_that_it_gets_alone():
    lm, documents = model(), [tokens(7), tokens(4, seed=1), tokens(5, seed=2)]
    inputs, _, segment_ids = pack(documents, length=12)
    packed = lm(inputs, segment_ids)
    for row, start, document in [(0, 0, documents[0]), (0, 7, documents[1]), (1, 0, documents[2])]:
        torch.testing.assert_close(packed[row, start : start + len(document)], lm(document[None])[0])
    assert not torch.allclose(lm(inputs)[0, 7:11], packed[0, 7:11])


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (1, 1), (1, 48)])
def test_shape_of_the_logits(shape):
    assert model()(tokens(*shape)).shape == (*shape, 12)


def test_any_seed_of_64_bits():
    assert TinyLM(5, seed=2**63 - 1).heads == TinyLM(vocab_size=5, seed=2**62).heads == 2


def test_a_vocabulary_of_one_token():
    assert model(vocab_size=1)(torch.zeros(1, 2, dtype=torch.int64)).shape == (1, 2, 1)


# train


def test_a_fresh_model_knows_nothing(runs):
    """ln 235 = 5.46, and a little more, since no two of its logits are quite equal."""
    assert 0 < runs["full"][1][0] - math.log(len(vocabulary())) < 0.1


def test_it_learns_more_than_how_often_each_character_comes(runs):
    counts = Counter("".join(sentence + END for sentence in corpus()))
    entropy = -sum(n / counts.total() * math.log(n / counts.total()) for n in counts.values())
    for _, losses in runs.values():
        assert losses[-1] < 0.7 * entropy < entropy < losses[0]


def test_the_losses_are_those_of_the_whole_corpus(runs):
    for lm, losses in runs.values():
        assert losses[0] == pytest.approx(corpus_loss(TinyLM(len(vocabulary()))), rel=1e-12)
        assert losses[-1] == pytest.approx(corpus_loss(lm), rel=1e-12)
        assert len(losses) == 1 + STEPS // 10


def test_the_repaired_curve_is_the_full_batch_and_the_naive_is_not(runs):
    full, naive, repaired = (torch.tensor(runs[way][1]) for way in ("full", "naive", "repaired"))
    assert (full - repaired).abs().max() < 1e-5
    assert (naive - full)[1:].min() > 0.01
    assert (naive - full).max() > 0.1


def test_the_same_digits_on_one_thread_and_on_two():
    threads = torch.get_num_threads()
    curves = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            curves.append([f"{loss:.4f}" for loss in train(TinyLM(len(vocabulary())), steps=20)])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert curves[0] == curves[1] == ["5.5504", "4.4130", "3.7914"]  # as in the docstring


@pytest.fixture
def seen(monkeypatch) -> list[list[list[str]]]:
    """Instead of training: the sentences of each micro-batch of each step."""
    steps = []

    def record(lm, micro_batches, rule):
        rows = [
            [decode(row[: n + 1]) for row, n in zip(inputs, (targets != -100).sum(1).tolist(), strict=True)]
            for inputs, targets in micro_batches
        ]
        steps.append([[row.strip(END) for row in part] for part in rows])
        for parameter in lm.parameters():
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(tiny_lm, "accumulate_gradients", record)
    return steps


@pytest.mark.parametrize(
    ("accumulation_steps", "sizes"), [(1, [8]), (2, [4, 4]), (3, [3, 3, 2]), (8, [1, 1, 1, 1, 1, 1, 1, 1])]
)
def test_a_step_has_eight_sentences_however_they_are_split(seen, accumulation_steps, sizes):
    train(TinyLM(len(vocabulary())), accumulation_steps=accumulation_steps, steps=2)
    assert [[len(part) for part in parts] for parts in seen] == [sizes, sizes]
    assert [sorted(itertools.chain(*parts)) for parts in seen] == data_order(seen, steps=2)


def test_the_default_is_250_steps_of_the_full_batch(seen, monkeypatch):
    monkeypatch.setattr(tiny_lm, "_corpus_loss", lambda *_: 1.0)
    assert train(TinyLM(len(vocabulary()))) == [1.0] * 26
    assert [[len(part) for part in parts] for parts in seen] == [[8]] * 250


def data_order(seen: list, steps: int, **options) -> list[list[str]]:
    seen.clear()
    train(TinyLM(len(vocabulary())), steps=steps, **options)
    return [sorted(itertools.chain(*parts)) for parts in seen]


def test_the_order_of_the_data_follows_from_the_seed(seen):
    assert data_order(seen, 3) == data_order(seen, 3, seed=0)
    assert data_order(seen, 3) != data_order(seen, 3, seed=1)


def test_each_sentence_comes_once_before_any_comes_again(seen):
    """361 sentences are 45 steps of 8 and one more sentence; after 91 steps each came twice, and 6 a third time."""
    assert len(corpus()) == 361
    order = data_order(seen, 91)
    once = Counter(itertools.chain(*order[:45]))
    assert len(once) == 360
    assert set(once.values()) == {1}
    assert Counter(Counter(itertools.chain(*order)).values()) == {2: 355, 3: 6}


def test_progress_is_told_after_each_step(seen):
    told = []
    losses = train(TinyLM(len(vocabulary())), steps=11, progress=lambda step, steps: told.append((step, steps)))
    assert told == [(step, 11) for step in range(1, 12)]
    assert len(losses) == 2
    assert len(train(TinyLM(len(vocabulary())), steps=0)) == 1


def test_a_run_that_is_interrupted_gives_the_threads_back(seen):
    def interrupt(step, steps):
        assert torch.get_num_threads() == 1
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        train(TinyLM(len(vocabulary())), progress=interrupt)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def test_adam_as_in_pytorch():
    """On gradients from 1 down to 1e-9, where the 1e-8 in the denominator decides."""
    ours = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    theirs = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=0.3, betas=(0.9, 0.99), eps=1e-8)
    mean, square = torch.zeros(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 6):
        gradient = torch.randn(10, generator=generator, dtype=torch.float64) * torch.logspace(0, -9, 10)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        tiny_lm._adam_step(ours, mean, square, step, 0.3)
        optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_random_numbers_are_drawn_on_the_cpu_whatever_the_default_device():
    wanted, losses = TinyLM(len(vocabulary())), train(TinyLM(len(vocabulary())), steps=10)
    with AnotherDevice():
        one = TinyLM(len(vocabulary()))
        assert all(map(torch.equal, one.parameters(), wanted.parameters()))
        assert train(one, steps=10) == losses
    with torch.device("meta"):
        assert all(parameter.is_meta for parameter in TinyLM(len(vocabulary())).parameters())

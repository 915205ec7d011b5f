"""Every metric against its definition in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hydra_peft.errors import UserError
from hydra_peft.metrics import Metric, find_metric, metric_names, score_text

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(200, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, size=200)
TWO = RANDOM.normal(size=(80, 2)).astype(np.float32)
BINARY = RANDOM.integers(0, 2, size=80)


def softmax(row: np.ndarray) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def confusion(outputs: np.ndarray, targets: np.ndarray) -> tuple[int, int, int, int]:
    said = [int(row[1] > row[0]) for row in outputs]
    pairs = list(zip(said, targets.tolist(), strict=True))
    return pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0))


def ranks(values: np.ndarray) -> list[float]:
    """Ranks from 1, the mean rank for equal values."""
    ordered = sorted(values)
    return [ordered.index(v) + 1 + (ordered.count(v) - 1) / 2 for v in values]


def correlation(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    both = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return both / math.sqrt(sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys))


def test_accuracy_is_the_share_of_right_answers() -> None:
    right = sum(int(row.argmax() == label) for row, label in zip(LOGITS, LABELS, strict=True))
    assert find_metric("accuracy").score(LOGITS, LABELS) == 100.0 * right / 200


def test_mean_per_class_weighs_classes_alike() -> None:
    labels = np.where(RANDOM.random(200) < 0.8, 0, LABELS)  # most are of one class
    said = LOGITS.argmax(axis=1)
    recalls = [np.mean([said[i] == c for i in range(200) if labels[i] == c]) for c in range(5)]
    assert find_metric("mean_per_class").score(LOGITS, labels) == pytest.approx(
        100 * sum(recalls) / 5
    )


def test_mean_per_class_leaves_out_a_class_without_examples(
    recwarn: pytest.WarningsRecorder,
) -> None:
    outputs = np.eye(3, dtype=np.float32)[[0, 0, 2, 1]]
    assert find_metric("mean_per_class").score(outputs, np.array([0, 0, 1, 1])) == 75.0
    assert not recwarn.list


def test_roc_auc_is_the_share_of_pairs_in_order() -> None:
    ones = [softmax(row)[1] for row, label in zip(TWO, BINARY, strict=True) if label]
    zeros = [softmax(row)[1] for row, label in zip(TWO, BINARY, strict=True) if not label]
    pairs = [(a > b) + 0.5 * (a == b) for a in ones for b in zeros]
    assert find_metric("roc_auc").score(TWO, BINARY) == pytest.approx(100 * np.mean(pairs))


@pytest.mark.parametrize(("outputs", "targets"), [(LOGITS, LABELS), (TWO, np.zeros(80, dtype=int))])
def test_roc_auc_refuses_what_is_not_two_classes(outputs: np.ndarray, targets: np.ndarray) -> None:
    with pytest.raises(UserError, match="two classes"):
        find_metric("roc_auc").score(outputs, targets)


def eleven_points(scores: list[float], positives: list[bool]) -> float:
    """vision-evaluation 0.2.9: from recall 1 to 0, in floats, the largest precision so far.

    The curve has a point for each distinct score, from the lowest to the highest, and is closed by
    precision 1 at recall 0.
    """
    curve = []
    for threshold in sorted(set(scores)):
        taken = [p for s, p in zip(scores, positives, strict=True) if s >= threshold]
        curve.append((sum(taken) / sum(positives), sum(taken) / len(taken)))
    curve.append((0.0, 1.0))
    best, at, levels = 0.0, 0, []
    for level in np.linspace(1, 0, 11).tolist():
        while at < len(curve) and level <= curve[at][0]:
            best = max(best, curve[at][1])
            at += 1
        levels.append(best)
    return sum(levels) / 11


def test_map_11point_is_the_definition_of_vision_evaluation() -> None:
    targets = RANDOM.random((200, 5)) < 0.1
    targets[:, 4] = False  # a class without an example has no precision
    chances = np.array([softmax(row) for row in LOGITS])
    expected = [eleven_points(list(chances[:, c]), list(targets[:, c])) for c in range(4)]
    measured = find_metric("map_11point").score(LOGITS, targets)
    assert measured == pytest.approx(100 * sum(expected) / 4, abs=1e-9)


def test_map_11point_of_a_ranking_that_begins_wrong() -> None:
    # Ranked: wrong, right. Precision is 1/2 at ten recalls, and 1 where the curve is closed.
    outputs = np.log(np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32))
    score = find_metric("map_11point").score(outputs, np.array([[False, False], [True, False]]))
    assert score == pytest.approx(100 * (10 * 0.5 + 1) / 11)


def test_f1_and_matthews_follow_from_the_four_counts() -> None:
    tp, fp, fn, tn = confusion(TWO, BINARY)
    f1 = 2 * tp / (2 * tp + fp + fn)
    phi = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert find_metric("f1").score(TWO, BINARY) == pytest.approx(100 * f1)
    assert find_metric("matthews").score(TWO, BINARY) == pytest.approx(100 * phi)


def test_scores_of_one_answer_for_all_are_zero(recwarn: pytest.WarningsRecorder) -> None:
    outputs = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (80, 1))
    assert find_metric("f1").score(outputs, BINARY) == 0
    assert find_metric("matthews").score(outputs, BINARY) == 0
    for name in ("pearson", "spearman"):
        assert find_metric(name).score(outputs[:, :1], LABELS[:80].astype(np.float32)) == 0
    assert not recwarn.list


def test_correlations_follow_from_values_and_ranks() -> None:
    targets = RANDOM.integers(0, 6, size=200).astype(np.float32)
    values = (targets + RANDOM.normal(size=200)).astype(np.float32)[:, None]
    plain = correlation(values[:, 0].astype(float).tolist(), targets.astype(float).tolist())
    ranked = correlation(ranks(values[:, 0]), ranks(targets))
    assert find_metric("pearson").score(values, targets) == pytest.approx(100 * plain)
    assert find_metric("spearman").score(values, targets) == pytest.approx(100 * ranked)


def test_mean_squared_error_is_in_the_unit_of_the_targets() -> None:
    values, targets = np.float32([[1.0], [2.0], [5.0]]), np.float32([1.0, 4.0, 2.0])
    assert find_metric("mse").score(values, targets) == pytest.approx((0 + 4 + 9) / 3)
    assert find_metric("mse").better(1.0, 2.0)


def test_a_score_is_printed_with_its_unit_and_metric() -> None:
    assert score_text("accuracy", 81.236) == "81.24%"
    assert score_text("pearson", -3.0, 1) == "-3.0% pearson"
    assert score_text("mse", 0.0123456) == "0.012346 mse"
    assert score_text("own", 1234.5678) == "1234.6 own"


def test_every_metric_says_what_it_scores() -> None:
    for name in metric_names():
        metric = find_metric(name)
        assert metric.name == name
        assert metric.kinds
        assert metric.title
        assert metric.better(2.0, 1.0) is metric.higher_is_better
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        find_metric("acuracy")


@pytest.mark.parametrize("given", [50.5, np.float32(50.5), 100.00000000000001, -1e-9])
def test_a_value_is_a_float_within_its_bounds(given: object) -> None:
    value = Metric("own", "own", lambda *_: given, kinds=("classification",)).value(TWO, BINARY)  # type: ignore[arg-type, return-value]
    assert type(value) is float
    assert value in (50.5, 100.0, 0.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (math.nan, "gives nan: it must give a finite number from 0 to 100"),
        (100.1, "gives 100.1: it must"),
        ("x", "cannot score: ValueError: could not convert"),
        (None, "cannot score: TypeError"),
        (np.ones(2), "cannot score: TypeError"),
    ],
)
def test_what_a_metric_of_ones_own_may_not_give(given: object, said: str) -> None:
    own = Metric("own", "own", lambda *_: given, kinds=("classification",))  # type: ignore[arg-type, return-value]
    with pytest.raises(UserError, match=f"metric own {said}"):
        own.value(TWO, BINARY)

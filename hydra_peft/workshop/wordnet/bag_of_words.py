"""The baseline of benchmark `mini_glue`: linear models on which words and pairs of words there are.

It stands in the benchmark's yaml as a reference, so that nobody takes for learnt what words give.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hydra_peft.checkout import option
from hydra_peft.data.sources.mini_glue import read_split
from hydra_peft.metrics import find_metric

#: strengths of the models' regularisation that are tried on the split `val`
_STRENGTHS = (0.1, 1.0, 10.0)


def scores(task: str, splits: tuple[str, ...] = ("test",)) -> dict[str, float]:
    """Return the task's primary metric on each of ``splits``, in percent.

    Features are tf-idf of 1- and 2-grams that occur twice or more, of a pair those of both texts
    and of what they share. Classes get a logistic regression, values ridge regression, trained on
    `fit` and `val` with the strength that is best on `val`.
    """
    metric = find_metric(str(option("dataset", f"mini_glue/{task}")["metric"]))

    def score(strength: float, trained: str, scored: str) -> float:
        texts, labels = read_split(task, trained)
        features = _Features(texts)
        model = _model(labels, strength).fit(features.of(texts), labels)
        texts, targets = read_split(task, scored)
        classes = isinstance(labels[0], int)
        rows = features.of(texts)
        outputs = model.predict_proba(rows) if classes else model.predict(rows)[:, None]
        return metric.score(np.asarray(outputs), np.asarray(targets))

    best = max(_STRENGTHS, key=lambda strength: score(strength, "fit", "val"))
    return {split: score(best, "train", split) for split in splits}


def _model(labels: list[Any], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    if isinstance(labels[0], int):
        return LogisticRegression(C=1.0 / strength, max_iter=200)
    return Ridge(alpha=strength)


class _Features:
    """Tf-idf of the words of each text, fitted on ``texts``: columns of them."""

    def __init__(self, texts: tuple[list[str], ...]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, token_pattern=r"[\w']+")
        self._words.fit([text for column in texts for text in column])

    def of(self, texts: tuple[list[str], ...]) -> Any:
        from scipy import sparse

        bags = [self._words.transform(column) for column in texts]
        shared = [bags[0].multiply(bags[1])] if len(bags) == 2 else []
        return sparse.hstack([*bags, *shared]).tocsr()

"""First token embeddings: of tokens that stand near the same others, alike.

Positive pointwise mutual information of tokens within a window, factored by a truncated singular
value decomposition (Levy and Goldberg, Neural Word Embedding as Implicit Matrix Factorization,
2014; counts to the power of 0.75 and the root of the singular values: Levy et al., TACL 2015).
A small model learns little of so many tokens in few epochs when it starts from random ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WINDOW = 4
_SMOOTHING = 0.75


def neighbour_embeddings(
    texts: Sequence[np.ndarray], vocabulary: int, width: int, seed: int
) -> np.ndarray:
    """Return float32 ``[vocabulary, width]``, of mean 0 and variance 1 over all.

    Args:
        texts: token ids of each, int.
        vocabulary: number of tokens; ids lie below it.
        width: of a token's vector.
        seed: of the decomposition's random start.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    # Texts stand apart by a window of tokens that are none.
    gap = np.full(_WINDOW, -1)
    line = np.concatenate([part for text in texts for part in (text, gap)])
    counts = sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float64)
    for distance in range(1, _WINDOW + 1):
        left, right = line[:-distance], line[distance:]
        there = (left >= 0) & (right >= 0)
        near = np.full(int(there.sum()), 1.0 / distance)
        shape = (vocabulary, vocabulary)
        counts += sparse.coo_matrix((near, (left[there], right[there])), shape=shape).tocsr()
    pairs = (counts + counts.T).tocoo()
    total = np.asarray(pairs.sum(axis=1)).ravel()
    context = total**_SMOOTHING
    expected = total[pairs.row] * context[pairs.col] / context.sum()
    information = np.maximum(np.log(pairs.data / expected), 0.0)
    positive = sparse.csr_matrix((information, (pairs.row, pairs.col)), shape=pairs.shape)
    left, values, _ = randomized_svd(positive, width, n_iter=4, random_state=seed)
    vectors = left * np.sqrt(values)
    return ((vectors - vectors.mean(axis=0)) / vectors.std()).astype(np.float32)

"""Sentences about an original that is not the whole of what was published."""

from __future__ import annotations

from hydra_peft.workshop.prepare.originals._source import SourceFolder


def expect_count(source: SourceFolder, what: str, found: int, published: int) -> None:
    """Note it, and ``source`` as incomplete, if it holds another number than was published.

    A part of an original is well-formed and can be prepared; but the order of examples is by hash,
    so other examples than VTAB-1k's may then come first.

    Args:
        what: of what; goes into the sentence.
    """
    if found != published:
        sentence = (
            f"{source.name}: {found:,} {what} where {published:,} were published, so the examples "
            "are not exactly VTAB-1k's."
        )
        source.note(sentence)
        if sentence not in source.incomplete:
            source.incomplete.append(sentence)

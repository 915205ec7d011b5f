"""Worker of pytest-xdist that does a test: the one of its file, or of files alike."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadFileScheduling

#: starts of files' paths; these share a browser, and those what torch.compile and peft set up
TOGETHER = (
    ("tests/report/",),
    (
        *("tests/methods/test_matrix", "tests/methods/test_adapter.py", "tests/methods/test_noah"),
        *("tests/training/test_compiling", "tests/training/test_gpu_compiling"),
        *("tests/adapters/test_low_rank_update", "tests/adaptation/test_wrappers"),
        *("tests/export/", "tests/adaptation/test_peft_loading", "tests/methods/test_on_roberta"),
        *(f"tests/methods/test_{name}.py" for name in ("dora", "ia3", "lora", "vera")),
    ),
)


class Together(LoadFileScheduling):
    """``--dist loadfile`` for which some files are one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((files[0] for files in TOGETHER if file.startswith(files)), file)


def scheduler(config: Any, log: Any) -> Together | None:
    """Return the scheduler for ``--dist loadfile``, and none for other ways."""
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None

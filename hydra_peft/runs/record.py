"""``result.json``: what a run was and what it gave, for tables and for people."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hydra_peft.config.grid import dotted
from hydra_peft.data.split_roles import FURTHER, role_of
from hydra_peft.errors import UserError
from hydra_peft.files import read_json, whole_texts, write_json
from hydra_peft.heads import head_class
from hydra_peft.methods.linear import Linear
from hydra_peft.plain_text import shortened
from hydra_peft.runs._config_contradictions import config_contradiction
from hydra_peft.runs._contradictions import contradiction
from hydra_peft.runs._record_values import missing_results, wrong_values
from hydra_peft.runs.config_file import config_text, not_its_config
from hydra_peft.runs.schema1 import upgraded
from hydra_peft.runs.seal import SEAL, broken, seal

SCHEMA = 2
#: runs that a record may say shared its steps
_MOST_TOGETHER = 1024
FILE = "result.json"
#: beside it, where a run failed
TRACEBACK = "traceback.txt"
STATUSES = ("running", "completed", "failed", "interrupted", "diverged")


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        status: ``running``, ``completed``, ``failed``, ``interrupted`` or ``diverged``.
        config_id: hash of the science; the same science has the same id.
        settings: the science apart from task and seed, recipe values by reference; equal settings
            are one table row.
        benchmark, group, task: the dataset.
        model: the backbone's name.
        method: name and options of the method as they act; ``method_label`` is the short form.
        protocol: its name.
        seed: the run's seed.
        weights: kind (``pretrained`` or ``random``), source and sha256 of the backbone's weights.
        inputs: what the model took: ``image_size``, height and width in pixels; of texts
            ``max_length`` in tokens and the sha256 of the ``tokenizer``; empty where it
            takes no images, and in records of older code.
        data: sha256 of the splits that the run and its tuning read, each split's own and its count,
            lineage, whether it is not the whole task (``partial``: a split has not its expected
            size, or the original was incomplete), and the manifest's ``notes``.
        tuning: what was tried on held-out images before, and chosen; empty without tuning.
        init_from: the run whose adapter was started from: ``config_id``, sha256 of its ``adapter``,
            ``task`` (benchmark and name), hash of its ``settings``; empty where it was fresh.
        scores: value in percent by split and metric; empty before the end, like the next four.
        primary: the metric that tables print and that selects epochs.
        selection: which score counts: ``rule`` (``last`` epoch or ``best`` of several), ``split``,
            ``epoch`` (from 1) and, of ``best``, the number of ``evaluations``; ``chosen_on``, where
            another split chose the epoch; of several evaluations ``looks``, their split and epoch
            and score of the last and of the best, whichever counts.
        counts: examples ``scored`` and, where an example is right or wrong, ``correct``.
        training: mean ``loss`` of the last epoch, and its ``accuracy`` (percent) or None.
        adapter: sha256 of the file with the trained tensors; "" before the end, and of older code.
        predictions: by scored split whether what the model said of each example was kept, see
            :mod:`hydra_peft.runs.kept_predictions`; empty before the end, and of older code.
        outputs: by scored split the sha256 of the file with kept predictions; like them.
        parameters: adapter, head, trainable and total.
        path: which of the ways to compute the same was taken: what was compiled, whether frozen
            features were computed once.
        times: wall seconds by phase.
        images_per_second: training throughput.
        memory: peak bytes and of what.
        hardware, versions, code: where and with what.
        started, ended: UTC times, ISO 8601; of a resumed run of its last part. ``ended`` is None
            while it is going on, and where it was killed.
        error: one sentence, for runs that did not complete.
        traceback: of a failed run the file in its folder that says where in the code it failed.
        resumed: where and when it was picked up again after an interruption: ``at_step`` (steps
            done in all), ``epoch`` (from 1), ``when`` (UTC), ``code`` (which had run until then).
            ``times`` add up over all its parts.
        science: what ``config_id`` hashes.
        schema: version of this layout.
    """

    status: str
    config_id: str
    settings: dict[str, Any]
    benchmark: str
    group: str
    task: str
    model: str
    method: dict[str, Any]
    method_label: str
    protocol: str
    seed: int
    science: dict[str, Any]
    started: str
    weights: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    init_from: dict[str, str] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    primary: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    adapter: str = ""
    predictions: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    path: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    ended: str | None = None
    images_per_second: float | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None
    resumed: list[dict[str, Any]] = field(default_factory=list)
    schema: int = SCHEMA

    @property
    def untrained(self) -> str:
        """The option of ``conf/head`` that the run is, such as ``zero_shot``, where it trained
        nothing and has no adapter; else empty."""
        if self.trains or self.method.get("name") != Linear.name:
            return ""
        with contextlib.suppress(UserError):  # a head that is not here any more
            return head_class(str(self.settings.get("head.name"))).untrained
        return ""

    @property
    def trains(self) -> bool:
        """Whether it has epochs; one that has none scores its model as it starts."""
        return self.settings.get("train.epochs") != 0

    @property
    def trained_parameters(self) -> Mapping[str, int]:
        """Parameters of the adapter and of the head that it trained: 0 where it trained nothing."""
        return self.parameters if self.trains else dict.fromkeys(self.parameters, 0)

    @property
    def label(self) -> str:
        """What the run is called: its method with sizes; what is untrained, ``zero-shot``."""
        return self.untrained.replace("_", "-") or self.method_label

    @property
    def row_method(self) -> dict[str, Any]:
        """Method by which rows are told apart: an untrained run is of none but its own."""
        return {"name": self.label} if self.untrained else self.method

    @property
    def random_weights(self) -> bool:
        """Whether the backbone was drawn at random, or nothing says that it was not."""
        return self.weights.get("kind") != "pretrained"

    @property
    def of(self) -> str:
        """What its examples are: ``texts`` where they were tokenised, else ``images``."""
        return "texts" if "max_length" in self.inputs else "images"

    @property
    def split(self) -> str:
        """The split whose score counts; "" before there is one."""
        return str(self.selection.get("split", ""))

    @property
    def score(self) -> float | None:
        """The score that counts, in percent; None before there is one."""
        return self.scores.get(self.split, {}).get(self.primary)

    @property
    def trained_on(self) -> str:
        """The split that was learnt from."""
        protocol = self.science.get("protocol")
        # Of a search's trials settings are those of the run that they are for.
        own = protocol.get("train_split") if isinstance(protocol, dict) else None
        return str(own or self.settings.get("protocol.train_split", "train"))

    @property
    def rule(self) -> str:
        """Selection rule in words: the epoch whose score counts, if there is any."""
        return self.rule_on(self.chosen_on) if self.trains else "nothing trained"

    def rule_on(self, split: str) -> str:
        """Return :attr:`rule` with the split that chose the epoch called ``split``."""
        if self.selection.get("rule") == "last":
            return "last epoch"
        count = self.selection.get("evaluations")
        return f"best of {count} evaluation{'s' * (count != 1)} on {split}"

    @property
    def chosen_on(self) -> str:
        """The split whose scores chose the epoch, where scores did."""
        return str(self.selection.get("chosen_on", self.split))

    def shown_on(self, split: str) -> Record:
        """Return the record with its score on ``split`` as the one that counts.

        The epoch is still chosen by the split that it was chosen by.
        """
        shown = {**self.selection, "split": split, "chosen_on": self.chosen_on}
        return dataclasses.replace(self, selection=shown)

    def role(self, split: str) -> str:
        """Return the role of ``split`` in the run's task; its own name where others share it."""
        role = role_of(split, self._roles)
        return split if role == FURTHER else role

    @property
    def on_test(self) -> bool:
        """Whether the score that counts is of the test set or of one that is scored beside it."""
        return self.tests(self.split)

    def tests(self, split: str) -> bool:
        """Whether ``split`` is the test set of the run's task, or one that is scored beside it."""
        return role_of(split, self._roles) in ("test", FURTHER)

    @property
    def _roles(self) -> Mapping[str, Any] | None:
        dataset = self.science.get("dataset")
        return dataset.get("splits") if isinstance(dataset, dict) else None

    @property
    def selected_on_test(self) -> bool:
        """Whether the epoch was chosen by its score on the test set."""
        return self.tests(self.chosen_on) and self.selection.get("rule") == "best"

    @property
    def begun(self) -> datetime:
        """Time of its start, to compare with others', which may be of another zone."""
        return datetime.fromisoformat(self.started)

    @property
    def together(self) -> int:
        """The most runs that shared a training step with this one, itself included."""
        packed = self.path.get("packed")
        return packed if type(packed) is int and 1 <= packed <= _MOST_TOGETHER else 1

    @property
    def same(self) -> tuple[str, str, str]:
        """What two runs have in common of which one is a copy, or was done elsewhere too."""
        return (
            self.config_id,
            str(self.weights.get("sha256")),
            str(self.data.get("sha256")),
        )

    @property
    def when(self) -> str:
        """Time of its end, as far as that is known."""
        return self.ended or f"(started) {self.started}"


def class_names(record: Record, count: int) -> tuple[str, ...]:
    """Return the names of ``count`` classes as ``record`` has them, else their numbers from 0."""
    names = record.data.get("classes")
    if isinstance(names, list) and len(names) == count:
        return tuple(map(str, names))
    return tuple(map(str, range(count)))


def completed_score(record: Record) -> float:
    """Return the score (percent) of a completed run, which always has one."""
    assert record.score is not None, "checked by read_record"
    return record.score


def utc_now() -> str:
    """Return the time as records have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_record(record: Record, folder: Path) -> None:
    """Write ``record`` to ``folder/result.json``, atomically, sealed with the config beside it.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    values = whole_texts(dataclasses.asdict(record))  # as they are read again
    write_json(folder / FILE, {**values, SEAL: seal(values, folder)})


def read_record(
    folder: Path, doubts: list[str] | None = None, unsealed: list[Path] | None = None
) -> Record:
    """Read ``folder/result.json``; of a completed run compare it with its seal and with itself.

    Args:
        folder: a run's.
        doubts: gets a sentence where the record of a completed run, or the ``config.yaml`` beside
            it, is not as the run wrote it, for who finds out what is right; None refuses it.
        unsealed: gets the file of a completed run that has no seal although its layout is of code
            that seals.

    Raises:
        UserError: the file is missing, damaged, of another schema version, or holds what no run
            writes.
    """
    path = folder / FILE
    values = read_json(path)
    given = values.pop(SEAL, None)
    found = [] if given is None else broken(given, values, path)
    record = _record(values, path)
    if record.status == "completed":
        if reason := contradiction(record):
            found.append(f"{path} contradicts itself: {shortened(reason, 300)}: edited?")
        if doubt := _doubt_of_config(record, folder):
            found = [sentence for sentence in found if sentence != not_its_config(folder)]
            found += [doubt] if doubt not in found else []
        if found and doubts is None:
            raise UserError(found[0])
        if doubts is not None:
            doubts += found
        if given is None and unsealed is not None and values["schema"] == SCHEMA:
            unsealed.append(path)
    return record


def _doubt_of_config(record: Record, folder: Path) -> str:
    """Return a sentence on the ``config.yaml`` beside ``record`` where it cannot be its own."""
    try:
        config = config_text(folder)
    except UserError as error:
        return str(error)
    reason = "" if config is None else config_contradiction(record, config)
    return not_its_config(folder, shortened(reason, 300)) if reason else ""


def _record(values: dict[str, Any], path: Path) -> Record:
    """Return the record of a file's ``values``, whose keys and types are then those of a run's."""
    schema = values.get("schema")
    if schema == 1 and type(schema) is int:
        values = upgraded(values)
    elif schema != SCHEMA:
        raise UserError(
            f"{path} has schema {schema!r}, this version reads 1 and {SCHEMA}: "
            "use the version of hydra_peft that wrote it."
        )
    if isinstance(values.get("tuning"), dict):
        values = {**values, "tuning": with_dotted_keys(values["tuning"])}
    fields = {f.name: f for f in dataclasses.fields(Record)}
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    unknown = sorted(values.keys() - fields.keys())
    if missing or unknown:
        raise UserError(f"{path} lacks {missing} and has the unknown {unknown}: edited?")
    record = Record(**values)
    _check_values(record, path)
    return record


def with_dotted_keys(tuning: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was tried and chosen by dotted key; older code named ``lr`` and two options."""
    found = dict(tuning)
    for part in ("chosen", "space"):
        if isinstance(found.get(part), dict):
            found[part] = dotted(found[part])
    if isinstance(found.get("candidates"), list):
        found["candidates"] = [
            dotted(one) if isinstance(one, dict) else one for one in found["candidates"]
        ]
    return found


def _check_values(record: Record, path: Path) -> None:
    wrong = ["status"] if record.status not in STATUSES else []
    wrong += ["traceback"] if record.traceback not in (None, TRACEBACK) else []
    wrong += wrong_values(record)
    if wrong:
        # Names of parameters are from the file.
        raise UserError(f"{path} has no usable {shortened(', '.join(wrong), 200)}: edited?")
    if record.status == "completed" and (lacks := missing_results(record)):
        raise UserError(f"{path} is of a completed run, yet lacks {lacks}: edited?")

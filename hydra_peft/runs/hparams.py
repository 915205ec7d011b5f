"""One row of TensorBoard's HParams tab for each run, made of its record.

The tab takes hyper-parameters and status from the first of each in a run's event files, and metrics
from the last scalars. What may still change, the end of a failed run, is therefore in a file of its
own, which goes when the run is taken up again. No list of columns is written: the tab then shows
whatever its runs have.
"""

from __future__ import annotations

import io
import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.files import atomic_write, open_to_append, own_folder
from hydra_peft.runs.record import Record

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

TENSORBOARD = "tensorboard"
#: ending of the event file that says how a failed run ended
FAILED = ".failed"
_EVENTS = "events.out.tfevents."
#: parts of a record's science that are columns, beside what stands in the record itself
_SCIENCE = {
    "head": ("name",),
    "optimizer": ("lr", "weight_decay"),
    "scheduler": ("name", "warmup_epochs"),
    "train": ("epochs", "batch_size"),
}


def hyper_parameters(record: Record) -> dict[str, bool | float | str]:
    """Return the columns that tell runs apart, named as on the command line."""
    values: dict[str, Any] = {
        "benchmark": record.benchmark,
        "dataset": record.task,
        "data.partial": bool(record.data.get("partial")),
        "model": record.model,
        "weights": record.weights.get("kind"),
        "protocol": record.protocol,
        "precision": record.science.get("precision"),
        "seed": record.seed,
        "method": record.method.get("name"),
    }
    values |= {f"method.{k}": value for k, value in record.method.items() if k != "name"}
    for group, names in _SCIENCE.items():
        given = record.science.get(group, {})
        values |= {f"{group}.{name}": given.get(name) for name in names}
    # Its science says only that they were searched for, its method has what was chosen.
    chosen = record.tuning.get("chosen", {})
    values |= {key: v for key, v in chosen.items() if not key.startswith("method.")}
    return {key: _plain(value) for key, value in values.items() if value is not None}


def results(record: Record) -> dict[str, float]:
    """Return the scores (percent, named by split and metric), parameters, seconds."""
    parameters, times = record.parameters, record.times
    values: dict[str, float | None] = {
        f"result/{split}_{metric}": value
        for split, found in record.scores.items()
        for metric, value in found.items()
    }
    values |= {f"result/{name}_parameters": parameters.get(name) for name in ("adapter", "head")}
    values |= {f"result/{name}_seconds": times.get(name) for name in ("train", "total")}
    return {name: float(value) for name, value in values.items() if value is not None}


def beginning(record: Record) -> Summary:
    """Return the summary that makes a row of the run ``record`` is of."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    started = datetime.fromisoformat(record.started).timestamp()
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in hyper_parameters(record).items():
        kind = "bool" if isinstance(value, bool) else "string"
        kind = "number" if isinstance(value, float) else kind
        setattr(info.hparams[name], f"{kind}_value", value)
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    return _summary(metadata.SESSION_START_INFO_TAG, data)


def write_end(record: Record, folder: Path) -> None:
    """Add to the run in ``folder`` how it ended; nothing for one that was only interrupted.

    Args:
        record: the run's, as it is at the end.
        folder: the run's; nothing else writes into its event files any more.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    own_events(folder)
    if record.status != "failed":
        forget_end(folder)
    if record.status in ("running", "interrupted"):
        return
    step = int(record.selection.get("epoch", 0))
    newest = max(_event_files(folder), default=None)
    if record.status != "failed" and newest is not None:
        with open_to_append(newest) as file:
            file.write(_events(step, *_ending(record)))
        return
    name = f"{_EVENTS}{int(time.time())}" if newest is None else newest.name.removesuffix(FAILED)
    content = _events(step, beginning(record), *_ending(record))
    atomic_write(folder / TENSORBOARD / f"{name}{FAILED}", content)


def forget_end(folder: Path) -> None:
    """Remove what :func:`write_end` wrote of a failure that the run in ``folder`` came over."""
    for path in _event_files(folder):
        if path.name.endswith(FAILED):
            path.unlink(missing_ok=True)


def _event_files(folder: Path) -> list[Path]:
    """Return the files of a run's events; a folder of such a name is somebody else's."""
    return [path for path in (folder / TENSORBOARD).glob(f"{_EVENTS}*") if not path.is_dir()]


def own_events(folder: Path) -> None:
    """Make the run's folder of event files, without links: TensorBoard opens files by name."""
    own_folder(folder / TENSORBOARD)
    with os.scandir(folder / TENSORBOARD) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False):
                os.unlink(entry)


def _plain(value: Any) -> bool | float | str:
    if isinstance(value, bool | str):
        return value
    return float(value) if isinstance(value, int | float) else str(value)


def _ending(record: Record) -> list[Summary]:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    completed = record.status == "completed"
    status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    scalars = [Summary.Value(tag=k, simple_value=value) for k, value in results(record).items()]
    return [Summary(value=scalars), _summary(metadata.SESSION_END_INFO_TAG, data)]


def _summary(tag: str, data: Any) -> Summary:
    """Return a summary that carries ``data`` for the tab, as the plugin's own writers do."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    value = Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])


def _events(step: int, *summaries: Summary) -> bytes:
    """Return ``summaries`` as the records of an event file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for summary in summaries:
        event = Event(wall_time=time.time(), step=step, summary=summary)
        writer.write(event.SerializeToString())
    return buffer.getvalue()

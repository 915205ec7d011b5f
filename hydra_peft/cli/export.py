"""``scripts/export.py``: a trained run in the form of another library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra_peft.checkout import CACHE
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError
from hydra_peft.export.exporting import check_form, export_run
from hydra_peft.export.pushing import push_run
from hydra_peft.hub import check_can_push
from hydra_peft.plain_text import in_short
from hydra_peft.runs.folder import check_run_folder
from hydra_peft.runs.recorded import look_at_run

USAGE = """\
Write a trained run in the form of another library, read it back there and compare its outputs.

python scripts/export.py run=<folder> to=timm|adapter|peft|onnx|torch [output=<folder>]
                         [checkpoint=<file>] [data=<folder>] [cache=<folder>]
                         [plugins=<module>]
python scripts/export.py run=<folder> to=hub output=<user>/<name> [form=adapter|timm|...]
                         [private=true] ...

  run         a run folder, as train.py printed it
  to          timm  merged weights that timm.create_model(checkpoint_path=...) loads (safetensors)
              adapter  adapter and head alone, for hydra_peft.load_adapter
              peft  an adapter that peft's PeftModel.from_pretrained loads onto timm's model: LoRA,
                    and SeqLoRA and Hydra as the exact LoRA that they equal; DoRA, VeRA, IA3
              onnx  one graph from uint8 pixels to logits, any batch size, for onnxruntime
              torch the same as a program of torch.export (model.pt2)
              hub   one of these pushed to the Hugging Face hub, with its card
  output      the folder to write; <run>/<to> without it; of to=hub the repository
  form        of to=hub: what is pushed (default: adapter)
  private     of to=hub: whether a repository that is made is private (default: false)
  checkpoint  the backbone's weights, if they have moved since
  data        the folder of prepared data, if it has moved since
  cache       where generated images are kept (default: results/cache)
  plugins     modules of your own that the run was trained with (docs/plugins.md)

onnx and torch are compared on images of the run's scored split too, where they are there. Beside
it lies README.md, a model card: scores with their protocol, hashes, how to load it.
Exit code 0: written, and it computes what the run's model does; 2: a mistake."""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    run: str
    to: Literal["timm", "adapter", "peft", "onnx", "torch", "hub"]
    output: str = ""
    form: Literal["", "adapter", "timm", "peft", "onnx", "torch"] = ""
    private: bool = False
    checkpoint: str = ""
    data: str = ""
    cache: str = str(CACHE)
    plugins: str = ""


def main() -> int:
    """Write the export; return 0."""
    return guarded(_main, "output")


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    folder = Path(arguments.run).expanduser()
    if arguments.to == "hub":
        return _push(arguments, folder)
    if arguments.form or arguments.private:
        raise UserError("form= and private= are of to=hub: leave them out, or push with to=hub.")
    check_form(arguments.to)
    check_run_folder(folder)
    output = Path(arguments.output).expanduser() if arguments.output else folder / arguments.to
    if output.exists() and not output.is_dir():
        raise UserError(f"output={output} is no folder: name one.")
    check_writable(output, "output")
    written: list[Path] = []
    export_run(
        folder,
        arguments.to,
        output,
        checkpoint=arguments.checkpoint or None,
        data=arguments.data or None,
        cache=arguments.cache,
        written=written,
    )
    names = ", ".join(path.name for path in written)
    print(in_short(f"written: {output} ({names})"))
    return 0


def _push(arguments: Arguments, folder: Path) -> int:
    if not arguments.output:
        raise UserError("to=hub pushes to a repository: give output=<user>/<name>.")
    form = arguments.form or "adapter"
    check_form(form)
    check_can_push(arguments.output)
    check_run_folder(folder)
    look_at_run(folder, checkpoint=arguments.checkpoint or None)
    address = push_run(
        folder,
        arguments.output,
        form,
        private=arguments.private,
        checkpoint=arguments.checkpoint or None,
        data=arguments.data or None,
        cache=arguments.cache,
    )
    print(in_short(f"pushed: {address}"))
    return 0

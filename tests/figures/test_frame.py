"""Figures are found by name, drawn in one style, and saved with their numbers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, RunFigure, all_figures, find_figure, render, save
from hydra_peft.figures._looks import looks
from hydra_peft.figures._style import COLUMN, picture


def plot(data: FigureData):
    made = picture(COLUMN, 2.0)
    axes = made.add_subplot()
    axes.plot(data.table["x"], data.table["y"], **looks(["hydra"])[0], label="series")
    axes.legend()
    return made


FIGURE = RunFigure(name="toy", title="a toy", data=lambda *_: toy(), plot=plot)


def toy() -> FigureData:
    table = pd.DataFrame({"x": [1, 2, 3], "y": [0.1, 1 / 3, 2e-17]})
    mean = pd.DataFrame({"mean": [0.5]})
    return FigureData({"": table, "mean": mean}, "Measured: 3 points.", ("left alone: one",))


def test_saves_pdf_png_and_numbers(tmp_path: Path) -> None:
    data = toy()
    files = save(FIGURE.draw(data), data, tmp_path / "new" / "toy")
    names = ["toy.pdf", "toy.png", "toy.txt", "toy.csv", "toy-mean.csv"]
    assert [file.name for file in files] == names
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(names)
    pd.testing.assert_frame_equal(pd.read_csv(files[3]), data.table, check_exact=True)
    pdf, png = files[0].read_bytes(), files[1].read_bytes()
    assert pdf.startswith(b"%PDF")
    assert png.startswith(b"\x89PNG")
    # width in the header: 3.3 inches at 200 dots
    assert int.from_bytes(png[16:20], "big") == 660
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf
    # The caption is beside the picture and inside of its files, not in the picture.
    assert files[2].read_text() == "Measured: 3 points.\n\nleft alone: one\n"
    assert b"Description\0Measured: 3 points." in png
    assert b"/Subject (Measured: 3 points.)" in pdf
    assert b"<dc:description>Measured" in render(FIGURE.draw(data), "svg", data.caption)


@pytest.mark.parametrize("form", ["pdf", "png", "svg"])
def test_the_same_data_gives_the_same_bytes(form: str) -> None:
    first = render(FIGURE.draw(toy()), form)
    assert first == render(FIGURE.draw(toy()), form)
    assert b"CreationDate" not in first
    assert not re.search(rb"<dc:date>", first)


def test_a_users_settings_of_matplotlib_neither_count_nor_change() -> None:
    expected = render(FIGURE.draw(toy()), "png")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.grid": True}):
        assert render(FIGURE.draw(toy()), "png") == expected
        assert matplotlib.rcParams["font.size"] == 20


def test_a_backend_that_is_not_here_does_not_count() -> None:
    code = "from hydra_peft.figures._style import style\nwith style(): pass\n"
    code += "import matplotlib; print(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    for given, kept in (("none of ours", "agg none of ours"), ("svg", "svg svg")):
        done = subprocess.run(
            [sys.executable, "-c", f"import os\n{code}"],
            env={**os.environ, "MPLBACKEND": given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout.strip(), done.stderr) == (kept, "")


def test_text_is_readable() -> None:
    made = FIGURE.draw(toy())
    made.canvas.draw()
    texts = [t for t in made.findobj(matplotlib.text.Text) if t.get_text() and t.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 7.0


def test_every_figure_has_a_name_a_title_and_settings_of_known_types() -> None:
    figures = all_figures()
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert find_figure(figure.name) is figure
        assert figure.title
        figure.settings()


def test_an_unknown_name_is_a_mistake() -> None:
    with pytest.raises(UserError, match="figure 'nine' is unknown"):
        find_figure("nine")


def test_finding_figures_loads_no_heavy_library() -> None:
    code = (
        "import sys; from hydra_peft.figures import all_figures; all_figures(); "
        "heavy = {'matplotlib', 'pandas', 'torch', 'sklearn', 'scipy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

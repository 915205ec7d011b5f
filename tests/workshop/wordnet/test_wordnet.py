"""Benchmark mini_glue from a made-up WordNet in the original format, and its committed files."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from small_wordnet import line, small_wordnet, write

from hydra_peft.backbones.roberta_mini import ROBERTA_MINI
from hydra_peft.backbones.transformers_folder import describe_folder
from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.data.sources.mini_glue import CLASSES, FOLDER, read_split
from hydra_peft.errors import UserError
from hydra_peft.workshop.pretraining_text.corpus import corpus
from hydra_peft.workshop.wordnet.acceptable import disagree, drop_article, exchange
from hydra_peft.workshop.wordnet.bag_of_words import scores
from hydra_peft.workshop.wordnet.library import Library
from hydra_peft.workshop.wordnet.making import TASKS, make
from hydra_peft.workshop.wordnet.shares import hidden_texts, share_of
from hydra_peft.workshop.wordnet.similar import wu_palmer
from hydra_peft.workshop.wordnet.synsets import NOUN_FILES, Synset, read_licence, read_synsets


@pytest.fixture(scope="module")
def synsets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synset]:
    folder = tmp_path_factory.mktemp("wordnet")
    return read_synsets(folder, small_wordnet(folder))


@pytest.fixture(scope="module")
def made(synsets: dict[str, Synset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(synsets, "A notice.\n", folder, at_most=6)
    return folder


def table(folder: Path, task: str, split: str) -> list[dict[str, str]]:
    with (folder / task / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_a_line_is_read_as_its_manual_page_has_it(tmp_path: Path) -> None:
    gloss = 'a small dog: (used of pets); bred for "toy" shows; "the lap_dog sat"'
    nouns = line(7, 5, "n", "lap_dog,Pom(a)", [("@", 8), ("@i", 9), ("!", 8), ("~", 1)], gloss)
    hashes = write(tmp_path, {"data.noun": nouns})
    (one,) = read_synsets(tmp_path, hashes).values()
    assert one == Synset(
        id="n00000007",
        file=5,
        words=("lap dog", "Pom"),
        hypernyms=("n00000008",),
        instance=True,
        antonyms=("n00000008",),
        definition="a small dog: (used of pets); bred for",
        examples=("toy", "the lap_dog sat"),
    )
    assert read_licence(tmp_path) == "A made-up notice of a licence,\nin two lines.\n"


def test_other_files_than_wordnets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.noun is not there: give source="):
        read_synsets(tmp_path)
    write(tmp_path, {"data.noun": ""})
    with pytest.raises(UserError, match=r"data\.noun is not the one of Debian's package"):
        read_synsets(tmp_path)
    hashes = write(tmp_path, {"data.noun": "00000001 05 n 02 dog 0 | a\n"})
    with pytest.raises(UserError, match="has a line that is no synset: '00000001 05 n 02 dog 0"):
        read_synsets(tmp_path, hashes)


def test_the_files_are_the_same_bytes_each_time(
    synsets: dict[str, Synset], made: Path, tmp_path: Path
) -> None:
    counts = make(synsets, "A notice.\n", tmp_path, at_most=6)
    assert set(counts.values()) == {6}
    files = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    assert files == {*(Path(f"{one}.tsv") for one in counts), Path("LICENSE")}
    assert all((tmp_path / one).read_bytes() == (made / one).read_bytes() for one in files)


def test_a_wordnet_that_lacks_examples_is_refused(synsets: dict[str, Synset]) -> None:
    with pytest.raises(UserError, match=r"of task supersense there are \d+ examples for fit, and"):
        make(synsets, "", Path("/nowhere"))


@pytest.mark.parametrize("folder", ["made", "committed"])
@pytest.mark.parametrize("task", TASKS)
def test_no_text_is_in_two_splits(task: str, folder: str, made: Path) -> None:
    place = made if folder == "made" else FOLDER
    seen = [
        {row[column].lower() for row in table(place, task, split) for column in TASKS[task].columns}
        for split in TASKS[task].splits
    ]
    assert sum(map(len, seen)) == len(set().union(*seen))


def test_nothing_pretrains_on_texts_of_the_test_share(synsets: dict[str, Synset]) -> None:
    read = " ".join(text for pair in corpus(synsets.values()) for text in pair).lower()
    hidden = hidden_texts(synsets.values())
    assert len(hidden) > 500
    assert not [text for text in hidden if text in read]
    shares = Counter(share_of(id) for id in synsets)
    assert {name: round(10 * n / len(synsets)) for name, n in shares.items()} == {
        "fit": 6,
        "val": 2,
        "test": 2,
    }


@pytest.mark.parametrize("split", ["fit", "test", "verbs"])
def test_a_hypothesis_has_a_premise_of_each_class(split: str, made: Path) -> None:
    for place in (made, FOLDER):
        rows = table(place, "entail", split)
        for start in range(0, len(rows), 3):
            three = rows[start : start + 3]
            assert len({row["hypothesis"] for row in three}) == 1
            assert [row["label"] for row in three] == ["0", "1", "2"]
        premises = [row["premise"] for row in rows]
        assert len(set(premises)) == len(premises)


def test_premises_are_children_strangers_and_sisters(
    synsets: dict[str, Synset], made: Path
) -> None:
    by_text = {one.definition: one for one in synsets.values()}
    below = Library(synsets).below
    for row in table(made, "entail", "test"):
        premise, hypothesis = by_text[row["premise"]], by_text[row["hypothesis"]]
        child = premise.id in below[hypothesis.id]
        sister = premise.hypernyms == hypothesis.hypernyms
        assert (child, sister) == {"0": (True, False), "1": (False, False), "2": (False, True)}[
            row["label"]
        ]


@pytest.mark.parametrize("task", ["acceptable", "same_sense"])
def test_classes_of_two_are_as_frequent(task: str) -> None:
    labels = read_split(task, "test")[1]
    assert Counter(labels) == {0: len(labels) / 2, 1: len(labels) / 2}


def test_a_first_sentence_stands_with_the_same_and_with_another_sense(made: Path) -> None:
    rows = table(made, "same_sense", "fit")
    for other, same in zip(rows[::2], rows[1::2], strict=True):
        assert other["sentence1"] == same["sentence1"]
        assert (other["label"], same["label"]) == ("0", "1")
        word, _, sentence = same["sentence1"].partition(": ")
        assert all(word in text for text in (sentence, same["sentence2"], other["sentence2"]))


def test_similarity_is_that_of_wu_and_palmer(tmp_path: Path) -> None:
    # 1 over 2 and 3, 2 over 4, 4 over 5
    above = {1: [], 2: [1], 3: [1], 4: [2], 5: [4]}
    nouns = "".join(
        line(n, 5, "n", "w", [("@", one) for one in parents], "g") for n, parents in above.items()
    )
    library = Library(read_synsets(tmp_path, write(tmp_path, {"data.noun": nouns})))

    def value(first: int, second: int) -> float:
        return wu_palmer(library, f"n{first:08d}", f"n{second:08d}")

    assert value(2, 3) == pytest.approx(2 * 1 / (1 + 1 + 2 * 1))
    assert value(5, 3) == value(3, 5) == pytest.approx(2 * 1 / (3 + 1 + 2 * 1))
    assert value(5, 2) == pytest.approx(2 * 2 / (2 + 0 + 2 * 2))
    assert value(4, 4) == 1.0


def test_changes_of_sentences() -> None:
    assert exchange("we saw them") is None
    assert exchange("we saw him today") == "we him saw today"
    assert exchange("bread and butter or salt") is None
    assert drop_article("they need a car today") == "they need car today"
    assert drop_article("A few of the people have a little") is None
    assert disagree("my dogs are old") == "my dogs is old"
    assert disagree("she has gone") == "she have gone"
    assert disagree("she went home") is None


@pytest.mark.parametrize("task", TASKS)
def test_the_committed_files_are_as_their_yaml_says(task: str) -> None:
    yaml = option("dataset", f"mini_glue/{task}")
    for split, size in yaml["sizes"].items():
        texts, labels = read_split(task, split)
        assert {len(column) for column in texts} == {len(labels)} == {size}
        assert len(CLASSES.get(task, (task,))) == yaml["classes"]
        if yaml["classes"] > 1:
            assert set(labels) == set(range(yaml["classes"])) or task == "supersense"
            assert max(labels) < yaml["classes"]
        else:
            assert 0.0 <= min(labels) < 1.0 < 4.0 < max(labels) <= 5.0


def test_categories_are_those_of_wordnets_files() -> None:
    # reference: lexnames(5) of WordNet 3.0, and what a definition of each kind says
    assert (NOUN_FILES[3], NOUN_FILES[18], NOUN_FILES[28]) == ("top", "person", "time")
    texts, labels = read_split("supersense", "test")
    named = {text: CLASSES["supersense"][label] for text, label in zip(*texts, labels, strict=True)}
    assert named["a musical composition written for seven performers"] == "communication"


def test_the_embedded_encoder_is_small_and_as_its_yaml_says() -> None:
    folder = FOLDER.parent / "roberta_mini"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 5_000_000
    described = describe_folder(str(folder))
    assert described["architecture"] == "roberta"
    assert described["arguments"] == ROBERTA_MINI
    assert option("model", "roberta_mini")["arguments"] == {**ROBERTA_MINI, "pooling": "mean"}


@pytest.mark.long
def test_the_reference_is_what_a_bag_of_words_scores() -> None:
    (reference,) = find_benchmark("mini_glue").references.values()
    assert {task: round(scores(task)["test"], 1) for task in TASKS} == reference


def test_the_committed_files_are_small_and_carry_their_notice() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 2_000_000
    assert "WordNet 3.0 Copyright 2006 by Princeton University." in (FOLDER / "LICENSE").read_text()

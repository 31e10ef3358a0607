"""The page as text: whole, closed to the outside, safe with any name, and small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan import BoundaryScores, Proposals, Video
from actspan.core.errors import ConfigError, DataError, MissingExtraError
from actspan.core.tiou import evaluated_tiou_matrix
from actspan.data.result_writers import write_result
from actspan.jobs.run import RESULT, Run
from actspan.report.contents import GroundTruth, gather
from actspan.report.figures import inline_svg, new_figure, set_tip
from actspan.report.page import PageOptions, check_page, render, write_report
from actspan.report.page_data import pack
from actspan.report.summary import give_verdict
from actspan.report.video_list import list_videos
from tests.report.conftest import Material
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth

NASTY = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


@pytest.fixture(scope="module", autouse=True)
def _needs_jinja2() -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report'")


class Page(HTMLParser):
    """Elements of a page, and the text of its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(material: Material) -> str:
    contents = gather([material.first, material.second], GroundTruth(material.truth))
    return render(contents, list_videos(contents), give_verdict(contents)).decode()


def data_of(page: str) -> dict[str, Any]:
    inside = page.partition('id="data">')[2].partition("</script>")[0]
    document: dict[str, Any] = json.loads(inside)
    return document


def test_the_page_has_every_chapter(page: str) -> None:
    ids = {attributes.get("id") for _, attributes in Page(page).elements}
    chapters = {
        "verdict",
        "tables",
        "recall",
        "stages",
        "gains",
        "kinds",
        "calibration",
        "detections",
        "videos",
        "runs",
    }
    assert chapters <= ids
    assert "B - A" in page


def test_the_same_contents_give_the_same_bytes(material: Material) -> None:
    contents = gather([material.first], GroundTruth(material.truth))
    listing, verdict = list_videos(contents), give_verdict(contents)
    assert render(contents, listing, verdict) == render(contents, listing, verdict)


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for tag, attributes in Page(page).elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "action", "style"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", page)
    assert "@import" not in page


def test_the_policy_names_what_may_run_by_its_hash(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'")
    assert "unsafe" not in allowed
    inline = re.findall(r"<(?:style|script|script type=\"module\")>(.*?)</", page, re.DOTALL)
    assert len(inline) == 3
    for text in inline:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in allowed


def test_names_cannot_break_out(tmp_path: Path) -> None:
    video = Video(NASTY, 60.0, "validation", np.array([[0.0, 10.0]]), (NASTY,))
    other = Video("b", 60.0, "validation", np.array([[0.0, 10.0]]), (NASTY,))
    folder = tmp_path / NASTY.replace("/", "|")
    folder.mkdir()
    write_result(
        folder / RESULT,
        {v.id: Proposals([0.0], [9.0], [0.5], unit="seconds") for v in (video, other)},
    )
    out = tmp_path / "report.html"
    write_report([folder], out, truth=GroundTruth(write_truth(tmp_path / "set", [video, other])))
    page = out.read_text()
    parsed = Page(page)
    assert "img" not in [tag for tag, _ in parsed.elements]
    assert sum(tag == "script" for tag, _ in parsed.elements) == 3
    assert NASTY in parsed.texts
    assert data_of(page)["videos"][0]["id"] in (NASTY, "b")
    assert NASTY in data_of(page)["labels"]


def test_data_are_what_the_run_holds(material: Material, page: str) -> None:
    packed = data_of(page)
    video = packed["videos"][3]
    run = Run.load(material.first)
    with run.scores() as scores:
        curves = np.asarray(scores.read(video["id"]))
    cells = np.frombuffer(base64.b64decode(video["runs"][0]["curves"]), np.uint8).reshape(3, -1)
    assert np.abs(cells / 255 - curves).max() <= 0.5 / 255 + 1e-6
    found = run.proposals()[video["id"]]
    values = np.frombuffer(base64.b64decode(video["runs"][0]["proposals"]), "<f4").reshape(3, -1)
    best = found[:10]
    np.testing.assert_allclose(values, [best.start, best.end, best.score], rtol=1e-6)
    assert "labels" not in video["runs"][0]
    labels = [packed["labels"][code] for code in video["runs"][1]["labels"]]
    assert set(labels) <= {"jump", "throw"}


def test_hits_are_those_of_the_evaluation(material: Material, tmp_path: Path) -> None:
    few = {name: found[:4] for name, found in Run.load(material.first).proposals().items()}
    write_result(tmp_path / RESULT, few)  # so that instances are missed
    contents = gather([tmp_path / RESULT], GroundTruth(material.truth))
    outcomes = set()
    for video in pack(contents, list_videos(contents))["videos"]:
        packed, best = video["runs"][0], few[video["id"]]
        if video["auc"][0] is None:
            assert "ranks" not in packed
            continue
        starts, ends = np.frombuffer(base64.b64decode(video["truth"]), "<f4").reshape(2, -1)
        reached = evaluated_tiou_matrix(starts, ends, best.start, best.end) >= 0.5
        assert packed["ranks"] == [int(r.argmax()) if r.any() else -1 for r in reached]
        assert packed["hits"] == reached.any(axis=0).astype(int).tolist()
        assert video["missed"][0] == sum(rank < 0 for rank in packed["ranks"])
        outcomes |= set(packed["ranks"])
    assert {-1, 0, 1} <= outcomes


def test_links_to_the_viewer(material: Material, tmp_path: Path) -> None:
    options = PageOptions(viewer="http://127.0.0.1:8000/#id=other")
    written = write_report([material.first], tmp_path / "report.html", options=options)
    assert data_of(written.path.read_text())["viewer"] == "http://127.0.0.1:8000/"
    with pytest.raises(ConfigError, match="actspan serve"):
        PageOptions(viewer="javascript:alert(1)")


def test_long_curves_keep_their_peaks(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    action = np.zeros(5000, np.float32)
    action[[7, 4999]] = 1
    scores = BoundaryScores(action, action, action)
    monkeypatch.setattr("actspan.data.scores.ScoreFiles.read", lambda *_: scores)
    contents = gather([material.first / RESULT])
    side = gather([material.first], GroundTruth(material.truth)).runs[0]
    contents = type(contents)((side,), contents.videos, "", "", ())
    packed = pack(contents, list_videos(contents, ["video1"]))
    cells = np.frombuffer(base64.b64decode(packed["videos"][0]["runs"][0]["curves"]), np.uint8)
    assert len(cells) == 3 * 400
    assert cells.reshape(3, 400).argmax(axis=1).tolist() == [0, 0, 0]
    assert cells.reshape(3, 400)[:, -1].tolist() == [255, 255, 255]


def test_two_runs_of_5000_videos_fit_into_15_megabytes(tmp_path: Path) -> None:
    few, many = synthetic_videos(2), synthetic_videos(102)
    sizes = []
    for videos in (few, many):
        folder = tmp_path / str(len(videos))
        folder.mkdir()
        runs = [write_synthetic_run(folder / name, videos) for name in ("a", "b")]
        truth = GroundTruth(write_truth(folder / "set", videos))
        sizes.append(write_report(runs, folder / "report.html", truth=truth).size)
    each = (sizes[1] - sizes[0]) / 100 + 2 * 4 * (100 - 60)  # 100 cells a curve, not 60
    assert sizes[0] + 5000 * each < 15e6


def test_a_page_without_ground_truth(material: Material, tmp_path: Path) -> None:
    written = write_report([material.first], tmp_path / "report.html")
    page = written.path.read_text()
    assert written.size == len(page.encode())
    assert "without ground truth" in page
    assert 'id="recall"' not in page
    assert data_of(page)["videos"][0]["auc"] == [None]


def test_a_page_without_charts_does_not_load_matplotlib(material: Material, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from actspan.report.page import write_report; "
        f"write_report([Path({str(material.first)!r})], {str(tmp_path / 'r.html')!r}); "
        "print([m for m in ('matplotlib', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_places_are_checked_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is a folder"):
        check_page(tmp_path)
    with pytest.raises(DataError, match="folder does not exist"):
        check_page(tmp_path / "absent" / "a.html")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[report\]"):
        check_page(tmp_path / "a.html")


def test_figures_in_a_page_escape_what_they_are_told(tmp_path: Path) -> None:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    (line,) = axes.plot([1, 2], label="x")
    axes.set_title(NASTY)
    set_tip(line, NASTY)
    chart = inline_svg(figure, NASTY)
    assert "<img" not in chart
    assert "style=" not in chart
    assert "http" not in chart
    parsed = Page(chart)
    assert NASTY in parsed.texts
    assert NASTY in [attributes.get("aria-label") for _, attributes in parsed.elements]
    assert [tag for tag, _ in parsed.elements].count("title") == 1


@pytest.mark.parametrize("name", ["a$b", "$\\nothing$", "片", "_x", "a\x01b"], ids=ascii)
def test_names_of_any_letters_are_drawn(name: str, material: Material, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(material.first, folder)
    written = write_report(
        [folder, material.second], tmp_path / "x.html", truth=GroundTruth(material.truth)
    )
    assert written.size > 0


def test_ground_truth_without_durations(tmp_path: Path, material: Material) -> None:
    lines = ["video,start,end,label,subset"]
    for video in synthetic_videos(30):
        for (start, end), label in zip(video.segments.tolist(), video.labels, strict=True):
            lines.append(f"{video.id},{start},{end},{label},validation")
    truth = tmp_path / "truth.csv"
    truth.write_text("\n".join(lines))
    contents = gather([material.first], GroundTruth(truth))
    page = render(contents, list_videos(contents), give_verdict(contents)).decode()
    assert "By its share of the video" in page
    (run,) = contents.runs
    assert run.diagnosis is not None
    empty = {**run.diagnosis.bins, "coverage": ()}
    bare = replace(contents, runs=(replace(run, diagnosis=replace(run.diagnosis, bins=empty)),))
    page = render(bare, list_videos(bare), give_verdict(bare)).decode()
    assert "By its share of the video" not in page

from __future__ import annotations

import json
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from actspan import BoundaryScores, Proposals, Segment, bsp_features, evaluate_recall, soft_nms
from actspan.core.errors import ConfigError, ShapeError, UnitError
from actspan.core.ragged import RaggedProposals
from actspan.core.segments import Unit
from actspan.core.types import Video
from actspan.data.detections import Detections
from actspan.data.result_writers import write_result

FOUND = Proposals(
    [3.98, 13.42],
    [5.46, 15.19],
    [0.82, 0.75],
    unit="seconds",
    video="match",
    label=["goal", "foul"],
)
FRACTIONS = Proposals([0.1, 0.4], [0.3, 0.9], [0.8, 0.5], unit="fraction")


def test_columns_must_agree_in_length() -> None:
    with pytest.raises(ShapeError, match="end has 1 entries, start has 2"):
        Proposals([0.1, 0.2], [0.3], [1.0, 1.0], unit="fraction")
    with pytest.raises(ShapeError, match=r"label has shape \(1,\); \(2,\) is needed"):
        Proposals([0.1, 0.2], [0.3, 0.4], [1.0, 1.0], unit="fraction", label=["run"])


def test_columns_are_vectors() -> None:
    with pytest.raises(ShapeError, match="one-dimensional"):
        Proposals(np.zeros((2, 2)), np.zeros(2), np.zeros(2), unit="fraction")
    with pytest.raises(ShapeError, match="one-dimensional"):
        FRACTIONS[np.zeros((2, 2), np.int64)]


def test_a_unit_must_be_given() -> None:
    columns: dict[str, list[float]] = {"start": [0.1], "end": [0.2], "score": [1.0]}
    without_unit: Callable[..., Proposals] = Proposals
    columns: dict[str, list[float]] = {"start": [0.1], "end": [0.2], "score": [1.0]}
    without_unit: Callable[..., Proposals] = Proposals
    with pytest.raises(TypeError, match="unit"):
        without_unit(**columns)
    with pytest.raises(UnitError, match="'minutes': 'fraction' or 'seconds'"):
        Proposals([0.1], [0.2], [1.0], unit="minutes")  # type: ignore[arg-type]


def test_slices_masks_and_indices_select_every_column() -> None:
    columns = [np.arange(4.0) + i for i in range(5)]
    proposals = Proposals(*columns, unit="seconds", video="a", label=list("wxyz"))
    mask = np.array([0, 1, 1, 0], bool)
    for chosen in (proposals[1:3], proposals[[1, 2]], proposals[mask], proposals[1:4][::2][:1]):
        assert chosen.start.tolist() == [1.0, 2.0][: len(chosen)]
        assert chosen.end_score is not None
        assert chosen.end_score.tolist() == [5.0, 6.0][: len(chosen)]
        assert (chosen.unit, chosen.video) == ("seconds", "a")
        assert [segment.label for segment in chosen] == ["x", "y"][: len(chosen)]


def test_items_are_segments() -> None:
    assert FOUND[0] == Segment(3.98, 5.46, 0.82, "goal")
    assert FOUND[np.int64(-1)] == Segment(13.42, 15.19, 0.75, "foul")
    assert list(FOUND) == [FOUND[0], FOUND[1]]
    assert list(FRACTIONS)[1] == Segment(0.4, 0.9, 0.5)
    with pytest.raises(IndexError):
        FOUND[2]


def test_the_best_are_sorted_and_reach_a_score() -> None:
    mixed = Proposals([0, 1, 2, 3], [9, 9, 9, 9], [0.5, 0.9, -1.0, 0.5], unit="seconds")
    assert mixed.best().start.tolist() == [1, 0, 3, 2]  # of equal scores the earlier
    assert mixed.best(2).start.tolist() == [1, 0]
    assert mixed.best(min_score=0.5).start.tolist() == [1, 0, 3]
    assert mixed.best(1, min_score=2.0).start.tolist() == []
    with pytest.raises(ConfigError, match="top is 0"):
        mixed.best(0)


def test_concat_keeps_order_and_drops_half_known_columns() -> None:
    one = Proposals([0.1], [0.2], [1.0], [0.5], [0.6], unit="fraction", video="a")
    other = Proposals([0.3], [0.4], [0.9], unit="fraction", video="a")
    joined = Proposals.concat([one, other])
    assert joined.start.tolist() == [0.1, 0.3]
    assert (joined.start_score, joined.unit, joined.video) == (None, "fraction", "a")
    assert Proposals.concat([one, other.of_video("b")]).video is None
    with pytest.raises(ShapeError, match="at least one part"):
        Proposals.concat([])
    with pytest.raises(UnitError, match=r"convert them first: proposals\.to_seconds"):
        Proposals.concat([one, FOUND])


def test_conversion_changes_the_unit() -> None:
    seconds = FRACTIONS.to_seconds(60.0)
    assert (seconds.unit, seconds.end.tolist()) == ("seconds", [18.0, 54.0])
    back = seconds.to_fraction(60.0)
    np.testing.assert_allclose(back.start, FRACTIONS.start)
    assert back.unit == FRACTIONS.to_seconds(60.0).to_fraction(60.0).unit == "fraction"
    with pytest.raises(UnitError, match="to_seconds needs fractions"):
        seconds.to_seconds(60.0)
    with pytest.raises(UnitError, match="to_fraction needs seconds"):
        FRACTIONS.to_fraction(60.0)


FLAT = BoundaryScores(np.ones(10), np.ones(10), np.ones(10))


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        pytest.param(
            lambda p: bsp_features(FLAT, p),
            "seconds",
            "bsp_features needs fractions of the feature span, and the proposals of video 'v' are "
            r"in seconds; convert them: proposals\.to_fraction\(span\)",
            id="bsp_features",
        ),
        pytest.param(soft_nms, "seconds", "in seconds: give span", id="soft_nms"),
        pytest.param(
            lambda p: evaluate_recall([Video("v", 9.0, "validation", [[0, 5]], ("x",))], {"v": p}),
            "fraction",
            r"the evaluation needs seconds, .* are fractions .* proposals\.to_seconds\(span\)",
            id="evaluate",
        ),
        pytest.param(
            lambda p: Detections.of(p, ["run"]), "fraction", "Detections needs", id="detections"
        ),
        pytest.param(
            lambda p: write_result("unused.json", {"v": p}),
            "fraction",
            "a result file needs seconds",
            id="result file",
        ),
    ],
)
def test_a_function_refuses_the_other_unit(
    function: object, given: Unit, message: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    wrong = Proposals([0.1], [0.5], [0.9], unit=given, video="v")
    with pytest.raises(UnitError, match=message):
        function(wrong)  # type: ignore[operator]
    right = wrong.to_fraction(1.0) if given == "seconds" else wrong.to_seconds(1.0)
    function(right)  # type: ignore[operator]


def test_soft_nms_in_seconds_with_the_span_equals_fractions() -> None:
    fractions = soft_nms(FRACTIONS)
    seconds = soft_nms(FRACTIONS.to_seconds(50.0), span=50.0)
    np.testing.assert_allclose(seconds.score, fractions.score)
    assert seconds.unit == "seconds"


def test_tables_have_the_columns_that_are_known() -> None:
    pa = pytest.importorskip("pyarrow", reason="needs the extra 'arrow'")
    table = pa.table(FOUND)  # by the Arrow C stream
    assert table.column_names == ["video", "start", "end", "score", "label"]
    assert table.to_pylist()[1]["label"] == "foul"
    assert FOUND.to_arrow().schema.metadata == {b"unit": b"seconds"}
    assert FRACTIONS.to_arrow().column_names == ["start", "end", "score"]
    pytest.importorskip("pandas", reason="needs the extra 'pandas'")
    frame = FOUND.to_pandas()
    assert frame.attrs == {"unit": "seconds"}
    assert frame["score"].tolist() == [0.82, 0.75]
    assert list(frame.columns) == table.column_names


def test_json_gives_segments_their_unit_and_video() -> None:
    content = json.loads(FOUND[:1].to_json())
    segment = {"start": 3.98, "end": 5.46, "score": 0.82, "label": "goal"}
    assert content == {"video": "match", "unit": "seconds", "segments": [segment]}
    nothing = json.loads(Proposals.empty("fraction").to_json())
    assert nothing == {"video": None, "unit": "fraction", "segments": []}


@pytest.mark.parametrize(
    ("proposals", "text"),
    [
        (FOUND, "Proposals(video='match', 2 segments, seconds, best 3.98-5.46 s goal 0.82)"),
        (FRACTIONS[1:], "Proposals(1 segment, fraction, best 0.400-0.900 0.50)"),
        (Proposals.empty("seconds"), "Proposals(0 segments, seconds)"),
    ],
)
def test_the_repr_is_one_short_line(proposals: Proposals, text: str) -> None:
    assert repr(proposals) == text


def test_notebooks_show_a_timeline_and_a_table() -> None:
    nasty = Proposals(
        [60.0, 0.0], [120.0, 30.0], [0.5, 0.9], unit="seconds", video="<a>&b", label=["<i>", "run"]
    )
    page = ElementTree.fromstring(nasty._repr_html_())  # well-formed, so that nothing is unescaped
    texts = "".join(page.itertext())
    assert "<a>&b: 2 segments" in texts
    bars = page.findall(".//rect")
    assert [float(bar.attrib["x"]) for bar in bars] == [320.0, 0.0]  # the best one in front
    assert [cell.text for cell in page.findall(".//tbody/tr")[0]] == [
        "0:00.00",
        "0:30.00",
        "0.900",
        "run",
    ]
    assert ElementTree.fromstring(Proposals.empty("seconds")._repr_html_()).find(".//svg") is None


def test_plot_draws_the_best_on_top() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'").use("Agg")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert FOUND[::-1].plot(axes, top=1) is axes
    (bar,) = axes.patches
    assert bar.get_x() == pytest.approx(3.98)  # type: ignore[attr-defined]
    assert axes.get_title() == "match"
    assert axes.get_xlabel() == "time in seconds"


def test_scores_of_a_plot_stay_in_the_frame() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'").use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.5))
    axes = figure.add_subplot()
    Proposals([0.0, 9.0, 0.0], [1.0, 10.0, 10.0], [0.9, 0.8, 0.7], unit="seconds").plot(axes)
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    assert len(axes.texts) == 3
    for text in axes.texts:
        extent = text.get_window_extent()
        assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1, text


def test_ragged_proposals_are_views() -> None:
    ragged = RaggedProposals.of([FRACTIONS, Proposals.empty("fraction")])
    first, second = ragged
    assert (len(first), len(second), first.unit) == (2, 0, "fraction")

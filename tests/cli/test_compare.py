from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote

import pytest
from click.testing import CliRunner, Result

from actspan.bench.records import BenchResult, SamplesPerSecond, Stage, write_result
from actspan.cli import main
from tests.conftest import ROOT

GUIDE = Path(__file__).parents[1] / "bench" / "guide"
SOURCES = (str(GUIDE / "t4"), str(GUIDE / "ascend310"), "--chips", "4")
NOTHING = f"{quote(sys.executable)} -S -c pass"
SLOW = f"{quote(sys.executable)} -S -c 'import time; time.sleep(0.4)'"


def actspan(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments])


def write(path: Path, rate: float) -> str:
    stage = Stage(name="tem", scope="interface", batch=1, samples_per_second=SamplesPerSecond(rate))
    write_result(BenchResult(stages=(stage,)), path)
    return str(path)


def test_the_guide() -> None:
    done = actspan(*SOURCES)
    assert done.exit_code == 0
    for figure in ("12,964.67", "7,099.84", "0.548", "34,695.79", "29,561.26", "180.88", "5.5 %"):
        assert figure in done.stdout
    assert "[postprocess] counts batches" in done.stdout


def test_a_report_that_does_not_follow_fails() -> None:
    done = actspan(*SOURCES, "--check-report", str(GUIDE / "report.md"))
    assert done.exit_code == 1
    assert "report.md:14: slip: 1000/0.215458 is 4641, not 17674" in done.stdout
    assert "14 equations and 4 trtexec commands checked: 7 do not follow" in done.stdout


def test_the_page_of_documentation_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "deploy" / "compare.md").read_text(encoding="utf-8")
    command, _, shown = text.partition("$ actspan compare ")[2].partition("\n")
    printed = [line.rstrip() for line in actspan(*command.split()).stdout.splitlines()]
    expected = [line for line in shown.partition("```")[0].splitlines() if line]
    assert [line for line in printed if line] == expected


def test_a_report_that_follows(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("3275.55x4=13102.2")
    done = actspan(*SOURCES, "--check-report", str(report))
    assert done.exit_code == 0
    assert "1 equations and 0 trtexec commands checked: all follow" in done.stdout


def test_json() -> None:
    answer = json.loads(
        actspan(*SOURCES, "--json", "--check-report", str(GUIDE / "report.md")).stdout
    )
    (bsn,) = (r for r in answer["headlines"] if (r["name"], r["batch"]) == ("bsn", 16))
    assert bsn["ratios"] == [pytest.approx(0.852, abs=1e-3)]
    assert [source["name"] for source in answer["sources"]] == ["t4", "ascend310"]
    stages = answer["sources"][1]["logs"][0]["stages"]
    assert any("batches_per_second" in stage and stage["batches_per_second"] for stage in stages)
    assert answer["report"]["passed"] is False
    assert answer["slower"] == []


def test_page(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    actspan(*SOURCES, "--markdown", str(page), "--check-report", str(GUIDE / "report.md"))
    text = page.read_text()
    assert "| BSN | 16 | 34,695.79 | 29,561.26 | 0.852 |" in text
    assert "line 14, slip" in text


def test_gate_of_results(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old.json", 100.0), write(tmp_path / "new.json", 90.0)
    assert actspan(old, new).exit_code == 0
    assert actspan(old, new, "--fail-if", "slower:20%").exit_code == 0
    done = actspan(old, new, "--fail-if", "slower:5%")
    assert done.exit_code == 1
    assert "new takes 11.1 % longer: tem interface, batch 1" in done.stderr


def test_two_commands() -> None:
    done = actspan("--run-a", NOTHING, "--run-b", SLOW, "--rounds", "5", "--fail-if", "slower:5%")
    assert done.exit_code == 1, done.output
    assert "5 rounds of A B B A" in done.stdout
    assert "95 % interval" in done.stdout
    assert "B takes more than 5 % longer than A" in done.stderr
    back = actspan("--run-a", SLOW, "--run-b", NOTHING, "--rounds", "5", "--json")
    assert back.exit_code == 0
    answer = json.loads(back.stdout)
    assert answer["high"] < 1
    assert (answer["run_a"], len(answer["a"])) == (SLOW, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "give results or logs", id="nothing"),
        pytest.param(["--run-a", "x"], "belong together", id="one-command"),
        pytest.param(["x", "--run-a", "x", "--run-b", "x"], "not both", id="both"),
        pytest.param(["x", "--fail-if", "5%"], "such as slower:5%", id="limit"),
        pytest.param(
            ["--run-a", "x", "--run-b", "x", "--rounds", "2"],
            "2 is out of range: at least 5",
            id="rounds",
        ),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    done = actspan(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_unknown_log_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    done = actspan(str(tmp_path / "x.txt"))
    assert done.exit_code == 1
    assert (
        "x.txt: not a log of a known tool; known are: actspan bench; NPU benchmark" in done.stderr
    )
    assert "Traceback" not in done.output

"""All steps of a stage, on small synthetic data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actspan.deploy.deploy_requests import RunRequest, StagedNet, StageRequest
from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.host_steps import write_pem_inputs, write_tem_results
from actspan.deploy.staged.results import write_results
from actspan.deploy.staged.runner import run_net
from actspan.deploy.staged.stage import Stage
from actspan.deploy.staged.video_inputs import write_video_inputs
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bmn_bundle, write_bundle, write_dataset


@dataclass(frozen=True)
class StagedExample:
    """A model, a dataset, and the folder of a stage."""

    model: Path
    dataset: Path
    stage: Path
    subset: str | None = None
    backend: str = "onnxruntime"

    def start(
        self, net: Literal["tem", "bmn"] = "tem", *, anchors: bool = True, **options: Any
    ) -> Stage:
        request = StageRequest(self.model, self.dataset, self.stage, self.subset, **options)
        write_video_inputs(net, request, anchors=anchors and net == "tem")
        return Stage.load(self.stage)

    def run(self, net: StagedNet, **options: Any) -> None:
        run_net(RunRequest(self.stage, self.model, net, backend=self.backend, **options))

    def run_before_pem(self) -> Stage:
        """Run all steps before PEM; return the stage."""
        stage = self.start()
        self.run("tem")
        write_tem_results(stage, Dumps(stage.outputs("tem")))
        write_pem_inputs(stage)
        return stage

    def run_all(self) -> bytes:
        """Run all steps; return the result file."""
        stage = self.run_before_pem()
        self.run("pem")
        write_results(stage, "pem", Dumps(stage.outputs("pem")))
        return (stage.path / "result.json").read_bytes()

    def run_all_of_bmn(self) -> bytes:
        """Run all steps of a stage of BMN; return the result file."""
        stage = self.start("bmn")
        self.run("bmn")
        write_results(stage, "bmn", Dumps(stage.outputs("bmn")))
        return (stage.path / "result.json").read_bytes()

    def proposed(self, out: Path) -> bytes:
        """Return the result file of the main job."""
        propose(
            ProposeRequest(self.model, self.dataset, out, subset=self.subset, backend=self.backend)
        )
        return out.read_bytes()


def make_example(
    folder: Path,
    *,
    mode: Literal["rescale", "window"] = "rescale",
    videos: int = 5,
    curves: int = 0,
    label_free: float = 0.0,
) -> StagedExample:
    """Make features of 20 to 60 snippets, and small networks with T = 20."""
    write_bundle(folder / "bundle", mode=mode, curves=curves, label_free=label_free)
    write_dataset(folder / "set", videos=videos)
    return StagedExample(folder / "bundle", folder / "set", folder / "stage")


def make_bmn_example(folder: Path, *, videos: int = 5, **options: Any) -> StagedExample:
    """Make features of 20 to 60 snippets, and a small BMN with T = 20; see `write_bmn_bundle`."""
    write_bmn_bundle(folder / "bundle", **options)
    write_dataset(folder / "set", videos=videos)
    return StagedExample(folder / "bundle", folder / "set", folder / "stage")

"""PyTorch: the trained networks from their weights, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from actspan.config.stages import TemConfig
from actspan.core.errors import BackendError, ShapeError, require
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.model.weights import infer_config
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, Shape, reason_of

if TYPE_CHECKING:
    from actspan.model.bsn.networks import Network


class TorchSession(FileSession):
    """Session of PyTorch."""

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        torch = require("torch", extra="train", purpose=f"backend {backend.name}")
        self._device = _device(torch, backend, options.device)
        self._threads = options.threads
        try:
            weights: dict[str, Float32] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BackendError(f"{path}: not a file of weights: {reason_of(error)}") from error
        network, name, shape = _build(path, weights)
        if backend.variant == "cuda":  # full precision, like all backends
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network: Network | None = network.eval().to(self._device)
        super().__init__(
            backend=backend.name,
            vendor="PyTorch",
            path=path,
            input_shapes={name: shape},
            output_names=["output"],
        )

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        import torch

        network = self._network
        assert network is not None
        (x,) = inputs.values()
        with torch.inference_mode(), _threads(self._threads):
            output: Any = network(torch.from_numpy(x).to(self._device))
            return [output.cpu().numpy()]

    def _release(self) -> None:
        self._network = None


open_file = TorchSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the device exists."""
    try:
        import torch
    except ImportError:
        return Support("", f"PyTorch is not installed: {backend.install}")
    try:
        _device(torch, backend, device)
    except BackendError as error:
        return Support(str(torch.__version__), str(error))
    return Support(str(torch.__version__))


def _device(torch: Any, backend: Backend, number: int) -> str:
    if backend.variant == "cpu":
        return "cpu"
    count = torch.cuda.device_count()
    if number >= count:
        raise BackendError(
            f"backend {backend.name}: PyTorch sees {counted(count, 'GPU')}, so none with "
            f"number {number}: is this a build with CUDA, and the driver installed?"
        )
    return f"cuda:{number}"


def _build(path: Path, weights: Mapping[str, Float32]) -> tuple[Network, str, Shape]:
    """Build the network of these weights; return it with its input's name and shape."""
    from actspan.model.bsn.networks import Pem, Tem

    shapes = {name: array.shape for name, array in weights.items()}
    config = infer_config("tem" if "conv1.weight" in weights else "pem", shapes)
    if not {"conv1.weight", "fc1.weight"} & weights.keys():
        raise BackendError(f"{path}: contains the weights of neither TEM nor PEM")
    network = Tem(config) if isinstance(config, TemConfig) else Pem(config)
    try:
        network.load_weights(weights)
    except ShapeError as error:
        raise BackendError(f"{path}: damaged: {error}") from error
    if isinstance(config, TemConfig):
        return network, "video", (None, config.channels, None)
    return network, "video_feature", (None, config.inputs)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads for the calling thread, and restore it afterwards."""
    import torch

    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

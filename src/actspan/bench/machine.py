"""What a result says of the machine that it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Environment", "Roof"]


class Environment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was measured.

    Attributes
    ----------
    cpu : str
    cores : int
        That the process may use.
    system : str
    cpu_flags : tuple of str
        Instruction sets that matter for speed: `avx2`, `avx512f`, `amx_tile`, ...
    variables : mapping of str to str
        Environment variables that change thread counts: `OMP_NUM_THREADS`, ...
    versions : mapping of str to str
        Python and libraries.
    load_average : float, optional
        Of the last minute, before the start.
    sgemm_gflops, sgemm_spread : float, optional
        A fixed matrix product: billions of operations a second, and standard deviation over mean:
        the machine's noise.
    sgemm_after_gflops : float, optional
        The same product when all was measured.
    """

    cpu: str
    cores: int
    system: str
    cpu_flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = msgspec.field(default_factory=dict)
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)
    load_average: float | None = None
    sgemm_gflops: float | None = None
    sgemm_spread: float | None = None
    sgemm_after_gflops: float | None = None


class Roof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine can do at most, measured on all cores.

    Attributes
    ----------
    gflops : float
        Billions of operations a second, of matrix products of TEM's sizes in single precision.
    gigabytes_per_second : float
        Read and written by copies of large arrays.
    cache_gigabytes_per_second : float
        ... of arrays of the size of a video's features, again and again.
    """

    gflops: float
    gigabytes_per_second: float
    cache_gigabytes_per_second: float

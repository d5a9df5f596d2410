"""Compile LLVM modules to object code, keep it in the cache, and load it into this process."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from typing import Any, TypeAlias

from llvmlite import binding

from gossamer.runtime.codegen import cache
from gossamer.runtime.codegen.target import Target

# Raised when the compiling below changes, so that objects made before are not taken for new ones.
_REVISION = 2

_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A child must not inherit a lock whose holder it lacks.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
# The addresses, and LLVM's handle that keeps the code in memory.
_Linked: TypeAlias = tuple[tuple[int, ...], Any]
_loaded: dict[str, _Linked] = {}
_compilers: dict[Target, Any] = {}


def compile_object(source: str, target: Target) -> bytes:
    """Optimise an LLVM module and emit object code for the target."""
    machine = target.machine()
    module = binding.parse_assembly(source)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    options = binding.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    options.loop_unrolling = False
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return bytes(machine.emit_object(module))


def key(source: str, target: Target) -> str:
    """What the object code of a module depends on, in one word."""
    version = ".".join(map(str, binding.llvm_version_info))
    parts = (str(_REVISION), version, target.triple, target.cpu, target.llvm_features, source)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load(source: str, target: Target) -> int:
    """The address of a kernel in this process, compiled unless the cache has it."""
    return load_functions(source, target, ("kernel",))[0]


def load_functions(source: str, target: Target, symbols: tuple[str, ...]) -> tuple[int, ...]:
    """The addresses of a module's functions in this process."""
    name = key(source, target)
    with _lock:
        if name not in _loaded:
            content = cache.read(f"{name}.o")
            if content is None:
                content = compile_object(source, target)
                cache.write(f"{name}.o", content)
            _loaded[name] = _link(name, content, target, symbols)
        return _loaded[name][0]


def _link(name: str, content: bytes, target: Target, symbols: tuple[str, ...]) -> _Linked:
    if target not in _compilers:
        _compilers[target] = binding.create_lljit_compiler(target.machine())
    library = binding.JITLibraryBuilder().add_object_img(content).add_current_process()
    for symbol in symbols:
        library.export_symbol(symbol)
    tracker = library.link(_compilers[target], name)
    return tuple(int(tracker[symbol]) for symbol in symbols), tracker


def callable_kernel(address: int) -> Any:
    """A kernel's address as a function `(arguments, thread, threads)` for Python to call."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

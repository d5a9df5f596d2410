"""Code for 64-bit ARM: every kernel compiles, and gives the numbers that it gives here.

A model is compiled here with the register tiling of NEON. The memory of its run, with every
address in it, then moves into a program for ARM that an emulator runs.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from llvmlite import ir

from gossamer.runtime import Session, compiler, kernels
from gossamer.runtime.codegen import driver, jit
from gossamer.runtime.codegen.builder import I32, I64, POINTER, Builder, Term
from gossamer.runtime.codegen.target import target
from gossamer.runtime.kernels import kernel
from gossamer.runtime.memory import align, view
from gossamer.runtime.signature import Signature

f32 = np.float32
NEON, HOST = target("neon"), target("host")
# This processor, but tiled for as many registers as NEON has: those of one without AVX-512.
TILED = replace(HOST, features=HOST.features - {"avx512"})
# Where the run's memory lies on ARM.
BASE = 0x20_0000_0000
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
LINKER = shutil.which("aarch64-linux-gnu-gcc")

pytestmark = pytest.mark.skipif(NEON.runs_here, reason="here every other test runs NEON")


def images(model: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Convolutions of every kind, a residual, pooling."""
    random = np.random.default_rng(0)

    def sparse(*shape: int) -> Any:
        return random.standard_normal(shape) * (random.random(shape) > 0.8)

    small = model(
        """(float[N, 3, 20, 20] x) => (float[N, 24, 10, 10] r, float[N, 24, 4, 4] q,
                                       float[N, 24, 1, 1] z) {
            a = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(x, stem)  b = Relu(a)
            c = Conv<pads=[1, 1, 1, 1], group=16>(b, depth)  d = Relu(c)
            e = Conv(d, point, bias)  f = Conv<pads=[1, 1, 1, 1]>(e, square)
            s = Add(f, e)  r = Relu(s)
            p = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(r)
            q = AveragePool<kernel_shape=[2, 2]>(p)  g = Conv<group=2>(p, grouped)
            z = GlobalAveragePool(g) }""",
        stem=random.standard_normal((16, 3, 3, 3)),
        depth=random.standard_normal((16, 1, 3, 3)),
        point=random.standard_normal((24, 16, 1, 1)),
        bias=random.standard_normal(24),
        square=sparse(24, 24, 3, 3),
        grouped=sparse(24, 12, 1, 1),
    )
    return small, {"x": random.standard_normal((2, 3, 20, 20)).astype(f32)}


def encoder(model: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Embeddings, attention under a mask, sparse and dense layers, norms, GELU."""
    random = np.random.default_rng(1)
    wide, heads, head = 32, 2, 16

    def sparse(*shape: int) -> Any:
        return random.standard_normal(shape) * (random.random(shape) > 0.9) / 4

    small = model(
        f"""(int64[B, T] ids, float[B, 1, 1, T] mask) => (float[B, T, {wide}] y) {{
            x = Gather(table, ids)
            q = MatMul(x, wq)  k = MatMul(x, wk)  v = MatMul(x, wv)
            qs = Reshape(q, split)  qt = Transpose<perm=[0, 2, 1, 3]>(qs)
            ks = Reshape(k, split)  kt = Transpose<perm=[0, 2, 3, 1]>(ks)
            vs = Reshape(v, split)  vt = Transpose<perm=[0, 2, 1, 3]>(vs)
            s = MatMul(qt, kt)  t = Mul(s, factor)  u = Add(t, mask)  p = Softmax<axis=-1>(u)
            o = MatMul(p, vt)  ot = Transpose<perm=[0, 2, 1, 3]>(o)  w = Reshape(ot, join)
            n = Add(w, x)  h = LayerNormalization(n, scale, shift)
            up = MatMul(h, first)  g = Gelu(up)  down = MatMul(g, second)
            m = Add(down, h)  y = LayerNormalization(m, scale, shift)
        }}""",
        opset=20,
        table=random.standard_normal((50, wide)),
        **{name: random.standard_normal((wide, wide)) for name in ("wq", "wk", "wv")},
        split=np.array([0, 0, heads, head]),
        join=np.array([0, 0, wide]),
        factor=np.array(head**-0.5),
        scale=random.standard_normal(wide),
        shift=random.standard_normal(wide),
        first=sparse(wide, 160),
        second=sparse(160, wide),
    )
    mask = np.where(np.arange(21) < [[21], [17]], 0, -1e4).astype(f32).reshape(2, 1, 1, 21)
    return small, {"ids": random.integers(0, 50, (2, 21)), "mask": mask}


def functions(model: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The elementary functions, those of the C library among them, and types."""
    random = np.random.default_rng(2)
    small = model(
        """(float[N, 9] x) => (float[N, 9] y, double[N, 9] d, int64[N, 9] i, bool[N, 9] t) {
            p = Abs(x)  l = Log(p)  s = Sin(x)  c = Cos(x)  w = Pow(p, power)  e = Exp(x)
            r = Erf(x)  h = Tanh(x)  g = Sigmoid(x)  k = Floor(x)
            a = Add(l, s)  b = Mul(a, c)  f = Add(b, w)  j = Mul(e, r)  m = Add(f, j)
            n = Mul(h, g)  o = Add(m, n)  y = Add(o, k)
            d = Cast<to=11>(o)  i = Cast<to=7>(o)  t = Greater(o, x) }""",
        power=np.array(1.7),
    )
    return small, {"x": random.standard_normal((5, 9)).astype(f32)}


def reductions(model: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Kernels over plain arrays: products, softmax, reductions, a layer on one row a sample."""
    random = np.random.default_rng(3)
    small = model(
        """(float[N, 20, 9] x, float[N, 9, 7] w) => (float[N, 20, 7] y, float[N, 7] s,
                                                     int64[N, 20] i, float[N, 1, 7] m,
                                                     float[N, 5] d) {
            p = MatMul(x, w)  y = Softmax<axis=-1>(p)  s = ReduceSum<keepdims=0>(p, one)
            i = ArgMax<axis=2, keepdims=0>(p)  m = ReduceMax<axes=[1]>(p)
            d = MatMul(s, row) }""",
        one=np.array([1]),
        row=random.standard_normal((7, 5)),
    )
    shapes = {"x": (3, 20, 9), "w": (3, 9, 7)}
    return small, {name: random.standard_normal(size).astype(f32) for name, size in shapes.items()}


MODELS: dict[str, Callable[[Any], tuple[onnx.ModelProto, dict[str, Any]]]] = {
    "images": images,
    "encoder": encoder,
    "functions": functions,
    "reductions": reductions,
}


@dataclass
class Recorded:
    """What kernels wrote, and where their code lies here."""

    classes: dict[str, str] = field(default_factory=dict)
    """The kind of kernel that wrote a module."""
    sources: dict[int, str] = field(default_factory=dict)
    """The module at an address."""


def kernel_classes() -> set[str]:
    found = set()
    for info in pkgutil.iter_modules(kernels.__path__):
        module = importlib.import_module(f"{kernels.__name__}.{info.name}")
        for name, item in inspect.getmembers(module, inspect.isclass):
            if item.__module__ == module.__name__ and "signature" in vars(item):
                found.add(name)
    return found - {"Kernel"}


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    """Whatever kernels are compiled from now on, for `TILED` in place of the host."""
    kept = Recorded()
    load, write = jit.load, kernel.write_kernel

    def loading(source: str, for_target: Any) -> int:
        address = load(source, for_target)
        kept.sources[address] = source
        return address

    def writing(signature: Signature, *rest: Any) -> str:
        text = write(signature, *rest)
        kept.classes[text] = signature.kernel
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "write_kernel", writing)
        patch.setattr(jit, "load", loading)
        patch.setattr(compiler, "find_target", lambda name: TILED)
        yield kept


@dataclass
class Replay:
    """The memory of one run as it was before, and the outputs after."""

    kernels: list[str]
    """Modules, in the order of the numbers by which the table calls them."""
    image: bytes
    outputs: dict[str, tuple[int, Any]]
    """Place in the image, and the array that generated code made here."""


def replay(compiled: Session, feeds: Mapping[str, Any], sources: Mapping[int, str]) -> Replay:
    """Run a session, and write down what its one native call starts from."""
    team, found = compiled._generated.program.team, {}
    run = team.run

    def running(steps: int, count: int, alone: bool = False) -> None:
        (bound,) = compiled._generated.program._plans.kept.values()
        ranges = [(compiled._generated.program._plans.arena.reach(bound.reach), bound.reach)]
        kept = compiled._generated.program._constants._memory
        ranges += [(region.address, region.size) for region in kept._regions]
        ranges += [(array.ctypes.data, array.nbytes) for array in kept._kept]
        ranges += [(bound.flag.ctypes.data, bound.flag.nbytes)]
        outside = {}
        for value, (position, *_) in bound.outside.items():
            shape = bound.sizes.shape(value)
            array = view(int(bound.arguments[position]), shape, value.dtype)
            ranges.append((array.ctypes.data, array.nbytes))
            if value.producer is not None:
                outside[value.name] = array
        found.update(write_image(bound, ranges, team.threads, sources))
        run(steps, count, alone)
        found["outputs"] = {
            name: (found["moved"](array.ctypes.data), array.copy())
            for name, array in outside.items()
        }

    team.run = running  # type: ignore[method-assign]
    compiled.run(None, feeds)
    return Replay(found["kernels"], found["image"], found["outputs"])


def write_image(
    bound: Any, ranges: list[tuple[int, int]], threads: int, sources: Mapping[int, str]
) -> dict[str, Any]:
    """Memory as it will lie from `BASE` on: the driver's state, the table, what it points to."""
    state = np.zeros(driver.STATE_SIZE, np.int64)
    place = BASE + state.nbytes
    table = bound.table.copy()
    steps, place = place, place + table.nbytes
    arguments_at, place = place, place + bound.arguments.nbytes
    starts = []
    for _, size in ranges:
        place = align(place)
        starts.append(place)
        place += size
    image = bytearray(place - BASE)

    def moved(address: int) -> int:
        for start, (begin, size) in zip(starts, ranges, strict=True):
            if begin <= address < begin + size:
                return start + address - begin
        return address

    def put(at: int, array: Any) -> None:
        image[at - BASE : at - BASE + array.nbytes] = array.tobytes()

    put(arguments_at, np.array([moved(int(number)) for number in bound.arguments], np.int64))
    for start, (begin, size) in zip(starts, ranges, strict=True):
        put(start, view(begin, (size,), np.dtype(np.uint8)))
    numbers = {int(address): index for index, address in enumerate(dict.fromkeys(table[:, 0]))}
    table[:, 0] = [numbers[int(address)] for address in table[:, 0]]
    table[:, 1] += arguments_at - bound.arguments.ctypes.data
    put(steps, table)
    state[driver.STEPS], state[driver.COUNT] = steps, len(table)
    state[driver.THREADS] = threads
    put(BASE, state)
    modules = [sources[address] for address in numbers]
    return {"kernels": modules, "image": bytes(image), "moved": moved}


def write_main(size: int, calls: int, count: int, threads: int) -> str:
    """A program that reads the image, runs its table on all threads, and writes the image."""
    module = ir.Module("main")
    kernel = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    work = ir.Function(module, kernel, "work")
    run = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    codes = [ir.Function(module, kernel, f"kernel_{number}") for number in range(count)]
    serve = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), "serve")
    b = Builder(serve)
    number = b.ir.ptrtoint(serve.args[0], I64)
    b.ir.call(work, [b.pointer(b.i64(BASE)).ir, number, ir.Constant(I64, 0)])
    b.ir.ret(serve.args[0])
    b = Builder(ir.Function(module, ir.FunctionType(I32, []), "main"))
    base, nothing = b.pointer(b.i64(BASE)), b.pointer(b.i64(0))
    # Readable and writable; private, anonymous and just there.
    how = [b.number(I32, 3), b.number(I32, 0x32), b.number(I32, -1)]
    b.call("mmap", POINTER, base, b.i64(size), *how, b.i64(0))
    transfer(b, "read", 0, size)
    table = b.pointer(b.load(b.at(base, driver.STEPS, I64), I64))
    with b.loop(0, calls) as step:
        entry = b.at(table, step * 2, I64)
        address = b.i64(0)
        for index, code in enumerate(codes):
            here = Term(b, b.ir.ptrtoint(code, I64))
            address = b.select(b.load(entry, I64).compare("==", index), here, address)
        b.store(address, entry)
    for helper in range(1, threads):
        room = Term(b, b.ir.alloca(I64))
        entry = Term(b, serve)
        b.call("pthread_create", I32, room, nothing, entry, b.pointer(b.i64(helper)))
    b.ir.call(run, [base.ir])
    transfer(b, "write", 1, size)
    b.call("_exit", ir.VoidType(), b.number(I32, 0))
    b.ir.unreachable()
    return str(module)


def transfer(b: Builder, name: str, file: int, size: int) -> None:
    """Read or write the whole image, in as many parts as it takes."""
    done = b.variable(b.i64(0))
    # More turns than parts: what is left over moves nothing.
    with b.loop(0, size // 256 + 16):
        place = b.pointer(done.get() + BASE)
        moved = b.call(name, I64, b.number(I32, file), place, b.i64(size) - done.get())
        done.set(done.get() + b.larger(moved, 0))


def build(run: Replay, threads: int, calls: int, folder: Path) -> Path:
    """Compile and link the program for ARM."""
    objects = []
    main = write_main(len(run.image), calls, len(run.kernels), threads)
    named = [
        text.replace('@"kernel"', f'@"kernel_{number}"') for number, text in enumerate(run.kernels)
    ]
    for number, text in enumerate([main, driver.write_driver(NEON.triple), *named]):
        objects.append(folder / f"{number}.o")
        objects[-1].write_bytes(jit.compile_object(text, NEON))
    program = folder / "program"
    assert LINKER is not None
    subprocess.run([LINKER, "-static", "-o", program, *objects, "-lpthread", "-lm"], check=True)
    return program


def test_a_kernel_compiles_to_code_for_arm() -> None:
    from gossamer.runtime.kernels.layer_norm import LayerNorm

    code = jit.compile_object(kernel.source_of(LayerNorm(1e-5), NEON), NEON)
    # The ELF header: its mark, and the number of the machine.
    assert code[:4] == b"\x7fELF"
    assert int.from_bytes(code[18:20], "little") == 183


@pytest.mark.slow
def test_every_kind_of_kernel_compiles_for_arm(model: Any, recorded: Recorded) -> None:
    for make in MODELS.values():
        compiler.compile(make(model)[0], threads=2, engine="gossamer")
    assert set(recorded.classes.values()) == kernel_classes()
    for source in recorded.classes:
        assert jit.compile_object(source, NEON)


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="needs qemu-aarch64 (Debian: qemu-user-static)")
@pytest.mark.skipif(
    LINKER is None, reason="needs aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)"
)
@pytest.mark.parametrize("name", MODELS)
def test_kernels_give_on_arm_what_they_give_here(
    model: Any, close: Any, recorded: Recorded, tmp_path: Path, name: str
) -> None:
    small, feeds = MODELS[name](model)
    compiled = compiler.compile(small, threads=2, engine="gossamer")
    run = replay(compiled, feeds, recorded.sources)
    calls = sum(hasattr(step, "address") for step in compiled._generated.program.steps)
    program = build(run, 2, calls, tmp_path)
    assert QEMU is not None
    done = subprocess.run([QEMU, program], input=run.image, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == len(run.image)
    assert run.outputs
    for place, expected in run.outputs.values():
        start = place - BASE
        raw = done.stdout[start : start + expected.nbytes]
        close(np.frombuffer(raw, expected.dtype).reshape(expected.shape), expected, 1e-5)

"""The native driver: every thread walks the same table of kernels and meets the others after each.

State shared by the threads is an array of 64-bit integers, each busy one in a cache line of its
own. A thread that waits spins for a while and then sleeps in the kernel, so that it costs no CPU
time; it never needs Python's lock.
"""

from __future__ import annotations

import sys
from functools import cache

from llvmlite import ir

from gossamer.runtime.codegen.builder import I32, I64, POINTER, Builder, Term, Variable

# Positions in the shared state.
EPOCH, ARRIVED, GENERATION, SLEEPERS = 0, 8, 16, 24
STEPS, COUNT, THREADS, STOP = 32, 33, 34, 35
TRACE = 36
"""Where the caller's thread notes the clock before the first step and after each, or 0."""
STATE_SIZE = 40

# How often to look before sleeping: first with pauses, some 25 to 70 ns each, then letting others
# run in between (0.3 us where there are none), who may be those that are waited for: processors are
# taken away, and other programs run. Within a run for about half a millisecond: waking takes as
# long as a step, so once one thread sleeps at a barrier the other is late for the next, sleeps in
# turn, and so on. Between runs some ten microseconds.
_PAUSES_BETWEEN_STEPS, _YIELDS_BETWEEN_STEPS = 40, 2_000
_PAUSES_BETWEEN_RUNS, _YIELDS_BETWEEN_RUNS = 600, 0

_FUTEX_SYSTEM_CALL = {"x86_64": 202, "aarch64": 98}
_YIELD_HINT = 1
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129


@cache
def write_driver(triple: str) -> str:
    """The LLVM module: `run(state)` for the caller, `work(state, thread, epoch)` for the others.

    Written once in a process, since every session takes the same.
    """
    module = ir.Module("driver")
    machine = triple.split("-", maxsplit=1)[0]
    walk = _write_walk(module, machine)
    _write_run(module, machine, walk)
    _write_work(module, machine, walk)
    return str(module)


def _field(b: Builder, state: Term, position: int) -> Term:
    return b.at(state, position, I64)


def _read(b: Builder, state: Term, position: int) -> Term:
    address = _field(b, state, position)
    return Term(b, b.ir.load_atomic(address.ir, "seq_cst", 8, typ=I64))


def _write(b: Builder, state: Term, position: int, value: int) -> None:
    address = _field(b, state, position).ir
    b.ir.atomic_rmw("xchg", address, ir.Constant(I64, value), "seq_cst")


def _add(b: Builder, state: Term, position: int, value: int) -> Term:
    """Add, and return what was there before."""
    address = _field(b, state, position).ir
    return Term(b, b.ir.atomic_rmw("add", address, ir.Constant(I64, value), "seq_cst"))


def _pause(b: Builder, machine: str) -> None:
    # Intrinsics, because LLVM only parses the assembly of the processor that it runs on.
    if machine in ("aarch64", "arm64"):
        b.call("llvm.aarch64.hint", ir.VoidType(), b.number(I32, _YIELD_HINT))
    else:
        b.call("llvm.x86.sse2.pause", ir.VoidType())


def _yield(b: Builder) -> None:
    """Let another thread run that waits for this processor, if there is any."""
    if sys.platform == "win32":
        b.call("SwitchToThread", I32)
    else:
        b.call("sched_yield", I32)


def _sleep(b: Builder, machine: str, address: Term, seen: Term) -> None:
    """Sleep while the integer at the address is what was seen; waking early is allowed."""
    if sys.platform == "linux" and machine in _FUTEX_SYSTEM_CALL:
        low = b.cast(seen, I32)
        zero = b.i64(0)
        number = b.i64(_FUTEX_SYSTEM_CALL[machine])
        wait = b.number(I32, _FUTEX_WAIT_PRIVATE)
        _system_call(b, number, address, wait, low, zero)
    elif sys.platform == "win32":
        b.call("Sleep", ir.VoidType(), b.number(I32, 1))
    else:
        b.call("usleep", I32, b.number(I32, 100))


def _wake(b: Builder, machine: str, state: Term, position: int) -> None:
    """Wake every thread that sleeps on a field, where the platform needs to be told."""
    if sys.platform == "linux" and machine in _FUTEX_SYSTEM_CALL:
        with b.when(_read(b, state, SLEEPERS) > 0):
            number = b.i64(_FUTEX_SYSTEM_CALL[machine])
            wake = b.number(I32, _FUTEX_WAKE_PRIVATE)
            everyone = b.number(I32, 2**31 - 1)
            _system_call(b, number, _field(b, state, position), wake, everyone, b.i64(0))


def _system_call(b: Builder, *arguments: Term) -> None:
    """Call libc's `syscall`, which takes any number of arguments."""
    function = b.module.globals.get("syscall")
    if function is None:
        kind = ir.FunctionType(I64, [I64], var_arg=True)
        function = ir.Function(b.module, kind, "syscall")
    b.ir.call(function, [argument.ir for argument in arguments])


def _wait_for_change(
    b: Builder, machine: str, state: Term, position: int, seen: Term, pauses: int, yields: int
) -> None:
    """Return once the field differs from what was seen."""
    test, look, spin, stand, give, rest, after = map(
        b.ir.append_basic_block, ("test", "look", "spin", "stand", "give", "rest", "changed")
    )
    left = Variable(b, b.i64(pauses + yields))
    b.ir.branch(test)
    b.ir.position_at_end(test)
    b.ir.cbranch(_read(b, state, position).compare("==", seen).ir, look, after)
    b.ir.position_at_end(look)
    left.set(left.get() - 1)
    b.ir.cbranch((left.get() < yields).ir, stand, spin)
    b.ir.position_at_end(spin)
    _pause(b, machine)
    b.ir.branch(test)
    b.ir.position_at_end(stand)
    b.ir.cbranch((left.get() < 0).ir, rest, give)
    b.ir.position_at_end(give)
    _yield(b)
    b.ir.branch(test)
    b.ir.position_at_end(rest)
    # Counted before the field is looked at again (by the futex call itself), so that whoever
    # changes the field either sees a sleeper or is seen by it.
    _add(b, state, SLEEPERS, 1)
    _sleep(b, machine, _field(b, state, position), seen)
    _add(b, state, SLEEPERS, -1)
    left.set(b.i64(pauses + yields))
    b.ir.branch(test)
    b.ir.position_at_end(after)


def _write_walk(module: ir.Module, machine: str) -> ir.Function:
    """`walk(state, thread)`: run the table's kernels, with a barrier after each."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64]), "walk")
    function.linkage = "internal"
    b = Builder(function)
    state, thread = (Term(b, argument) for argument in function.args)
    steps = b.pointer(b.load(_field(b, state, STEPS), I64))
    count = b.load(_field(b, state, COUNT), I64)
    threads = b.load(_field(b, state, THREADS), I64)
    kernel_type = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    trace = b.load(_field(b, state, TRACE), I64)
    _note_clock(b, machine, trace, thread, b.i64(0))
    with b.loop(0, count) as step:
        code = b.load(b.at(steps, step * 2, I64), I64)
        arguments = b.pointer(b.load(b.at(steps, step * 2 + 1, I64), I64))
        kernel = b.ir.inttoptr(code.ir, kernel_type.as_pointer())
        b.ir.call(kernel, [arguments.ir, thread.ir, threads.ir])
        with b.when(threads > 1):
            generation = _read(b, state, GENERATION)
            arrived = _add(b, state, ARRIVED, 1)

            def last() -> None:
                _write(b, state, ARRIVED, 0)
                _add(b, state, GENERATION, 1)
                _wake(b, machine, state, GENERATION)

            def others(generation: Term = generation) -> None:
                patience = _PAUSES_BETWEEN_STEPS, _YIELDS_BETWEEN_STEPS
                _wait_for_change(b, machine, state, GENERATION, generation, *patience)

            b.choose((arrived + 1).compare("==", threads), last, others)
        _note_clock(b, machine, trace, thread, step + 1)
    b.ir.ret_void()
    return function


def _note_clock(b: Builder, machine: str, trace: Term, thread: Term, position: Term) -> None:
    """Write the processor's clock, in ticks of its own, where tracing is wanted."""
    name = "readcyclecounter" if machine in ("x86_64", "i686") else "readsteadycounter"
    with b.when(trace.compare("!=", 0) & thread.compare("==", 0)):
        b.store(b.call(f"llvm.{name}", I64), b.at(b.pointer(trace), position, I64))


def _write_run(module: ir.Module, machine: str, walk: ir.Function) -> None:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "run")
    b = Builder(function)
    state = Term(b, function.args[0])
    _add(b, state, EPOCH, 1)
    _wake(b, machine, state, EPOCH)
    b.ir.call(walk, [state.ir, ir.Constant(I64, 0)])
    b.ir.ret_void()


def _write_work(module: ir.Module, machine: str, walk: ir.Function) -> None:
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    function = ir.Function(module, kind, "work")
    b = Builder(function)
    state, thread, epoch = (Term(b, argument) for argument in function.args)
    seen = Variable(b, epoch)
    head = b.ir.append_basic_block("head")
    serve = b.ir.append_basic_block("serve")
    leave = b.ir.append_basic_block("leave")
    b.ir.branch(head)
    b.ir.position_at_end(head)
    patience = _PAUSES_BETWEEN_RUNS, _YIELDS_BETWEEN_RUNS
    _wait_for_change(b, machine, state, EPOCH, seen.get(), *patience)
    seen.set(seen.get() + 1)
    b.ir.cbranch((_read(b, state, STOP) > 0).ir, leave, serve)
    b.ir.position_at_end(serve)
    b.ir.call(walk, [state.ir, thread.ir])
    b.ir.branch(head)
    b.ir.position_at_end(leave)
    b.ir.ret_void()

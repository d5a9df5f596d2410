"""A thin builder over llvmlite: terms with operators, loops, branches, vectors.

Kernels are written once with vectors of `LANES` floats; LLVM splits them where the processor's
registers are narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from llvmlite import ir

LANES = 16
"""Floats in one vector of the generated code: one AVX-512 register, two of AVX2, four of NEON."""

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
VEC = ir.VectorType(F32, LANES)
VEC_I32 = ir.VectorType(I32, LANES)
POINTER = ir.PointerType()

Number: TypeAlias = "int | float | Term"


def _element(kind: Any) -> Any:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def constant(kind: Any, number: float) -> ir.Constant:
    """The number as an LLVM constant of this type, the same in every lane of a vector."""
    element = _element(kind)
    plain = float(number) if isinstance(element, (ir.FloatType, ir.DoubleType)) else int(number)
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(element, plain)] * kind.count)
    return ir.Constant(kind, plain)


class Term:
    """An LLVM value with Python's operators; numbers beside it take its type."""

    __slots__ = ("b", "ir")

    def __init__(self, b: Builder, value: Any) -> None:
        self.b = b
        self.ir = value

    @property
    def type(self) -> Any:
        """The LLVM type."""
        return self.ir.type

    @property
    def is_float(self) -> bool:
        """Whether the term is a float or a vector of floats."""
        return isinstance(_element(self.type), (ir.FloatType, ir.DoubleType))

    def _other(self, other: Number) -> Any:
        return other.ir if isinstance(other, Term) else constant(self.type, other)

    def _binary(self, other: Number, for_float: str, for_int: str, swap: bool = False) -> Term:
        left, right = self.ir, self._other(other)
        if swap:
            left, right = right, left
        if self.is_float:
            # `contract` lets a product and a sum become one fused instruction.
            return Term(self.b, getattr(self.b.ir, for_float)(left, right, flags=("contract",)))
        return Term(self.b, getattr(self.b.ir, for_int)(left, right))

    def __add__(self, other: Number) -> Term:
        if not self.is_float and isinstance(other, int) and other == 0:
            return self
        return self._binary(other, "fadd", "add")

    def __radd__(self, other: Number) -> Term:
        return self + other

    def __sub__(self, other: Number) -> Term:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: Number) -> Term:
        return self._binary(other, "fsub", "sub", swap=True)

    def __mul__(self, other: Number) -> Term:
        if not self.is_float and isinstance(other, int) and other == 1:
            return self
        return self._binary(other, "fmul", "mul")

    def __rmul__(self, other: Number) -> Term:
        return self * other

    def __truediv__(self, other: Number) -> Term:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: Number) -> Term:
        return self._binary(other, "fdiv", "sdiv", swap=True)

    def __floordiv__(self, other: Number) -> Term:
        """Quotient of numbers that are not negative."""
        return Term(self.b, self.b.ir.udiv(self.ir, self._other(other)))

    def __mod__(self, other: Number) -> Term:
        """Remainder of numbers that are not negative."""
        return Term(self.b, self.b.ir.urem(self.ir, self._other(other)))

    def __and__(self, other: Number) -> Term:
        return Term(self.b, self.b.ir.and_(self.ir, self._other(other)))

    def __or__(self, other: Number) -> Term:
        return Term(self.b, self.b.ir.or_(self.ir, self._other(other)))

    def __xor__(self, other: Number) -> Term:
        return Term(self.b, self.b.ir.xor(self.ir, self._other(other)))

    def __lshift__(self, bits: int) -> Term:
        return Term(self.b, self.b.ir.shl(self.ir, constant(self.type, bits)))

    def __neg__(self) -> Term:
        return Term(self.b, self.b.ir.fneg(self.ir)) if self.is_float else 0 - self

    def compare(self, sign: str, other: Number) -> Term:
        """The truth of `self sign other`; false where a float operand is NaN (true for `!=`)."""
        right = self._other(other)
        if self.is_float:
            ordered = self.b.ir.fcmp_unordered if sign == "!=" else self.b.ir.fcmp_ordered
            return Term(self.b, ordered(sign, self.ir, right))
        if _element(self.type).width == 1:
            return Term(self.b, self.b.ir.icmp_unsigned(sign, self.ir, right))
        return Term(self.b, self.b.ir.icmp_signed(sign, self.ir, right))

    def __lt__(self, other: Number) -> Term:
        return self.compare("<", other)

    def __le__(self, other: Number) -> Term:
        return self.compare("<=", other)

    def __gt__(self, other: Number) -> Term:
        return self.compare(">", other)

    def __ge__(self, other: Number) -> Term:
        return self.compare(">=", other)


class Variable:
    """A value that changes, for loops to carry; LLVM turns it into a register."""

    def __init__(self, b: Builder, first: Term) -> None:
        self._b = b
        with b.ir.goto_entry_block():
            self._slot = b.ir.alloca(first.type)
        self._type = first.type
        self.set(first)

    def get(self) -> Term:
        """The value now."""
        return Term(self._b, self._b.ir.load(self._slot, typ=self._type))

    def set(self, value: Term) -> None:
        """Change the value."""
        self._b.ir.store(value.ir, self._slot)


class Builder:
    """Writes the body of one function."""

    def __init__(self, function: ir.Function) -> None:
        self.function = function
        self.module = function.module
        self.ir = ir.IRBuilder(function.append_basic_block("entry"))

    # Numbers

    def i64(self, value: Number) -> Term:
        """A 64-bit integer."""
        return value if isinstance(value, Term) else Term(self, ir.Constant(I64, value))

    def number(self, kind: Any, value: float) -> Term:
        """A constant of a type; of a vector type, in every lane."""
        return Term(self, constant(kind, value))

    def variable(self, first: Term) -> Variable:
        """A value that changes."""
        return Variable(self, first)

    # Memory

    def at(self, base: Term, index: Number, kind: Any = F32) -> Term:
        """The address of element `index` of an array of `kind` at `base`."""
        step = self.i64(index).ir
        return Term(self, self.ir.gep(base.ir, [step], source_etype=kind, inbounds=True))

    def load(self, address: Term, kind: Any = F32, align: int | None = None) -> Term:
        """What lies at an address; aligned like its element unless said otherwise."""
        width = _element(kind)
        natural = 8 if isinstance(width, ir.PointerType) else _bytes(width)
        return Term(self, self.ir.load(address.ir, typ=kind, align=align or natural))

    def store(self, value: Term, address: Term, align: int | None = None) -> None:
        """Write a value to an address."""
        self.ir.store(value.ir, address.ir, align=align or _bytes(_element(value.type)))

    def prefetch(self, address: Term) -> None:
        """Ask for the cache line at an address, which may lie anywhere."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        function = self.module.globals.get("llvm.prefetch.p0")
        if function is None:
            function = ir.Function(self.module, kind, "llvm.prefetch.p0")
        # To be read, kept in all caches, data.
        hints = [ir.Constant(I32, number) for number in (0, 3, 1)]
        self.ir.call(function, [address.ir, *hints])

    def pointer(self, address: Term) -> Term:
        """An integer as an address."""
        return Term(self, self.ir.inttoptr(address.ir, POINTER))

    def load_some(self, address: Term, count: Term, kind: Any = VEC) -> Term:
        """A vector whose first `count` lanes are read, aligned like its element; zeros beyond."""
        return Term(
            self,
            self.ir.call(
                self._masked("load", kind),
                [address.ir, self._natural(kind), self._first(count, kind), constant(kind, 0)],
            ),
        )

    def store_some(self, value: Term, address: Term, count: Term) -> None:
        """Write the first `count` lanes of a vector."""
        kind = value.type
        align, mask = self._natural(kind), self._first(count, kind)
        self.ir.call(self._masked("store", kind), [value.ir, address.ir, align, mask])

    def _natural(self, kind: Any) -> ir.Constant:
        return ir.Constant(I32, _bytes(_element(kind)))

    def _first(self, count: Term, kind: Any) -> Any:
        """Truth in the first lanes."""
        # Of 32 bits, which are one vector where 64 are two.
        lanes, few = ir.VectorType(I32, kind.count), self.smaller(count, kind.count)
        numbers = Term(self, ir.Constant(lanes, [ir.Constant(I32, i) for i in range(kind.count)]))
        return (numbers < self.splat(self.cast(few, I32), lanes)).ir

    def _masked(self, what: str, kind: Any) -> ir.Function:
        name = f"llvm.masked.{what}.{_suffix(kind)}.p0"
        function = self.module.globals.get(name)
        if function is None:
            mask = ir.VectorType(I1, kind.count)
            if what == "load":
                signature = ir.FunctionType(kind, [POINTER, I32, mask, kind])
            else:
                signature = ir.FunctionType(ir.VoidType(), [kind, POINTER, I32, mask])
            function = ir.Function(self.module, signature, name)
        return function

    # Choices and conversions

    def select(self, condition: Term, yes: Term, no: Term) -> Term:
        """`yes` where the condition holds, else `no`; lane by lane."""
        return Term(self, self.ir.select(condition.ir, yes.ir, no.ir))

    def smaller(self, left: Term, right: Number) -> Term:
        """The smaller of two integers."""
        other = right if isinstance(right, Term) else Term(self, constant(left.type, right))
        return self.select(left < other, left, other)

    def larger(self, left: Term, right: Number) -> Term:
        """The larger of two integers."""
        other = right if isinstance(right, Term) else Term(self, constant(left.type, right))
        return self.select(left > other, left, other)

    def cast(self, value: Term, kind: Any) -> Term:
        """A number in another type, with C's rules; lane by lane."""
        source = _element(value.type)
        target = _element(kind)
        if source == target:
            return value
        from_float = isinstance(source, (ir.FloatType, ir.DoubleType))
        to_float = isinstance(target, (ir.FloatType, ir.DoubleType))
        if from_float and to_float:
            wider = isinstance(target, ir.DoubleType)
            change = self.ir.fpext if wider else self.ir.fptrunc
        elif from_float:
            change = self.ir.fptosi
        elif to_float:
            change = self.ir.uitofp if source.width == 1 else self.ir.sitofp
        elif target.width < source.width:
            change = self.ir.trunc
        else:
            change = self.ir.zext if source.width == 1 else self.ir.sext
        return Term(self, change(value.ir, kind))

    def widen(self, value: Term) -> Term:
        """An unsigned integer as 64 bits."""
        return Term(self, self.ir.zext(value.ir, I64))

    def bits(self, value: Term, kind: Any) -> Term:
        """The same bits under another type."""
        return Term(self, self.ir.bitcast(value.ir, kind))

    def splat(self, value: Term, kind: Any = VEC) -> Term:
        """A vector with the value in every lane."""
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.ir.insert_element(undefined, value.ir, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
        return Term(self, self.ir.shuffle_vector(first, undefined, zeros))

    def shuffle(self, left: Term, right: Term, lanes: Sequence[int]) -> Term:
        """The lanes of those numbers, counted over two vectors of one type."""
        order = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
        return Term(self, self.ir.shuffle_vector(left.ir, right.ir, order))

    # Calls

    def call(self, name: str, result: Any, *arguments: Term) -> Term:
        """Call a function by name: an LLVM intrinsic or a symbol of the process."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, kind, name)
        return Term(self, self.ir.call(function, [argument.ir for argument in arguments]))

    def intrinsic(self, name: str, *arguments: Term) -> Term:
        """Call the LLVM intrinsic of that name for the type of the first argument."""
        kind = arguments[0].type
        return self.call(f"llvm.{name}.{_suffix(kind)}", kind, *arguments)

    def fma(self, left: Term, right: Term, addend: Term) -> Term:
        """`left * right + addend`, rounded once."""
        return self.intrinsic("fma", left, right, addend)

    # Control

    @contextmanager
    def loop(self, low: Number, high: Number, step: Number = 1) -> Iterator[Term]:
        """Run the block for each index from `low` up to, not including, `high`."""
        low, high, step = self.i64(low), self.i64(high), self.i64(step)
        before = self.ir.block
        body = self.ir.append_basic_block("loop")
        after = self.ir.append_basic_block("done")
        self.ir.cbranch((low < high).ir, body, after)
        self.ir.position_at_end(body)
        index = self.ir.phi(I64)
        index.add_incoming(low.ir, before)
        yield Term(self, index)
        following = Term(self, index) + step
        index.add_incoming(following.ir, self.ir.block)
        self.ir.cbranch((following < high).ir, body, after)
        self.ir.position_at_end(after)

    @contextmanager
    def when(self, condition: Term) -> Iterator[None]:
        """Run the block where the condition holds."""
        with self.ir.if_then(condition.ir):
            yield

    def choose(self, condition: Term, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """Write two branches."""
        with self.ir.if_else(condition.ir) as (then, otherwise):
            with then:
                yes()
            with otherwise:
                no()

    def switch(self, index: Term, count: int, case: Callable[[int], None]) -> None:
        """Write a body for each value of `index` from 1 to `count`, and branch to the right one."""
        after = self.ir.append_basic_block("chosen")
        default = self.ir.append_basic_block("none")
        fork = self.ir.switch(index.ir, default)
        for value in range(1, count + 1):
            block = self.ir.append_basic_block(f"case{value}")
            fork.add_case(ir.Constant(index.type, value), block)
            self.ir.position_at_end(block)
            case(value)
            self.ir.branch(after)
        self.ir.position_at_end(default)
        self.ir.branch(after)
        self.ir.position_at_end(after)

    def share(self, count: Term, thread: Term, threads: Term) -> tuple[Term, Term]:
        """The first and one past the last of `count` items that fall to this thread."""
        return (count * thread) // threads, (count * (thread + 1)) // threads


def _bytes(kind: Any) -> int:
    if isinstance(kind, ir.FloatType):
        return 4
    if isinstance(kind, ir.DoubleType):
        return 8
    return max(1, int(kind.width) // 8)


def _suffix(kind: Any) -> str:
    element = _element(kind)
    if isinstance(element, ir.FloatType):
        name = "f32"
    elif isinstance(element, ir.DoubleType):
        name = "f64"
    else:
        name = f"i{element.width}"
    return f"v{kind.count}{name}" if isinstance(kind, ir.VectorType) else name

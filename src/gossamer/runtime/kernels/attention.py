"""Scaled dot-product attention on tiles, one kernel from queries to weighted values.

Lanes are queries throughout: a key's or value's number is broadcast against vectors of queries,
scores lie key-major, and softmax runs down the lanes, so that nothing is transposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossamer.runtime.codegen.builder import LANES, VEC, Builder, Term, Variable, write_kernel
from gossamer.runtime.codegen.math import exp, maximum
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.layouts import GROUP, TILE

_GROUPS = TILE // LANES


@dataclass(frozen=True)
class Attention:
    """The kernel (Vaswani et al. 2017, equation 1).

    Arguments: queries, keys, values, output, scratch, bytes of scratch a thread, sequences, heads,
    queries a sequence, keys a sequence, floats in a tile of queries, of keys, of values, of output,
    and with a mask its pointer and its steps in floats from sequence to sequence, from head to
    head and from key to key.

    The mask is added to the scores: `keys` is one number a key; `full` is a vector of queries a
    key, `[key, query]`, with the queries filled up to whole groups.
    """

    head: int
    """Channels of a head."""
    scale: float
    """What scores are multiplied by."""
    mask: str = "none"
    """`none`, `keys` or `full`."""
    zero_nan: bool = False
    """Whether a query that may attend to nothing gets zeros instead of NaN."""

    def source(self, target: Target) -> str:
        """The LLVM module."""
        wide = target.registers >= 32

        def body(b: Builder, arguments: Sequence[Term], thread: Term, threads: Term) -> None:
            _Writer(self, b, arguments, wide).write(thread, threads)

        return write_kernel(body, 14 if self.mask == "none" else 18)


class _Writer:
    """Writes the kernel's body; holds what its parts share."""

    def __init__(
        self, kernel: Attention, b: Builder, arguments: Sequence[Term], wide: bool
    ) -> None:
        self.kernel, self.b = kernel, b
        self.together = _GROUPS if wide else 1
        self.step = 4
        self.queries, self.keys, self.values, self.output, self.scratch = map(
            b.pointer, arguments[:5]
        )
        self.scratch_size, self.sequences, self.heads = arguments[5:8]
        self.query_count, self.key_count = arguments[8:10]
        self.query_tile, self.key_tile, self.value_tile, self.output_tile = arguments[10:14]
        self.mask_steps = arguments[15:18]
        if kernel.mask != "none":
            self.mask_base = b.pointer(arguments[14])
        self.query_groups = (self.query_count + GROUP - 1) // GROUP
        self.key_groups = (self.key_count + GROUP - 1) // GROUP

    def write(self, thread: Term, threads: Term) -> None:
        b = self.b
        self.scores = b.at(self.scratch, thread * (self.scratch_size // 4))
        # Pieces end where tiles do, so a sequence that begins within a tile has one more.
        pieces = (self.query_groups + 2 * self.together - 2) // self.together
        low, high = b.share(self.sequences * self.heads * pieces, thread, threads)
        with b.loop(low, high) as item:
            piece = item % pieces
            head = item // pieces % self.heads
            sequence = item // pieces // self.heads
            first_group = sequence * self.query_groups
            block = (first_group // self.together + piece) * self.together
            begin = b.larger(first_group, block)
            end = b.smaller(first_group + self.query_groups, block + self.together)
            channel = head * (self.kernel.head * TILE)
            if self.kernel.mask != "none":
                mask = b.at(
                    self.mask_base, sequence * self.mask_steps[0] + head * self.mask_steps[1]
                )
                if self.kernel.mask == "full":
                    mask = b.at(mask, (begin - first_group) * LANES)
                self.mask = mask
            self.sequence, self.channel, self.begin = sequence, channel, begin
            b.switch(end - begin, self.together, self._piece)

    def _lane_place(self, group: Term, tile_size: Term) -> Term:
        """Where the lanes of a group begin for the channels of this head."""
        return group // _GROUPS * tile_size + group % _GROUPS * LANES + self.channel

    def _each_key(self, tile_size: Term, body: Callable[[Term, Term, int], None]) -> None:
        """Run the body for keys `step` at a time, then for the rest one by one.

        The body receives the key's place within its tile, its number, and how many there are.
        """
        b = self.b
        with b.loop(0, self.key_groups) as group:
            place = self._lane_place(self.sequence * self.key_groups + group, tile_size)
            first = group * GROUP
            count = b.smaller(self.key_count - first, GROUP)
            whole = count // self.step * self.step
            with b.loop(0, whole, self.step) as key:
                body(place + key, first + key, self.step)
            with b.loop(whole, count) as key:
                body(place + key, first + key, 1)

    def _piece(self, groups: int) -> None:
        b = self.b
        query = b.at(self.queries, self._lane_place(self.begin, self.query_tile))
        output = b.at(self.output, self._lane_place(self.begin, self.output_tile))
        largest = [b.variable(b.number(VEC, -math.inf)) for _ in range(groups)]
        self._write_scores(query, largest)
        sums = self._write_softmax(largest)
        self._write_output(output, sums)

    def _write_scores(self, query: Term, largest: list[Variable]) -> None:
        b, kernel, groups = self.b, self.kernel, len(largest)

        def scores(place: Term, number: Term, count: int) -> None:
            source = b.at(self.keys, place)
            sums = [[b.variable(b.number(VEC, 0)) for _ in range(groups)] for _ in range(count)]
            with b.loop(0, kernel.head) as channel:
                vectors = self._vectors(b.at(query, channel * TILE), groups)
                for key, line in enumerate(sums):
                    factor = b.splat(b.load(b.at(source, channel * TILE + key)))
                    for part, vector in zip(line, vectors, strict=True):
                        part.set(b.fma(factor, vector, part.get()))
            for key, line in enumerate(sums):
                for group, part in enumerate(line):
                    score = part.get() * kernel.scale
                    if kernel.mask != "none":
                        address = b.at(self.mask, (number + key) * self.mask_steps[2])
                        if kernel.mask == "keys":
                            score = score + b.splat(b.load(address))
                        else:
                            score = score + b.load(b.at(address, group * LANES), VEC, align=64)
                    place_of_score = (number + key) * (groups * LANES) + group * LANES
                    b.store(score, b.at(self.scores, place_of_score), align=64)
                    largest[group].set(maximum(b, largest[group].get(), score))

        self._each_key(self.key_tile, scores)

    def _write_softmax(self, largest: list[Variable]) -> list[Term]:
        """Turn scores into unnormalised weights; return what to multiply the output by."""
        b, groups = self.b, len(largest)
        sums = [b.variable(b.number(VEC, 0)) for _ in largest]
        tops = [top.get() for top in largest]
        with b.loop(0, self.key_count) as key:
            for group, total in enumerate(sums):
                address = b.at(self.scores, key * (groups * LANES) + group * LANES)
                weight = exp(b, b.load(address, VEC, align=64) - tops[group])
                b.store(weight, address, align=64)
                total.set(total.get() + weight)
        return [1 / total.get() for total in sums]

    def _write_output(self, output: Term, factors: list[Term]) -> None:
        b, groups = self.b, len(factors)
        head, step = self.kernel.head, self.step

        def channels(channel: Term, count: int) -> None:
            sums = [[b.variable(b.number(VEC, 0)) for _ in range(groups)] for _ in range(count)]

            def add(place: Term, number: Term, keys: int) -> None:
                source = b.at(self.values, place + channel * TILE)
                for key in range(keys):
                    weights = self._vectors(
                        b.at(self.scores, (number + key) * (groups * LANES)), groups
                    )
                    for index, line in enumerate(sums):
                        value = b.splat(b.load(b.at(source, index * TILE + key)))
                        for part, weight in zip(line, weights, strict=True):
                            part.set(b.fma(value, weight, part.get()))

            self._each_key(self.value_tile, add)
            for index, line in enumerate(sums):
                for group, part in enumerate(line):
                    value = part.get() * factors[group]
                    if self.kernel.zero_nan:
                        # NaN among the weights, which are so all together; among values it stays.
                        attends = factors[group].compare("==", factors[group])
                        value = b.select(attends, value, b.number(VEC, 0))
                    address = b.at(output, (channel + index) * TILE + group * LANES)
                    b.store(value, address, align=64)

        whole = head // step * step
        with b.loop(0, whole, step) as channel:
            channels(channel, step)
        with b.loop(whole, head) as channel:
            channels(channel, 1)

    def _vectors(self, address: Term, groups: int) -> list[Term]:
        b = self.b
        return [b.load(b.at(address, group * LANES), VEC, align=64) for group in range(groups)]

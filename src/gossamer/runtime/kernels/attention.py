"""Scaled dot-product attention on tiles, one kernel from queries to weighted values.

Lanes are queries throughout: a key's or value's number is broadcast against vectors of queries,
scores lie key-major, and softmax runs down the lanes, so that nothing is transposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gossamer.graphs.dims import Size, ceiling
from gossamer.runtime.codegen.builder import LANES, VEC, Term, Variable
from gossamer.runtime.codegen.kernel_builder import KernelBuilder
from gossamer.runtime.codegen.math import exp, maximum
from gossamer.runtime.layouts import GROUP, PADDED, PLAIN, TILE, TOKENS
from gossamer.runtime.signature import Input, Output, Pointer, Scratch, Signature, symbols

_GROUPS = TILE // LANES


@dataclass(frozen=True)
class Attention:
    """The kernel (Vaswani et al. 2017, equation 1).

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

    @property
    def signature(self) -> Signature:
        """What it takes: numbers of queries and keys of a sequence, floats in a tile of each array,
        and the mask's steps in floats from sequence to sequence, head to head, key to key."""
        numbers = symbols("sequences", "heads", "query_count", "key_count")
        sequences, heads, queries, keys = numbers
        pointers: list[Pointer] = []
        for name, length in (("queries", queries), ("keys", keys), ("values", keys)):
            pointers.append(Input(name, "float32", self._reach(name, length), TOKENS))
        pointers.append(Output("output", "float32", self._reach("output", queries), TOKENS))
        pointers.append(Scratch("scores", "float32", keys * TILE))
        numbers += symbols(*(f"{pointer.name}_tile" for pointer in pointers[:4]))
        if self.mask != "none":
            steps = symbols("mask_sequence", "mask_head", "mask_key")
            counts = zip((sequences, heads, keys), steps, strict=True)
            before = sum((count - 1) * step for count, step in counts)
            row, layout = (ceiling(queries, GROUP) * GROUP, PADDED) if self.full else (1, PLAIN)
            pointers.append(Input("mask", "float32", before + row, layout))
            numbers += steps
        return Signature("Attention", tuple(pointers), numbers)

    def _reach(self, name: str, length: Size) -> Size:
        """Floats up to the end of the last head's channels in the last tile."""
        sequences, heads, tile = symbols("sequences", "heads", f"{name}_tile")
        tiles = ceiling(sequences * ceiling(length, GROUP), _GROUPS)
        return (tiles - 1) * tile + heads * self.head * TILE

    @property
    def full(self) -> bool:
        """Whether the mask has a number for each query and key."""
        return self.mask == "full"

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        _Writer(self, b).write()


class _Writer:
    """Writes the kernel's body; holds what its parts share."""

    def __init__(self, kernel: Attention, b: KernelBuilder) -> None:
        self.kernel, self.b = kernel, b
        self.together = _GROUPS if b.target.registers >= 32 else 1
        self.step = 4
        self.scores, self.heads = b.arguments("scores", "heads")
        self.query_count, self.key_count = b.arguments("query_count", "key_count")
        if kernel.mask != "none":
            self.mask_steps = b.arguments("mask_sequence", "mask_head", "mask_key")
        self.query_groups = (self.query_count + GROUP - 1) // GROUP
        self.key_groups = (self.key_count + GROUP - 1) // GROUP

    def write(self) -> None:
        b = self.b
        # Pieces end where tiles do, so a sequence that begins within a tile has one more.
        pieces = (self.query_groups + 2 * self.together - 2) // self.together
        low, high = b.own_share(b.argument("sequences") * self.heads * pieces)
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
                place = sequence * self.mask_steps[0] + head * self.mask_steps[1]
                mask = b.at(b.argument("mask"), place)
                if self.kernel.full:
                    mask = b.at(mask, (begin - first_group) * LANES)
                self.mask = mask
            self.sequence, self.channel, self.begin = sequence, channel, begin
            b.switch(end - begin, self.together, self._piece)

    def _lane_place(self, group: Term, array: str) -> Term:
        """Where the lanes of a group begin in an array for the channels of this head."""
        tile_size = self.b.argument(f"{array}_tile")
        return group // _GROUPS * tile_size + group % _GROUPS * LANES + self.channel

    def _each_key(self, array: str, body: Callable[[Term, Term, int], None]) -> None:
        """Run the body for keys `step` at a time, then for the rest one by one.

        The body receives the key's place in the array, its number, and how many there are.
        """
        b = self.b
        with b.loop(0, self.key_groups) as group:
            place = self._lane_place(self.sequence * self.key_groups + group, array)
            first = group * GROUP
            count = b.smaller(self.key_count - first, GROUP)
            whole = count // self.step * self.step
            with b.loop(0, whole, self.step) as key:
                body(place + key, first + key, self.step)
            with b.loop(whole, count) as key:
                body(place + key, first + key, 1)

    def _piece(self, groups: int) -> None:
        b = self.b
        query, output = (
            b.at(b.argument(name), self._lane_place(self.begin, name))
            for name in ("queries", "output")
        )
        largest = [b.variable(b.number(VEC, -math.inf)) for _ in range(groups)]
        self._write_scores(query, largest)
        sums = self._write_softmax(largest)
        self._write_output(output, sums)

    def _write_scores(self, query: Term, largest: list[Variable]) -> None:
        b, kernel, groups = self.b, self.kernel, len(largest)

        def scores(place: Term, number: Term, count: int) -> None:
            source = b.at(b.argument("keys"), place)
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

        self._each_key("keys", scores)

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
                source = b.at(b.argument("values"), place + channel * TILE)
                for key in range(keys):
                    weights = self._vectors(
                        b.at(self.scores, (number + key) * (groups * LANES)), groups
                    )
                    for index, line in enumerate(sums):
                        value = b.splat(b.load(b.at(source, index * TILE + key)))
                        for part, weight in zip(line, weights, strict=True):
                            part.set(b.fma(value, weight, part.get()))

            self._each_key("values", add)
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

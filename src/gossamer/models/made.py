"""What the verbs return that make a model."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossamer.models.adapter import Batch
    from gossamer.models.writing import Written


class Made:
    """A model that a verb made; every verb takes it in the model's stead.

    Attributes:
        model: an nn.Module or an ONNX model.
        example: one sample of the data that it was made with, by input name, so that a module can
            be traced; None where there was none.
        source: the Hugging Face directory that it was made from, whose tokenizer and configuration
            belong to it; None for others.
    """

    model: Any
    example: Batch | None
    source: Path | None

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return how the model came about, ready for JSON."""

    def save(self, folder: str | Path, *, example_inputs: Any = None) -> Written:
        """Write the model for deployment, in every form that there is.

        `model.gossamer.safetensors` is the sparse file with its graph, all that a device needs;
        `model.onnx` the same for any other runtime; `result.json` tells how it came about. Of a
        transformers module come weights that `from_pretrained` loads, configuration and tokenizer.
        The folder appears whole or not at all, and every verb takes it for the model.

        Args:
            folder: must not exist, or be empty.
            example_inputs: to trace a module with; by default a sample of the data that it was
                made with.

        Returns:
            The files, and what they do not hold.

        Raises:
            ModelError: if the model cannot be exported.
            DataError: if it must be traced, no data was seen, and no example is given or it does
                not fit.
            OutputError: if the folder exists and is not empty, or cannot be written.
        """
        # What writes a model asks whether it was made.
        from gossamer.models.writing import save_folder

        return save_folder(self, folder, self.to_dict(), example_inputs=example_inputs)

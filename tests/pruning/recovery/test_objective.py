"""What is compared, of which modules, and where their padding is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gossamer.models.padding import Padding
from gossamer.pruning.recovery.objective import Objective, probe
from gossamer.pruning.recovery.processes import Processes

MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


class Translator(nn.Module):
    """A decoder that is told the mean of an encoder's states."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.head = nn.Linear(4, 5)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor
    ) -> dict[str, Tensor]:
        memory = (self.embed(input_ids) * attention_mask[..., None]).sum(1, keepdim=True)
        return {"logits": self.head(self.embed(decoder_input_ids) + memory)}


def test_every_token_of_a_decoder_counts_whatever_the_encoder_s_mask() -> None:
    torch.manual_seed(0)
    dense, sparse = Translator().eval(), Translator().eval()
    batch = {
        "input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]]),
        "attention_mask": MASK,
        "decoder_input_ids": torch.tensor([[3, 4, 5], [6, 7, 8]]),
    }
    padding = Padding()
    losses = probe(sparse, dense, batch, {"values": 1.0}, padding)
    objective = Objective(
        sparse, dense, losses, None, list(batch), padding, 1.0, Processes(torch.device("cpu"))
    )
    found, _ = objective(batch)
    own, theirs = sparse(**batch)["logits"], dense(**batch)["logits"]
    expected = (own - theirs).square().sum() / theirs.square().sum()
    torch.testing.assert_close(found, expected)

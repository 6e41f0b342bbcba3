"""PyTorch's half of ddp.py: one rank of DistributedDataParallel over Gloo, with one thread; started once for each process.

    RANK=r WORLD_SIZE=N MASTER_ADDR=localhost MASTER_PORT=p
    python tests/bench/ddp_step.py WEIGHTS BATCH.safetensors lora|full OUT.json [--steps 24] [--static-graph]

Model, adapters, loss and optimizer are those of pytorch_step.py, way `best`: reference rows cached, captions cut, safe and
unsafe together through a tower, eager attention, fused Adam. DDP wraps a module that embeds the rank's slice of the
quadruplets. One all-gather brings the rows of the others, the own slice with its gradient takes the place of its copy, and
every rank takes the loss of the whole batch. Its gradient goes back through the own rows, so the ranks' gradients add up to
that of the batch; DDP takes their mean, therefore the loss is multiplied by the number of ranks. The first step, which is
not timed, compares the result with the gradient of the whole batch on one rank.

To DDP's advantage: the batch stands ready in memory and is the same in every step, and no buffers are broadcast.
"""
import argparse
import json
import os
import pathlib
import resource
import time
import warnings

import torch
import torch.distributed as dist
from pytorch_step import KINDS, embed, normalised, saferclip_loss, tuned_model
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

COLUMNS = ("safe_text", "unsafe_text", "safe_image", "unsafe_image")
ALLOWED = 1e-4  # distance of DDP's gradient from one process's, relative


class Slice(torch.nn.Module):
    """Rows of both kinds to rows of all COLUMNS side by side."""

    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, ids, pixels):
        text, image = embed(self.clip, ids, normalised(pixels))
        return torch.cat([*text.chunk(2), *image.chunk(2)], 1)


def gathered(own):
    """The rows of all ranks, of which the own ones keep their gradient."""
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own.detach())
    parts[dist.get_rank()] = own
    return torch.cat(parts)


class Step:
    def __init__(self, a):
        data = load_file(a.batch)
        clip = tuned_model(a.weights, a.method, "cpu")
        self.trained = [p for p in clip.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=1e-4, fused=True)
        self.scale = float(clip.logit_scale.exp())
        self.reference = {column: data[f"reference_{column}"] for column in COLUMNS}
        self.targets = data["target_text"], data["target_image"]
        size, rank = dist.get_world_size(), dist.get_rank()
        self.whole = [torch.cat([data[f"{k}_{what}"] for k in KINDS]) for what in ("ids", "pixels")]
        self.own = [torch.cat([data[f"{k}_{what}"].chunk(size)[rank] for k in KINDS]) for what in ("ids", "pixels")]
        self.plain = Slice(clip)
        self.model = DistributedDataParallel(self.plain, gradient_as_bucket_view=True, find_unused_parameters=False,
                                             broadcast_buffers=False, static_graph=a.static_graph)

    def loss(self, rows):
        return saferclip_loss(dict(zip(COLUMNS, rows.chunk(len(COLUMNS), 1))), self.reference, *self.targets, self.scale)

    def propagate(self):
        self.optimizer.zero_grad()
        loss = self.loss(gathered(self.model(*self.own)))
        (loss * dist.get_world_size()).backward()
        return loss.detach()

    def check(self):
        """The loss of the batch; stops if DDP's gradient isn't the one that a single process would get."""
        loss = self.propagate()
        apart = size = 0.0
        for p, alone in zip(self.trained, torch.autograd.grad(self.loss(self.plain(*self.whole)), self.trained)):
            apart += float((p.grad - alone).square().sum())
            size += float(alone.square().sum())
        if not apart < ALLOWED**2 * size:
            raise SystemExit(f"DDP's gradient is {(apart / size) ** 0.5:.1e} away from that of one process")
        return float(loss), (apart / size) ** 0.5

    def run(self):
        loss = self.propagate()
        self.optimizer.step()
        return float(loss)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("batch", type=pathlib.Path)
    parser.add_argument("method", choices=["lora", "full"])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--static-graph", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)  # newer PyTorch has other words for broadcast_buffers
    dist.init_process_group("gloo")
    step = Step(a)
    first_loss, apart = step.check()
    seconds = []
    for _ in range(a.steps):
        began = time.perf_counter()
        last_loss = step.run()
        seconds.append(time.perf_counter() - began)
    if int(os.environ["RANK"]) == 0:
        a.out.write_text(json.dumps(dict(seconds=seconds, first_loss=first_loss, last_loss=last_loss, gradient_apart=apart,
                                         peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

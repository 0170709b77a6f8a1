"""finetune: train a Graph on data, from where it stands; the loop that pruning, distillation and QAT share.

Same data, same seed, same machine: same weights, also when the run was cut off in between and started again: everything that
the next step depends on is in the checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.augment import Augment
from edgekit.data import Dataset
from edgekit.errors import BadConfig, BadData
from edgekit.graph import Array
from edgekit.passes.finetune_augment import augmented, check_augment, for_teacher
from edgekit.passes.finetune_feeder import Feeder
from edgekit.passes.finetune_losses import Loss, Step, Values, task_loss, teacher_loss
from edgekit.passes.finetune_tasks import Judge
from edgekit.tasks import Task, targets_of, task_of
from edgekit.trainable import GraphModule

WARM_UP = 0.1  # of the steps, in which the rate rises
FLOOR = 0.02  # of the rate, at the end of the cosine
CLIP = 5.0  # largest norm of the gradient
JUDGED_BY = 8  # batches of unchanged samples that statistics are set from, where an epoch is chosen
SAVE_STEPS = 200  # steps between checkpoints within an epoch


@dataclass(frozen=True)
class Progress:
    """Where training stands: epoch from 1, step in it; loss so far; metric of the last judged epoch (NaN before)."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metric_name: str
    metric: float


@dataclass
class Training:
    """What came of it. losses: mean of each epoch; metrics: on the held-out part after each epoch (empty without one)."""

    task: Task
    metric_name: str
    losses: list[float] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped_early: bool = False
    resumed_at: int = 0


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """PyTorch with fixed random numbers and deterministic kernels; what was set before is set again afterwards."""
    state, strict = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        torch.set_rng_state(state)


def evaluate(
    module: GraphModule, dataset: Dataset, task: Task | None = None, batch: int = 128, metric: str | None = None
) -> float:
    """The task's metric on labelled data, or the one named (see `tasks_further`). Raises BadData, BadConfig, MissingTool."""
    task = task or task_of(module.graph, dataset)
    judge, labels = Judge(module.graph, task, dataset.labels, metric), targets_of(module.graph, dataset, task)
    return _judged(module, judge, Feeder(module.graph, dataset, module.device), labels, batch)


def _judged(module: GraphModule, judge: Judge, feeder: Feeder, labels: Array | None, batch: int) -> float:
    was = module.training
    module.eval()
    tally = judge.tally(module.device)
    with torch.no_grad():
        for places, feeds in feeder.batches(batch):
            outputs = module(feeds, keep=(judge.name,))
            if not places[0]:
                judge.look(outputs)
            tally.add(*judge.pairs(outputs, _rows(labels, places, module.device), feeds))
    module.train(was)
    return tally.value()


def _rows(labels: Array | None, places: Array, device: torch.device) -> torch.Tensor | None:
    return None if labels is None else torch.from_numpy(np.ascontiguousarray(labels[places])).to(device)


def recalibrate(module: GraphModule, dataset: Dataset, batch: int = 64, most: int = 64) -> None:
    """Set the statistics of BATCH_NORM to the data's: the mean over up to `most` batches. In place."""
    if any(node.op == "BATCH_NORM" for node in module.graph.nodes):
        _averaged(module, Feeder(module.graph, dataset, module.device), batch, most)


def _averaged(module: GraphModule, feeder: Feeder, batch: int, most: int) -> None:
    was = module.training
    module.train()
    with torch.no_grad(), module.averaging():
        for count, (places, feeds) in enumerate(feeder.batches(batch)):
            if count == most or (count and len(places) < batch):
                break
            module(feeds)
    module.train(was)


def train(
    module: GraphModule,
    dataset: Dataset,
    *,
    task: Task | None = None,
    epochs: int = 10,
    lr: float = 1e-3,
    batch: int = 64,
    seed: int = 0,
    teacher: GraphModule | None = None,
    losses: Sequence[Loss] | None = None,
    checkpoint: str | Path | None = None,
    early_stop: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    decay: float = 1e-4,
    augment: Augment | None = None,
    metric: str | None = None,
) -> Training:
    """Train in place with AdamW under a warm-up and a cosine; the module ends in evaluation mode.

    task: None finds it from the labels. losses: default the task's, and against `teacher` if there is one (without labels
    that alone). dataset.held_out is judged after each epoch, by `metric` (None: the task's own; see `tasks_further`);
    early_stop: end after so many epochs without improvement, and take the best epoch's weights. augment: how batches are
    changed; statistics of batch norm are set from unchanged samples at the end. checkpoint: a file that is written as training
    goes and continued from when it is there.
    Raises BadData (labels, NaN), BadConfig (a checkpoint of another run, a teacher that does not fit).
    """
    if epochs < 0 or batch < 1 or not (lr > 0 and math.isfinite(lr)):
        raise BadConfig(f"cannot train {epochs} epochs in batches of {batch} at a rate of {lr}")
    if epochs and not module.learned:
        raise BadConfig(f"'{module.graph.name}' has no weights that could learn", "leave training out")
    task = task or task_of(module.graph, dataset, teacher is not None)
    if task == "teacher" and teacher is None:
        raise BadConfig("nothing to learn: no labels and no teacher", "add labels y, or name a teacher")
    if losses is None:
        losses = [] if task == "teacher" else [task_loss()]
        if teacher is not None:
            losses = [*losses, teacher_loss(module.graph, teacher.graph)]
    if early_stop is not None and dataset.held_out is None:
        raise BadConfig("stopping early needs samples that are held out", "--split 20%")
    if module.graph.states and (augment or (task in {"reconstruction", "language"} and dataset.labels is None)):
        what = "--augment does not change sequences" if augment else f"{task} of sequences needs labels of their last steps"
        raise BadConfig(f"'{module.graph.name}' carries states: {what}", "labels y, one a sequence; no --augment")
    if augment:
        check_augment(module.graph, augment, task)
    run = _Run(
        module, dataset, task, tuple(losses), teacher, epochs, lr, batch, seed, decay, early_stop, augment or None, metric
    )
    with repeatable(seed):
        done = run.go(None if checkpoint is None else Path(checkpoint), progress)
        if augment and epochs:
            recalibrate(module, dataset)
        return done


class _Run:
    """One training: what stays the same in it, and what a checkpoint holds."""

    def __init__(
        self,
        module: GraphModule,
        dataset: Dataset,
        task: Task,
        losses: tuple[Loss, ...],
        teacher: GraphModule | None,
        epochs: int,
        lr: float,
        batch: int,
        seed: int,
        decay: float,
        early_stop: int | None,
        augment: Augment | None,
        metric: str | None,
    ) -> None:
        self.module, self.losses, self.teacher = module, losses, teacher
        self.epochs, self.lr, self.batch, self.seed, self.early_stop = epochs, lr, min(batch, len(dataset)), seed, early_stop
        self.augment = augment
        self.feeder = Feeder(module.graph, dataset, module.device)
        self.taught = None if teacher is None else Feeder(teacher.graph, dataset, module.device)
        self.labels = targets_of(module.graph, dataset, task)
        self.judge = Judge(module.graph, task, dataset.labels, metric)
        held = dataset.held_out
        self.held = None if held is None else Feeder(module.graph, held, module.device)
        self.held_labels = None if held is None else targets_of(module.graph, held, task)
        self.steps = max(1, len(dataset) // self.batch)  # the rest of each epoch's order is left out: batches of one size
        self.extra = torch.nn.ModuleList([loss.module for loss in losses if loss.module is not None]).to(module.device)
        wide = [p for p in (*module.parameters(), *self.extra.parameters()) if p.dim() > 1]
        flat = [p for p in (*module.parameters(), *self.extra.parameters()) if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW([{"params": wide, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}], lr)
        self.training = Training(task, self.judge.metric.name)
        self.best: dict[str, torch.Tensor] | None = None
        settings = (
            task,
            epochs,
            lr,
            self.batch,
            seed,
            decay,
            early_stop,
            [(loss.name, loss.weight) for loss in losses],
            augment,
            metric,
        )
        self.print = _fingerprint(module, dataset, teacher, settings)

    def go(self, checkpoint: Path | None, progress: Callable[[Progress], None] | None) -> Training:
        epoch, step, total = self._resume(checkpoint)
        if self.teacher is not None:
            self.teacher.eval()
        self._look()
        while epoch < self.epochs and not self.training.stopped_early:
            # Each epoch's order is its own, so that a run can start in any.
            order = np.random.RandomState((self.seed * 1_000_003 + epoch) % (1 << 32)).permutation(len(self.feeder))
            self.module.train()
            while step < self.steps:
                value = self._step(order[step * self.batch : (step + 1) * self.batch], epoch * self.steps + step)
                if not math.isfinite(value):
                    raise BadData(
                        f"the loss became {value} in epoch {epoch + 1}, step {step + 1}",
                        f"lower the learning rate (--lr {self.lr / 10:g}), or look for broken samples",
                    )
                total, step = total + value, step + 1
                if progress is not None:
                    last = self.training.metrics[-1] if self.training.metrics else math.nan
                    done = Progress(epoch + 1, self.epochs, step, self.steps, total / step, self.training.metric_name, last)
                    progress(done)
                if checkpoint is not None and step % SAVE_STEPS == 0 and step < self.steps:
                    self._save(checkpoint, epoch, step, total)
            self._end_epoch(epoch, total)
            epoch, step, total = epoch + 1, 0, 0.0
            if checkpoint is not None:
                self._save(checkpoint, epoch, 0, 0.0)
        if self.best is not None:
            self.module.load_state_dict(self.best)
        self.module.eval()
        return self.training

    def _look(self) -> None:
        """What the untrained network's answers mean (see `Judge.look`); in evaluation mode, so that nothing changes."""
        self.module.eval()
        with torch.no_grad():
            self.judge.look(self.module(self.feeder.batch(np.arange(min(8, len(self.feeder)))), keep=(self.judge.name,)))

    def _rate(self, step: int) -> float:
        """Of step 0, 1, ... of all: a linear rise, then a cosine's fall."""
        whole = self.epochs * self.steps
        rise = max(1, int(whole * WARM_UP))
        if step < rise:
            return self.lr * (step + 1) / rise
        part = (step - rise) / max(1, whole - rise)
        return self.lr * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * part)))

    def _step(self, places: Array, number: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(number)
        feeds: Values = self.feeder.batch(places)
        blend = None
        if self.augment:
            feeds, blend = augmented(self.module.graph, feeds, self.augment, self.seed * 1_000_003 + number)
        keep = dict.fromkeys((self.judge.name, *(n for loss in self.losses for n in loss.keep)))
        taught: Values = {}
        if self.teacher is not None and self.taught is not None:
            wanted = dict.fromkeys(n for loss in self.losses for n in loss.teacher_keep)
            same = for_teacher(self.module.graph, self.teacher.graph, feeds) if self.augment else self.taught.batch(places)
            with torch.no_grad():
                taught = self.teacher(same, keep=tuple(wanted))
        labels = _rows(self.labels, places, self.module.device)
        seen = Step(feeds, self.module(feeds, keep=tuple(keep)), labels, taught, self.judge, blend)
        value = torch.stack([loss.function(seen) * loss.weight for loss in self.losses]).sum()
        self.optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], CLIP)
        self.optimizer.step()
        return float(value.detach())

    def _end_epoch(self, epoch: int, total: float) -> None:
        done = self.training
        done.losses.append(total / self.steps)
        if self.held is None:
            return
        if self.augment and self.early_stop is not None:  # statistics of changed samples judge unchanged ones unfairly
            _averaged(self.module, self.feeder, 64, JUDGED_BY)
        done.metrics.append(_judged(self.module, self.judge, self.held, self.held_labels, 128))
        best = (max if self.judge.metric.higher else min)(done.metrics)
        if self.early_stop is None:
            return
        if done.metrics[-1] == best and best not in done.metrics[:-1]:
            done.best_epoch = epoch + 1
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        done.stopped_early = epoch + 1 - done.best_epoch >= self.early_stop

    def _resume(self, checkpoint: Path | None) -> tuple[int, int, float]:
        """(epoch, step, loss so far) to go on from. Raises BadConfig for the checkpoint of another run."""
        if checkpoint is None or not checkpoint.exists():
            return 0, 0, 0.0
        hint = "remove it to start afresh"
        try:
            saved: dict[str, Any] = torch.load(checkpoint, map_location=self.module.device, weights_only=True)
            same = saved["run"] == self.print
        except Exception as error:  # torch, zipfile, pickle and OS errors all mean an unreadable file
            raise BadConfig(f"the checkpoint {checkpoint} is damaged, or none of edgekit's", hint) from error
        if not same:
            raise BadConfig(f"the checkpoint {checkpoint} is of another run (model, data or settings differ)", hint)
        self.module.load_state_dict(saved["module"])
        self.extra.load_state_dict(saved["extra"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best = saved["best"]
        torch.set_rng_state(saved["random"].cpu())
        done = self.training
        done.losses, done.metrics = list(saved["losses"]), list(saved["metrics"])
        done.best_epoch, done.stopped_early, done.resumed_at = saved["best_epoch"], saved["stopped_early"], saved["epoch"]
        return saved["epoch"], saved["step"], saved["total"]

    def _save(self, checkpoint: Path, epoch: int, step: int, total: float) -> None:
        """All of it or nothing: a file beside it takes its place."""
        done = self.training
        state = {
            "run": self.print,
            "epoch": epoch,
            "step": step,
            "total": total,
            "module": self.module.state_dict(),
            "extra": self.extra.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "random": torch.get_rng_state(),
            "losses": done.losses,
            "metrics": done.metrics,
            "best_epoch": done.best_epoch,
            "stopped_early": done.stopped_early,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = checkpoint.with_name(f"{checkpoint.name}.part")
        with part.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, checkpoint)


def _fingerprint(module: GraphModule, dataset: Dataset, teacher: GraphModule | None, settings: object) -> str:
    """What a run depends on: networks, masks, settings, and (by its size, labels, first and last sample) the data."""
    digest = hashlib.sha256(repr((settings, len(dataset), dataset.rows.tolist())).encode())
    for net in (module, teacher):
        if net is not None:
            digest.update(repr([(n.op, n.inputs, n.outputs, sorted(n.attrs.items())) for n in net.graph.nodes]).encode())
            for value in (*net.state_dict().values(), *net.masks.values()):
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    if dataset.labels is not None:
        digest.update(np.ascontiguousarray(dataset.labels).tobytes())
    for place in (0, len(dataset) - 1):
        for array in dataset[place].values():
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

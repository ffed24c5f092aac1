"""What a benchmark found: rates of ours and of others on the same work, and their ratios."""

import datetime
import json
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Case:
    """One comparison.

    Attributes:
        unit: of the values; more is better.
        rates: name -> one value per repeat; the first name is ours.
        notes: what else was measured or could not be.
        less: less is better: the values are seconds.
    """

    name: str
    unit: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    less: bool = False

    def add(self, name: str, rate: float) -> None:
        self.rates.setdefault(name, []).append(rate)

    def median(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def ratio(self, name: str, ours: str | None = None) -> float:
        """Ours, the first unless another is named, to theirs: the median over the repeats of the ratio within each."""
        rates = self.rates[ours] if ours else next(iter(self.rates.values()))
        return statistics.median(a / b for a, b in zip(rates, self.rates[name], strict=True))

    def lines(self) -> list[str]:
        made = [f"{self.name} ({self.unit}; median, lowest to highest of {len(next(iter(self.rates.values()), []))})"]
        for name, rates in self.rates.items():
            spread = f"{min(rates):.2f} to {max(rates):.2f}"
            made.append(f"  {name:18} {self.median(name):8.2f}  {spread:18} ours is {self.ratio(name):.2f} x this")
        return [*made, *(f"  {key}: {value}" for key, value in self.notes.items())]

    def as_dict(self) -> dict[str, Any]:
        found = {
            name: {"median": self.median(name), "ours_to_this": self.ratio(name), "repeats": rates}
            for name, rates in self.rates.items()
        }
        return {"case": self.name, "unit": self.unit, "less_is_better": self.less, "rates": found, **self.notes}


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    import os

    import psutil
    import torch

    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model or platform.processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def save(cases: list[Case], path: Path) -> None:
    path.write_text(json.dumps({"machine": machine(), "cases": [case.as_dict() for case in cases]}, indent=2) + "\n")

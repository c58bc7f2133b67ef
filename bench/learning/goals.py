"""What the learner shall reach on the development sets: (accuracy, macro-F1) by set and number of labels.

From the measured table of methods ("goal acc / F1", section 4 of the design notes on learning); no goal where none was
measured. The calibration goal holds everywhere."""

from __future__ import annotations

GOALS: dict[str, dict[int, tuple[float, float]]] = {
    "banking77": {0: (0.640, 0.625), 16: (0.640, 0.620), 64: (0.660, 0.620), 256: (0.750, 0.720), 1000: (0.850, 0.840)},
    "agnews": {0: (0.780, 0.770), 16: (0.760, 0.750), 64: (0.820, 0.810), 256: (0.850, 0.845), 1000: (0.860, 0.855)},
    "sst2": {0: (0.690, 0.685), 16: (0.665, 0.655), 64: (0.790, 0.785), 256: (0.825, 0.820), 1000: (0.800, 0.795)},
    "smsspam": {0: (0.705, 0.600), 16: (0.945, 0.870), 64: (0.975, 0.950), 256: (0.980, 0.960), 1000: (0.985, 0.970)},
}


def ece_goal(count: int) -> float:
    """Largest calibration error allowed with so many labels."""
    return 0.06 if count >= 64 else 0.08


def shortfalls(name: str, count: int, accuracy: float, macro_f1: float, ece: float) -> list[str]:
    """What falls short of the goals, and by how much; empty when nothing."""
    goal = GOALS.get(name, {}).get(count)
    missed = []
    if goal is not None:
        pairs = (("accuracy", accuracy, goal[0]), ("macro-F1", macro_f1, goal[1]))
        missed = [f"{what} -{wanted - found:.3f}" for what, found, wanted in pairs if found < wanted - 5e-4]
    if ece > ece_goal(count) + 5e-4:
        missed.append(f"ECE +{ece - ece_goal(count):.3f}")
    return missed

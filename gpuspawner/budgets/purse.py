"""How far what is left of a member's budgets goes in one workspace: GPUs and time, for the form. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from gpuspawner.budgets.accounts import Accounts
from gpuspawner.budgets.estimate import say_balance
from gpuspawner.budgets.pricing import Price, price_of, say_units
from gpuspawner.config import Settings
from gpuspawner.quantity import format_duration, say_gpus
from gpuspawner.workspace import Workspace

__all__ = ["Purse"]


@dataclass(frozen=True, slots=True)
class Purse:
    """``left`` micro-units at the tariff of ``now``; ``balance`` says so."""

    left: int
    balance: str
    price: Price
    now: datetime

    @classmethod
    def of(
        cls, user: str, workspace: Workspace, settings: Settings, accounts: Accounts | None, now: datetime
    ) -> Self | None:
        """That of a member in a workspace; None where no budget bounds what they start there."""
        left = None if accounts is None else accounts.left(workspace.name, user, now)
        if accounts is None or left is None:
            return None
        balance = say_balance(workspace, user, settings, accounts, now)
        return cls(left, balance, price_of(settings, settings.catalog.gpu_classes), now)

    def gpus(self, gpu_class: str, most: int, runtime: int) -> tuple[int, str]:
        """How many GPUs of a class it pays for so many seconds, up to ``most``, and why not for more."""
        fits = next((count for count in range(most, 0, -1) if self._cost(gpu_class, count, runtime) <= self.left), 0)
        why = f"Your budget pays for {say_gpus(fits)} of this class at most. {self.balance}"
        if not fits:
            cost = say_units(self._cost(gpu_class, 1, runtime), up=True)
            why = f"It costs {cost} for {format_duration(runtime)}. {self.balance}"
        return fits, why

    def lasts(self, gpu_class: str, gpus: int, cpu: float, runtime: int) -> int:
        """Of so many seconds those it pays for, in whole minutes where that is less."""
        classes = (gpu_class,) if gpu_class else ()
        found = self.price.lasts(classes, gpus if gpu_class else 0, cpu, self.now, runtime, self.left)
        return found if found == runtime else found // 60 * 60

    def _cost(self, gpu_class: str, gpus: int, runtime: int) -> int:
        return self.price.ceiling((gpu_class,), gpus, 0, self.now, runtime)

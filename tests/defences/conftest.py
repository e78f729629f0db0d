import pytest
from featpoison.defences import names
from featpoison.defences.defence import Defending
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.task import Task
from small_task import CLASSES, QUICK, small_task


@pytest.fixture
def task() -> Task:
    return small_task()


@pytest.fixture
def defending(task):
    """What a defence of this name is given: the task, with poisons if there are any."""

    def of(name: str, features=None, labels=None, files=None, images=None, **settings) -> Defending:
        none = features is None
        poisons = Poisons(
            features=task.train[:0] if none else features,
            labels=task.train_labels[:0] if none else labels,
            images=images,
        )
        return Defending(names.load(name).settings(**settings), task, poisons, files or {}, QUICK)

    return of


@pytest.fixture
def long_poisons(task):
    """Twelve rows of wrong labels, eight times as long as the clean ones that they are."""
    return 8 * task.train[:12], (task.train_labels[:12] + 1) % CLASSES

"""Hyper-parameters declared once: signature, ranges, docs; and what is refused."""

import inspect
import pickle
import typing
from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression

from sk_adrec import (
    DownsampledClassifier,
    ESMMEstimator,
    FMClassifier,
    HSTUNextItem,
    SASRecNextItem,
)
from sk_adrec._docs import SHARED
from sk_adrec._hyperparameters import check_parameters
from sk_adrec._state import stored
from sk_adrec.base import Count, NotNegative, Positive, hyperparameters, one_of, within
from sk_adrec.utils import all_estimators

ROWS = pd.DataFrame({"a": list("xyzw") * 10}), [0, 1] * 20


@hyperparameters
class Model(BaseEstimator):
    """A model.

    Parameters
    ----------
    depth
        Of the trees.
    """

    depth: Count = 3
    _: KW_ONLY
    l2: NotNegative = 0.0
    loss: Annotated[str, one_of("a", "b")] = "a"

    constant: ClassVar[int] = 5


def parameters(cls):
    return {p.name: (p.kind.name, p.default) for p in inspect.signature(cls).parameters.values()}


@pytest.mark.parametrize(("name", "Estimator"), all_estimators())
def test_the_signature_is_what_init_takes(name, Estimator):
    signature = inspect.signature(Estimator)
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    values = [object() for _ in positional]
    model = Estimator(*values)
    for parameter, value in zip(positional, values):
        assert getattr(model, parameter.name) is value
    with pytest.raises(TypeError, match="positional argument"):
        Estimator(*range(len(positional) + 1))
    assert set(typing.get_type_hints(Estimator.__init__)) == {*signature.parameters, "return"}


def test_new_and_repeated_declarations_keep_the_order_of_arguments():
    @hyperparameters
    class Deeper(Model):
        l2: Positive = 0.5
        width: Count = 7

    assert parameters(Deeper) == {
        "depth": ("POSITIONAL_OR_KEYWORD", 3),
        "l2": ("KEYWORD_ONLY", 0.5),
        "width": ("KEYWORD_ONLY", 7),
        "loss": ("KEYWORD_ONLY", "a"),
    }
    assert Deeper(9).depth == 9
    assert clone(Deeper(9, width=2)).get_params() == {
        "depth": 9,
        "l2": 0.5,
        "width": 2,
        "loss": "a",
    }

    @hyperparameters
    class Sampled(DownsampledClassifier):
        further: Count = 3

    assert Sampled("anything").estimator == "anything"


def test_a_declaration_without_a_range_keeps_that_of_the_base():
    @hyperparameters
    class Default(FMClassifier):
        lr: float = 1e-2

    assert Default().lr == 1e-2
    with pytest.raises(ValueError, match=r"lr must be a number in \(0, inf\), got -1.0"):
        Default(lr=-1.0).fit(*ROWS)
    assert "lr : float, default=0.01\n    Step size" in Default.__doc__


def test_ranges_with_none_or_words():
    @hyperparameters
    class Optional(BaseEstimator):
        depth: Count | None = None
        rate: Annotated[float, within(0, 1, also=("auto",))] = "auto"
        other: typing.Optional[Count] = None  # noqa: UP045
        free: int = 3

    for good in ({}, {"depth": 2}, {"rate": 0.5}, {"other": 1}, {"free": -3}):
        check_parameters(Optional(**good))
    for bad in ({"depth": -7}, {"rate": 1}, {"rate": "none"}, {"other": 0}, {"depth": "auto"}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
            check_parameters(Optional(**bad))
    assert "depth : int, default=None" not in (Optional.__doc__ or "")  # it is not described


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_epochs": 3}, "sets max_epochs = 3 without an annotation"),
        ({"__annotations__": {"_x": int}, "_x": 3}, "'_x', but parameters have no underscore"),
        ({"__annotations__": {"coef_": Any}}, "'coef_', but parameters have no underscore"),
        ({"__annotations__": {"score": int}, "score": 3}, "'score': that is the name of a method"),
        ({"__annotations__": {"a__b": int}, "a__b": 3}, "two underscores"),
        ({"__annotations__": {"rate": within(0, 5)}, "rate": 3}, r"write Annotated\[float"),
        ({"__init__": lambda self, lr=0.1: None}, "A has one of its own"),
        ({"__doc__": "A.\n\nParameters\n----------\nwidht\n    A typo."}, "describes 'widht'"),
    ],
)
def test_what_looks_like_a_declaration_is_refused(body, message):
    with pytest.raises(TypeError, match=message):
        hyperparameters(type("A", (FMClassifier,), body))


def test_inits_of_other_kinds_are_refused():
    class Own(FMClassifier):
        def __init__(self, lr=0.1, extra=3):
            super().__init__(lr=lr)
            self.extra = extra

    for base in (Own, LogisticRegression):
        with pytest.raises(TypeError, match=f"{base.__name__} has one of its own"):
            hyperparameters(type("A", (base,), {}))


def test_a_narrow_init_is_fine_without_the_decorator():
    class Narrow(ESMMEstimator):
        def __init__(self, lr=0.01, random_state=0):
            super().__init__(lr=lr, random_state=random_state, max_epochs=1)

    model = Narrow().fit(*ROWS)
    again = pickle.loads(pickle.dumps(model.predict_proba(ROWS[0])))
    assert np.array_equal(again, model.predict_proba(ROWS[0]))


def test_docs_keep_what_an_author_wrote():
    @hyperparameters
    class Warned(Model):
        """Something.

        Parameters
        ----------
        width : int
            Of it.

        Warnings
        --------
        Do not.

        Examples
        --------
        >>> 1
        1
        """

        width: Count = 2

    titles = [line for line in Warned.__doc__.splitlines() if line in ("Warnings", "Examples")]
    assert titles == ["Warnings", "Examples"]
    assert "width : int, default=2\n    Of it." in Warned.__doc__
    assert "depth : int, default=3\n    Of the trees." in Warned.__doc__

    @hyperparameters
    class Silent(BaseEstimator):
        depth: Count = 3

    assert "Rule" not in (Silent.__doc__ or "")


def test_shared_texts_are_used():
    names = {line for line in SHARED.splitlines() if line and not line[0].isspace()}
    documented = {name for _, cls in all_estimators() for name in parameters(cls)}
    assert {name.split(" : ")[0] for name in names} <= documented


def test_files_know_one_class_by_a_name():
    @stored
    class Log:
        """Not the library's."""

    with pytest.raises(TypeError, match="another class by the name"):

        @stored
        class Log:
            """Another one."""


def test_a_model_with_a_batch_size_that_is_set_wrong_later_can_be_stored():
    model = FMClassifier(max_epochs=1, random_state=0).fit(*ROWS).set_params(batch_size="many")
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(ROWS[0]), model.predict_proba(ROWS[0]))
    with pytest.raises(ValueError, match="batch_size must be an integer"):
        again.partial_fit(*ROWS)


@pytest.mark.parametrize("Model", [HSTUNextItem, SASRecNextItem])
def test_models_of_histories_take_no_parameters_of_columns(Model):
    assert not {"categorical_features", "share_vocabulary"} & set(parameters(Model))

"""Settings that cannot be meant are refused, and those in no use leave no trace."""

import pytest

from syn2real.errors import UserError
from syn2real.language.tuning import LoraSettings, TuningSettings


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"method": "spo"}, "method 'spo': unknown (did you mean 'dpo'?)"),
        ({"schedule": "cosin"}, "schedule 'cosin': unknown (did you mean 'cosine'?)"),
        ({"epochs": 0}, "epochs must be above 0, not 0"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0, not -1"),
        ({"warmup": 1.0}, "warmup is a share"),
        ({"dropout": 1.0}, "dropout is a share"),
        ({"weight_decay": -0.1}, "weight_decay must be 0 or more"),
        ({"cut_off": 4}, "cut_off must be 8 tokens or more"),
        ({"packing": True, "method": "dpo"}, "packing is for sft"),
        ({"dropout": 0.1, "lora": LoraSettings(dropout=0.2)}, "dropout is 0.1 and that of the adapters 0.2"),
    ],
)
def test_out_of_bounds(values, problem):
    with pytest.raises(UserError) as error:
        TuningSettings(**values)
    assert str(error.value).startswith(problem)


def test_learning_rates_are_the_methods():
    rates = [TuningSettings(method=method, lora=lora).learning_rate for method in ("sft", "dpo") for lora in (None, {})]
    assert rates == [2e-5, 1e-4, 2e-6, 2e-5]


def test_one_dropout_however_it_is_given():
    given = [TuningSettings(dropout=0.3, lora={}), TuningSettings(lora=LoraSettings(dropout=0.3))]
    assert given[0] == given[1] and given[0].lora.dropout == given[0].dropout == 0.3


def test_options_not_in_use_leave_the_record_as_it_was():
    plain = TuningSettings().record()
    assert not {"packing", "gradient_checkpointing", "patience", "beta"} & set(plain)
    assert plain == TuningSettings(beta=0.5).record()  # which means nothing to sft
    assert TuningSettings(packing=True).record()["packing"] is True
    assert TuningSettings(method="dpo").record()["beta"] == 0.1

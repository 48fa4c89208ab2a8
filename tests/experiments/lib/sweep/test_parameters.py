"""The runs of a sweep."""

from audio_triplet.config import EncoderConfig, RunConfig, TrainingConfig, TripletConfig
from experiments.lib.sweep import parameters as sweep


def test_every_value_makes_a_valid_run_and_differs_from_the_others():
    best = RunConfig(
        triplets=TripletConfig("combined", augment=True),
        encoder=EncoderConfig(normalisation="batch", pooling="time", input_scaling=True),
        training=TrainingConfig(objective="contrastive", schedule="cosine"),
    )
    for parameter, values in sweep.PARAMETERS.items():
        base = best if parameter == "best_without" else RunConfig()
        made = [sweep.resolved(sweep.changed(base, change)) for change in values.values()]
        assert sweep.resolved(base) not in made or parameter in sweep.DEFAULT
        assert len({repr(config) for config in made}) == len(values)
        assert parameter in sweep.TITLES
        assert sweep.PAPER.get(parameter, next(iter(values))) in values


def test_the_baseline_is_made_only_once():
    """The paper's values are the base's own: each parameter shares its run, under any name."""
    plan = sweep.plan(RunConfig(), ["noise_sigma", "shares", "architecture"])
    assert next(iter(plan)) == "base"
    assert "noise_sigma=0.5" not in plan and "noise_sigma=1" in plan
    assert "shares=equal" not in plan and "shares=no mixing" in plan
    # "default" is no normalisation for vggish.
    assert "architecture=vggish, no norm" not in plan
    named = RunConfig(encoder=EncoderConfig(normalisation="none"))
    assert sweep.plan(named, ["architecture"]).keys() == plan.keys() - {
        label for label in plan if label.startswith(("noise", "shares"))
    }

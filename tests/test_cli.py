import dataclasses

import pytest
from absl import flags

from audio_triplet import cli
from audio_triplet.config import ConfigError, TripletConfig


@pytest.fixture
def flag_values(monkeypatch):
    values = flags.FlagValues()
    monkeypatch.setattr(cli.flags, "FLAGS", values)
    for kind in ("boolean", "integer", "float", "string", "list"):
        name = f"DEFINE_{kind}"
        original = getattr(flags, name)
        monkeypatch.setattr(
            cli.flags, name,
            lambda *a, original=original, **k: original(*a, flag_values=values, **k),
        )
    return values


def test_a_flag_for_every_field(flag_values):
    cli.define_flags(TripletConfig, skip=("constraints",), noise_sigma=0.7)
    flag_values(["x", "--max_mel_shift=3", "--shares=1,2,3,4.5"])
    made = cli.from_flags(TripletConfig, constraints="mixing")
    assert made == TripletConfig("mixing", 0.7, 3, shares=(1.0, 2.0, 3.0, 4.5))
    assert "σ of the Gaussian noise" in flag_values["noise_sigma"].help
    assert "Silence" not in flag_values["noise_sigma"].help
    for field in dataclasses.fields(TripletConfig):
        if field.name != "constraints":
            assert len(flag_values[field.name].help) > 20


def test_a_flag_goes_before_the_preset_and_that_before_defaults(flag_values):
    cli.define_flags(TripletConfig, skip=("constraints",), noise_sigma=0.7)
    flag_values(["x", "--max_mel_shift=3"])
    made = cli.from_flags(TripletConfig, {"max_mel_shift": 4, "vary": True, "steps": 1})
    assert (made.noise_sigma, made.max_mel_shift, made.vary) == (0.7, 3, True)


def test_errors_for_the_user_are_one_line():
    for error in (ConfigError("a.json: broken; mend it"), FileNotFoundError(2, "gone", "f.wav")):
        with pytest.raises(SystemExit, match=r"^prog: .*(broken; mend it|f\.wav)"):
            with cli.clear_errors("prog"):
                raise error
    for error in (ValueError("a bug"), KeyError("a bug")):  # not ours: the trace is wanted
        with pytest.raises(type(error)), cli.clear_errors("prog"):
            raise error


def test_interruption_tells_the_command(capsys):
    with pytest.raises(SystemExit) as stop:
        with cli.clear_errors("prog"):
            raise cli.Interrupted("saved")
    assert stop.value.code == 130 and "prog: saved: python" in capsys.readouterr().err


def test_full_disk_is_told_whatever_the_error_type():
    import errno

    class Foreign(Exception):
        pass

    for error in (OSError(errno.ENOSPC, "x"), Foreign("foo; No space left on device")):
        with pytest.raises(SystemExit, match="prog: no space left on the disk; free some"):
            with cli.clear_errors("prog"):
                raise error


def test_an_impossible_folder_is_one_line():
    import tensorflow as tf

    with pytest.raises(SystemExit, match="prog: /dev/null is not a directory"):
        with cli.clear_errors("prog"):
            tf.io.gfile.makedirs("/dev/null/x")

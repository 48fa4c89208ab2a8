"""What `--help` prints of a verb: how it is called, what it does, and its own flags."""

import textwrap
from collections.abc import Iterable

from absl import flags

_WIDTH = 100
_INDENT = " " * 6
_QUOTE = "'"


def help_text(usage: str, about: str, own_flags: Iterable[flags.Flag]) -> str:
    """The text.

    Args:
      usage: The verb as it is typed, up to its flags.
      about: What it does; a module's docstring.
      own_flags: The verb's flags, in the order in which they are shown.

    Returns:
      Lines of at most 100 characters.
    """
    # `DEFINE_alias` keeps an earlier name working; only the current one is worth reading about.
    shown = [flag for flag in own_flags if not (flag.help or "").startswith("Alias for --")]
    lines = [f"usage: {usage}", "", about.strip(), "", "flags:"]
    for flag in sorted(shown, key=is_required, reverse=True):  # stable: else in the order defined
        lines += _flag_lines(flag)
    return "\n".join(lines)


def is_required(flag: flags.Flag) -> bool:
    """Whether a flag was defined with `required=True`, which absl turns into a validator."""
    return any("other than None" in (check.message or "") for check in flag.validators)


def _flag_lines(flag: flags.Flag) -> list[str]:
    name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={_value_hint(flag)}"
    text = " ".join((flag.help or "").split())
    if is_required(flag):
        text += " (required)"
    elif flag.default or (flag.default == 0 and not flag.boolean):
        text += f" (default: {(flag.default_as_str or '').strip(_QUOTE)})"
    return [
        f"  {name}",
        *textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
            break_long_words=False,
        ),
    ]


def _value_hint(flag: flags.Flag) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return "|".join(choices)
    kind = flag.flag_type()
    return {"int": "N", "float": "NUMBER"}.get(kind, "A,B" if "comma" in kind else "TEXT")

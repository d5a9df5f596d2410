"""What can go wrong, as exceptions whose message is one line naming the thing and the remedy."""


class GossamerError(Exception):
    """Base of every error that Gossamer raises on purpose."""


class ModelError(GossamerError):
    """A model that cannot be read, is broken, or holds what Gossamer does not handle."""


class DataError(GossamerError):
    """Calibration data, inputs or feeds that do not fit the model."""


class EvaluationError(GossamerError):
    """An evaluation function that raised or did not return a usable score."""


class OptionError(GossamerError, ValueError):
    """An argument outside its range, or arguments that contradict each other."""


class OutputError(GossamerError):
    """A result that cannot be written where it was asked for."""


class MeterError(GossamerError):
    """A meter that cannot measure: no counter, no permission, or too short a window."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

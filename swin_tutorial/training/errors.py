"""Why a run ends early.  No torch here: the command line names these without waiting for it."""


class TrainingError(RuntimeError):
    """A run cannot go on.  The message says why, and what there is to go on from."""


class Stopped(TrainingError):
    """A signal stopped the run, which saved a checkpoint first.

    Args:
        message: how far the run got, and how to go on.
        signal: number of the signal.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal

"""What ends a command before its time, in words for whoever typed it."""


class CommandError(Exception):
    """A command that cannot go on: the text says what, why and what next.

    Parameters
    ----------
    text
        One or more whole sentences; further lines (the end of a log) may follow.
    status
        The exit status of the process.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        self.status = status
        super().__init__(text)

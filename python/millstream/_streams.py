"""Giving a warm process its own standard streams back after each step.

Used by `_host` alone. A step may put an object of its own in the place of `sys.stdout`, or close
it; what later steps print would be lost without a word.

Invariant: after `restore`, `sys.stdin`, `sys.stdout` and `sys.stderr` are those of the import, or
new ones over the same descriptors where those were closed.
"""

import io
import os
import sys

NAMES = ("stdin", "stdout", "stderr")


class Streams:
    """What the streams were when the code had been imported."""

    def __init__(self):
        # Copies of the descriptors, which an object of a step's may close with itself.
        self._spares = [os.dup(number) for number in range(len(NAMES))]
        self._own = [getattr(sys, name, None) for name in NAMES]
        self._manners = [
            (getattr(stream, "encoding", None), getattr(stream, "errors", None))
            for stream in self._own
        ]

    def restore(self):
        """Makes the streams what they were, and costs next to nothing where they still are."""
        stdin, stdout, stderr = self._own
        try:
            is_same = sys.stdout is stdout and sys.stderr is stderr and sys.stdin is stdin
            if is_same and not (stdout.closed or stderr.closed or stdin.closed):
                return
        except (AttributeError, ValueError):
            # One is not there, or its buffer is in another one.
            pass
        standing = [sys.__stdin__, sys.__stdout__, sys.__stderr__, *self._own]
        for name, own in zip(NAMES, self._own):
            _put_back(name, own, standing)
        # After the step's objects are gone, which may have closed the descriptors.
        for number, spare in enumerate(self._spares):
            os.dup2(spare, number)
            self._reopen(number)

    def _reopen(self, number):
        name, old = NAMES[number], self._own[number]
        if _is_open(old):
            return
        encoding, errors = self._manners[number]
        mode, buffering = ("r", -1) if number == 0 else ("w", 1)
        new = open(number, mode, buffering, encoding, errors, closefd=False)
        self._own[number] = new
        setattr(sys, name, new)
        # Who has put something else there says `sys.stdout = sys.__stdout__` in the end.
        if not _is_open(getattr(sys, f"__{name}__", None)):
            setattr(sys, f"__{name}__", new)


def _put_back(name, own, standing):
    left = getattr(sys, name, None)
    setattr(sys, name, own)
    # What stands is somebody else's too, as after `sys.stdout = sys.stderr`. Of what is no file of
    # Python's nobody knows what to flush it would do.
    if any(left is it for it in standing) or not isinstance(left, io.TextIOWrapper):
        return
    try:
        left.flush()
        if left.fileno() <= 2:
            # It would close the descriptor, or the stream that it is laid over, whenever its memory
            # is freed: so it does now.
            left.detach()
    except Exception:
        # It is closed, or taken apart, already.
        pass


def _is_open(stream):
    """Whether `stream` was not closed; an import may have left nothing, or what is no file."""
    try:
        return not getattr(stream, "closed", False)
    except ValueError:
        # Its buffer is in another one.
        return False

"""Helpers for functions and programs that run as steps of Millstream.

A function that is a step needs none of this: it may take the context as its argument and return
its result. The standard library is all that this package uses, and it imports next to nothing.
"""

__all__ = ["Context", "Skip", "context", "result"]
__version__ = "0.1.0"


class Skip(Exception):
    """Raised by a step that has nothing to do: it and those below it are skipped, with the reason."""

    def __init__(self, reason="the step gave no reason"):
        super().__init__(reason)
        self.reason = str(reason)


class Context(dict):
    """What a step may see. Entries are attributes too, also in its maps: `context.trigger.cursor`."""

    def __getattr__(self, name):
        try:
            value = self[name]
        except KeyError:
            known = ", ".join(sorted(self))
            raise AttributeError(f"the context has no {name!r}; it has {known}") from None
        if type(value) is dict:
            # Kept, so that what a step changes in it stays changed.
            value = self[name] = Context(value)
        return value


class _Current:
    """The attempt that runs now in this process, as its host sets it."""

    context = None
    result = None


def context():
    """The context of the step that runs now."""
    if _Current.context is None:
        _Current.context = Context(_from_file("MILLSTREAM_CONTEXT"))
    return _Current.context


def result(value):
    """Makes `value`, which must be JSON, the step's result; a function may return it instead."""
    import json
    import os

    path = os.environ.get("MILLSTREAM_RESULT")
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)
    else:
        _Current.result = value


def _from_file(variable):
    import json
    import os

    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"this is no step of Millstream: {variable} is not set")
    with open(path, encoding="utf-8") as file:
        return json.load(file)

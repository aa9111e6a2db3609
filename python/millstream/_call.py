"""Loading a step's function, calling it, and saying what came of it.

Used by `_host` alone. What came of a call is a line of JSON: `returned`, `skipped` or `failed`.
"""

import json
import os
import sys

from . import Context, Skip, _Current

# A larger result belongs in an IO manager; the worker refuses it too.
RESULT_MAX = 16 * 1024 * 1024
# What an event can carry of a traceback; its end says most.
DETAIL_MAX = 3_900
# What of it may be the text of the exception, which must not push out the lines of the code.
WORDS_MAX = 1_500
# The most of that text in the line that lists and commands show.
MESSAGE_MAX = 500

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Failed(Exception):
    """A step that failed in a way that is said already."""

    def __init__(self, code, message, detail=None, for_good=False):
        super().__init__(message)
        self.code, self.message, self.detail, self.for_good = code, message, detail, for_good


def prepare_path(root, place):
    """Lets imports find the code below `root`, and what stands beside the file `place`."""
    folders = [root]
    if place.endswith(".py"):
        folders.insert(0, os.path.dirname(os.path.join(root, place)))
    # Isolated mode leaves out what a step may have declared on purpose.
    folders += [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = dict.fromkeys(folders)


def load(root, place):
    """The module that `place` means: a file, or a module by its name."""
    try:
        if place.endswith(".py"):
            return _load_file(root, place)
        import importlib

        return importlib.import_module(place)
    except Failed:
        raise
    except BaseException as error:
        # Another attempt reads the same text, so nothing but an edit mends these.
        for_good = isinstance(error, SyntaxError) or (
            isinstance(error, ModuleNotFoundError) and error.name == place
        )
        message = f"{place} cannot be imported: {_name(error)}"
        raise Failed("step-load", message, _trace(error, root), for_good) from None


def _load_file(root, place):
    # What every interpreter has loaded already; `importlib.util` costs more than a small module.
    import _frozen_importlib
    import _frozen_importlib_external

    path = os.path.join(root, place)
    if not os.path.isfile(path):
        message = f"there is no file {place} in the project's folder"
        raise Failed("step-load", message, for_good=True)
    name = os.path.splitext(os.path.basename(place))[0]
    if name in sys.modules:
        # A file that is called like a module of somebody else's must not take its place.
        name = f"millstream_step_{name}"
    spec = _frozen_importlib_external.spec_from_file_location(name, path)
    module = _frozen_importlib.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find(module, place, name):
    """The function called `name`, which may have dots, of `module`."""
    found = module
    for part in name.split("."):
        known = found
        found = getattr(known, part, None)
        if found is None:
            message = f"{place} has no function {name!r}{_nearest(known, part)}"
            raise Failed("step-load", message, for_good=True)
    if not callable(found):
        message = f"{name!r} of {place} is no function but {type(found).__name__}"
        raise Failed("step-load", message, for_good=True)
    return found


def _nearest(module, name):
    from difflib import get_close_matches

    functions = [n for n, value in vars(module).items() if callable(value) and n[:2] != "__"]
    near = get_close_matches(name, functions, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; it has {', '.join(sorted(functions)[:20])}" if functions else ""


def run(module, place, order, root):
    """Calls the function that `order` names and returns the line that says what came of it."""
    try:
        if isinstance(module, Failed):
            raise module
        function = find(module, place, order["function"])
        context = Context(order["context"])
        _Current.context, _Current.result = context, None
        value = _call(function, context)
        if value is None:
            value = _Current.result
        return _returned(value)
    except Skip as skip:
        return _line({"skipped": skip.reason})
    except Failed as failed:
        return failure(failed)
    except SystemExit as end:
        if end.code in (None, 0):
            return _line({"returned": None})
        message = f"the function ended with sys.exit({end.code!r})"
        return failure(Failed("step-exit", message, _trace(end, root)))
    except BaseException as error:
        return failure(Failed("step-python", _name(error), _trace(error, root)))
    finally:
        _flush()


def begin_anew():
    """Forgets what an import, or the step before, has opened for itself alone."""
    pipes = getattr(sys.modules.get("dagster_pipes"), "PipesContext", None)
    if pipes is not None:
        pipes._instance = None


def failure(failed):
    """The line that says that a step failed."""
    said = {"code": failed.code, "message": failed.message, "for_good": failed.for_good}
    return _line({"failed": {**said, "detail": failed.detail}})


def _call(function, context):
    positional, named = _arguments(function, context)
    value = function(*positional, **named)
    if hasattr(value, "__await__"):
        import asyncio

        async def finish():
            return await value

        value = asyncio.run(finish())
    return value


def _arguments(function, context):
    """What `function` is called with: nothing, the context, or entries of it by name."""
    positional, by_name, takes_more = _parameters(function)
    if not positional and not by_name and not takes_more:
        return (), {}
    entries = {**context["config"], **context["params"], **context}
    entries.setdefault("context", context)
    arguments, wanted = (), {**positional, **by_name}
    if len(positional) == 1:
        name, is_needed = next(iter(positional.items()))
        if is_needed and name not in entries:
            arguments, wanted = (context,), by_name
    # The entries of the context as it gives them itself, so that those of a map are attributes.
    entry = lambda name: context.__getattr__(name) if name in context else entries[name]
    named = {name: entry(name) for name in wanted if name in entries}
    for name, is_needed in wanted.items():
        if is_needed and name not in named:
            names = ", ".join(sorted(entries))
            message = f"the function wants {name!r}, which no entry of the context is called"
            raise Failed("step-python", message, f"The entries are {names}.", True)
    if takes_more:
        more = {name: entry(name) for name in entries if entries[name] is not context}
        named = {**more, **named}
    return arguments, named


def _parameters(function):
    """The names of parameters that may be positional, of the others, each with whether it must be
    given, and whether the function takes further ones by name."""
    code = getattr(function, "__code__", None)
    is_plain = code is not None and not hasattr(function, "__wrapped__")
    if not is_plain or code.co_posonlyargcount or hasattr(function, "__self__"):
        return _signature(function)
    # What `inspect` would say, which costs more to import than most steps to run.
    count, more = code.co_argcount, code.co_kwonlyargcount
    names = code.co_varnames[: count + more]
    optional = set(names[count - len(function.__defaults__ or ()) : count])
    optional.update(function.__kwdefaults__ or ())
    needed = [(name, name not in optional) for name in names]
    return dict(needed[:count]), dict(needed[count:]), bool(code.co_flags & 0x08)


def _signature(function):
    import inspect

    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
    takes_more = any(p.kind == p.VAR_KEYWORD for p in parameters)
    needed = [{p.name: p.default is p.empty for p in kind} for kind in (positional, by_name)]
    return *needed, takes_more


def _returned(value):
    try:
        line = _line({"returned": value})
    except (TypeError, ValueError, RecursionError) as error:
        message = (
            f"the function's result is not JSON ({error}); "
            "return text, numbers, booleans, lists and dicts of them"
        )
        raise Failed("step-result", message, for_good=True) from None
    if len(line) > RESULT_MAX:
        message = (
            "the result is over the limit of 16 MiB, also where an `io` keeps it; "
            "write a file and return its path, or make the rows with a step of kind `sql` "
            "or `http`, which stream to an `io`"
        )
        raise Failed("step-result", message, for_good=True)
    return line


_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def _line(value):
    return _encode(value).encode() + b"\n"


def _name(error):
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be read"
    name = type(error).__qualname__
    return _cut(f"{name}: {text}" if text else name, MESSAGE_MAX)


def _cut(text, most):
    return text if len(text) <= most else f"{text[:most]} …"


def _trace(error, root):
    """The traceback of `error` from where the step's own code begins."""
    import traceback

    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(lines).rstrip()
    words = "".join(traceback.format_exception_only(type(error), error)).rstrip()
    if len(words) > WORDS_MAX and text.endswith(words):
        text = text[: -len(words)] + _cut(words, WORDS_MAX)
    text = text.replace(root + os.sep, "")
    # Text that is no UTF-8 must not keep the error from being told.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= DETAIL_MAX else f"… {text[-DETAIL_MAX:]}"


def _is_ours(path):
    return path.startswith((_OURS, "<frozen importlib"))


def _flush():
    _flush_both(sys.__stdout__, getattr(sys, "stdout", None))
    _flush_both(sys.__stderr__, getattr(sys, "stderr", None))


def _flush_both(first, stream):
    """Writes what is still held: the first stream may hold what came before the step's own one."""
    if first is not stream:
        _flush_both(first, first)
    try:
        stream.flush()
    except Exception:
        # Closed by the step, or nobody reads it any more.
        pass

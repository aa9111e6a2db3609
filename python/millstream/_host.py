"""The three processes in which functions run, as the worker starts them.

`fork` imports the code once and forks for each step, `warm` runs one step after another, `process`
runs one step and ends. The first two take orders over a socket: lines of JSON, with the descriptors
that an order needs sent along. `docs/decisions/0010-python-processes.md` says why.

Invariant: a group that `fork` has made is signalled only while its leader is not reaped, and no
group outlives the socket.
"""

import gc
import json
import os
import sys

from . import _call

ORDER_MAX = 64 * 1024 * 1024
READ_SIZE = 64 * 1024
LIST_SIZE = 4 * 1024
DESCRIPTORS_MAX = 16
SIGKILL = 9
PR_SET_CHILD_SUBREAPER = 36
ROUNDS_MAX = 16
# How much memory beside what it shares a fork may leave for the kernel to free, in KiB.
MEMORY_MAX = 64 * 1024
# For how long, in seconds, a process looks for its next line before it sleeps: to be woken can take
# longer than a step does.
AWAKE_MAX = 0.0005
# Where to let others go first takes this long, in seconds, there are others who want the processor.
CROWDED = 0.00005
# An empty line: the step whose order came before may begin.
BEGIN = object()


def main():
    """Begins: the arguments are the isolation and what it needs."""
    isolation, rest = sys.argv[1], sys.argv[2:]
    if isolation == "process":
        return _process(*rest)
    # A session of its own: whatever is forked from here can be found, and ended with it.
    os.setsid()
    channel = _Channel(rest[0])
    load = channel.order()["load"]
    if isolation == "fork":
        # Nothing that is imported here will be garbage, and a collection would unshare its pages.
        gc.disable()
    module, place, root = _load(channel, load)
    if isolation == "fork":
        accept_orphans = _orphanage()
        accept_orphans()
        _Forks(channel, module, place, root, accept_orphans).serve()
    else:
        _warm(channel, module, place, root)


def _load(channel, load):
    root, place = load["root"], load["place"]
    out, err = channel.descriptors(2)
    _redirect(out, err)
    sys.stdout.reconfigure(line_buffering=True)
    try:
        _call.prepare_path(root, place)
        module = _call.load(root, place)
    except _call.Failed as failed:
        _call._flush()
        channel.say(_call.failure(failed))
        raise SystemExit(0) from None
    _call._flush()
    if load["isolation"] == "fork":
        gc.collect()
        gc.freeze()
        null = os.open(os.devnull, os.O_WRONLY)
        _redirect(null, os.dup(null))
    ready = {"pid": os.getpid(), "threads": _threads()}
    channel.say(json.dumps({"ready": ready}).encode() + b"\n")
    return module, place, root


def _redirect(out, err):
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)


def _threads():
    """The names of the threads beside this one; a fork would leave them out, locks held."""
    count = len(os.listdir("/proc/self/task")) - 1
    threading = sys.modules.get("threading")
    if count <= 0:
        return []
    main = threading.main_thread() if threading else None
    names = [thread.name for thread in threading.enumerate() if thread is not main] if main else []
    return names + ["one of a library's"] * (count - len(names))


def _orphanage():
    """What has the kernel give the process that calls it its descendants that lose their parents.

    All that can be found out before is, because each fork calls it.
    """
    if _children() is None:
        # Nobody could tell who they are.
        return lambda: None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        # They go to the supervisor, and end when this process does.
        return lambda: None
    return lambda: prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children():
    """The children of this process, or nothing where the kernel does not tell them."""
    # A file of Python's would cost five times what reading it does.
    try:
        file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
    except OSError:
        return None
    try:
        pids = bytearray()
        while part := os.read(file, LIST_SIZE):
            pids += part
    finally:
        os.close(file)
    return {int(pid) for pid in pids.split()}


class _Channel:
    """The socket to the worker."""

    def __init__(self, path):
        # The module `socket` would cost more to import than all of this package.
        import _socket

        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        # A socket's path has about a hundred bytes; this one is always short.
        self.socket.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        os.close(folder)
        self.fileno = self.socket.fileno()
        self._rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        self._space = _socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)
        self._unread = bytearray()
        self._descriptors = []

    def receive(self):
        """Reads once; false when the worker is gone."""
        data, ancillary, _, _ = self.socket.recvmsg(READ_SIZE, self._space)
        for level, kind, content in ancillary:
            if (level, kind) == self._rights:
                whole = len(content) - len(content) % 4
                self._descriptors += memoryview(content[:whole]).cast("i")
        self._unread += data
        return bool(data) and len(self._unread) <= ORDER_MAX

    def take(self):
        """The next order that is complete, or nothing."""
        end = self._unread.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return json.loads(line) if line else BEGIN

    def order(self):
        """Waits for the next order; the process ends when the worker is gone."""
        while True:
            order = self.take()
            if order is not None:
                return order
            if not self.receive():
                raise SystemExit(0)

    def descriptors(self, count):
        """The descriptors that came with the order that was taken last."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken

    def say(self, line):
        self.socket.sendall(line)


class _Forks:
    """Forks a child for each step, and reaps it."""

    def __init__(self, channel, module, place, root, accept_orphans):
        import resource
        import select

        self.resource = resource
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.channel, self.module, self.place, self.root = channel, module, place, root
        self.accept_orphans, self.close_range = accept_orphans, _closer()
        self.children = {}
        self.ends = {}
        # What the imports have started stays for as long as this process does.
        self.imported = _children() or set()
        self.poll = select.poll()
        self.poll.register(channel.fileno, select.POLLIN)

    def serve(self):
        try:
            while True:
                for descriptor, _ in self.poll.poll():
                    if descriptor != self.channel.fileno:
                        self._reap(self.ends[descriptor])
                    elif not self.channel.receive():
                        return
                self._obey()
        finally:
            for number in list(self.children):
                self._signal(number, SIGKILL)
                self._reap(number)

    def _obey(self):
        while True:
            order = self.channel.take()
            if order is None:
                return
            if "fork" in order:
                self._fork(order["fork"], *self.channel.descriptors(3))
            else:
                self._signal(*order["signal"])

    def _fork(self, number, step, out, err):
        pid = os.fork()
        if pid == 0:
            try:
                self._child(step, out, err)
            finally:
                os._exit(70)
        os.close(out)
        os.close(err)
        try:
            os.setpgid(pid, pid)
        except OSError:
            # The child has done it, or is gone already.
            pass
        end = os.pidfd_open(pid)
        self.children[number] = (pid, step, end)
        self.ends[end] = number
        self.poll.register(end)

    def _child(self, step, out, err):
        os.setpgid(0, 0)
        _write(step, b'{"forked": %d}\n' % os.getpid())
        # Without it, what the step leaves behind would not be known from what others left.
        self.accept_orphans()
        _redirect(out, err)
        os.close(self.channel.fileno)
        for _, other, end in self.children.values():
            os.close(other)
            os.close(end)
        gc.enable()
        with open(step, "rb", buffering=READ_SIZE, closefd=False) as file:
            order = json.loads(file.readline())
            _confine(order)
            os.environ.update(order["env"])
            _call.begin_anew()
            if file.readline() != b"\n":
                # Nobody wants the step any more.
                os._exit(0)
        line = _call.run(self.module, self.place, order, self.root)
        threading = sys.modules.get("threading")
        if threading is not None:
            # Threads that the step started may finish, as at the end of any program.
            threading._shutdown()
        _call._flush()
        _write(step, line + self._end(step))
        os._exit(0)

    def _end(self, step):
        """The line that says that this fork is over, where its process holds nothing any more.

        The kernel takes as long to free it as a short step takes. Where that is more than a little
        memory, or others may still work in it, whoever reaps it says when it is over.
        """
        usage = self.resource.getrusage(self.resource.RUSAGE_SELF)
        if usage.ru_maxrss - self.memory > MEMORY_MAX or not _is_alone():
            return b""
        # Whatever is locked by them, or read at their other ends, is free before the step is over.
        _close_all_but(step, self.close_range)
        waited = self.resource.getrusage(self.resource.RUSAGE_CHILDREN)
        time = sum(it.ru_utime + it.ru_stime for it in (usage, waited))
        return _ended(0, time)

    def _signal(self, number, signal):
        child = self.children.get(number)
        if child is not None:
            try:
                os.killpg(child[0], signal)
            except ProcessLookupError:
                pass

    def _reap(self, number):
        pid, step, end = self.children[number]
        # What the step has left behind goes while its unreaped leader keeps the group's id.
        self._signal(number, SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        time = usage.ru_utime + usage.ru_stime
        del self.children[number], self.ends[end]
        time += self._reap_orphans()
        try:
            _write(step, _ended(os.waitstatus_to_exitcode(status), time))
        except OSError:
            # Nobody waits for it any more, or it has said so itself.
            pass
        # The next step need not wait for these.
        self.poll.unregister(end)
        os.close(end)
        os.close(step)

    def _reap_orphans(self):
        """Ends what forks have left behind outside of their groups; how long that has worked."""
        time = 0.0
        forks = {pid for pid, _, _ in self.children.values()}
        for _ in range(ROUNDS_MAX):
            # Each that goes leaves its own children here.
            orphans = (_children() or set()) - forks - self.imported
            if not orphans:
                break
            for pid in orphans:
                os.kill(pid, SIGKILL)
                _, _, usage = os.wait4(pid, 0)
                time += usage.ru_utime + usage.ru_stime
        return time


def _ended(code, time):
    """The line that says how a fork has ended, and how long it has worked, in seconds."""
    how = b'"code": %d, "signal": null' if code >= 0 else b'"code": null, "signal": %d'
    return b'{"ended": {%b, "cpu_micros": %d}}\n' % (how % abs(code), round(time * 1_000_000))


def _is_alone():
    """Whether this process has neither children nor another thread."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return False
    except ChildProcessError:
        # It has a link of its own, one of its parent's, and one of each thread.
        return os.stat("/proc/self/task").st_nlink == 3


def _closer():
    """What closes all descriptors of a range, or nothing where the system has no such call."""
    try:
        import ctypes

        close_range = ctypes.CDLL(None).close_range
    except (ImportError, OSError, AttributeError):
        return None
    return lambda first, last: close_range(first, last, 0) == 0


def _close_all_but(kept, close_range):
    if close_range is not None and close_range(0, kept - 1) and close_range(kept + 1, -1):
        return
    for name in os.listdir("/proc/self/fd"):
        if int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                # It was the one that lists them.
                pass


def _confine(order):
    """Takes on the limits that hold from the beginning of a step."""
    cores, files = order.get("cores"), order.get("open_files")
    try:
        if cores:
            os.sched_setaffinity(0, cores)
        if files:
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    except (OSError, ValueError):
        # It has less than that already.
        pass


def _write(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _Waiting:
    """Waits for the next line of its kind: awake for a moment, if the last one came that soon.

    Nobody is kept from working by it: where somebody else wants the processor, it sleeps.
    """

    def __init__(self, channel):
        import select
        import time

        self.channel, self.now = channel, time.monotonic
        self.poll = select.poll()
        self.poll.register(channel.fileno, select.POLLIN)
        self.came_soon = True

    def order(self):
        start = self.now()
        order = self.channel.take()
        if order is None:
            if self.came_soon:
                self._look(start)
            order = self.channel.order()
        self.came_soon = self.now() - start < AWAKE_MAX
        return order

    def _look(self, at):
        end = at + AWAKE_MAX
        while at < end and not self.poll.poll(0):
            os.sched_yield()
            before, at = at, self.now()
            if at - before > CROWDED:
                break


def _warm(channel, module, place, root):
    """Runs one step after another, each with the environment, folder and streams it should have."""
    import resource
    import time

    def used():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    from ._streams import Streams

    environment, folder, streams = dict(os.environ), os.getcwd(), Streams()
    orders, begins = _Waiting(channel), _Waiting(channel)
    while True:
        order = orders.order()["run"]
        os.environ.update(order["env"])
        _call.begin_anew()
        if begins.order() is not BEGIN:
            return
        before = used()
        line = _call.run(module, place, order, root)
        after = used()
        times = round((after - before) * 1_000_000), round(after * 1_000_000)
        channel.say(line + b'{"used_micros": %d, "all_micros": %d}\n' % times)
        # The worker need not wait for this: the next order is read after it.
        os.chdir(folder)
        _restore(environment)
        streams.restore()


def _restore(environment):
    """Makes the environment what it was; to set a variable costs more than to look at it."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _process(root, place, function, answer):
    """Runs one step and leaves what came of it in the file `answer`."""
    with open(os.environ["MILLSTREAM_CONTEXT"], "rb") as file:
        order = {"function": function, "context": json.load(file)}
    sys.stdout.reconfigure(line_buffering=True)
    _call.prepare_path(root, place)
    try:
        module = _call.load(root, place)
    except _call.Failed as failed:
        module = failed
    line = _call.run(module, place, order, root)
    with open(answer, "wb") as file:
        file.write(line)

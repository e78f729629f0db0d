"""Run a Python program in a fork of an interpreter that has imported the libraries already:

    python -I -S scripts/warm_python.py PROGRAM.py ARGUMENTS

does what `python PROGRAM.py ARGUMENTS` does, without the two seconds that an import of torch takes. The first
call starts a server in the background, which imports `LIBRARIES` and nothing of this project, forks for every
program, and ends after a minute without any. A program has the arguments, folder, environment, standard
streams and signals of its call, and the call ends as the program does. Calls that differ in anything that a
library could see when it is imported, the environment above all, have servers of their own. A server whose
libraries have changed on disk makes room for a new one. Where there can be no server, the call becomes plain
Python.

A server has one thread, so that it can be forked safely. It therefore serves only programs that run with
OMP_NUM_THREADS=1, as jobs of one thread do under Snakemake: an import of numpy would start the threads of its
BLAS.
"""

import atexit
import fcntl
import gc
import hashlib
import marshal
import os
import select
import signal
import socket
import stat
import sys
import time
from contextlib import contextmanager, suppress

LIBRARIES = (
    "numpy",
    "h5py",
    "pydantic",
    "torch",
    "torch.nested._internal.nested_tensor",  # these two torch itself imports, at the first gradient
    "torch.fx.experimental.symbolic_shapes",
    "torch._dynamo",  # likewise, at the first step of an optimiser
    "scipy.special",
    "scipy.stats",
    "safetensors.torch",
    "pytorch_msssim",
    "PIL.Image",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "fontTools.subset",
    "seaborn",
)
IDLE = 60.0
"""Seconds without a program after which a server ends."""
INHERITED = ("Umask", "Groups", "SigBlk", "SigIgn", "Cap", "Seccomp", "Cpus_allowed", "Mems_allowed")
PASSING = ("PWD", "OLDPWD", "SHLVL", "_")  # variables that shells set anew and no library reads
TAKEN = b"+"
ENDED: list[int] = []
"""In a fork: the exit status of a program that came to its end without an error."""


def call(arguments: list[str]) -> None:
    """Have a server run a program, and end as the program does; or become plain Python."""
    began, record = time.monotonic(), benchmark_file()
    if record:
        with suppress(OSError):
            os.unlink(record)  # of an earlier run
    # Options and what is no file are for plain Python. Two tries: the first server may be about to end.
    for _ in range(2 if os.path.isfile(arguments[0]) else 0):
        with suppress(OSError):
            connection = connected(door())
            if handed_over(connection, arguments):
                break
    else:
        os.execv(sys.executable, [sys.executable, *arguments])
    status, processor, memory = outcome(connection)
    code = os.waitstatus_to_exitcode(status)
    if code == 0 and record:
        os.makedirs(os.path.dirname(record), exist_ok=True)
        with open(record, "w") as file:
            seconds = time.monotonic() - began
            print(f'{{"s": {seconds:.4f}, "cpu_time": {processor:.2f}, "max_rss": {memory:.2f}}}', file=file)
    if code < 0:
        with suppress(OSError):  # of SIGKILL there is no other handling
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code if code >= 0 else 128 - code)


def benchmark_file() -> str | None:
    """Where the use of resources goes. A rule's benchmark file has the name of its log, and standard error
    goes to the log."""
    with suppress(OSError):
        log, folder = os.readlink("/proc/self/fd/2"), os.getcwd()
        if log.startswith(f"{folder}/logs/") and log.endswith(".log"):
            return f"{folder}/benchmarks/{log[len(folder) + 6 : -4]}.jsonl"
    return None


def door() -> str:
    """The socket of the server for this call. Raises OSError where there can be none."""
    if os.environ.get("OMP_NUM_THREADS") != "1" or "PYTHONPATH" in os.environ:  # which may be relative
        raise OSError("no server for this environment")
    places = (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp")
    place = next((place for place in places if place and os.access(place, os.W_OK)), "/tmp")
    folder = f"{place}/featpoison-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others")
    return f"{folder}/{hashlib.sha256(inherited().encode()).hexdigest()[:16]}"


def inherited() -> str:
    """What a process inherits and a program could notice, besides what a call hands over; and this file."""
    with open("/proc/self/status") as status, open("/proc/self/limits") as limits:
        found = [line for line in status if line.startswith(INHERITED)] + [*limits]
    with open("/proc/self/cgroup") as groups, open(__file__) as code:
        found += [*groups, *code]
    found += sorted(os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns"))
    found += [str(os.nice(0)), os.uname().nodename, sys.version, sys.executable]
    found += sorted(f"{name}={value}" for name, value in os.environ.items() if name not in PASSING)
    return repr(found)


def connected(path: str) -> socket.socket:
    """A connection to the server at `path`, which is started where there is none. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        import subprocess

        nothing, command = subprocess.DEVNULL, [sys.executable, os.path.abspath(__file__), "--serve", path]
        streams = {"stdin": nothing, "stdout": subprocess.PIPE, "stderr": nothing}
        server = subprocess.Popen(command, cwd="/", start_new_session=True, **streams)
        server.stdout.read()  # which ends when it listens, and when it ends because another one does
        connection.connect(path)
    return connection


def handed_over(connection: socket.socket, arguments: list[str]) -> bool:
    """Whether the server runs the program. Raises OSError where it did not begin."""
    job = marshal.dumps((arguments, os.getcwd(), dict(os.environ)))
    socket.send_fds(connection, [len(job).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(job)
    return connection.recv(1) == TAKEN


def outcome(connection: socket.socket) -> tuple[int, float, float]:
    """Status, seconds of CPU time and MiB of memory of the program, at its end; until then it gets the call's
    signals."""

    def forward(number: int, _: object) -> None:
        with suppress(OSError):
            connection.send(bytes([number]))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, forward)
    with suppress(OSError), connection.makefile("rb") as answer:
        if text := answer.read():
            return marshal.loads(text)
    sys.exit("warm_python: the server was ended, and the program with it")


class Server:
    """Waits for programs and forks for each."""

    def __init__(self, path: str, listener: socket.socket) -> None:
        self.path, self.listener, self.node = path, listener, os.stat(path).st_ino
        self.running: dict[int, tuple[int, socket.socket]] = {}
        """By the descriptor of a fork: its process number and its call."""
        self.calls: dict[socket.socket, int] = {}
        """The calls that still wait, with the process numbers."""
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        self.libraries = [(path, changed(path)) for path in [*modules, *sys.path] if isinstance(path, str)]

    def next_program(self) -> tuple | None:
        """In each fork the program to run; in the server nothing, at its end."""
        busy = time.monotonic()
        while self.running or self.listening():
            doors = [self.listener] if self.listening() else []
            waiting: list = [*doors, *self.running, *self.calls]
            for ready in select.select(waiting, [], [], 1.0)[0]:
                if ready is self.listener:
                    if program := self.accept():
                        return program
                elif ready in self.running:
                    self.end(ready)
                elif ready in self.calls:
                    self.forward(ready)
                busy = time.monotonic()
            if not self.running and time.monotonic() - busy > IDLE:
                self.withdraw()
        return None

    def listening(self) -> bool:
        """Whether calls come here: until the socket is closed, as it is where its file is gone."""
        with suppress(OSError):
            if self.listener.fileno() >= 0 and os.stat(self.path).st_ino == self.node:
                return True
        self.listener.close()
        return False

    def withdraw(self) -> None:
        """Leave new calls to another server."""
        with locked(self.path):
            if self.listening():
                os.unlink(self.path)
        self.listener.close()

    def accept(self) -> tuple | None:
        """Fork for a call; in the fork, the program to run."""
        connection, _ = self.listener.accept()
        files: list[int] = []
        try:
            if any(changed(path) != before for path, before in self.libraries):
                self.withdraw()
                raise OSError("the libraries have changed")
            connection.settimeout(10)  # a call sends everything at once, unless it was stopped
            length, files, _, _ = socket.recv_fds(connection, 8, 3)
            with connection.makefile("rb") as request:
                program = marshal.loads(request.read(int.from_bytes(length, "big")))
            process = os.fork()
        except (OSError, EOFError, ValueError):
            process = -1
        if process == 0:
            for one in (self.listener, connection, *self.calls):
                one.close()
            for descriptor in self.running:
                os.close(descriptor)
            return (*program, files)
        for descriptor in files:
            os.close(descriptor)
        if process < 0:
            connection.close()
            return None
        with suppress(OSError):
            os.setpgid(process, process)  # the fork does it too, but the call may be killed before
        with suppress(OSError):
            connection.send(TAKEN)
        self.running[os.pidfd_open(process)] = process, connection
        self.calls[connection] = process
        return None

    def forward(self, connection: socket.socket) -> None:
        """Pass a signal on to the program and what it started; kill them where the call was killed."""
        received = b""
        with suppress(OSError):
            received = connection.recv(1)
        with suppress(ProcessLookupError):
            os.killpg(self.calls[connection], received[0] if received else signal.SIGKILL)
        if not received:
            del self.calls[connection]

    def end(self, descriptor: int) -> None:
        """Tell the call how its program ended."""
        process, connection = self.running.pop(descriptor)
        _, status, usage = os.wait4(process, 0)
        facts = status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        with suppress(OSError):
            connection.send(marshal.dumps(facts))
        self.calls.pop(connection, None)
        connection.close()
        os.close(descriptor)


def serve(path: str) -> tuple | None:
    """Be the server at `path`; in a fork, the program to run."""
    import importlib

    os.close(os.pidfd_open(os.getpid()))  # fails on a kernel that cannot do it
    listener = listen(path)
    if listener is None:
        return None
    os.dup2(0, 1)  # the call that started this waits no longer
    del sys.path[0]  # this folder
    atexit.register(leave)  # before the libraries register theirs, so that it comes last
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    warm_up()
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("a library has started a thread")
    gc.collect()
    gc.freeze()  # forks need not sort through the libraries, and share their memory
    return Server(path, listener).next_program()


def listen(path: str) -> socket.socket | None:
    """A socket at `path`, or nothing where somebody listens there."""
    with locked(path):
        with socket.socket(socket.AF_UNIX) as other:
            if not other.connect_ex(path):
                return None
        with suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(128)
        return listener


@contextmanager
def locked(path: str):
    """One process at a time may make or remove sockets in the folder of `path`."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def warm_up() -> None:
    """Do what is done at the first definition of settings alone: pydantic looks for plugins, and for the
    docstrings of fields, in the files of all modules."""
    if "pydantic" in sys.modules:

        class Settings(sys.modules["pydantic"].BaseModel, use_attribute_docstrings=True):
            number: int
            """Documented."""


def changed(path: str) -> int | None:
    """When a file or folder was changed."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """In a fork: become the process that plain Python would be, and run the program."""
    import ctypes
    import importlib.machinery
    import types

    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the server
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # as Python does with its own generator after a fork
    main, path = types.ModuleType("__main__"), os.path.join(folder, arguments[0])
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
    sys.modules["__main__"], sys.argv, sys.excepthook = main, arguments, show
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    try:
        exec(compile(loader.get_data(path), path, "exec", dont_inherit=True), main.__dict__)
        ENDED.append(0)
    except SystemExit as end:
        if end.code is None or (isinstance(end.code, int) and 0 <= end.code < 256):
            ENDED.append(end.code or 0)
        raise


def show(kind: type, error: BaseException, trace) -> None:
    """Print an exception without the part of its way that lies in this file."""
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def leave() -> None:
    """The last handler at exit. After an error the interpreter goes on to its usual end. Otherwise only what
    the program left open is closed: taking all libraries apart would cost more than a short program."""
    if ENDED:
        sys.modules["__main__"].__dict__.clear()
        gc.collect()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return
        os._exit(ENDED[0])


def main() -> None:
    """The call; or with --serve and the path of a socket, the server."""
    match sys.argv[1:]:
        case ["--serve", path]:
            if program := serve(path):
                run(*program)
        case [] | ["--help"]:
            print(__doc__)
        case arguments:
            call(arguments)


if __name__ == "__main__":
    main()

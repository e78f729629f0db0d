"""A program in a fork of a warm interpreter does what it does under plain Python, and ends with its call."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from helpers import ROOT

SOURCE = (ROOT / "scripts/warm_python.py").read_text()
NO_LIBRARIES = re.sub(r"^LIBRARIES = \(.*?^\)", "LIBRARIES = ()", SOURCE, flags=re.MULTILINE | re.DOTALL)
PARENT = "import os; print(os.getppid())"


class Warm:
    """A copy of warm_python.py, a folder to run programs in, and the copy's servers."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder, self.copy = folder, folder / "warm_python.py"
        self.copy.write_text(source)
        self.sockets = Path(tempfile.mkdtemp(prefix="warm-"))  # a socket's path has to be short
        kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.environment = kept | {"OMP_NUM_THREADS": "1", "XDG_RUNTIME_DIR": str(self.sockets)}

    def write(self, text: str, name: str = "program.py") -> None:
        (self.folder / name).write_text(text)

    def begin(self, *arguments: str, warm: bool = True, **options) -> subprocess.Popen:
        command = [sys.executable, *(["-I", "-S", str(self.copy)] if warm else []), *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"cwd": self.folder, "env": self.environment, "text": True} | pipes | options
        return subprocess.Popen(command, **options)

    def run(self, *arguments: str, text: str = "", **options) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        run = self.begin(*(arguments or ("program.py",)), **options)
        output, errors = run.communicate(text, timeout=60)
        return run.returncode, output, errors

    def server(self, **options) -> int:
        """The process that a program is a fork of."""
        self.write(PARENT, "parent.py")
        code, output, errors = self.run("parent.py", **options)
        assert (code, errors) == (0, "")
        return int(output)

    def servers(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                mine = any(part.startswith(str(self.sockets)) for part in process.cmdline())
            except psutil.Error:
                continue
            if mine and process.ppid() not in {one.pid for one in found}:
                found.append(process)
        return found


@pytest.fixture
def start(tmp_path):
    started = []

    def new(source: str = NO_LIBRARIES) -> Warm:
        started.append(Warm(tmp_path, source))
        return started[-1]

    yield new
    for warm in started:
        for server in warm.servers():
            server.kill()
        shutil.rmtree(warm.sockets)


@pytest.fixture
def warm(start) -> Warm:
    return start()


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def gone(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


SURROUNDINGS = """
import atexit, os, sys
import signal, threading
atexit.register(print, "at exit")
print(sys.argv, __file__, __name__, __package__, sys.path, os.getcwd(), sorted(os.environ.items()))
print(sys.flags, sys.executable, sys.prefix, sys.stdout.line_buffering, os.umask(0), threading.active_count())
print([signal.getsignal(number) for number in signal.valid_signals()])
print(sys.stdin.read(), sorted(os.listdir("/proc/self/fd")), file=sys.stderr)
print(len(os.listdir("/proc/self/task")), sys.modules["__main__"].__dict__ is globals(), end="")
"""
ENDS = {
    "an exception": "def f():\n    {}['key']\nf()",
    "one after another": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError from error",
    "a syntax error": "print('never')\ndef f(:\n",
    "a code": "print('x')\nraise SystemExit(3)",
    "a large code": "raise SystemExit(259)",
    "a message": "import sys\nsys.exit('message')",
    "an interrupt": "raise KeyboardInterrupt",
    "SIGKILL": "import os\nos.kill(os.getpid(), 9)",
    "SIGTERM": "import os, time\nos.kill(os.getpid(), 15)\ntime.sleep(9)",
    "a file left open": "file = open('left', 'w')\nfile.write('text')\nprint('x', end='')",
    "a thread": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.2), print('later'))).start()",
    "a process": "import multiprocessing as m\np = m.Process(target=print, args=('x',))\np.start()\np.join()",
}


def test_a_program_finds_what_it_finds_under_plain_python(warm):
    warm.write(SURROUNDINGS)
    folder = warm.folder / "elsewhere"
    folder.mkdir()
    environment = warm.environment | {"OWN": "\udcff value"}
    given = {"text": "input", "cwd": folder, "env": environment, "umask": 0o27}
    arguments = ("../program.py", "a b", "", "--serve", "\udcff")
    plain = warm.run(*arguments, warm=False, **given)
    assert plain[0] == 0
    assert warm.run(*arguments, **given) == plain


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS)
def test_a_program_ends_as_under_plain_python(warm, text):
    warm.write(text)
    plain = warm.run(warm=False)
    left = [path.read_text() for path in warm.folder.glob("left")]
    for path in warm.folder.glob("left"):
        path.unlink()
    assert warm.run() == plain
    assert [path.read_text() for path in warm.folder.glob("left")] == left
    assert len(warm.servers()) == 1


STAYING = """
import os, subprocess, time
try:
    child = subprocess.Popen(["sleep", "60"])
    open("pids.part", "w").write(f"{os.getpid()} {child.pid}")
    os.rename("pids.part", "pids")
    time.sleep(60)
finally:
    open("cleaned", "w")
"""


def staying(warm: Warm) -> tuple[subprocess.Popen, list[int]]:
    """A call whose program runs on, and the processes of the program."""
    warm.write(STAYING)
    run = warm.begin("program.py")
    wait_for((warm.folder / "pids").exists)
    return run, [int(number) for number in (warm.folder / "pids").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_call_and_all_processes_of_the_program(warm, number):
    if number != signal.SIGKILL and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored, as shells have it for what they start in the background")
    run, processes = staying(warm)
    run.send_signal(number)
    assert run.wait(20) == -number
    wait_for(lambda: all(map(gone, processes)))
    assert (warm.folder / "cleaned").exists() == (number == signal.SIGINT)
    assert warm.server() == warm.servers()[0].pid  # which goes on


def test_a_program_ends_with_its_server(warm):
    run, processes = staying(warm)
    warm.servers()[0].kill()
    assert run.wait(20) == 1
    wait_for(lambda: gone(processes[0]))
    psutil.Process(processes[1]).kill()  # which holds the pipe
    assert "the server was ended" in run.stderr.read()


def test_calls_at_once_share_one_server(warm):
    warm.write(PARENT)
    runs = [warm.begin("program.py") for _ in range(5)]
    outputs = {run.communicate(timeout=60) for run in runs}
    assert outputs == {(f"{warm.servers()[0].pid}\n", "")}


def test_a_server_keeps_no_stream_of_its_call(warm):
    """Snakemake would wait for the end of a pipe."""
    run = warm.begin("program.py")
    warm.write("")
    run.communicate(timeout=20)
    server = warm.servers()[0]
    assert server.cwd() == "/"
    assert {os.readlink(f"/proc/{server.pid}/fd/{number}") for number in range(3)} == {"/dev/null"}


def test_an_edit_of_the_projects_code_counts_at_once(warm):
    warm.write("import module, sys\nprint(module.VALUE)\n")
    for value in ("first", "another"):  # of two lengths: bytecode is trusted by second and size
        warm.write(f"VALUE = {value!r}\n", "module.py")
        assert warm.run() == (0, f"{value}\n", "")
    warm.write("print('edited')\n")
    assert warm.run() == (0, "edited\n", "")


def test_changed_libraries_or_another_environment_need_another_server(warm):
    first = warm.server()
    assert warm.server() == first
    other = warm.server(env=warm.environment | {"MKL_CBWR": "COMPATIBLE"})
    assert warm.server(env=warm.environment | {"SHLVL": "7"}) == first != other
    os.utime(warm.copy)  # a file that the server has imported
    second = warm.server()
    assert second not in (first, other)
    wait_for(lambda: gone(first))
    assert warm.server() == second


def test_a_server_ends_when_it_is_idle_or_its_socket_is_gone(start):
    warm = start(NO_LIBRARIES.replace("IDLE = 60.0", "IDLE = 0.5"))
    server = warm.server()
    wait_for(lambda: gone(server))
    assert list(warm.sockets.rglob("featpoison*/*")) == []
    warm = start()
    server = warm.server()
    next(warm.sockets.rglob("featpoison*/*")).unlink()
    wait_for(lambda: gone(server))


@pytest.mark.parametrize("reason", ["threads", "path", "folder", "failure", "death"])
def test_where_there_is_no_server_plain_python_runs_the_program(start, reason):
    texts = {"failure": ("listener = listen(path)", "raise OSError")}
    texts["death"] = ("    gc.freeze()", "    os._exit(1)")  # between the call and the fork
    warm = start(NO_LIBRARIES.replace(*texts[reason]) if reason in texts else NO_LIBRARIES)
    if reason == "folder":
        (warm.sockets / f"featpoison-{os.getuid()}").mkdir()
        (warm.sockets / f"featpoison-{os.getuid()}").chmod(0o777)
    changes = {"threads": {"OMP_NUM_THREADS": "2"}, "path": {"PYTHONPATH": "."}}.get(reason, {})
    warm.write("import os, sys\nprint(os.getpid(), sys.argv)\nsys.exit(5)\n")
    run = warm.begin("program.py", "a", env=warm.environment | changes)
    output, errors = run.communicate(timeout=20)
    assert (run.returncode, output, errors) == (5, f"{run.pid} ['program.py', 'a']\n", "")
    assert warm.servers() == []


@pytest.mark.parametrize("arguments", [("-c", "import os; print(os.getppid())"), ("missing.py",)])
def test_plain_python_has_its_options_and_its_errors(warm, arguments):
    assert warm.run(*arguments) == warm.run(*arguments, warm=False)
    assert warm.servers() == []


def test_the_use_of_resources_is_kept_where_snakemake_keeps_it(warm):
    record = warm.folder / "benchmarks/rule/x.jsonl"
    (warm.folder / "logs/rule").mkdir(parents=True)

    def run(text: str) -> int:
        warm.write(text)
        with open(warm.folder / "logs/rule/x.log", "w") as log:
            return warm.begin("program.py", stderr=log).wait(20)

    assert run("import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass") == 0
    found = json.loads(record.read_text())
    assert found.keys() == {"s", "cpu_time", "max_rss"}
    assert 0.5 <= found["cpu_time"] < 1
    assert found["cpu_time"] - 0.1 < found["s"] < 20
    assert run("x = bytearray(200 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1") == 0
    assert json.loads(record.read_text())["max_rss"] - found["max_rss"] == pytest.approx(200, rel=0.1)
    assert run("raise SystemExit(1)") == 1
    assert not record.exists()


@pytest.mark.slow
def test_a_real_program_makes_the_same_bytes_without_importing_torch_again(start, files, tmp_path):
    warm = start(SOURCE)
    program = ROOT / "scripts/poison_features.py"
    choice = json.dumps({"method": "gc-feature", "set": "free", "target": "gradpc-feature"})
    command = [str(program), "--attack", "gc-feature", "--choice", choice, "--settings", '{"iterations": 5}']
    command += ["--features", str(files["features"]), "--target", str(files["target"])]
    command += ["--budget", "0.1", "--seed", "0", str(tmp_path / "made.h5")]
    assert warm.run(*command, warm=False)[0] == 0
    plain = (tmp_path / "made.h5").read_bytes()
    (tmp_path / "made.h5").unlink()
    assert warm.run(*command)[0] == 0
    assert (tmp_path / "made.h5").read_bytes() == plain
    warm.write("import os, sys; print('torch' in sys.modules, sys.modules['torch'].cuda.is_initialized())")
    code, output, _ = warm.run()
    assert (code, output) == (0, "True False\n")
    warm.write("import sys; print([name for name in sys.modules if name.startswith('featpoison')])")
    assert warm.run()[1] == "[]\n"
    assert psutil.Process(warm.server()).num_threads() == 1

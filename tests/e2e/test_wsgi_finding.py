"""Finding the application that a target names, and saying why it cannot be."""
import os
import re
import sys

import pytest

from prefork import ini, run

HELLO = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [__name__.encode()]

application = None
"""
NAMED = """
class Site:
    def __init__(self, name="site"):
        self.name = name
    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [self.name.encode()]
class Group:
    member = Site("member")
group = Group
site = Site()
def create(*args, **named):
    return Site(f"{args} {named}")
def needs(one):
    return Site(one)
def inner_mistake():
    return needs()
def raising():
    raise LookupError("the factory fails")
def nothing():
    return None
number = 7
"""


@pytest.fixture
def place(tmp_path):
    """A directory with modules, in which servers are started."""
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "named.py").write_text(NAMED)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("")
    (tmp_path / "pkg/mod.py").write_text(HELLO)
    (tmp_path / "pkg/sibling.py").write_text("import named\n" + NAMED)
    (tmp_path / "broken.py").write_text("x = 1\nimport pkg.deeper\n")
    (tmp_path / "pkg/deeper.py").write_text("import not_installed\n")
    (tmp_path / "syntax.py").write_text("def app(:\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('on purpose')\n")
    (tmp_path / "raises.py").write_text(
        "def f():\n    raise ValueError('at import')\nf()\n")
    (tmp_path / "empty.py").write_text("apple = 1\n")
    return tmp_path


# ---- what can be named -------------------------------------------------------

@pytest.mark.parametrize("target, body", [
    ("hello", "hello"), ("hello:app", "hello"), ("hello.py", "hello"),
    ("hello.py:app", "hello"), ("./hello.py:app", "hello"),
    ("pkg.mod", "pkg.mod"), ("pkg.mod:app", "pkg.mod"),
    ("pkg/mod.py:app", "mod"), ("pkg/sibling.py:site", "site"),
    ("named:site", "site"), ("named:group.member", "member"),
    ("named:Site()", "site"), ("named:create()", "() {}"),
    ('named:create("x", 1, [2], k=None)', "('x', 1, [2]) {'k': None}"),
    ("named:create(-1, k={'a': (1,)})", "(-1,) {'k': {'a': (1,)}}"),
])
def test_a_target_is_found_as_gunicorn_finds_it(start, place, target, body):
    s = start(args=("-o", "server.bind=127.0.0.1:0", "-o",
                    "server.workers=1", target), tmp=place, ready=1)
    assert s.get("/").body.decode() == body


def served(start, place, target, **more):
    s = start({"server": {"workers": 1, **more.pop("server", {})},
               "app:a": {"type": "wsgi", "target": target, **more}},
              tmp=place, ready=1)
    return s.get("/").body.decode()


def test_pythonpath_comes_first_in_its_order(start, place):
    for name in "one", "two":
        (place / name).mkdir()
        (place / name / "hello.py").write_text(
            HELLO.replace("__name__", repr(name)))
    path = f"nowhere:{place}/one:two"
    assert served(start, place, "hello:app", pythonpath=path) == "one"


def test_chdir_is_where_modules_are_found(start, place):
    (place / "inner").mkdir()
    (place / "inner/only.py").write_text(HELLO)
    assert served(start, place, "only:app",
                  server={"chdir": place / "inner"}) == "only"


def test_what_is_imported_stays_found_after_os_chdir(start, place):
    (place / "late.py").write_text(
        "import os\nos.chdir('/')\nfrom named import site as app\n")
    assert served(start, place, "late:app") == "site"


def test_two_applications_share_an_interpreter(start, place):
    s = start({"server": {"workers": 1},
               "app:a": {"type": "wsgi", "target": "named:site"},
               "app:b": {"type": "wsgi", "target": "hello:app",
                         "mount": "/b"}}, tmp=place, ready=1)
    assert (s.get("/").body, s.get("/b").body) == (b"site", b"hello")


def test_two_modules_of_one_name_are_not_mistaken_for_each_other(place):
    for name in "one", "two":
        (place / name).mkdir()
        (place / name / "site_app.py").write_text(HELLO)
    file = place / "server.ini"
    for a, b in ({"target": "one/site_app.py:app"},
                 {"target": "two/site_app.py:app"}), (
                {"target": "site_app:app", "pythonpath": "one"},
                {"target": "site_app:app", "pythonpath": "two"}):
        file.write_text(ini({"app:a": {"type": "wsgi", **a},
                             "app:b": {"type": "wsgi", "mount": "/b", **b}}))
        done = run("-t", "-c", file, cwd=place)
        assert done.returncode == 4
        assert (f"cannot import {place}/two/site_app.py: a module site_app is "
                f"here already, from {place}/one/site_app.py") in done.stderr


def test_a_file_named_as_a_module_of_python_is_not_mistaken_for_it(place):
    (place / "threading.py").write_text(HELLO)
    done = run("-t", "threading.py:app", cwd=place)
    assert done.returncode == 4
    assert f"cannot import {place}/threading.py: a module" in done.stderr


# ---- why it cannot be --------------------------------------------------------

MISTAKES = [
    ("absent:app", "cannot import absent: no module named 'absent'; looked in",
     None),
    ("pkg.absent:app", "no module named 'pkg.absent'", None),
    ("absent.py:app", "absent.py: no such file", None),
    ("broken:app", "cannot import broken: ModuleNotFoundError: No module "
     "named 'not_installed'", "import not_installed"),
    ("raises:app", "cannot import raises: ValueError: at import",
     "line 2, in f"),
    ("syntax:app", "cannot import syntax: SyntaxError", "def app(:"),
    ("exits:app", "cannot import exits: it called sys.exit('on purpose')",
     "line 2, in <module>"),
    ("hello:ap", "hello has no ap; did you mean app?", None),
    ("named:group.membr", "group has no membr; did you mean member?", None),
    ("named:qqq", "named has no qqq", None),
    ("empty", "empty has neither application nor app", None),
    ("named:number", "named:number is not callable: int", None),
    ("named:nothing()", "named:nothing() is not callable: NoneType", None),
    ("named:number()", "number is not callable", None),
    ("named:needs()", "cannot call needs(): needs() missing 1 required", None),
    ("named:needs(1, 2)", "cannot call needs(1, 2): needs() takes 1", None),
    ("named:inner_mistake()", "inner_mistake() failed: TypeError",
     "in inner_mistake"),
    ("named:raising()", "raising() failed: LookupError: the factory fails",
     "in raising"),
    ("named:create(number)", "arguments must be literals", None),
    ("named:create()()", "must be a name, names with dots, or a call", None),
    ("named:1 +", "must be a name, names with dots, or a call", None),
    ("named:[0]", "must be a name, names with dots, or a call", None),
]


@pytest.mark.parametrize("how", ["test", "start"])
@pytest.mark.parametrize("target, why, traceback", MISTAKES,
                         ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_named(place, how, target, why, traceback):
    """At first start and with -t: exit 4, the reason, and the traceback, in
    which nothing of prefork itself is seen."""
    done = run(*(["-t"] if how == "test" else []), "-o",
               "server.bind=127.0.0.1:0", "-o",
               f"server.runtime_dir={place}/run", target, cwd=place)
    assert done.returncode == 4
    assert why in done.stderr, done.stderr
    if traceback:
        assert "Traceback (most recent call last):" in done.stderr or (
            "SyntaxError" in done.stderr)
        assert traceback in done.stderr
        assert how == "start" or done.stderr.count(traceback) == 1
    else:
        assert "Traceback" not in done.stderr
    assert "bootstrap.py" not in done.stderr
    assert "<frozen importlib" not in done.stderr


def test_a_test_says_that_all_is_well(place):
    done = run("-t", "hello:app", cwd=place)
    assert (done.returncode, "ok" in done.stdout + done.stderr) == (0, True)


def test_a_reload_prints_the_traceback_and_the_old_serves_on(start, place):
    s = start({"server": {"workers": 2},
               "app:a": {"type": "wsgi", "target": "hello:app"}}, tmp=place)
    s.allow("exited with status 4", "reload failed", "cannot import hello",
            "generation 2")
    old = s.workers()
    (place / "hello.py").write_text("import pkg.deeper\n")
    said = s.control("reload", "--wait", status=1)
    assert "cannot import hello: ModuleNotFoundError" in said
    assert "Traceback (most recent call last):" in said
    assert f'File "{place}/pkg/deeper.py", line 1, in <module>' in said
    assert "    import not_installed" in said
    assert s.get("/").body == b"hello"
    assert set(old) <= set(s.workers())
    # CPython takes a file of the same second and size for the same file.
    (place / "hello.py").write_text(HELLO.replace("__name__", "'all mended'"))
    s.control("reload", "--wait")
    assert s.get("/").body == b"all mended"


# ---- virtual environments ----------------------------------------------------

MINOR = "%d.%d" % sys.version_info[:2]


def venv(place, version=f"{MINOR}.2", minor=MINOR):
    """As `python3 -m venv` makes it, without pip."""
    v = place / "venv"
    (v / f"lib/python{minor}/site-packages").mkdir(parents=True)
    (v / "bin").mkdir()
    (v / "bin/python3").symlink_to(sys.executable)
    (v / "pyvenv.cfg").write_text(
        f"home = {os.path.dirname(sys.executable)}\n"
        f"include-system-site-packages = false\nversion = {version}\n")
    return v, v / f"lib/python{minor}/site-packages"


def test_modules_come_from_the_venv(start, place):
    v, packages = venv(place)
    (packages / "installed.py").write_text(
        "import sys\nfrom named import Site\n"
        "app = Site(f'{sys.prefix} {sys.executable}')\n")
    assert served(start, place, "installed:app", venv="venv") == (
        f"{v} {v}/bin/python3")


def test_without_a_venv_sys_executable_is_the_system_s(start, place):
    (place / "which.py").write_text(
        "import sys\nfrom named import Site\napp = Site(sys.executable)\n")
    assert os.path.exists(served(start, place, "which:app"))


def refused(place, **app):
    file = place / "server.ini"
    file.write_text(ini({
        "server": {"bind": "127.0.0.1:0", "runtime_dir": place / "run"},
        "app:a": {"type": "wsgi", "target": "hello:app", **app}}))
    texts = []
    for args in ("-t", "-c"), ("-c",):
        done = run(*args, file, cwd=place)
        assert done.returncode == 4, done.stderr
        texts.append(done.stderr)
    return texts


def test_a_venv_that_is_missing_is_said(place):
    for text in refused(place, venv=place / "absent"):
        assert re.search(r"venv = \S+absent: not a virtual environment of "
                         r"Python: \S+pyvenv.cfg: No such file", text)


def test_a_venv_of_another_minor_is_said(place):
    venv(place, "3.4.1", "3.4")
    for text in refused(place, venv=place / "venv"):
        assert "3.4" in text
        assert "python3.4" in text


def test_a_venv_whose_packages_are_missing_is_said(place):
    _, packages = venv(place)
    packages.rmdir()
    for text in refused(place, venv=place / "venv"):
        assert "site-packages: No such file or directory" in text


def test_a_venv_without_a_version_is_said(place):
    venv(place)
    (place / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    for text in refused(place, venv=place / "venv"):
        assert "has no line with the version" in text


def test_two_venvs_do_not_fit_in_one_worker(place):
    venv(place)
    file = place / "server.ini"
    file.write_text(ini({
        "server": {"bind": "127.0.0.1:0", "runtime_dir": place / "run"},
        "app:a": {"type": "wsgi", "target": "hello:app",
                  "venv": place / "venv"},
        "app:b": {"type": "wsgi", "target": "hello:app", "mount": "/b"}}))
    done = run("-t", "-c", file, cwd=place)
    assert done.returncode == 4
    assert "a worker has one Python" in done.stderr

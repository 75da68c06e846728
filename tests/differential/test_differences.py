"""prefork beside other servers: where one of them understands a request in
another way, differences.md says who is right.

  make check-differential

What is in no row of the table is a failure; so is a row that no longer is
true."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import pytest

from servers import PEERS, Prefork, converse, outcome, responses

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = sorted((HERE / "corpus").glob("*.http"))
TABLE = HERE / "differences.md"
ROW = re.compile(r"\| `([\w, `]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")


def outcomes(server):
    def one(file):
        return file.stem, outcome(server, file.read_bytes())
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return dict(pool.map(one, CORPUS))


def kinds(ours, theirs, peer):
    """{(rule, our outcome, peer, its outcome): names of the requests}"""
    found = {}
    for name, mine in ours.items():
        if theirs[name] != mine:
            rule = name.split(".")[1]
            kind = (rule, word(mine), peer, word(theirs[name]))
            found.setdefault(kind, []).append(name)
    return found


def word(how):
    """Lengths differ from seed to seed where the rule does not touch them."""
    return re.sub(r"^(served|alone) [05]$", r"\1", how)


def decided():
    """The kinds in the table: a row has rules, our outcome, and theirs as
    "PEER: OUTCOME; ..."."""
    found = set()
    for line in TABLE.read_text().splitlines():
        if not (m := ROW.match(line)):
            continue
        for rule in re.findall(r"\w+", m[1]):
            for part in m[3].split(";"):
                peer, _, how = part.strip().partition(": ")
                found.add((rule, m[2].strip(), peer, how.strip()))
    return found


def test_the_corpus_is_what_its_generator_writes():
    assert len(CORPUS) >= 400
    subprocess.run([sys.executable, HERE / "generate.py", "--check"],
                   check=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("d")
    for d in (tmp, *tmp.parents):  # Apache's workers are somebody else
        if d.stat().st_uid == os.getuid():
            d.chmod(d.stat().st_mode | 0o011)
    return tmp


@pytest.fixture(scope="module")
def prefork(place):
    p = Prefork(place / "prefork")
    yield p
    p.stop()


@pytest.fixture(scope="module")
def ours(prefork):
    return outcomes(prefork)


@pytest.fixture(scope="module")
def found(place, prefork, ours):
    all_kinds = {}
    for peer in PEERS:
        p = peer(place / peer.name, prefork.address)
        try:
            all_kinds.update(kinds(ours, outcomes(p), peer.name))
        finally:
            p.stop()
    return all_kinds


def test_prefork_is_never_out_of_step(ours):
    """It serves both or refuses.  Some rules make a body longer or shorter than
    the head says: what is then left of the second request is refused."""
    left = {name for name, how in ours.items()
            if how not in ("served 0", "served 5", "refused")}
    assert left == {f"{seed}.coding_name_underscore"
                    for seed in ("chunked", "chunks", "trailers")} | {
                        "put.length_zeros"}
    assert all(re.fullmatch("200:[05] 400", ours[name]) for name in left)


def test_prefork_refuses_with_the_connection(prefork):
    """Proxies may refuse and go on; prefork closes after any doubt.  There is
    none about one that is somebody else's (421)."""
    for file in CORPUS:
        got, closed = converse(prefork, file.read_bytes())
        assert closed
        found = responses(got, file.name.startswith("head."))
        assert [s for s, _ in found[:-1] if s >= 400 and s != 421] == [], file.name


def test_each_difference_is_decided(found):
    undecided = sorted(set(found) - decided())
    report = "\n".join(f"{r}: prefork {a}, {p} {b}: {', '.join(found[k][:3])}"
                       for k in undecided for r, a, p, b in [k])
    assert not undecided, report


def test_each_decision_is_about_a_difference(found):
    stale = sorted(decided() - set(found))
    assert not stale, stale

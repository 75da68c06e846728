"""wsgi.file_wrapper: a file goes out by sendfile, from where it stands."""
import pytest

from prefork import until
from wsgi import APPS

CONTENT = b"".join(b"%07d\n" % i for i in range(12500))
SEEKABLE = ["random", "buffered", "raw", "named", "bytes", "spooled",
            "spooled in memory", "gzip of a file"]


def test_the_content_is_that_of_the_applications():
    assert "range(12500)" in (APPS / "files.py").read_text()


@pytest.mark.parametrize("kind", [*SEEKABLE, "gzip"])
def test_a_file_is_sent_whole(web, kind):
    with web.connect() as c:
        for _ in range(2):
            r = c.get(web.target("wrapped", kind=kind))
            assert (r.status, len(r.body)) == (200, len(CONTENT))
            assert r.body == CONTENT


@pytest.mark.parametrize("kind", ["random", "buffered", "raw", "named"])
def test_a_file_has_a_content_length(bare, kind):
    r = bare.get("wrapped", kind=kind)
    assert r["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize("kind", SEEKABLE)
@pytest.mark.parametrize("read, seek", [
    ("", 3), (3, ""), (5000, ""), ("", 99_999), ("", 100_000), (1, 70_000),
    ("", 100_001),
])
def test_it_is_sent_from_where_it_stands(web, kind, read, seek):
    """Of a buffered file the descriptor stands somewhere else."""
    r = web.get("wrapped", kind=kind, read=str(read), seek=str(seek))
    assert r.body == CONTENT[seek if seek != "" else read:]


@pytest.mark.parametrize("kind", ["buffered", "bytes"])
def test_no_more_is_sent_than_content_length(web, kind):
    web.server.allow("beyond its Content-Length")
    with web.connect() as c:
        for _ in range(2):
            r = c.get(web.target("wrapped", kind=kind, length="1000",
                                 seek="8"))
            assert r.body == CONTENT[8:1008]


@pytest.mark.parametrize("kind", ["buffered", "bytes"])
def test_a_file_shorter_than_content_length_cuts_the_connection(web, kind):
    mark = web.fails("short of its Content-Length")
    with web.connect() as c:
        c.request(web.target("wrapped", kind=kind, length="100001"))
        assert c.head()["Content-Length"] == "100001"
        with pytest.raises((EOFError, ConnectionResetError)):
            c.take(100_001)
    web.server.wait("1 bytes short of its Content-Length", after=mark)


def test_a_pipe_is_read(web):
    assert web.get("wrapped", kind="pipe").body == CONTENT[:4096]


def test_an_empty_file_is_an_empty_body(web):
    r = web.get("wrapped", kind="empty")
    assert (r.status, r.body, r["Content-Length"]) == (200, b"", "0")


def test_a_file_of_text_is_500(web):
    mark = web.fails("exception in the application")
    assert web.get("wrapped", kind="text").status == 500
    web.server.wait("^(TypeError|AssertionError): ", after=mark)


def test_head_of_a_file_has_its_length_and_no_body(bare):
    with bare.connect() as c:
        r = c.get(bare.target("wrapped", kind="buffered"), "HEAD")
        assert r["Content-Length"] == str(len(CONTENT))
        assert c.get("/pid").status == 200


@pytest.mark.parametrize("size", [1000, 100_000])
def test_blocks_have_the_size_that_is_asked_for(bare, size):
    with bare.connect() as c:
        c.request(bare.target("wrapped", kind="bytes", blksize=size))
        c.head()
        assert [len(x) for x in c.chunks()] == [size] * (100_000 // size)


@pytest.mark.parametrize("kind", ["random", "buffered", "raw", "named"])
def test_a_plain_file_is_sent_by_the_kernel(bare, kind):
    name = bare.id()
    with bare.connect() as c:
        r = c.get(bare.target("sent_by_the_kernel", kind=kind, id=name))
        assert r.body == CONTENT
        assert c.get(bare.target("position", id=name)).body == b"0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_file_is_closed_once(web, method):
    name = web.id()
    r = web.get("closing_file", method=method, id=name)
    assert r.body == (CONTENT if method == "GET" else b"")
    assert web.closed(name) == 1


def test_what_only_reads_is_enough(bare):
    assert bare.get("read_only").body == b"one two"


def test_middleware_iterates_over_the_wrapper(web):
    assert web.get("through_middleware").body == CONTENT.replace(b"0", b"o")


def test_a_wrapper_that_was_iterated_is_empty(bare):
    r = bare.get("twice_the_same")
    assert (r.status, r.body) == (200, b"")


def test_a_file_may_follow_what_was_written(web):
    assert web.get("after_write").body == b"head\n" + CONTENT


def test_wrong_arguments_are_a_type_error(bare):
    r = bare.get("wrong")
    assert r.body == repr(["TypeError"] * 3).encode()


def test_a_file_leaves_no_descriptor(bare):
    def count():
        return int(bare.get("allocated").body.split()[2])
    before = count()
    for kind in ("random", "buffered", "raw", "named", "bytes", "pipe") * 10:
        bare.get("wrapped", kind=kind)
    # another thread may be about to close the last one, or that of a test
    # before when we began
    until(lambda: count() <= before)

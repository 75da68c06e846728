"""HUP: a new generation takes over, or the old one stays."""
import signal

from prefork import PROBE, READY, Load, wait_gone


def reload(server, workers=2):
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait(READY, workers, after=mark)


def test_no_request_fails_and_all_workers_are_new(server):
    old = set(server.workers())
    with Load(server) as load:
        load.more()
        reload(server)
        for pid in old:
            wait_gone(pid)
        load.more()
        load.stop()
    assert load.failures == []
    assert not old & set(server.workers())
    assert len(server.workers()) == 2
    server.fds_settle()



def test_five_reloads_leak_nothing(server):
    for _ in range(5):
        old = server.workers()
        reload(server)
        for pid in old:
            wait_gone(pid)
        assert server.get("/pid").status == 200
    assert len(server.workers()) == 2
    server.fds_settle()


def test_the_new_settings_apply(server):
    server.configure({"app:probe": {"type": "module", "target": PROBE,
                                    "mount": "/new"}})
    old = server.workers()
    reload(server)
    for pid in old:
        wait_gone(pid)
    assert server.get("/new/pid").status == 200
    assert server.get("/pid").status == 404


def test_more_workers_after_a_reload(server):
    server.configure({"server": {"workers": 4}})
    old = server.workers()
    reload(server, 4)
    for pid in old:
        wait_gone(pid)
    assert len(server.workers()) == 4


def test_a_broken_file_changes_nothing(server):
    server.allow("server.ini:", "reload failed")
    old = server.workers()
    server.file.write_text("[server]\nworkers = none\n")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait(r"server\.ini:2: ", after=mark)
    assert server.workers() == old
    assert server.get("/pid").status == 200


def test_an_app_that_refuses_leaves_the_old_generation_serving(server):
    server.allow("refus", "boot", "generation", "reload", "no moon",
                 "cannot load", "exit")
    old = server.workers()
    with Load(server) as load:
        server.configure({"app:probe": {
            "type": "module", "target": PROBE, "option.refuse": "no moon"}})
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait("no moon", after=mark)
        load.more()
        load.stop()
    assert load.failures == []
    assert set(old) <= set(server.workers())
    server.configure({})
    reload(server)
    assert server.get("/pid").status == 200

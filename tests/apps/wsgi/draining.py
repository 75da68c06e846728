"""A response that is not over when its worker is told to go."""


class Slow:
    def __init__(self, fifo):
        self.fifo = fifo

    def __iter__(self):
        yield b"waiting"
        with open(self.fifo, "rb") as f:
            f.read()
        yield b" done"

    def close(self):
        print("closed once more")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Slow(environ["QUERY_STRING"])

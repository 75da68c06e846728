#!/usr/bin/env python3
"""Requests that servers may understand differently: each rule below changes
each seed that it finds something to change in.

  generate.py          writes corpus/SEED.RULE.http anew
  generate.py --check  says whether it is what would be written

Behind each is a request of its own, END: whoever is in step after the first
serves that one, too, and closes."""
import pathlib
import re
import sys

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
END = b"GET /end HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

FIELDS = b"Host: t\r\nX: y\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SEEDS = {
    "get": b"GET /a HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "query": b"GET /a/b?c=d&e HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "head": b"HEAD /a HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "delete": b"DELETE /a HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "absolute": b"GET http://t/a HTTP/1.1\r\n" + FIELDS + b"\r\n",
    "post": b"POST /a HTTP/1.1\r\n" + FIELDS
            + b"Content-Length: 5\r\n\r\nhello",
    "put": b"PUT /a HTTP/1.1\r\n" + FIELDS
           + b"Content-Type: a/b\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"POST /a HTTP/1.1\r\n" + FIELDS + CHUNKED
               + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks": b"POST /a HTTP/1.1\r\n" + FIELDS + CHUNKED
              + b"\r\n3;a=b\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n",
    "trailers": b"PUT /a HTTP/1.1\r\n" + FIELDS + CHUNKED
                + b"\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
    "get10": b"GET /a HTTP/1.0\r\n" + FIELDS
             + b"Connection: keep-alive\r\n\r\n",
    "post10": b"POST /a HTTP/1.0\r\n" + FIELDS
              + b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
}


def sub(pattern, to):
    """The first match becomes `to`."""
    pattern = re.compile(pattern, re.S)
    return lambda r: pattern.sub(lambda m: m.expand(to) if b"\\" in to else to,
                                 r, count=1)


def field(line):
    """One more field, the last."""
    return lambda r: r.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


def first_field(line):
    return lambda r: r.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


def with_body(*fields):
    """Fields of framing for a seed that has none."""
    def change(r):
        if b"Content-Length" in r or b"Transfer-Encoding" in r:
            return r
        return r.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(fields)
                         + b"\r\n\r\n", 1)
    return change


def length(value):
    return sub(rb"(?<=Content-Length: )\d+", value)


def coding(value):
    return sub(rb"Transfer-Encoding: chunked", b"Transfer-Encoding: " + value)


# Of a chunked body, the line of the first chunk; of the last.
SIZE = rb"(?<=\r\n\r\n)(\d)(?=[;\r])"
LAST = rb"(?<=\r\n)0(?=\r\n)"

RULES = {
    "as_is": lambda r: r + b"",
    # lines
    "crlf_before": lambda r: b"\r\n" + r,
    "lf_before": lambda r: b"\n" + r,
    "space_before": lambda r: b" " + r,
    "lf_line": sub(rb"\r\n", b"\n"),
    "lf_field": sub(rb"X: y\r\n", b"X: y\n"),
    "lf_empty_line": sub(rb"\r\n\r\n", b"\r\n\n"),
    "cr_line": sub(rb" HTTP/1.(.)\r\n", b" HTTP/1.1\r"),
    "cr_field": sub(rb"X: y\r\n", b"X: y\r"),
    "cr_cr_lf": sub(rb"X: y\r\n", b"X: y\r\r\n"),
    # the request line
    "two_spaces": sub(rb" ", b"  "),
    "tab": sub(rb" ", b"\t"),
    "space_after": sub(rb"(HTTP/1..)\r\n", b"\\1 \r\n"),
    "space_in_target": sub(rb"/a", b"/a b"),
    "method_lower": lambda r: re.sub(rb"^[A-Z]+", lambda m: m[0].lower(), r),
    "method_unknown": sub(rb"^[A-Z]+", b"BREW"),
    "method_not_a_token": sub(rb"^[A-Z]+", b"G(T"),
    "version_09": sub(rb"HTTP/1..", b"HTTP/0.9"),
    "version_12": sub(rb"HTTP/1..", b"HTTP/1.2"),
    "version_20": sub(rb"HTTP/1..", b"HTTP/2.0"),
    "version_lower": sub(rb"HTTP/", b"http/"),
    "version_long": sub(rb"HTTP/1..", b"HTTP/1.10"),
    "version_none": sub(rb" HTTP/1..", b""),
    "target_relative": sub(rb" (http://t)?/a", b" a"),
    "target_asterisk": sub(rb" (http://t)?/\S+", b" *"),
    "target_authority": sub(rb" (http://t)?/\S+", b" t:80"),
    "target_other_host": sub(rb" (http://t)?/a", b" http://other/a"),
    "target_https": sub(rb" (http://t)?/a", b" https://t/a"),
    "target_scheme": sub(rb" (http://t)?/a", b" ftp://t/a"),
    "target_fragment": sub(rb"/a", b"/a#b"),
    "target_nul": sub(rb"/a", b"/a\0"),
    "target_control": sub(rb"/a", b"/a\x01"),
    "target_high": sub(rb"/a", b"/a\xff"),
    "target_bad_escape": sub(rb"/a", b"/a%zz"),
    "target_nul_escape": sub(rb"/a", b"/a%00"),
    "target_dots": sub(rb"/a", b"/../a"),
    # fields
    "host_none": sub(rb"Host: t\r\n", b""),
    "host_twice": field(b"Host: t"),
    "host_two": field(b"Host: other"),
    "host_empty": sub(rb"Host: t", b"Host:"),
    "host_space": sub(rb"Host: t", b"Host: t t"),
    "host_path": sub(rb"Host: t", b"Host: t/a"),
    "host_at": sub(rb"Host: t", b"Host: a@t"),
    "host_comma": sub(rb"Host: t", b"Host: t,other"),
    "host_port": sub(rb"Host: t", b"Host: t:x"),
    "name_space_after": sub(rb"X: y", b"X : y"),
    "name_space_inside": sub(rb"X: y", b"X X: y"),
    "name_empty": sub(rb"X: y", b": y"),
    "name_control": sub(rb"X: y", b"X\x01: y"),
    "name_high": sub(rb"X: y", b"X\xff: y"),
    "no_colon": sub(rb"X: y", b"X"),
    "folded": sub(rb"X: y", b"X: y\r\n z"),
    "folded_first": first_field(b" folded: yes"),
    "value_nul": sub(rb"X: y", b"X: y\0z"),
    "value_control": sub(rb"X: y", b"X: y\x01z"),
    "value_high": sub(rb"X: y", b"X: y\xff"),
    "type_twice": lambda r: field(b"Content-Type: c/d")(
        field(b"Content-Type: a/b")(r)),
    "expect_other": field(b"Expect: 200-ok"),
    "upgrade_h2c": lambda r: field(b"Upgrade: h2c")(
        field(b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")(
            field(b"Connection: Upgrade, HTTP2-Settings")(r))),
    # how long the body is
    "length_plus": length(b"+5"),
    "length_minus": length(b"-5"),
    "length_hex": length(b"0x5"),
    "length_space": length(b"5 5"),
    "length_list": length(b"5, 5"),
    "length_list_two": length(b"5, 0"),
    "length_letters": length(b"5a"),
    "length_zeros": length(b"0000000005"),
    "length_underscore": length(b"0_5"),
    "length_overflow": length(b"18446744073709551621"),
    "length_empty": length(b""),
    "length_vertical_tab": length(b"\x0b5"),
    "length_twice": lambda r: field(b"Content-Length: 5")(r)
    if b"Content-Length: 5" in r else r,
    "length_two": lambda r: field(b"Content-Length: 0")(r)
    if b"Content-Length: 5" in r else r,
    "length_name_space": sub(rb"Content-Length:", b"Content-Length :"),
    "length_name_underscore": sub(rb"Content-Length:", b"Content_Length:"),
    "length_and_coding": lambda r: field(b"Transfer-Encoding: chunked")(r)
    if b"Content-Length" in r else r,
    "coding_and_length": lambda r: field(b"Content-Length: 5")(r)
    if b"Transfer-Encoding" in r else r,
    "coding_on_10": sub(rb"HTTP/1\.1(.*Transfer-Encoding)", b"HTTP/1.0\\1"),
    "coding_case": coding(b"cHuNkEd"),
    "coding_x": coding(b"xchunked"),
    "coding_identity": coding(b"identity"),
    "coding_quoted": coding(b'"chunked"'),
    "coding_twice": lambda r: field(b"Transfer-Encoding: chunked")(r)
    if b"Transfer-Encoding" in r else r,
    "coding_list": coding(b"chunked, chunked"),
    "coding_then_identity": coding(b"chunked, identity"),
    "coding_identity_then": coding(b"identity, chunked"),
    "coding_gzip_then": coding(b"gzip, chunked"),
    "coding_gzip": coding(b"gzip"),
    "coding_parameter": coding(b"chunked;a=b"),
    "coding_comma": coding(b",chunked"),
    "coding_vertical_tab": coding(b"\x0bchunked"),
    "coding_folded": coding(b"\r\n chunked"),
    "coding_high": coding(b"chunked\xa0"),
    "coding_empty": coding(b""),
    "coding_name_space": sub(rb"Transfer-Encoding:", b"Transfer-Encoding :"),
    "coding_name_underscore": sub(rb"Transfer-Encoding:",
                                  b"Transfer_Encoding:"),
    "coding_unused": with_body(b"Transfer-Encoding: chunked"),
    # chunks
    "size_zeros": sub(SIZE, b"000\\1"),
    "size_plus": sub(SIZE, b"+\\1"),
    "size_hex": sub(SIZE, b"0x\\1"),
    "size_space_before": sub(SIZE, b" \\1"),
    "size_space_after": sub(SIZE, b"\\1 "),
    "size_tab_after": sub(SIZE, b"\\1\t"),
    "size_empty": sub(SIZE, b""),
    "size_letter": sub(SIZE, b"\\1g"),
    "size_overflow": sub(SIZE, b"1000000000000000\\1"),
    "size_lf": sub(rb"(?<=\r\n\r\n)(\d[^\r]*)\r\n", b"\\1\n"),
    "size_cr": sub(rb"(?<=\r\n\r\n)(\d[^\r]*)\r\n", b"\\1\r"),
    "last_lf": sub(LAST + rb"\r\n", b"0\n"),
    "last_zeros": sub(LAST, b"0000"),
    "data_longer": sub(rb"hel", b"helx"),
    "data_shorter": sub(rb"hel", b"he"),
    "data_lf": sub(rb"lo\r\n", b"lo\n"),
    "data_no_end": sub(rb"lo\r\n", b"lo"),
    "extension": sub(SIZE, b"\\1;a"),
    "extension_quoted": sub(SIZE, b'\\1;a="b;c"'),
    "extension_spaces": sub(SIZE, b'\\1 ;\ta = b ; c = "d"'),
    "extension_space_after": sub(SIZE, b"\\1;a "),
    "extension_no_name": sub(SIZE, b"\\1;"),
    "extension_no_value": sub(SIZE, b"\\1;a="),
    "extension_quote_open": sub(SIZE, b'\\1;a="'),
    "extension_lf": sub(SIZE, b"\\1;a\nb"),
    "extension_cr": sub(SIZE, b"\\1;a\rb"),
    "extension_nul": sub(SIZE, b"\\1;a\0b"),
    "extension_quoted_lf": sub(SIZE, b'\\1;a="\n"'),
    "trailer_length": sub(LAST + rb"\r\n", b"0\r\nContent-Length: 9\r\n"),
    "trailer_coding": sub(LAST + rb"\r\n",
                          b"0\r\nTransfer-Encoding: chunked\r\n"),
    "trailer_host": sub(LAST + rb"\r\n", b"0\r\nHost: other\r\n"),
    "trailer_no_colon": sub(LAST + rb"\r\n", b"0\r\nT\r\n"),
    "trailer_folded": sub(LAST + rb"\r\n", b"0\r\nT: u\r\n v\r\n"),
    "trailer_lf": sub(LAST + rb"\r\n", b"0\r\nT: u\n"),
    "trailer_space": sub(LAST + rb"\r\n", b"0\r\nT : u\r\n"),
}


def cases():
    """{file name: bytes}"""
    found = {}
    for seed, request in SEEDS.items():
        for rule, change in RULES.items():
            changed = change(request)
            if changed != request or rule == "as_is":
                found[f"{seed}.{rule}.http"] = changed + END
    return found


def main():
    want = cases()
    if "--check" in sys.argv:
        have = {f.name: f.read_bytes() for f in CORPUS.glob("*.http")}
        sys.exit(have != want)
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.glob("*.http"):
        old.unlink()
    for name, data in want.items():
        (CORPUS / name).write_bytes(data)
    print(len(want), "requests")


if __name__ == "__main__":
    main()

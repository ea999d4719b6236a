"""Speaks for curl on a machine that has none: as much of it as the README uses."""

import argparse
import sys

import httpx

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("url")
parser.add_argument("-s", action="store_true")
parser.add_argument("-X", dest="method")
parser.add_argument("-H", dest="headers", action="append", default=[])
parser.add_argument("--json")
given = parser.parse_args()

headers = dict(line.split(": ", 1) for line in given.headers)
if given.json is not None:
    headers["Content-Type"] = "application/json"
method = given.method or ("GET" if given.json is None else "POST")
answer = httpx.request(method, given.url, headers=headers, content=given.json, trust_env=False)
sys.stdout.write(answer.text)

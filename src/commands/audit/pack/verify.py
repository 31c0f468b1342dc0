#!/usr/bin/env python3
"""Verifies audit.jsonl of this folder without rolecall: python3 verify.py [--key-file FILE]

Ends with 0 if every entry is as it was written and continues the one before it, else with 1 and the
first entry that is wrong. docs/audit-format.md of rolecall describes what is computed here."""
import argparse, hashlib, hmac, json, pathlib, sys

class Number(str):
    """A number as the file has it: another way to write it is another hash."""

def members(pairs):
    if len(dict(pairs)) < len(pairs): raise ValueError("a member is there twice")
    return dict(pairs)

def canonical(value, order):
    if isinstance(value, dict):
        return "{%s}" % ",".join(f"{canonical(n, order)}:{canonical(value[n], order)}" for n in sorted(value, key=order))
    if isinstance(value, list):
        return "[%s]" % ",".join(canonical(item, order) for item in value)
    return value if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)

here = pathlib.Path(__file__).resolve().parent
options = argparse.ArgumentParser()
options.add_argument("--key-file", type=pathlib.Path, help="the key of audit.key_file")
key = (file := options.parse_args().key_file) and file.read_bytes()
export = json.loads((here / "verdict.json").read_text("utf-8"))["export"]
number, prev, at, keyed, form = export["first"] - 1, export["prev_hash"], "", False, 1
orders = {1: None, 2: lambda name: name.encode("utf-16-be")}  # of names: code points, RFC 8785
for line in (here / "audit.jsonl").open("rb"):
    number += 1
    try:
        entry = json.loads(line, parse_int=Number, parse_float=Number, object_pairs_hook=members)
        said, continues = entry.pop("hash"), entry.pop("prev_hash")
        if entry["seq"] != str(number): raise ValueError(f"entry {entry['seq']} is in its place")
        if continues != prev: raise ValueError("it does not continue the entry before it")
        if entry["at"] < at: raise ValueError("its time is before that of the entry before it")
        was, form = form, int(entry.get("format", 1))
        if form < was or form not in orders or ("format" in entry) != (form > 1): raise ValueError("its format goes back")
        hashed = (prev + canonical(entry, orders[form])).encode("utf-8")
        if entry["algorithm"] == "hmac-sha256":
            if not key: raise ValueError("it is hashed under a key: give --key-file")
            keyed, found = True, hmac.new(key, hashed, "sha256").hexdigest()
        else:
            if keyed or entry["algorithm"] != "sha256": raise ValueError("it is not hashed under the key")
            found = hashlib.sha256(hashed).hexdigest()
        if found != said: raise ValueError("it was changed, or the key is another one")
    except Exception as fault:
        sys.exit(f"entry {number}: {fault}")
    prev, at = said, entry["at"]
if (number, prev) != (export["last"], export["last_hash"]):
    sys.exit(f"entry {number + 1}: it is missing, or verdict.json is of another export")
if key and not keyed and number >= export["first"]:
    sys.exit(f"entry {number}: it is not hashed under the key")
if number < export["first"]:
    sys.exit(print("audit.jsonl has no entries"))
print(f"entries {export['first']} to {number} are whole and in order; the last hash is {prev}")
print("Not proven: what came before them, and", "whether entries follow." if keyed else "that nobody wrote all of"
      " them anew: compare the last hash with one that was kept elsewhere (README.md).")

"""Judges requests with libmodsecurity 3, the reference library, for those who compare another engine with it.

    modsecurity.py CONFIGURATION...

CONFIGURATION: files of SecLang, read in this order (`Include` works).

Standard output begins with one line that says who answers: {"engine": "ModSecurity v3.0.15 (Linux)"}. Then every
line of standard input is a JSON array of requests, and is answered by one line with an array of as many verdicts.

A request: {"method": "GET", "target": "/?a=b", "version": "1.1", "headers": [["Host", "a.example"]], "body": ""}.
Every string of a request is a byte string: one character per byte, U+0000 to U+00FF. What HTTP knows and the library
cannot be told (a NUL in the target ends it there) is its own limit.

A verdict: {"matched": [942100, 949110], "status": 403, "rule": 949110, "cpu_ns": 2500000}, or {"error": "..."}.

  matched   rules that matched and log, in the order in which they did, repeated when they matched again; the library
            does not tell of a SecAction with noauditlog
  status    of the refusal; null when the request passed
  rule      the rule that refused, where it logs; else null
  cpu_ns    CPU time of this thread for the whole transaction: made, all five phases, its end, its memory given back

Every transaction is answered with an empty 200, so that the response phases run. A refusal ends it: the logging phase
is all that still runs. Requests of one array are judged in a row, with nothing in between, so an array is a round of a
measurement. What comes before and after (JSON, bytes made from strings) is not in the time.
"""

import gc
import json
import os
import sys
from time import thread_time_ns

from libmodsecurity import ModSecurity, RulesSet, Transaction

CLIENT = ("192.0.2.7", 40000)
SERVER = ("198.51.100.1", 443)


def main(configuration):
    if not configuration:
        sys.exit("usage: modsecurity.py CONFIGURATION...")
    engine = ModSecurity()
    # Without a callback every match is written to standard error; this one costs the same and formats nothing.
    engine.set_rule_message_callback(lambda message: None)
    rules = RulesSet()
    for path in configuration:
        if rules.load_from_uri(path) < 0:
            sys.exit(f"{path}: {rules.get_parser_error()}")
    # libxml2 writes about every XML body that does not parse.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    # The collector would run in the middle of a transaction's time.
    gc.disable()
    answer({"engine": engine.who_am_i()})
    for line in sys.stdin.buffer:
        requests = [Request(fields) for fields in json.loads(line)]
        answer([verdict(engine, rules, request) for request in requests])


def answer(value):
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Request:
    """A request as bytes, ready to be judged."""

    def __init__(self, fields):
        self.method = as_bytes(fields["method"])
        self.target = as_bytes(fields["target"])
        self.version = as_bytes(fields["version"])
        self.headers = [(as_bytes(name), as_bytes(value)) for name, value in fields["headers"]]
        self.body = as_bytes(fields["body"])


def as_bytes(text):
    return text.encode("latin-1")


def verdict(engine, rules, request):
    begun = thread_time_ns()
    try:
        transaction = Transaction(engine, rules)
        refusal = run(transaction, request)
        transaction.process_logging()
        judged = thread_time_ns()
        messages = transaction.get_rule_messages()
        matched = [message.rule_id for message in messages]
        refusing = [message.rule_id for message in messages if message.disruptive]
        read = thread_time_ns()
        del transaction
        ended = thread_time_ns()
    except Exception as error:  # Whatever the library throws at one request is that request's verdict.
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "matched": matched,
        "status": None if refusal is None else refusal.status,
        "rule": refusing[-1] if refusal is not None and refusing else None,
        "cpu_ns": (judged - begun) + (ended - read),
    }


def run(transaction, request):
    """The phases up to the response's body; what refused, if anything did."""
    transaction.process_connection(*CLIENT, *SERVER)
    transaction.process_uri(request.target, request.method, request.version)
    for name, value in request.headers:
        transaction.add_request_header(name, value)
    transaction.process_request_headers()
    if refusal := refused(transaction):
        return refusal
    if request.body:
        transaction.append_request_body(request.body)
        if refusal := refused(transaction):
            return refusal
    transaction.process_request_body()
    if refusal := refused(transaction):
        return refusal
    transaction.process_response_headers(200, "HTTP/1.1")
    if refusal := refused(transaction):
        return refusal
    transaction.process_response_body()
    return refused(transaction)


def refused(transaction):
    intervention = transaction.intervention()
    return intervention if intervention is not None and intervention.disruptive else None


if __name__ == "__main__":
    main(sys.argv[1:])

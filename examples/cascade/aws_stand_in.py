"""Stands in for AWS on this machine: the example's Lambda functions, and a bucket in memory.

    python3 aws_stand_in.py [PORT]

It prints its address. A server that is started with the variables below invokes these functions:

    AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
    CASCADE_S3_BUCKET=cascade

As AWS does, it refuses a request whose signature is not that of its keys. What it was asked stands
at `/_seen`, what it keeps at `/_objects`. `CASCADE_FAILURES` and `CASCADE_SEED` steer the failures
of its functions, as they do those of the handlers.
"""

import base64
import hashlib
import hmac
import json
import os
import random
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import quote, unquote, urlsplit

KEY_ID = os.environ.get("AWS_ACCESS_KEY_ID", "test")
SECRET_KEY = os.environ.get("AWS_SECRET_ACCESS_KEY", "test")

BOOKS = {
    "84": "I\nThe night was cold and bad. We were sad.\nII\nA good light rose over the good ice.",
    "1342": "I\nIt is a truth that good men want good luck.\nII\nThe ball was bad, the night good.",
}

LOCK = Lock()
SEEN = []
OBJECTS = {}
ATTEMPTS = {}


def data_processor(event):
    """Multiplies the numbers of the trigger; its answer is an envelope with text in it."""
    context = event["context"]
    multiplier = context.get("multiplier", 2)
    values = [number * multiplier for number in context.get("input_data", [1, 2, 3, 4, 5])]
    return {
        "statusCode": 200,
        "body": json.dumps({"processed_values": values, "total": sum(values)}),
    }


def aggregator(event):
    """Reads what the steps before it left in the bucket, and adds it up."""
    keys = [result["result_s3_key"] for result in event["context"]["upstream_results"].values()]
    values = [value for key in sorted(keys) for value in stored(key)["processed_values"]]
    return {"statusCode": 200, "body": {"total": sum(values), "sources": len(keys)}}


def fetch_book(event):
    payload = event["config"]["config"]["payload"]
    book = str(payload["book_id"])
    if book not in BOOKS:
        raise ValueError(f"book {book} is not known; there are {', '.join(BOOKS)}")
    return {"book_id": book, "source": payload["source"], "text": BOOKS[book]}


def extract_chapters(event):
    text = stored(event["config"]["config"]["payload"]["input_s3_key"])["text"]
    chapters = [line for line in text.split("\n") if not re.fullmatch("[IVX]+", line)]
    return {"chapters": chapters, "chapter_count": len(chapters)}


def word_frequency(event):
    payload = event["config"]["config"]["payload"]
    counts = {}
    for word in words(stored(payload["input_s3_key"])["chapters"]):
        counts[word] = counts.get(word, 0) + 1
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: payload["top_n"]]
    return {"word_frequency": dict(most), "analysis_depth": payload["analysis_depth"]}


def sentiment_analysis(event):
    """Fails as often as its payload says."""
    payload = event["config"]["config"]["payload"]
    rate = float(os.environ.get("CASCADE_FAILURES") or payload["failure_rate"])
    seed = os.environ.get("CASCADE_SEED") or event["job_id"]
    with LOCK:
        call = (event["job_id"], event["task_id"])
        ATTEMPTS[call] = attempt = ATTEMPTS.get(call, 0) + 1
    if random.Random(f"{seed}/{event['task_id']}/{attempt}").random() < rate:
        raise RuntimeError("Simulated sentiment analysis failure")
    found = words(stored(payload["input_s3_key"])["chapters"])
    score = found.count("good") - found.count("bad") - found.count("sad")
    return {"sentiment": score, "model": payload["model"]}


def compare_books(event):
    payload = event["config"]["config"]["payload"]
    first, second = (stored(payload[f"book{n}_word_freq"])["word_frequency"] for n in (1, 2))
    moods = [stored(payload[f"book{n}_sentiment"])["sentiment"] for n in (1, 2)]
    return {
        "common_words": sorted(set(first) & set(second)),
        "sentiment_difference": moods[0] - moods[1],
        "visualizations": payload["generate_visualizations"],
    }


FUNCTIONS = {
    "cascade-data-processor": data_processor,
    "cascade-aggregator": aggregator,
    "cascade-fetch-book": fetch_book,
    "cascade-extract-chapters": extract_chapters,
    "cascade-word-frequency": word_frequency,
    "cascade-sentiment-analysis": sentiment_analysis,
    "cascade-compare-books": compare_books,
}


def words(lines):
    return re.findall("[a-z]+", " ".join(lines).lower())


def stored(key):
    """The JSON in the object called `key`."""
    with LOCK:
        found = [body for path, body in OBJECTS.items() if path.split("/", 1)[1] == key]
    if not found:
        raise KeyError(f"no object is called {key}")
    return json.loads(found[0])


def is_signed(method, target, headers, body):
    """Whether the signature (version 4) in `headers` is the one that the keys give."""
    pattern = r"AWS4-HMAC-SHA256 Credential=([^/]+)/(.+), SignedHeaders=(.+), Signature=(\w+)"
    match = re.fullmatch(pattern, headers.get("authorization", ""))
    if not match or match[1] != KEY_ID:
        return False
    scope, names, given = match[2], match[3].split(";"), match[4]
    url, service = urlsplit(target), scope.split("/")[2]
    # S3 takes the path as it comes; all other services encode it once more.
    path = url.path if service == "s3" else quote(url.path, safe="/-_.~")
    content = hashlib.sha256(body).hexdigest()
    if service == "s3" and headers.get("x-amz-content-sha256") != content:
        return False
    lines = [method, path, url.query]
    lines += [f"{name}:{headers.get(name, '').strip()}" for name in names]
    lines += ["", ";".join(names), content]
    request = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers.get("x-amz-date", ""), scope, request])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), given)


class StandIn(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with LOCK:
            seen, objects = list(SEEN), {path: body.decode() for path, body in OBJECTS.items()}
        if self.path == "/_seen":
            self.answer(200, seen)
        elif self.path == "/_objects":
            self.answer(200, objects)
        else:
            self.answer(404, {"message": "not found"})

    def do_PUT(self):
        body = self.body()
        if not is_signed("PUT", self.path, self.headers, body):
            self.answer(403, {"message": "SignatureDoesNotMatch"})
            return
        with LOCK:
            OBJECTS[unquote(self.path.lstrip("/"))] = body
        self.answer(200, None)

    def do_POST(self):
        body = self.body()
        match = re.fullmatch("/2015-03-31/functions/([^/]+)/invocations", self.path)
        name = unquote(match[1]) if match else ""
        if not is_signed("POST", self.path, self.headers, body):
            self.refuse(403, "InvalidSignatureException", "the signature does not match")
        elif name not in FUNCTIONS:
            self.refuse(404, "ResourceNotFoundException", f"Function not found: {name}")
        else:
            self.invoke(name, json.loads(body))

    def invoke(self, name, event):
        kind = self.headers.get("x-amz-invocation-type", "RequestResponse")
        with LOCK:
            SEEN.append({"function": name, "invocation_type": kind, "event": event})
        if kind == "Event":
            self.answer(202, None)
            return
        headers = {"x-amz-executed-version": "$LATEST"}
        try:
            result, log = FUNCTIONS[name](event), f"END {event['task_id']}\n"
        except Exception as error:
            result = {"errorMessage": str(error), "errorType": type(error).__name__}
            headers["x-amz-function-error"], log = "Unhandled", f"{error!r}\n"
        if self.headers.get("x-amz-log-type") == "Tail":
            headers["x-amz-log-result"] = base64.b64encode(log.encode()).decode()
        self.answer(200, result, headers)

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def refuse(self, status, kind, message):
        self.answer(status, {"Message": message}, {"x-amzn-errortype": kind})

    def answer(self, status, value, headers=None):
        content = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("x-amzn-requestid", f"request-{len(SEEN)}")
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format, *args):
        """Says nothing: `/_seen` tells."""


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with ThreadingHTTPServer(("127.0.0.1", port), StandIn) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

"""A server in a process of its own that speaks OpenAI's chat protocol: python chat_server.py RULES.json

RULES is {"words": {word: label}, "strange": [words], "busy": N, "key": KEY, "short": bool, "own": bool, "breaks":
N, "meet": N}: it answers with the label of the first word that it knows, as a sentence or short; with one that says no
label where a strange word stands; with 429 to its first N requests; with an error where somebody gives a temperature,
if it has its own; with another one after N answers; and with nothing before N requests have met. It prints its port;
GET /seen tells what it was asked.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RULES = json.loads(Path(sys.argv[1]).read_text())
SEEN, LOCK = {"requests": 0, "answered": [], "most": 0, "now": 0, "told": ""}, threading.Condition()


class Chat(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.say(200, {name: SEEN[name] for name in ("requests", "answered", "most", "told")})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            SEEN["requests"] += 1
            SEEN["now"] += 1
            SEEN["most"] = max(SEEN["most"], SEEN["now"])
            busy = SEEN["requests"] <= RULES.get("busy", 0)
            LOCK.notify_all()
            LOCK.wait_for(lambda: busy or SEEN["most"] >= RULES.get("meet", 1), timeout=20)
        try:
            self.answer(body, busy)
        finally:
            with LOCK:
                SEEN["now"] -= 1

    def answer(self, body, busy):
        if RULES.get("key") and self.headers.get("Authorization") != f"Bearer {RULES['key']}":
            return self.say(401, {"error": {"message": "no such key"}})
        if self.path != "/v1/chat/completions":
            return self.say(404, {"error": {"message": "no such path"}})
        if RULES.get("own") and "temperature" in body:
            return self.say(400, {"error": {"message": "Unsupported value: 'temperature'"}})
        if len(SEEN["answered"]) >= RULES.get("breaks", 1 << 30):
            return self.say(403, {"error": {"message": "no credit left"}})
        if busy:
            return self.say(429, {"error": {"message": "busy"}}, {"Retry-After": "0.01"})
        text = body["messages"][-1]["content"]
        known = [label for word, label in RULES["words"].items() if word in text.split()]
        strange = any(word in text.split() for word in RULES.get("strange", ()))
        said = known[0] if known else ""
        sentence = said if RULES.get("short") else f"Answer: **{said.title()}**."
        content = "Hard to say." if strange or not known else sentence
        with LOCK:
            SEEN["answered"].append(text)
            SEEN["told"] = body["messages"][0]["content"]
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        return self.say(200, {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage})

    def say(self, status, value, headers=None):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, header in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, header)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    print(server.server_port, flush=True)
    server.serve_forever()

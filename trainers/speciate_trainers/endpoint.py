"""A client of servers that speak OpenAI's chat protocol: few questions at once, patient, and no answer is paid twice.

Each answer is on the disk before the next step: a run that is killed, or another one that asks the same, finds it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from speciate import SpeciateError, UsageError
from speciate_trainers.keep import Kept

__all__ = ["Endpoint"]

Messages = Sequence[dict[str, str]]
TRIES, LONGEST, TIMEOUT = 6, 60.0, 120.0  # of one question; seconds between two of them; seconds for an answer
AGAIN = (408, 409, 429)


class Endpoint:
    """`ask` gives the answers that are not kept yet to the server, `parallel` of them at once."""

    def __init__(self, model: str, url: str, key: str, parallel: int, cache: Path | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not model or parallel < 1:
            asked = f"method.url={url} method.teacher=[openai:{model}] method.parallel={parallel}"
            exists = "a url begins with http:// or https://, openai: has a model's name, parallel is at least 1"
            raise UsageError(asked, exists, "type method.url=https://api.openai.com/v1")
        if not os.environ.get(key) and not _local(parts.hostname):
            exists = f"the environment variable {key} is not set"
            raise UsageError(f"{parts.hostname} wants a key", exists, f"type `export {key}=…`, or method.key=VARIABLE")
        self.model, self.url, self.parallel, self._variable = model, url.rstrip("/"), parallel, key
        self._cache = cache
        self._settings: dict[str, Any] = {"temperature": 0}
        self._halt = threading.Event()  # nothing more is asked

    def ask(self, questions: Sequence[Messages], tick: Callable[[int], None]) -> list[str]:
        """The answers, in the order of the questions."""
        keys = [self._key(question) for question in questions]
        with Kept(self._cache) as kept:
            there = {key for key in dict.fromkeys(keys) if kept.get(key) is not None}
            tick(sum(key in there for key in keys))
            if missing := {k: q for k, q in zip(keys, questions, strict=True) if k not in there}:
                with self._client() as client:
                    self._ask(client, missing, kept, tick)
            return [str(kept.get(key)) for key in keys]

    def seconds(self, questions: Sequence[Messages]) -> list[float]:
        """How long the answers to these took when they were asked."""
        with Kept(self._cache) as kept:
            found = [kept.seconds(self._key(question)) for question in questions]
        return [seconds for seconds in found if seconds is not None]

    def _ask(self, client: Any, questions: dict[str, Messages], kept: Kept, tick: Callable[[int], None]) -> None:
        """What was answered before something went wrong is kept, then the error is raised."""
        wrong: BaseException | None = None
        self._halt.clear()
        with ThreadPoolExecutor(self.parallel) as pool:
            due = {pool.submit(self._post, client, question): key for key, question in questions.items()}
            try:
                for done in as_completed(due):  # cancelled ones it would wait for without end: they return nothing
                    if error := done.exception():
                        wrong = wrong or error
                        self._halt.set()
                    elif said := done.result():
                        kept.put([(due[done], *said)])
                        tick(1)
            finally:
                self._halt.set()
        if wrong:
            raise wrong

    def _post(self, client: Any, question: Messages) -> tuple[str, int, float] | None:
        """(answer, tokens, seconds) of one question; tried again while it may yet be answered."""
        import httpx2

        why = ""
        for number in range(TRIES):
            if self._halt.is_set():
                return None
            start, body = time.monotonic(), {"model": self.model, "messages": list(question), **self._settings}
            try:
                found = client.post("/chat/completions", json=body)
            except httpx2.TransportError as error:
                why, wait = f"{type(error).__name__}: {error}", 0.5 * 2**number
            else:
                if found.status_code == 200:
                    return *_read(found.text, self.url), time.monotonic() - start
                why, wait = f"{found.status_code}: {found.text[:300]}", 0.5 * 2**number
                if found.status_code == 400 and "temperature" in found.text and "temperature" in body:
                    self._settings, wait = {}, 0.0  # a model that takes no other than its own
                elif found.status_code < 500 and found.status_code not in AGAIN:
                    break
                wait = _seconds(found.headers.get("retry-after"), wait)
            self._halt.wait(min(wait, LONGEST) if number < TRIES - 1 else 0.0)
        do = f"see that {self.url} serves {self.model!r} and that {self._variable} is right; answers so far are kept"
        raise SpeciateError(f"{self.model!r} at {self.url} does not answer", why, do)

    def _client(self) -> Any:
        """One for all questions: connections are kept."""
        try:
            import httpx2
        except ImportError as error:
            raise SpeciateError(
                "an endpoint as a teacher needs httpx2", str(error), 'type `pip install "speciate[endpoint]"`'
            ) from error
        key = os.environ.get(self._variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx2.Limits(max_connections=self.parallel)
        return httpx2.Client(base_url=self.url, headers=headers, timeout=TIMEOUT, limits=limits)

    def _key(self, question: Messages) -> str:
        return hashlib.sha256(json.dumps([self.url, self.model, list(question)]).encode()).hexdigest()


def _read(text: str, url: str) -> tuple[str, int]:
    try:
        body = json.loads(text)
        answer = body["choices"][0]["message"]["content"]
        return str(answer or ""), int((body.get("usage") or {}).get("total_tokens") or 0)
    except (ValueError, LookupError, TypeError) as error:
        raise SpeciateError(f"{url} does not speak OpenAI's protocol", f"it said: {text[:200]}", "") from error


def _seconds(header: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(header)) if header else otherwise
    except ValueError:  # a date
        return otherwise


def _local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

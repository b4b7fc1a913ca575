"""The formats of `tapes`, of files whose names tell too much. Pseudonyms are names backwards, for tests to read."""

from dataclasses import replace

import tapes

from speciate import hookimpl


def pseudonyms(options):
    return lambda kind, name: f"{kind}:{name}"[::-1]


def names_may_stay(options):
    return None


@hookimpl
def speciate_formats():
    hidden = [replace(format, pseudonym="quiet:pseudonyms") for format in tapes.speciate_formats()]
    return [*hidden, replace(hidden[0], name="loud", pseudonym="quiet:names_may_stay")]

"""What is kept of a picture: one flat list of attributes, of which de-identification leaves those of the allow-list.

PS3.15, basic application level confidentiality profile, with modified dates.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID_dictionary
from pydicom.valuerep import format_number_as_ds

from speciate import SpeciateError, UsageError
from speciate.errors import did_you_mean
from speciate_dicom.fields import Fields, kind_of, plain_numbers, plain_words, tag_of
from speciate_dicom.options import Common
from speciate_dicom.secret import Secret
from speciate_dicom.tags import CODES, DATES, NUMBERS, TABLES, UIDS, WORDS, kept

__all__ = ["as_bytes", "check_tags", "clean", "columns", "flat", "patient_of", "refuse_burned_in"]

METHOD = "Speciate allow-list, PS3.15 basic profile, modified dates"
CODED = (("113100", "Basic Application Confidentiality Profile"), ("113107", "Modified Dates"))
EMPTY = ("AccessionNumber", "PatientBirthDate", "PatientSex", "ReferringPhysicianName", "StudyID", "StudyTime")
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
GROUP_TAGS = tuple(map(tag_of, GROUPS))
BINARY = ("OB", "OW", "US", "SS", "US or SS")
MOST_AGE = 89  # above it an age tells who somebody is
KEPT_AS_THEY_ARE = ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD")
USUAL = {"code": "CS", "date": "DA", "uid": "UI", "class": "UI"}
INSTANCE = tag_of("SOPInstanceUID")
NAMED = {"number": NUMBERS, "code": CODES, "date": DATES, "uid": UIDS, "table": TABLES}
CHANGED = DATES | UIDS | {"SOPClassUID"}
RULES = {tag_for_keyword(name): rule for rule, names in NAMED.items() for name in names}
RULES |= {tag_for_keyword("SOPClassUID"): "class"}


def flat(data: Dataset, frame: int) -> Dataset:
    """A file's attributes with those of one of its frames in their place, so that every picture reads alike."""
    if not any(group in data.keys() for group in GROUP_TAGS):  # noqa: SIM118  (a name is looked up)
        return data
    one = Dataset()
    for tag in data.keys():  # noqa: SIM118  (iterating over a dataset gives elements)
        if keyword_for_tag(tag) not in GROUPS:
            one[tag] = data.get_item(tag)
    shared, single = (list(data.get(group) or []) for group in GROUPS)
    for item in [*shared[:1], *single[frame : frame + 1]]:
        for element in item:
            if element.VR == "SQ" and len(element.value or ()) == 1 and element.keyword not in TABLES:
                one.update({inner.tag: inner for inner in element.value[0]})
    return one


def patient_of(data: Dataset) -> str:
    """Who this is about, as well as the file says it; pictures of one patient must not part into train and test."""
    fields = Fields(data)
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        value = " ".join(fields.text(keyword).split())
        if value:
            return f"{keyword}\0{value}"
    return ""


def clean(data: Dataset, frame: int, secret: Secret) -> Dataset:
    """A flat dataset with only what the allow-list names, pseudonyms, and the marks of the profile."""
    patient, plain, left = patient_of(data), {}, []
    for tag, raw in data.items():
        rule = RULES.get(int(tag))
        if rule and (found := _cleaned(raw, rule, frame, patient, secret)):
            plain[tag] = found
        elif rule and found is None:
            left.append((tag, rule))
    one = Dataset({**plain, **_marks(), **_named(secret.name("patient", patient))})
    coloured = Fields(data).text("PhotometricInterpretation") == "PALETTE COLOR"
    for tag, rule in left:
        element = _element(data, tag)
        if element is None:
            continue
        if rule == "number" and (found := _as_listed(element)) is not None:
            one[tag] = found
        elif rule == "code" and (words := _words(element.value)) is not None:
            one[tag] = DataElement(tag, element.VR, words)
        elif rule == "date" and (day := secret.date(patient, str(element.value))):
            one[tag] = as_bytes(element.keyword, "DA", day.encode())
        elif rule == "uid" and element.value:
            uid = secret.uid(f"{element.value}{_frame_of(int(tag), frame)}")
            one[tag] = as_bytes(element.keyword, "UI", uid.encode())
        elif rule == "table" and element.VR == "SQ":
            one[tag] = DataElement(tag, "SQ", _tables(element.value))
        elif (rule == "table" and element.VR in BINARY and coloured) or (
            rule == "class" and str(element.value) in UID_dictionary
        ):
            one[tag] = element
    return one


def columns(data: Dataset, cleaned: Dataset, options: Common) -> dict[str, Any]:
    """The attributes that a person asked for as columns, from a dataset that may hold what only they may see; dates and
    UIDs from what is left of it."""
    asked = [tag.strip() for tag in options.tags.split(",") if tag.strip()]
    return {name: _column(name, _value(cleaned if name in CHANGED else data, name), options.keep_phi) for name in asked}


def check_tags(options: Common) -> None:
    """Every column that was asked for is an attribute that may be shown."""
    for name in (tag.strip() for tag in options.tags.split(",") if tag.strip()):
        if tag_for_keyword(name) is None:
            hint = did_you_mean(name, kept())
            raise UsageError(f"no DICOM attribute named {name!r}", hint, "type a keyword, such as -o tags=KVP,Modality")
        if not options.keep_phi and name not in kept():
            exists = "de-identification removes it, because it may tell who somebody is"
            raise UsageError(f"{name} cannot be a column", exists, "leave it out, or type -o keep_phi=true")


def refuse_burned_in(data: Dataset, options: Common) -> None:
    if not options.burned_in and Fields(data).text("BurnedInAnnotation").upper() == "YES":
        exists = "it says that text is burned into its pixels; that is not removed here"
        raise SpeciateError("this picture may show names", exists, "look at it, then type -o burned_in=true")


def numbers(value: Any) -> Any:
    """A number or several, or nothing: text that is none does not pass."""
    found = []
    for part in _many(value):
        try:
            number = float(part)
        except (TypeError, ValueError):
            return None
        if not math.isfinite(number):
            return None
        found.append(number)
    return found if len(found) > 1 else found[0] if found else None


def _cleaned(raw: Any, rule: str, frame: int, patient: str, secret: Secret) -> RawDataElement | tuple[()] | None:
    """What is kept of an element that nobody has looked at yet: it, () for nothing, None where pydicom has to look."""
    if not isinstance(raw, RawDataElement) or not raw.value or not raw.is_little_endian:
        return None
    kind = kind_of(raw)
    if rule == "number" and kind in KEPT_AS_THEY_ARE:
        return _explicit(raw, kind) if kind in _kinds(int(raw.tag)) and _finite(raw, kind) else None
    words = plain_words(raw) if kind == USUAL.get(rule) else None
    if words is None or (rule != "code" and len(words) != 1):
        return None
    if rule == "code":
        text = "\\".join(_many(_words(words)))
    elif rule == "date":
        text = secret.date(patient, words[0])
    elif rule == "class":
        text = words[0] if words[0] in UID_dictionary else ""
    else:
        text = secret.uid(f"{words[0]}{_frame_of(int(raw.tag), frame)}") if words[0] else ""
    return encoded(raw.tag, kind, text.encode()) if text else ()


@lru_cache(maxsize=256)
def _kinds(tag: int) -> tuple[str, ...]:
    return tuple(dictionary_VR(tag).split(" or "))


@lru_cache(maxsize=256)
def _most(tag: int) -> float:
    """How many values it has at the most."""
    last = dictionary_VM(tag).split("-")[-1]
    return int(last) if last.isdigit() else math.inf


def _as_listed(element: DataElement) -> DataElement | None:
    """Numbers, coded as the dictionary says: bytes of another kind may be letters. Nothing, where there are none."""
    found, kinds = numbers(element.value), _kinds(int(element.tag))
    several: list[Any] = found if isinstance(found, list) else [found]
    if found is None or (len(several) > _most(int(element.tag)) and element.VR not in ("DS", "IS")):
        return None
    if element.VR in kinds:
        return element
    if kinds[0] == "DS":
        several = [format_number_as_ds(number) for number in several]
    elif kinds[0] not in ("FL", "FD"):
        if not all(number.is_integer() and 0 <= number < 1 << 15 for number in several):
            return None
        several = [int(number) for number in several]
    return DataElement(element.tag, kinds[0], several)


def _explicit(raw: RawDataElement, kind: str) -> RawDataElement | None:
    """Numbers with their VR, as pydicom would write them; None where it has to."""
    if raw.VR is not None:
        return raw
    value = raw.value or b""
    if kind not in ("DS", "IS"):
        return encoded(raw.tag, kind, value)
    value = value.rstrip(b" \0")
    return None if b" " in value else encoded(raw.tag, kind, value)


def _frame_of(tag: int, frame: int) -> str:
    """What tells the pictures of one file apart."""
    return f"#{frame}" if frame and tag == INSTANCE else ""


def _finite(raw: RawDataElement, kind: str) -> bool:
    """Whether it holds numbers, and nothing but them."""
    if kind in ("DS", "IS"):
        try:
            return all(math.isfinite(float(part)) for part in bytes(raw.value or b"").rstrip(b"\0 ").split(b"\\"))
        except ValueError:
            return False
    found = plain_numbers(raw) or [math.nan]
    return len(found) <= _most(int(raw.tag)) and all(map(math.isfinite, found))


def _column(name: str, value: Any, all_of_it: bool) -> Any:
    """A value as a table holds it."""
    if value is None or value == "":
        return None
    if name in NUMBERS:
        found = numbers(value)
        return " ".join(f"{number:g}" for number in found) if isinstance(found, list) else found
    if all_of_it or name in CHANGED:
        return " ".join(str(part) for part in _many(value))
    if name == "PatientAge":
        return _age(str(value))
    if name in ("PatientSize", "PatientWeight"):
        return numbers(value)
    if name == "PatientSex":
        return str(value) if str(value) in ("F", "M", "O") else None
    words = _words(value)
    return " ".join(_many(words)) if words is not None else None


def _age(text: str) -> float | None:
    """Years, 90 for everybody above 89."""
    unit = {"Y": 1.0, "M": 12.0, "W": 52.2, "D": 365.25}.get(text[-1:].upper())
    if not unit or not text[:-1].isdigit():
        return None
    years = int(text[:-1]) / unit
    return float(MOST_AGE + 1) if years > MOST_AGE else round(years, 2)


def _words(value: Any) -> Any:
    """Those words that the vocabulary holds."""
    found = [str(part).strip().upper() for part in _many(value)]
    words = [word for word in found if word in WORDS]
    return words if len(words) > 1 else words[0] if words else None


def _tables(items: Sequence[Dataset]) -> list[Dataset]:
    """A table of pixel values, without the explanation that stands beside it."""
    table = Dataset()
    table.update({item.tag: item for item in items[0] if item.keyword in ("LUTDescriptor", "LUTData")} if items else {})
    if len(table) != 2:
        return []
    entries, data = int(table.LUTDescriptor[0]) or 1 << 16, table.LUTData
    table.LUTData = data[: 2 * entries] if isinstance(data, bytes) else _many(data)[:entries]
    return [table]


def _named(pseudonym: str) -> dict[BaseTag, RawDataElement]:
    kinds = {"PatientName": "PN", "PatientID": "LO"}
    found = [as_bytes(keyword, kind, pseudonym.encode()) for keyword, kind in kinds.items()]
    return {element.tag: element for element in found}


def as_bytes(keyword: str, kind: str, value: bytes) -> RawDataElement:
    """An element as it stands in a file: explicit VR, little endian."""
    return encoded(BaseTag(tag_of(keyword)), kind, value)


def encoded(tag: BaseTag, kind: str, value: bytes) -> RawDataElement:
    if len(value) % 2:
        value += b"\0" if kind in ("UI", "OB") else b" "
    return RawDataElement(tag, kind, len(value), value, 0, False, True)


@lru_cache(maxsize=1)
def _marks() -> dict[BaseTag, Any]:
    """What every de-identified file says; made once and kept as bytes, because it is written ten thousands of times."""
    one = Dataset()
    for keyword in EMPTY:
        setattr(one, keyword, "")
    one.PatientIdentityRemoved = "YES"
    one.DeidentificationMethod = METHOD
    one.LongitudinalTemporalInformationModified = "MODIFIED"
    codes = []
    for value, meaning in CODED:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    one.DeidentificationMethodCodeSequence = codes
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, one)
    return dict(read_dataset(io.BytesIO(file.getvalue()), False, True).items())


def _element(data: Dataset, tag: Any) -> DataElement | None:
    """An element, or nothing where it cannot be read."""
    try:
        return data[tag]
    except Exception:
        return None


def _value(data: Dataset, keyword: str) -> Any:
    tag = tag_for_keyword(keyword)
    element = _element(data, tag) if tag in data else None
    return element.value if element is not None else None


def _many(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple | MultiValue) else [value]

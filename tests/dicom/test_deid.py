"""What de-identification promises: 500 planted identifiers are in no stored byte, preview, log or error."""

import io
import os
import re
import struct
import subprocess
import sys
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_dict
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

import speciate
from speciate import UsageError
from speciate_dicom.deid import clean
from speciate_dicom.example import body, picture, save
from speciate_dicom.options import DicomOptions, SliceOptions
from speciate_dicom.secret import VARIABLE, Secret, pseudonyms, secret
from speciate_dicom.slices import SliceReader
from speciate_dicom.tags import NUMBERS, TABLES, kept
from speciate_dicom.views import picture as preview
from speciate_dicom.volumes import DicomReader

TEXT = {"AE": 16, "CS": 16, "LO": 64, "LT": 900, "PN": 64, "SH": 16, "ST": 900, "UC": 900, "UR": 900, "UT": 900}
SHAPE = {"Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"}
NEEDED = {"PhotometricInterpretation", "SpecificCharacterSet", "TransferSyntaxUID"}


def planted(array, name="p"):
    """A file with an identifier in every place that takes text or bytes, and these identifiers."""
    data, words = picture(array, name), []

    def word(length=16):
        words.append(f"ZQ{len(words):04d}SENTINEL"[:length])
        return words[-1]

    plain = [k for k, tag in keyword_dict.items() if DicomDictionary[tag][0] in TEXT and k not in NEEDED]
    some = sorted(plain)[:: max(1, len(plain) // 400)]
    for keyword in some:
        if keyword_dict[keyword] >> 16 not in (0x0002, 0xFFFE, 0x0004, 0x0000):
            setattr(data, keyword, word())
    for group in (0x0009, 0x0011, 0x7053):
        block = data.private_block(group, f"MAKER {group}", create=True)
        for element in range(12):
            block.add_new(element, "LO", word())
        block.add_new(0x40, "OB", word().encode())
    for keyword in ("RequestAttributesSequence", "OtherPatientIDsSequence", "ReferencedStudySequence"):
        items = []
        for _ in range(8):
            item, inner = Dataset(), Dataset()
            item.PatientName, item.PatientID, inner.InstitutionName = word(), word(), word()
            item.ReferencedPatientSequence = Sequence([inner])
            items.append(item)
        setattr(data, keyword, Sequence(items))
    data.add_new(0x60000010, "US", 8)
    data.add_new(0x60003000, "OB", word().encode())
    data.add_new(0x60000022, "LO", word())
    data.add_new(0x50003000, "OW", word().encode())
    data.add_new(0xFFFCFFFC, "OB", word().encode())
    data.ImageType = ["ORIGINAL", word(), "AXIAL"]
    data.Modality, data.BurnedInAnnotation = "CT", "NO"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3.4444.5555", "1.2.3.4444.6666"
    data.SOPInstanceUID, data.PatientBirthDate, data.StudyDate = f"1.2.3.4444.{ord(name)}", "19611213", "20210607"
    words += ["1.2.3.4444", "19611213", "20210607"]
    return data, words


def stored_bytes(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_no_planted_identifier_is_stored_shown_or_said(tmp_path, capfd, caplog):
    data, words = planted(body(1, "p")[0])
    assert len(words) >= 500
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(tmp_path / "in" / "scan.dcm", data)
    before = path.read_bytes()
    assert sum(word.encode() in before for word in words) > 490  # they were really planted
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("scans", path, format="dicom-slices", options={"tags": "Modality,KVP,StudyDate"})
    assert (added.added, added.quarantined) == (1, ())
    row = workspace.engine.dataset("scans").rows()[0]
    shown = preview(row, SliceReader(SliceOptions()).decode(row))
    (volume,) = DicomReader(DicomOptions()).read(path)
    told = "".join(capfd.readouterr()) + caplog.text + shown.html + repr(volume)
    everything = stored_bytes(tmp_path / "ws") + shown.png + volume["volume"].read_bytes() + told.encode()
    assert [word for word in words if word.encode() in everything] == []
    kept = pydicom.dcmread(io.BytesIO(row["dicom"]))
    assert (kept.pixel_array == pydicom.dcmread(path).pixel_array).all()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept", "Rows"):
        assert kept[keyword].value == data[keyword].value
    assert kept.PatientIdentityRemoved == "YES"
    assert [code.CodeValue for code in kept.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert list(kept.ImageType) == ["ORIGINAL", "AXIAL"]


def scans(folder):
    """Planted files of two people, under names and in folders that tell who they are; one that is damaged, one that is
    none, and a label file that names them all. And every identifier there is."""
    words, rows = [], ["file,label,group"]
    for number, name in enumerate("pq"):
        data, some = planted(body(1, name)[0], name)
        data.SeriesInstanceUID, data.PatientID = f"1.2.3.4444.6666{number}", f"ZPAT{number}SENTINEL"
        names = [f"ZDIR{number}SENTINEL", f"ZSUB{number}^SENTINEL", f"ZFILE{number} SENTINEL.ZEND{number}SENTINEL.dcm"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = save(folder.joinpath(*names), data)
        words += [*some, data.PatientID, *names, *names[2].split(".")[:2]]
        rows.append(f"{names[2]},{'ab'[number]},{data.PatientID}")
    bad = folder / "ZDIR0SENTINEL" / "ZBAD SENTINEL.dcm"
    bad.write_bytes(path.read_bytes()[:900])
    (folder / "ZNOTES SENTINEL.txt").write_text("no picture")
    rows.append("ZLOST SENTINEL.dcm,c,ZGROUP SENTINEL")
    table = folder.parent / "ZLABELS SENTINEL.csv"
    table.write_text("\n".join(rows) + "\n")
    return table, [*words, "ZBAD", "ZNOTES", "ZLOST", "ZGROUP", "ZLABELS"]


@pytest.mark.parametrize("format", ["dicom", "dicom-slices"])
def test_no_name_of_a_file_or_folder_is_stored(format, tmp_path, capfd, caplog):
    """In the workspace, an export and a preview; and labels are joined by the real names all the same."""
    table, words = scans(tmp_path / "in")
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("scans", tmp_path / "in", format=format, labels=table)
    assert (added.added, added.labels, added.labels_unmatched) == (2, {"a": 1, "b": 1}, 1)
    aside = {one.path.rpartition("/")[2] for one in added.quarantined}
    assert aside == {"ZBAD SENTINEL.dcm", "ZNOTES SENTINEL.txt"}, "a person is told which file it is"
    rows = workspace.engine.dataset("scans").rows()
    assert all(re.fullmatch("dicom-[0-9a-f]{16}[.]dcm", row["source"]) for row in rows)
    assert len({row["source"] for row in rows}) == 2
    assert {row["group"] for row in rows} == {secret().patient(f"ZPAT{number}SENTINEL") for number in (0, 1)}
    version = workspace.add("scans", tmp_path / "in", format=format, labels=table).version
    assert version == added.version, "adding again changed something"
    workspace.dataset("scans").export(tmp_path / "out")
    told = "".join(capfd.readouterr()) + caplog.text + workspace.preview("scans") + repr(workspace.show("scans"))
    told += repr(workspace.audit("scans"))
    everything = stored_bytes(tmp_path / "ws") + stored_bytes(tmp_path / "out") + told.encode()
    everything += "\n".join(str(path) for place in ("ws", "out") for path in (tmp_path / place).rglob("*")).encode()
    assert [word for word in words if word.encode() in everything.replace(str(tmp_path).encode(), b"")] == []


def test_a_group_of_a_label_file_is_the_patient_of_the_header(tmp_path):
    path = save(tmp_path / "a.dcm", picture(body(1, "a")[0], "a"))
    (row,) = SliceReader(SliceOptions()).read(path)
    assert row["group"] == pseudonyms(SliceOptions())("group", " P-a ")


def test_names_are_kept_with_the_rest_when_asked(tmp_path):
    table, _ = scans(tmp_path / "in")
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("scans", tmp_path / "in", format="dicom-slices", labels=table, options={"keep_phi": True})
    rows = sorted(workspace.engine.dataset("scans").rows(), key=lambda row: row["source"])
    assert [row["group"] for row in rows] == ["ZPAT0SENTINEL", "ZPAT1SENTINEL"]
    assert rows[0]["source"] == "ZDIR0SENTINEL/ZSUB0^SENTINEL/ZFILE0 SENTINEL.ZEND0SENTINEL.dcm"


def test_a_file_is_found_again_by_its_pseudonym(tmp_path):
    """By who has the key, also where the folder has moved; nobody else's key finds it."""
    scans(tmp_path / "in")
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    workspace.add("scans", tmp_path / "in", format="dicom-slices")
    sources = sorted(row["source"] for row in workspace.engine.dataset("scans").rows())
    (tmp_path / "in").rename(tmp_path / "moved")
    command = [sys.executable, "-m", "speciate_dicom.names", tmp_path / "moved", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert sorted(name for name, _ in lines) == sources
    assert all(path.endswith(".dcm") and "ZFILE" in path for _, path in lines)
    other = os.environ | {VARIABLE: "some other key than before"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=other)
    assert (done.returncode, done.stdout) == (1, "")


def test_errors_do_not_repeat_what_a_file_says(tmp_path, capfd, caplog):
    data, words = planted(body(1, "p")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        good = save(tmp_path / "scan.dcm", data).read_bytes()
    rng = np.random.default_rng(0)
    said = []
    for i in range(60):
        bad = bytearray(good)
        for place in rng.integers(132, len(good) - 1200, 40):
            bad[place] = rng.integers(256)
        path = tmp_path / f"{i}.dcm"
        path.write_bytes(bytes(bad))
        for reader in (SliceReader(SliceOptions()), DicomReader(DicomOptions())):
            try:
                list(reader.read(path))
            except Exception as error:
                said.append(str(error))
    told = " ".join(said) + "".join(capfd.readouterr()) + caplog.text
    assert len(said) > 20
    assert [word for word in words if word in told] == []


@pytest.mark.parametrize("kind", ["US", "SL", "FL", "FD"])
def test_numbers_of_another_kind_hold_no_letters(kind, tmp_path):
    """A listed number may be coded as it should not be: its value is kept, and not the bytes it stands in."""
    data = picture(body(1, "a")[0], "a")
    for keyword in NUMBERS - SHAPE:
        tag = Tag(keyword)
        if dictionary_VR(tag) != kind:
            data[tag] = RawDataElement(tag, kind, 8, b"SENTINEL", 0, False, True)
    data["RescaleSlope"] = RawDataElement(Tag("RescaleSlope"), "FD", 8, struct.pack("<d", 2.5), 0, False, True)
    path = save(tmp_path / "a.dcm", data)
    assert b"SENTINEL" in path.read_bytes()
    (row,) = SliceReader(SliceOptions()).read(path)
    assert b"SENTINEL" not in row["dicom"]
    assert pydicom.dcmread(io.BytesIO(row["dicom"])).RescaleSlope == 2.5


def test_a_table_ends_where_it_says(tmp_path):
    data, table = picture(body(1, "a")[0], "a"), Dataset()
    table.LUTDescriptor, table.LUTData = [4, 1000, 16], np.arange(4, dtype="<u2").tobytes() + b"SENTINEL"
    data.VOILUTSequence = Sequence([table])
    (row,) = SliceReader(SliceOptions()).read(save(tmp_path / "a.dcm", data))
    assert b"SENTINEL" not in row["dicom"]
    (kept,) = pydicom.dcmread(io.BytesIO(row["dicom"])).VOILUTSequence
    assert kept.LUTData == table.LUTData[:8]


def test_what_remains_is_on_the_list():
    """Of a file with all that DICOM knows, only what the allow-list names, and the marks."""
    data, _ = planted(body(1, "p")[0])
    one = clean(data, 0, Secret(b"k"))
    marks = {"PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime"}
    marks |= {"ReferringPhysicianName", "PatientIdentityRemoved", "DeidentificationMethod"}
    marks |= {"DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified"}
    assert {element.keyword for element in one} <= kept() | TABLES | marks
    assert not any(element.tag.is_private for element in one)


def test_pseudonyms_follow_the_key(tmp_path, monkeypatch):
    """The same patient keeps one, also in other files; another key gives another; nothing is plain."""
    files = [save(tmp_path / f"{i}.dcm", picture(plane, "a", i)) for i, plane in enumerate(body(2, "a"), 1)]
    files.append(save(tmp_path / "b.dcm", picture(body(1, "b")[0], "b")))
    reader = SliceReader(SliceOptions())

    def groups():
        return [row["group"] for path in files for row in reader.read(path)]

    first = groups()
    assert first == groups()
    assert first[0] == first[1] != first[2]
    monkeypatch.setenv(VARIABLE, "some other key than before")
    assert not set(groups()) & set(first)


def test_dates_keep_their_distance():
    key = Secret(b"k")
    a, b = (np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in (key.date("p", "20210607"), key.date("p", "20210707")))
    assert (b - a).astype(int) == 30
    assert key.date("p", "20210607") != key.date("q", "20210607")
    assert key.date("p", "SMITH") == key.date("p", "20219999") == ""


def test_the_key_is_made_once_and_kept_to_oneself(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = secret().name("patient", "x")
    path = tmp_path / "speciate" / "dicom.key"
    assert path.stat().st_mode & 0o077 == 0
    assert len(path.read_text().strip()) == 64
    assert secret().name("patient", "x") == made
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UsageError, match="too short"):
        secret()


def test_tags_as_columns(tmp_path):
    data = picture(body(1, "a")[0], "a", PatientAge="093Y", KVP="120", BodyPartExamined="CHEST", PatientSex="F")
    path = save(tmp_path / "a.dcm", data)
    (row,) = SliceReader(SliceOptions(tags="PatientAge,KVP,BodyPartExamined,PatientSex")).read(path)
    shown = {name: row[name] for name in ("PatientAge", "KVP", "BodyPartExamined", "PatientSex")}
    assert shown == {"PatientAge": 90.0, "KVP": 120.0, "BodyPartExamined": "CHEST", "PatientSex": "F"}
    for tags, says in (("PatientName", "may tell who"), ("PatentAge", "did you mean")):
        with pytest.raises(UsageError, match=says):
            SliceReader(SliceOptions(tags=tags))


def test_dates_and_uids_as_columns_are_those_that_are_stored(tmp_path):
    path = save(tmp_path / "a.dcm", picture(body(1, "a")[0], "a"))
    asked = "StudyDate,SeriesInstanceUID,SOPClassUID"
    (row,) = SliceReader(SliceOptions(tags=asked)).read(path)
    (volume,) = DicomReader(DicomOptions(tags=asked)).read(path)
    stored = pydicom.dcmread(io.BytesIO(row["dicom"]))
    assert [row[name] for name in asked.split(",")] == [str(stored[name].value) for name in asked.split(",")]
    assert [volume[name] for name in asked.split(",")] == [row[name] for name in asked.split(",")]
    assert stored.StudyDate != "20200301"


def test_phi_is_kept_only_when_asked(tmp_path):
    path = save(tmp_path / "a.dcm", picture(body(1, "a")[0], "a"))
    (row,) = SliceReader(SliceOptions(keep_phi=True, tags="PatientName")).read(path)
    assert row["PatientName"] == "Example^a"
    assert pydicom.dcmread(io.BytesIO(row["dicom"])).PatientID == "P-a"
    assert "P-a" not in row["group"]


def test_burned_in_text_is_looked_at_first(tmp_path):
    path = save(tmp_path / "a.dcm", picture(body(1, "a")[0], "a", BurnedInAnnotation="YES"))
    for reader in (SliceReader(SliceOptions()), DicomReader(DicomOptions())):
        with pytest.raises(speciate.SpeciateError, match="burned_in=true"):
            list(reader.read(path))
    assert list(SliceReader(SliceOptions(burned_in=True)).read(path))

import gzip
import json

import pytest

from vlkd_steps.core import files, records
from vlkd_steps.core.errors import UserError


def read(path, key="questions"):
    return list(records.array(path, key))


def test_records_come_in_order_whatever_surrounds_them(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(' {"info": {"questions": [9]}, "questions" : [ {"a": 1} , {"a": 2}] , "x": [1, {}]}\n ')
    assert read(path) == [{"a": 1}, {"a": 2}]


def test_a_plain_list_is_read_as_in_vqa_cp(tmp_path):
    path = tmp_path / "q.json"
    path.write_text('[{"a": 1}]')
    assert read(path) == [{"a": 1}]


def test_gzip_and_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "q.json.gz"
    path.write_bytes(gzip.compress(b'\xef\xbb\xbf{"questions": [{"a": "\xc3\xa9"}]}'))
    assert read(path) == [{"a": "é"}]


@pytest.mark.parametrize("end", range(1, 40))
def test_a_file_cut_short_anywhere_is_named_as_such(tmp_path, end):
    whole = '{"info": 1, "questions": [{"a": "xy"}, {"a": 2}]}'
    path = tmp_path / "q.json"
    path.write_text(whole[:-end])
    with pytest.raises(UserError, match=r"q\.json: .*is not JSON|q\.json: is not a JSON object") as caught:
        read(path)
    assert "fetch the file again" in str(caught.value)


def test_a_broken_record_is_reported_with_number_and_position(tmp_path):
    path = tmp_path / "q.json"
    path.write_text('{"questions": [\n{"a": 1},\n{"a": nope}\n]}')
    with pytest.raises(UserError, match=r"questions\[1\]: is not JSON \(line 3, column 7: Expecting value\)"):
        read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"other": []}', "questions: is missing at the top level"),
        ('{"questions": {}}', "questions: must be a list"),
        ('{"questions": [{}, 3]}', r"questions\[1\]: must be an object, not 3"),
        ('"text"', 'is not a JSON object with a list "questions"'),
        ('{"questions": []} x', "text after the end of the JSON value"),
        ('{"questions": [{} {}]}', "expected a comma or the end of the list"),
        ('{"questions": [{}, ]}', "a comma before the end of the list"),
        ('[{"a": 1}, {"a": 2}, {"a": 3},]', "a comma before the end of the list"),
        ('{"questions": [{}],}', "a comma before the end of the object"),
    ],
)
def test_another_shape_is_refused(tmp_path, text, message):
    path = tmp_path / "q.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read(path)


def test_bad_utf8_is_named_by_line_and_byte(tmp_path):
    path = tmp_path / "q.json"
    path.write_bytes(b'{"questions": [\n{"a": "\xff"}]}')
    with pytest.raises(UserError, match=r"q\.json: line 2: byte 23 is not valid UTF-8 .*save the file as UTF-8"):
        read(path)


def test_a_damaged_gzip_and_a_missing_file(tmp_path):
    path = tmp_path / "q.json.gz"
    path.write_bytes(gzip.compress(b'{"questions": []}')[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read(path)
    with pytest.raises(UserError, match=r"none\.json: there is no such file; check `files`"):
        read(tmp_path / "none.json")


def test_lines_skip_blanks_and_number_from_one(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"a": 1}\n\n{"a": "line\u2028separator"}\n', encoding="utf-8")
    assert list(records.lines(path)) == [(1, {"a": 1}), (3, {"a": "line\u2028separator"})]


@pytest.mark.parametrize(
    ("line", "message"), [('{"a": ', r"line 2: is not JSON \(column"), ("[1]", r"line 2: must be an object, not \[1\]")]
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "p.jsonl"
    path.write_text('{"a": 1}\n' + line)
    with pytest.raises(UserError, match=message):
        list(records.lines(path))


def test_field_types(tmp_path):
    path = tmp_path / "q.json"
    assert records.field({"n": 3}, "n", int, path, "questions[0]") == 3
    with pytest.raises(UserError, match=r"questions\[0\]\.n: must be a whole number, not true"):
        records.field({"n": True}, "n", int, path, "questions[0]")
    with pytest.raises(UserError, match=r"questions\[0\]\.m: is missing"):
        records.field({"n": 1}, "m", int, path, "questions[0]")


def many(*changed: tuple[int, str]) -> list[str]:
    """Texts of 300 records, each with records of the same first key inside; some of them others."""
    made = [f'{{"a": {n}, "of": [{{"a": "x, {{"}}, {{"a": "\\u00e9 \\"}}, {{\\"a\\": "}}]}}' for n in range(300)]
    for number, text in changed:
        made[number] = text
    return made


@pytest.mark.parametrize("block", [50, 400, 1 << 20])
@pytest.mark.parametrize("comma", [", ", ",", "\n ,\t"])
def test_records_parsed_many_at_once_are_those_parsed_one_by_one(tmp_path, monkeypatch, block, comma):
    path = tmp_path / "x.json"
    texts = many((7, '{"b": 1}'), (8, "{}"), (9, '{ "a" : "\\ud83d\\ude00"}'), (299, '{"a": 1e5}'))
    path.write_text(f'{{"items": [{comma.join(texts)}], "more": 1}}')
    monkeypatch.setattr(records, "_BLOCK", block)
    assert list(records.array(path, "items")) == [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ('{"a": 1,}', r"items\[200\]: is not JSON \(line 201, column 9: "),
        ('{"a": 1} {"a": 2}', r"items\[200\]: is not JSON \(line 201, column 10: expected a comma"),
        ('{"a": NaN}', r"items\[200\]: is not JSON \(.*NaN is no number"),
        ('{"a": 1e999}', r"items\[200\]: is not JSON \(.*too large"),
        ('{"a": "\\ud800"}', r"items\[200\]: is not JSON \(.*half of a surrogate pair"),
        ('{"a": [}, {"a": 1}', r"items\[200\]: is not JSON"),
        ("[]", r"items\[200\]: must be an object, not \[\]"),
    ],
)
def test_what_is_wrong_among_many_records_is_named_as_alone(tmp_path, bad, message):
    path = tmp_path / "x.json"
    path.write_text('{"items": [' + ",\n".join(many((200, bad))) + "]}")
    read = records.array(path, "items")
    with pytest.raises(UserError, match=message):
        list(read)


def test_a_number_of_more_than_64_bits_is_no_whole_number_among_many_records_either(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(f'{{"items": [{",".join(many((5, json.dumps({"a": 2**64}))))}]}}')
    found = list(records.array(path, "items"))[5]
    with pytest.raises(UserError, match="a: must be a whole number"):
        records.field(found, "a", int, path, "")


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    """A parser takes the last of them, a reader of streams both."""
    path = tmp_path / "q.json"
    path.write_text('{"questions": [{"id": 1}], "questions": [{"id": 2}]}')
    with pytest.raises(UserError, match=r"q\.json: questions: is there twice at the top level"):
        list(records.array(path, "questions"))
    path.write_text('{"label": 1, "label": 2}\n')
    with pytest.raises(UserError, match=r"line 1: is not JSON \(an object holds the key 'label' twice\)"):
        list(records.lines(path))
    with pytest.raises(UserError, match=r"q\.json is not JSON \(an object holds the key 'label' twice\)"):
        files.read_json(path)

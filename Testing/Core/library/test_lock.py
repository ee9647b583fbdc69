import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from corrected_cases import SCHEMA, images_of, label_of, library_of, phantom

from voxmmsd.errors import LibraryError
from voxmmsd.library import folder
from voxmmsd.library import lock as room
from voxmmsd.library.lock import writing

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def forked(work):
    """Start ``work`` in a copy of this process; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@forks
def test_two_writers_at_once_lose_nothing(tmp_path):
    library, made = library_of(tmp_path / "library", 1)
    truth, new = label_of(made["case-000"]), [images_of(phantom(100 + number)) for number in range(8)]

    def write(first):
        for number in range(first, first + 4):
            library.accept("case-000", truth, SCHEMA)
            library.add_case(f"new-{number}", new[number])

    writers = [forked(lambda first=first: write(first)) for first in (0, 4)]
    assert [exit_code(writer) for writer in writers] == [0, 0]
    assert [label.number for label in library.case("case-000").labels] == list(range(1, 9))
    assert {case.id for case in library.cases()} == {"case-000", *(f"new-{number}" for number in range(8))}
    assert 1 <= sum(case.part == "hold-out" for case in library.cases()) <= 2


def test_writers_on_a_file_system_without_locks_still_overwrite_nothing(tmp_path, monkeypatch):
    library, made = library_of(tmp_path / "library", 1)

    def no_locks(file):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(room, "try_lock", no_locks)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: library.accept("case-000", label_of(made["case-000"]), SCHEMA), range(8)))
    assert [label.number for label in library.case("case-000").labels] == list(range(1, 9))


def test_who_waits_too_long_is_told_who_writes(tmp_path, monkeypatch):
    library, made = library_of(tmp_path / "library", 1)
    monkeypatch.setattr(room, "WAIT_SECONDS", 0.1)
    with writing(library.folder), pytest.raises(LibraryError, match="another process has been writing"):
        library.accept("case-000", label_of(made["case-000"]), SCHEMA)
    library.accept("case-000", label_of(made["case-000"]), SCHEMA)


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.EROFS, "cannot be written"), (errno.EACCES, "cannot be written"), (errno.ENOSPC, "disk is full")]
)  # fmt: skip
def test_a_read_only_share_or_a_full_disk_is_one_clear_sentence_and_reading_goes_on(
    tmp_path, monkeypatch, code, message
):
    library, made = library_of(tmp_path / "library", 1)

    def refused(*_):
        raise OSError(code, "no")

    with monkeypatch.context() as patch:
        patch.setattr("voxmmsd.library.folder.write_nifti", refused)
        with pytest.raises(LibraryError, match=message):
            library.accept("case-000", label_of(made["case-000"]), SCHEMA)
        with pytest.raises(LibraryError, match=message):
            library.add_case("new-1", images_of(phantom(5)))
    assert [case.state for case in library.cases()] == ["unlabeled"]


@forks
def test_a_kill_between_any_two_writes_leaves_a_whole_library_that_goes_on(tmp_path, monkeypatch):
    library, _ = library_of(tmp_path / "library", 1)
    images, truth = images_of(phantom(5)), label_of(phantom(5))
    names = ("write_nifti", "write_json_atomic", "sha256_of", "reserved")
    real = {name: getattr(folder, name) for name in names}
    codes = []
    for place in range(1, 20):
        left = [place]

        def counted(name, left=left):
            def call(*words):
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return real[name](*words)

            return call

        for name in names:
            monkeypatch.setattr(folder, name, counted(name))
        work = forked(lambda: (library.add_case("new-1", images), library.accept("new-1", truth, SCHEMA)))
        codes.append(exit_code(work))
        for case in library.cases():
            for label in case.labels:
                library.read_label(case, label)
    assert codes.count(9) > 5
    assert codes[-1] == 0
    monkeypatch.undo()
    before = library.case("new-1").labels
    library.accept("new-1", truth, SCHEMA)
    assert library.case("new-1").labels[: len(before)] == before
    assert not list((library.folder / "cases").glob(".*.tmp"))

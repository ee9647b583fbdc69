"""Prepared voxels are kept and used again: whoever changes how they are made must raise the store's FORMAT."""

import ast
import hashlib
import inspect
import json
import textwrap

from voxmmsd import labels
from voxmmsd.data import grid, preprocess, reading, store, volume

RECORDED = (4, "d63b99baa2c042ab")  # FORMAT and the digest of the source when it was last raised
DECIDE = (
    *(grid, volume, reading),  # whole modules
    *(preprocess.Preprocess.apply, preprocess.Preprocess._target_grid, preprocess.to_uint8, preprocess._as_uint8),
    *(preprocess.brain_box, labels.indices_from_values, store._make_entry),
)
SPACING_TOLERANCE = preprocess.SPACING_TOLERANCE
_SAY_NOTHING = {"annotation", "returns", "type_comment", "type_params", "ctx", "kind", "type_ignores"}


def plain(node):
    """A syntax tree as lists, without what decides no voxel: docstrings, annotations, error texts, imports."""
    if isinstance(node, list):
        return [plain(one) for one in node if not _says_nothing(one)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _SAY_NOTHING}
    return [type(node).__name__, {name: plain(value) for name, value in fields.items() if value not in (None, [])}]


def _says_nothing(node):
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Raise | ast.Import | ast.ImportFrom)


def digest_of(sources):
    trees = [plain(ast.parse(textwrap.dedent(source))) for source in sources]
    return hashlib.sha256(json.dumps(trees).encode()).hexdigest()[:16]


def test_the_format_of_the_store_moves_with_the_source_that_decides_the_stored_voxels():
    found = digest_of([*map(inspect.getsource, DECIDE), repr(SPACING_TOLERANCE)])
    assert (store.FORMAT, found) == RECORDED, (
        "The source that decides what a prepared store holds has changed. Raise FORMAT in voxmmsd/data/store.py, so "
        f"that stale entries are prepared again, and record ({store.FORMAT + 1}, {found!r}) here. Where the voxels "
        "certainly stay the same (a name, a message), record the new digest alone and say so in the commit."
    )


def test_texts_and_annotations_do_not_count_and_arithmetic_does():
    known = digest_of(
        ['def f(a: int) -> int:\n    """Text."""\n    if a:\n        raise ValueError("x")\n    return a + 1\n']
    )
    assert known == digest_of(["def f(a):\n    # why\n    if a:\n        raise ValueError(f'{a}')\n    return a + 1\n"])
    assert known != digest_of(["def f(a):\n    if a:\n        raise ValueError\n    return a + 2\n"])

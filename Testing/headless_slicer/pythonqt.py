"""PySide6 classes as PythonQt shows Qt: properties are values, signals connect by signature, unknown names raise.

``PythonQt`` is mixed in before a Qt class. What an object may be asked for is decided by the listings (``api``), so a
name that works here is a name of real Slicer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from functools import cache, partial
from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets

from headless_slicer import api


class PythonQt:
    """Mixed in before a Qt class; names with a leading underscore are the host's own."""

    _loading = False  # PySide's loader would make every child an attribute of the panel; PythonQt does not

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if options:
            raise TypeError(f"{type(self).__name__}: PythonQt takes no keyword arguments, got {sorted(options)}")
        super().__init__(*arguments)
        self._connections: dict[tuple[str, Any], Any] = {}

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return super().__getattribute__(name)
        kind = type(self)
        offered = offered_by(kind)
        if name in _CALLED_BY_QT or (issubclass(kind, QtWidgets.QAbstractItemView) and name in _OF_ITEM_VIEWS):
            return super().__getattribute__(name)
        if offered is not None and name not in offered and not _is_of_module(kind, name):
            raise AttributeError(f"{_qt_name(kind)!r} object has no attribute {name!r} in PythonQt")
        if name in ("connect", "disconnect", "className", "delete", "name"):
            return _EXTRAS[name](self)
        declared = _properties(kind)
        asked = (id(self), name)
        if name in declared and (declared[name] or name in _VALUES) and asked not in _BEING_READ:
            _BEING_READ.add(asked)
            try:
                return super().__getattribute__("property")(name)
            finally:
                _BEING_READ.discard(asked)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        if PythonQt._loading:
            return
        if name == "name":
            name = "objectName"
        writable = _properties(type(self)).get(name)
        if writable is None:
            if _is_python_subclass(type(self)):
                super().__setattr__(name, value)
                return
            raise AttributeError(f"{_qt_name(type(self))!r} object has no property {name!r} in PythonQt")
        if not writable:
            raise AttributeError(f"property {name!r} of {_qt_name(type(self))!r} cannot be written")
        if not super().__getattribute__("setProperty")(name, value):
            raise ValueError(f"{_qt_name(type(self))}.{name}: {value!r} is no value for it")

    # PythonQt's additions to every object

    def _connect(self, signature: str, *target: Any) -> bool:
        slot = target[0] if len(target) == 1 else getattr(target[0], target[1].partition("(")[0])
        count = _signal_arguments(self, signature)
        normal = api.normalized(signature)

        def call(*arguments: Any) -> None:
            given = (bool(arguments[0]),) if normal.endswith("(bool)") else arguments
            slot(*given[: _accepted(slot)])

        deliver = _taking(count, call)
        signal = QtCore.QObject.__getattribute__(self, signature.partition("(")[0])
        signal.connect(deliver)
        self._connections[normal, slot] = deliver
        return True

    def _disconnect(self, signature: str, *target: Any) -> bool:
        slot = target[0] if len(target) == 1 else getattr(target[0], target[1].partition("(")[0])
        _signal_arguments(self, signature)
        deliver = self._connections.pop((api.normalized(signature), slot), None)
        if deliver is None:
            return False
        QtCore.QObject.__getattribute__(self, signature.partition("(")[0]).disconnect(deliver)
        return True


_EXTRAS: dict[str, Callable[[Any], Any]] = {
    "connect": lambda self: self._connect,
    "disconnect": lambda self: self._disconnect,
    "className": lambda self: partial(_qt_name, type(self)),
    "delete": lambda self: partial(shiboken6.delete, self),
    "name": QtCore.QObject.objectName,
}
_OF_ITEM_VIEWS = frozenset(dir(QtWidgets.QTableView)) - frozenset(dir(QtWidgets.QWidget)) - {"frameWidth"}
# Virtual methods that PySide looks up on the object when Qt calls them; item views have too many to list.
_CALLED_BY_QT = frozenset({"connectNotify", "disconnectNotify"})
# (object, property): a getter may be virtual (sizeHint), and PySide then looks for its override on the object, which
# must not ask for the property again: Python 3.11 gives up after a thousand calls, 3.12 runs out of stack and dies.
_BEING_READ: set[tuple[int, str]] = set()
# Read-only properties are values as well; these names are both a property and a method that takes arguments.
_VALUES = frozenset(
    {
        "active",
        "size",
        "pos",
        "rect",
        "width",
        "height",
        "x",
        "y",
        "sizeHint",
        "minimumSizeHint",
        "visible",
        "isActiveWindow",
        "focus",
        "underMouse",
        "currentText",
        "currentData",
        "rowCount",
        "columnCount",
        "count",
        "currentNodeID",
        "segmentCount",
        "normalGeometry",
        "frameGeometry",
        "frameWidth",
        "modal",
        "down",
    }
)


def as_pythonqt(qt_class: type) -> type:
    """The class that a module gets for a QObject class of PySide6; others (QColor, QIcon ...) stay as they are."""
    if not (isinstance(qt_class, type) and issubclass(qt_class, QtCore.QObject)):
        return qt_class
    return _subclass(qt_class)


@cache
def _subclass(qt_class: type) -> type:
    return type(qt_class.__name__, (PythonQt, qt_class), {**_flat_enums(qt_class), "_qt_class": qt_class})


def _flat_enums(qt_class: type) -> dict[str, Any]:
    """``QMessageBox.StandardButton.Yes`` as ``QMessageBox.Yes``."""
    found = {}
    for base in qt_class.__mro__:
        for item in vars(base).values():
            if isinstance(item, type) and issubclass(item, Enum):
                found.update({name: member for name, member in item.__members__.items() if not hasattr(qt_class, name)})
    return found


@cache
def offered_by(kind: type) -> frozenset[str] | None:
    """Names that objects of ``kind`` offer; None where its class was not listed."""
    known = api.members(_qt_name(kind))
    if known is not None:
        return known
    for base in kind.__mro__:
        if base in (QtWidgets.QWidget, QtCore.QObject):
            return None
        if (inherited := api.members(base.__name__)) is not None:
            return inherited | _own_names(kind)
    return None


def _own_names(kind: type) -> frozenset[str]:
    meta = kind.staticMetaObject
    methods = {bytes(meta.method(i).name()).decode() for i in range(meta.methodCount())}
    return frozenset(methods | set(_properties(kind)) | {name for name in dir(_real(kind)) if not name.startswith("_")})


@cache
def _properties(kind: type) -> dict[str, bool]:
    """Property -> whether it can be written."""
    meta = kind.staticMetaObject
    found = {meta.property(i).name(): meta.property(i).isWritable() for i in range(meta.propertyCount())}
    return {name: writable for name, writable in found.items() if not name.startswith("_")}


def _real(kind: type) -> type:
    return next(base for base in kind.__mro__ if base.__module__.startswith("PySide6"))


def _qt_name(kind: type) -> str:
    """The name of the class that is listed: a module's own subclass counts as what it derives from."""
    for base in kind.__mro__:
        if "_qt_class" in vars(base) or "_stands_for" in vars(base):
            return base.__name__
    return kind.__name__


def _is_python_subclass(kind: type) -> bool:
    return not ({"_qt_class", "_stands_for"} & set(vars(kind)))


def _is_of_module(kind: type, name: str) -> bool:
    """Whether a module's own subclass defines the name."""
    for base in kind.__mro__:
        if not _is_python_subclass(base):
            return False
        if name in vars(base):
            return True
    return False


def _signal_arguments(sender: Any, signature: str) -> int:
    """How many arguments the signal has.

    Raises:
        TypeError: there is no such signal; real PythonQt returns False and nothing ever happens.
    """
    normal = api.normalized(signature)
    known = api.signals(_qt_name(type(sender)))
    if normal in known:
        return known[normal]
    meta = type(sender).staticMetaObject
    number = meta.indexOfSignal(normal)
    if number < 0:
        raise TypeError(f"{_qt_name(type(sender))} has no signal {signature!r}; PythonQt would return False silently")
    return meta.method(number).parameterCount()


def _accepted(slot: Callable[..., Any]) -> int | None:
    """How many positional arguments a callable takes; None for any number."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


def _taking(count: int, call: Callable[..., None]) -> Callable[..., None]:
    """``call`` with ``count`` named parameters: PySide delivers as many arguments as a slot names."""

    def none() -> None:
        call()

    def one(first: Any) -> None:
        call(first)

    def two(first: Any, second: Any) -> None:
        call(first, second)

    return (none, one, two)[count]


def declared(class_name: str, base: type, defaults: dict[str, Any] | None = None) -> type:
    """A base for a stand-in: the properties and signals that the listing says, over a Qt class.

    Properties keep what they are given; ``_on_property(name)`` is called after a change.
    """
    header = api.widgets()["headers"][class_name]
    values = defaults or {}
    namespace: dict[str, Any] = {"_stands_for": class_name, "_from": header["from"]}
    for name, record in api.properties(class_name).items():
        if name not in _inherited_properties(base):
            namespace[name] = _kept_property(name, record["type"], values.get(name))
    for signature, count in api.signals(class_name).items():
        name = signature.partition("(")[0]
        if not hasattr(base, name):
            namespace[name] = QtCore.Signal(*[object] * count)
    real = base if issubclass(base, PythonQt) else as_pythonqt(base)
    return type(class_name, (real,), namespace)


def _inherited_properties(base: type) -> frozenset[str]:
    meta = base.staticMetaObject
    return frozenset(meta.property(i).name() for i in range(meta.propertyCount()))


_QT_TYPES: dict[str, tuple[Any, Any]] = {
    "bool": (bool, False),
    "int": (int, 0),
    "double": (float, 0.0),
    "QString": (str, ""),
}
_QT_TYPES["QStringList"] = ("QStringList", ())


def _kept_property(name: str, kind: str, default: Any) -> QtCore.Property:
    qt_type, empty = _QT_TYPES.get(kind, ("QVariant", None))
    start = empty if default is None else default

    def read(self: Any) -> Any:
        return self.__dict__.setdefault("_kept", {}).get(name, start)

    def write(self: Any, value: Any) -> None:
        self.__dict__.setdefault("_kept", {})[name] = value
        if hook := getattr(self, "_on_property", None):
            hook(name)

    return QtCore.Property(qt_type, read, write)

"""``slicer.parameterNodeWrapper``: typed fields kept in a script node (Base/Python/slicer/parameterNodeWrapper/).

Supports ``bool``, ``int``, ``float``, ``str``, enumerations, MRML nodes and their ``Union`` with None, with ``Default``
and the validators in ``Annotated``; anything else raises, so that a module does not lean on what this stand-in lacks.
"""

from __future__ import annotations

import enum
import sys
import types
import typing
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import slicer
import vtk
from PySide6 import QtWidgets


class Default:
    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    def value(self) -> Any:
        return self._generator() if self._generator else self._value


class Validator:
    def validate(self, value: Any) -> None:
        raise NotImplementedError


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if value is not None and not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value!r} is not within [{self.minimum}, {self.maximum}]")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"{value!r} is less than {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"{value!r} is more than {self.maximum}")


class Choice(Validator):
    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class _Field:
    """One typed field: how it is kept in the node."""

    def __init__(self, name: str, hint: Any) -> None:
        self.name = name
        notes = hint.__metadata__ if typing.get_origin(hint) is Annotated else ()
        self.kind = hint.__origin__ if notes else hint
        self.node_classes = _node_classes(self.kind)
        if not (self.node_classes or self.kind in (bool, int, float, str) or _is_enum(self.kind)):
            raise NotImplementedError(f"parameter {name}: {self.kind} is not supported by the host; real Slicer may")
        self.validators = [note for note in notes if isinstance(note, Validator)]
        default = next((note for note in notes if isinstance(note, Default)), None)
        self._default = default.value() if default else None

    @property
    def default(self) -> Any:
        if self._default is not None or self.node_classes:
            return self._default
        return next(iter(self.kind)) if _is_enum(self.kind) else self.kind()

    def read(self, node: Any) -> Any:
        if self.node_classes:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if not node.GetParameterNames() or self.name not in node.GetParameterNames():
            return self.default
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if _is_enum(self.kind) else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        if self.node_classes:
            if value is not None and not isinstance(value, self.node_classes):
                raise TypeError(f"{self.name}: expected {self.kind}, got {type(value).__name__}")
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
            return
        if not isinstance(value, self.kind) and not (self.kind is float and isinstance(value, int)):
            raise TypeError(f"{self.name}: expected {self.kind.__name__}, got {value!r}")
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(self.name, value.name if _is_enum(self.kind) else str(value))


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """The class with its annotations as properties of a script node."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, vars(sys.modules[classtype.__module__]), include_extras=True)
    fields = {name: _Field(name, hint) for name, hint in hints.items()}
    for name, field in fields.items():
        if hasattr(classtype, name):
            default = getattr(classtype, name)
            field._default = default.value() if isinstance(default, Default) else default
    namespace: dict[str, Any] = {name: _property(field) for name, field in fields.items()}
    namespace |= {
        name: item for name, item in vars(classtype).items() if isinstance(item, types.FunctionType | property)
    }
    return type(classtype.__name__, (_Wrapper,), {**namespace, "_fields": fields, "__doc__": classtype.__doc__})


def _property(field: _Field) -> property:
    return property(
        lambda self: field.read(self.parameterNode), lambda self, value: field.write(self.parameterNode, value)
    )


class _Wrapper:
    _fields: typing.ClassVar[dict[str, _Field]] = {}

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("prefixes are not supported by the host; real Slicer has them")
        self.__dict__["parameterNode"] = parameterNode
        self.__dict__["_guis"] = {}
        self.__dict__["_showing"] = False
        for name, field in self._fields.items():
            if not field.node_classes and name not in (parameterNode.GetParameterNames() or ()):
                field.write(parameterNode, field.default)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._fields and not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"the parameter node has no parameter {name!r}")
        super().__setattr__(name, value)

    @classmethod
    def allParameters(cls) -> dict[str, Any]:
        return dict(cls._fields)

    @classmethod
    def datatype(cls, name: str) -> Any:
        return cls._fields[name].kind

    @classmethod
    def default(cls, name: str) -> Any:
        return Default(cls._fields[name].default)

    def isCached(self, _name: str) -> bool:
        return False

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def HasObserver(self, event: Any, callback: Any = None) -> bool:
        return bool(self.parameterNode.HasObserver(event))

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, previous: int) -> int:
        return self.parameterNode.EndModify(previous)

    def connectGui(self, gui: Any) -> int:
        """Tie the widgets whose dynamic property SlicerParameterName names a parameter; a tag to disconnect."""
        widgets = {}
        for child in gui.findChildren(QtWidgets.QWidget):
            name = child.property("SlicerParameterName")
            if name:
                if name not in self._fields:
                    raise ValueError(f"widget {child.objectName} names the parameter {name!r}, which does not exist")
                widgets[name] = child
        return self._connect(widgets)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        return self._connect(mapping)

    def disconnectGui(self, tag: int) -> None:
        if tag not in self._guis:  # as in Slicer, no error
            return
        observer, connections = self._guis.pop(tag)
        self.parameterNode.RemoveObserver(observer)
        for connector in connections:
            connector.disconnect()

    def _connect(self, widgets: dict[str, Any]) -> int:
        connectors = [_Connector(self, self._fields[name], widget) for name, widget in widgets.items()]
        for connector in connectors:
            connector.show()
            connector.connect()

        def show(*_: Any) -> None:
            if self._showing:
                return
            self.__dict__["_showing"] = True
            try:
                with slicer.util.NodeModify(self):
                    for connector in connectors:
                        connector.show()
            finally:
                self.__dict__["_showing"] = False

        observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
        tag = max(self._guis, default=0) + 1
        self._guis[tag] = (observer, connectors)
        return tag


class _Connector:
    """A widget and a parameter that follow each other (guiConnectors.py)."""

    _WAYS: typing.ClassVar[list[tuple[str, str, str]]] = [
        ("QCheckBox", "toggled(bool)", "checked"),
        ("QPushButton", "toggled(bool)", "checked"),
        ("QSpinBox", "valueChanged(int)", "value"),
        ("QDoubleSpinBox", "valueChanged(double)", "value"),
        ("QSlider", "valueChanged(int)", "value"),
        ("ctkSliderWidget", "valueChanged(double)", "value"),
        ("QLineEdit", "textChanged(QString)", "text"),
        ("ctkPathLineEdit", "currentPathChanged(QString)", "currentPath"),
    ]

    def __init__(self, owner: _Wrapper, field: _Field, widget: Any) -> None:
        self._owner, self._field, self._widget = owner, field, widget
        self._signal, self._read, self._write = self._way()

    def connect(self) -> None:
        self._widget.connect(self._signal, self.store)

    def _way(self) -> tuple[str, Callable[[], Any], Callable[[Any], None]]:
        widget, names = self._widget, [base.__name__ for base in type(self._widget).__mro__]
        if "qMRMLNodeComboBox" in names:
            widget.nodeTypes = _node_types(self._field)  # whatever the .ui file says
            return "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode
        if "QComboBox" in names:
            if _is_enum(self._field.kind):
                if not widget.count:
                    for member in self._field.kind:
                        widget.addItem(member.value if isinstance(member.value, str) else member.name)
                members = list(self._field.kind)
                return (
                    "currentIndexChanged(int)",
                    lambda: members[widget.currentIndex],
                    lambda value: widget.setCurrentIndex(members.index(value)),
                )
            return "currentTextChanged(QString)", lambda: widget.currentText, widget.setCurrentText
        for kind, signal, name in self._WAYS:
            if kind in names:
                return signal, partial(getattr, widget, name), partial(setattr, widget, name)
        raise NotImplementedError(f"no connector for a {names[0]} in the host; see guiConnectors.py of Slicer")

    def show(self) -> None:
        self._write(self._field.read(self._owner.parameterNode))

    def store(self, *_: Any) -> None:
        if not self._owner._showing:
            with slicer.util.NodeModify(self._owner):
                self._field.write(self._owner.parameterNode, self._read())

    def disconnect(self) -> None:
        self._widget.disconnect(self._signal, self.store)


def _node_classes(kind: Any) -> tuple[type, ...]:
    """The classes of a node's annotation, or of a union of them with None; empty for anything else."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = [one for one in typing.get_args(kind) if one is not types.NoneType] if is_union else [kind]
    are_nodes = all(isinstance(one, type) and issubclass(one, slicer.vtkMRMLNode) for one in kinds)
    return tuple(kinds) if are_nodes else ()


def _node_types(field: _Field) -> list[str]:
    """As guiConnectors.py does: an object of each class is made to ask for its name, so abstract ones raise TypeError.

    Raises:
        TypeError: a class is abstract, or the union is written with ``|``, which Slicer does not know there.
    """
    if typing.get_origin(field.kind) is types.UnionType:
        raise TypeError(f"parameter {field.name}: no connector for {field.kind}: write typing.Union")
    return [kind().GetClassName() for kind in field.node_classes]


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


OFFERED = ("parameterNodeWrapper", "Default", "Validator", "WithinRange", "Minimum", "Maximum", "Choice")

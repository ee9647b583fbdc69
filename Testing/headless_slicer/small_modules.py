"""``slicer.i18n``, ``slicer.packaging``, ``slicer.testing`` and ``SampleData``: what modules call of them."""

from __future__ import annotations

import types
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from typing import Any

import slicer


def i18n() -> types.ModuleType:
    module = types.ModuleType("slicer.i18n")
    module.tr = _plain
    module.translate = lambda context, text: _plain(text)
    module.getContext = str
    return module


def _plain(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError("only text can be translated")
    return text


class PackagingOnImport(MetaPathFinder, Loader):
    """Slicer has ``slicer.packaging`` only after it was imported: it does not hang on ``slicer`` from the start."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        return spec_from_loader(fullname, self) if fullname == "slicer.packaging" else None

    def create_module(self, spec: Any) -> types.ModuleType:
        return Packaging()

    def exec_module(self, module: types.ModuleType) -> None:
        """It is whole already."""


class Packaging(types.ModuleType):
    """Base/Python/slicer/packaging.py: nothing is installed from a test, what is missing raises.

    Strict as the first versions were, which take no text for a requirement.
    """

    def __init__(self) -> None:
        super().__init__("slicer.packaging")

    def pip_check(self, req: Any, _seen: Any = None) -> bool:
        from packaging.requirements import Requirement

        for requirement in req if isinstance(req, list) else [req]:
            if not isinstance(requirement, Requirement):
                raise AttributeError(f"{type(requirement).__name__!r} object has no attribute 'marker'")
            try:
                installed = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                return False
            if not requirement.specifier.contains(installed, prereleases=True):
                return False
        return True

    def pip_ensure(
        self,
        requirements: Any,
        constraints: Any = None,
        skip_packages: Any = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: Any = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        missing = [str(one) for one in requirements if not self.pip_check(one)]
        if not missing or skip_in_testing:
            return
        if prompt_install and not slicer.util.confirmOkCancelDisplay(f"{len(missing)} packages need to be installed."):
            raise RuntimeError("User declined package installation")
        self.pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)

    def pip_install(
        self,
        requirements: Any,
        constraints: Any = None,
        no_deps_requirements: Any = None,
        skip_packages: Any = None,
        blocking: bool = True,
        show_progress: bool = True,
        requester: Any = None,
        logCallback: Any = None,
        completedCallback: Any = None,
    ) -> None:
        if type(requirements) not in (str, list):
            raise ValueError("pip_install requirement input must be string or list")
        raise RuntimeError(f"the host installs nothing: {requirements}")


def sample_data() -> types.ModuleType:
    module = types.ModuleType("SampleData")
    module.SampleDataLogic, module.SampleDataSource = SampleDataLogic, SampleDataSource
    return module


class SampleDataLogic:
    """Modules/Scripted/SampleData/SampleData.py: only its registry."""

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        titles = slicer.modules.__dict__.setdefault("sampleDataCategoryTitles", {})
        titles[category] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: Any = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Any = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        if loadFileType is not None and loadFileTypes is not None:
            raise ValueError("loadFileType and loadFileTypes cannot be specified at the same time")
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileTypes or loadFileType,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
        )
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {})
        sources.setdefault(category, []).append(source)


class SampleDataSource:
    """Modules/Scripted/SampleData/SampleData.py: six lists of one length, or one text for each of them."""

    _LISTS = ("fileNames", "nodeNames", "loadFiles", "loadFileTypes", "checksums")

    def __init__(
        self,
        sampleName: Any = None,
        sampleDescription: Any = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: Any = None,
        loadFileTypes: Any = None,
        loadFileProperties: Any = None,
        loadFileType: Any = None,
    ) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        given = (fileNames, nodeNames, loadFiles, loadFileTypes or loadFileType, checksums)
        lists = dict(zip(self._LISTS, given, strict=True))
        if isinstance(uris, str):
            uris, lists = [uris], {name: [value] for name, value in lists.items()}
        elif isinstance(uris, list | tuple):
            for name in self._LISTS:
                if lists[name] is None and name != "fileNames":
                    lists[name] = [None] * len(uris)
        self.uris = uris
        vars(self).update(lists)
        if len({len(uris), *(len(value) for value in lists.values())}) > 1:  # TypeError for None, as in Slicer
            raise ValueError("All fields of sample data source must have the same length")

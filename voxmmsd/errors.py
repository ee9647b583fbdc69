"""Errors for the user: what is wrong, where, and how to fix it."""


class VoxMMSDError(Exception):
    """Base of all errors caused by the input or the call (exit code 2)."""


class InputError(VoxMMSDError):
    """A file or folder that cannot be used."""


class ConfigError(VoxMMSDError):
    """An invalid option or configuration file."""


class ModelError(VoxMMSDError):
    """A model package that is missing, damaged, or not suitable."""


class LibraryError(VoxMMSDError):
    """A training library that cannot be used as requested."""


class RunError(VoxMMSDError):
    """A run folder that cannot be used as requested."""


class MissingDependencyError(VoxMMSDError):
    """An optional package that this step needs is not installed."""


class MemoryBudgetError(VoxMMSDError):
    """Memory, or the given memory limit, is too small."""


class BundleError(VoxMMSDError):
    """An offline bundle that cannot be created or installed."""


class Cancelled(Exception):
    """The user asked to stop (exit code 130); not an error."""

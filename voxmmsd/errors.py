"""The errors a user is meant to read: what is wrong, where, and the way out."""


class VoxMMSDError(Exception):
    """Base of every error that is the input's or the caller's to mend (exit code 2)."""


class InputError(VoxMMSDError):
    """A file or folder that cannot be used as it is."""


class ConfigError(VoxMMSDError):
    """An option or a configuration file that makes no sense."""


class ModelError(VoxMMSDError):
    """A model package that is missing, broken, or made for something else."""


class LibraryError(VoxMMSDError):
    """A training library that cannot be used the way it was asked for."""


class RunError(VoxMMSDError):
    """A run folder that cannot be used the way it was asked for."""


class MissingDependencyError(VoxMMSDError):
    """An optional package that this step needs is not installed."""


class MemoryBudgetError(VoxMMSDError):
    """Memory does not suffice, or not within the budget that was given."""


class BundleError(VoxMMSDError):
    """A bundle for a machine without network that cannot be made or installed."""


class Cancelled(Exception):
    """The user asked to stop (exit code 130); not an error."""

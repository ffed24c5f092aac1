"""What can be wrong with a recording, one type each."""

from synatt.errors import SynattError


class AudioError(SynattError):
    """A recording cannot be used. `kind` is a stable word for tables and metrics."""

    kind = "audio"


class AudioMissingError(AudioError):
    kind = "missing"


class AudioUnreachableError(AudioError):
    kind = "unreachable"


class AudioEmptyFileError(AudioError):
    kind = "empty_file"


class AudioFormatError(AudioError):
    kind = "not_audio"


class AudioLimitError(AudioError):
    kind = "implausible_header"


class AudioTruncatedError(AudioError):
    kind = "truncated"


class AudioCorruptError(AudioError):
    kind = "corrupt"


class AudioNoSamplesError(AudioError):
    kind = "no_samples"


class AudioNotFiniteError(AudioError):
    kind = "not_finite"


class AudioSilentError(AudioError):
    kind = "silent"

"""A merged model for CTranslate2 (and so for faster-whisper), through its own converter."""

from importlib.util import find_spec
from pathlib import Path

from syn2real.errors import NotInstalled, UserError, did_you_mean, one_line
from syn2real.sealing import require_absent, sealed_directory

QUANTIZATIONS = ("float32", "float16", "bfloat16", "int8", "int8_float16", "int8_float32", "int16")
BESIDE = ("tokenizer.json", "preprocessor_config.json")  # what faster-whisper reads besides


def require_exportable(output: Path, quantization: str | None, *, overwrite: bool = False) -> None:
    """What can be known before there is a model. Raises as `to_ctranslate2` does."""
    if quantization is not None and quantization not in QUANTIZATIONS:
        raise UserError(f"quantization {quantization!r} is unknown{did_you_mean(quantization, QUANTIZATIONS)}")
    if find_spec("ctranslate2") is None:
        raise NotInstalled("ctranslate2", "ctranslate2")
    require_absent(output, overwrite=overwrite)


def to_ctranslate2(
    directory: Path | str, output: Path | str, quantization: str | None = None, *, overwrite: bool = False
) -> Path:
    """Convert a Hugging Face directory and return ``output``. ``quantization`` None keeps the stored type.

    Raises `NotInstalled` without ctranslate2 or transformers, `UserError` for a model that its converter does not know.
    """
    directory, output = Path(directory), Path(output)
    require_exportable(output, quantization, overwrite=overwrite)
    try:
        from ctranslate2.converters import TransformersConverter
    except ModuleNotFoundError as error:
        raise NotInstalled("ctranslate2", "ctranslate2") from error
    beside = [name for name in BESIDE if (directory / name).is_file()]
    with sealed_directory(output, overwrite=overwrite) as partial:
        try:
            converter = TransformersConverter(str(directory), copy_files=beside)
            converter.convert(str(partial), quantization=quantization, force=True)
        except ModuleNotFoundError as error:
            raise NotInstalled(error.name or "transformers", "ctranslate2") from error
        except (ValueError, KeyError, RuntimeError) as error:
            reason = one_line(error)
            raise UserError(f"{directory}: CTranslate2's converter refuses it: {reason}") from error
    return output

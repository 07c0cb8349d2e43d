"""What tells the bytes of one file from those of another, whatever they are called and whenever they were written."""

import xxhash

from kly_mage.landing.files import LandingFile

_AT_ONCE = 1 << 20  # bytes


def fingerprint(file: LandingFile) -> str:
    """128 bits over all bytes of a file.

    Raises:
        LandingError: it is not to be read, or it is not the file any more that was found.
    """
    found, buffer = xxhash.xxh3_128(), memoryview(bytearray(min(_AT_ONCE, file.size + 1)))
    with file.open() as stream:
        while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # a file's own stream has it
            found.update(buffer[:count])
        file.check(stream)
    return found.hexdigest()

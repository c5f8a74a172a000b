"""The file in a multipart form, as it streams in: nothing of it is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from chassis.errors import FieldError, Invalid, MalformedRequest

FIELD = b"file"


def is_form(media_type: str | None) -> bool:
    """Whether a body of this Content-Type is a multipart form."""
    return (media_type or "").partition(";")[0].strip().lower() == "multipart/form-data"


class FormFile:
    """The first part called `file`. `media_type` is what the part says of itself."""

    def __init__(self, media_type: str, stream: AsyncIterator[bytes]) -> None:
        _, options = parse_options_header(media_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedRequest("the form has no boundary")
        self.media_type: str | None = None
        self._stream = stream
        self._pieces: deque[bytes] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._found = self._inside = self._whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._field,
                "on_header_value": self._text,
                "on_header_end": self._header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_part_end": self._close,
                "on_end": self._end,
            },
        )

    async def opened(self) -> FormFile:
        """Itself, read as far as the file's first bytes. Raises `MalformedRequest`, and `Invalid` without a file."""
        while not self._found:
            if not await self._read():
                detail = f"is required: the form has no part called {FIELD.decode()}"
                raise Invalid(detail, errors=[FieldError("/file", detail)])
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises `MalformedRequest` where the form ends before they do."""
        more = True
        while more:
            while self._pieces:
                yield self._pieces.popleft()
            more = await self._read()
        if not self._whole:
            raise MalformedRequest("the form ends before its last boundary")

    async def _read(self) -> bool:
        data = await anext(self._stream, None)
        if data is None:
            return False
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedRequest(f"the form cannot be read: {error}") from error
        return True

    def _begin(self) -> None:
        self._headers = {}

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _text(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if options.get(b"name") == FIELD and not self._found:
            self._found = self._inside = True
            said = self._headers.get(b"content-type")
            self.media_type = None if said is None else said.decode("latin-1")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._pieces.append(data[start:end])

    def _close(self) -> None:
        self._inside = False

    def _end(self) -> None:
        self._whole = True

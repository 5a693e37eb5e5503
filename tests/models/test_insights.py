import pytest

from routecast.models.errors import DecodeError
from routecast.models.insights import Change, Subject, decode_insight, encode_insight

CHANGE = Change(
    id="c1", version=1, subject=Subject(kind="target", id="a", service="chat"), metric="response_time", worse=True, since_ms=1.0, detected_ms=2.0,
    before=100.0, after=200.0, statistic=13.0, threshold=9.0, n=21,
)  # fmt: skip


def test_an_insight_comes_back_as_what_it_was() -> None:
    """The type in the record says what it is."""
    assert decode_insight(encode_insight(CHANGE)) == CHANGE
    assert CHANGE.key == "change/c1"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type":"forecast"}', encode_insight(CHANGE)[:-1]])
def test_what_is_no_insight_is_an_error_that_says_so(data: bytes) -> None:
    """A reader keeps what it had."""
    with pytest.raises(DecodeError, match="not an insight"):
        decode_insight(data)
